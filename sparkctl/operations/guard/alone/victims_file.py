"""The victims' file: who has to end, in order, when memory runs out. The agent writes it, the guard reads it.

It is JSON: ``schema``, ``lines`` (bytes), ``starting`` and ``victims``. A file that is damaged, too large, of a newer
schema, or of somebody else is refused as a whole, with the reason: the guard then keeps the last good one.
"""

from __future__ import annotations

import os
import stat

from sparkctl.operations.guard.alone import small_json
from sparkctl.operations.guard.alone.lines import Lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from typing import Any, Final

SCHEMA: Final = 1
MOST_BYTES: Final = 64 * 1024
MOST_VICTIMS: Final = 64
MOST_PIDS: Final = 16
"""The most processes of one victim: the first is the first of its PID namespace, and ends all others with it."""
_TEXT: Final = 200
_PID: Final = 1 << 22
"""The largest process number of Linux (proc(5), pid_max)."""
_CGROUPS: Final = "/sys/fs/cgroup/"
_ID: Final = 12
"""Characters of a container's id at least, so that no other folder has them in its name by chance."""


class ListedVictim:
    """A service that may have to end.

    ``pids`` are (number, start) of its processes, the container's first process first; the start is in the kernel's
    ticks, field 22 of /proc/PID/stat. ``cgroup`` is the folder of its cgroup v2, "" where there is none.
    """

    __slots__ = ("cgroup", "container", "name", "pids", "priority")

    def __init__(
        self, name: str, container: str, priority: int, pids: Sequence[tuple[int, int]], cgroup: str = ""
    ) -> None:
        self.name = name
        self.container = container
        self.priority = priority
        self.pids = tuple(pids)
        self.cgroup = cgroup

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ListedVictim) and self._values == other._values

    def __hash__(self) -> int:
        return hash(self._values)

    def __repr__(self) -> str:
        return f"ListedVictim{self._values}"

    @property
    def _values(self) -> tuple[str, str, int, tuple[tuple[int, int], ...], str]:
        return self.name, self.container, self.priority, self.pids, self.cgroup


class Victims:
    """The list, the first one first to end. ``lines`` None: those that the guard was started with.

    ``starting``: a service is starting, whose weights may be loading.
    """

    __slots__ = ("lines", "starting", "victims")

    def __init__(
        self, victims: Sequence[ListedVictim] = (), lines: Lines | None = None, *, starting: bool = False
    ) -> None:
        self.victims = tuple(victims)
        self.lines = lines
        self.starting = starting

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Victims):
            return NotImplemented
        return (self.victims, self.lines, self.starting) == (other.victims, other.lines, other.starting)

    def __hash__(self) -> int:
        return hash((self.victims, self.lines, self.starting))

    def __repr__(self) -> str:
        return f"Victims({self.victims!r}, {self.lines!r}, starting={self.starting})"


class RefusedFileError(Exception):
    """The guard does not follow this file; the text says why."""


def read(path: str, owners: Collection[int]) -> Victims | None:
    """Return the list in a file; None if there is none.

    Raises:
        RefusedFileError: it is damaged, too large, of a newer schema, no regular file, or of no user in ``owners``, or
            others may write it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RefusedFileError(f"cannot be opened: {error.strerror}") from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise RefusedFileError("is no regular file")
        if found.st_uid not in owners:
            raise RefusedFileError(f"belongs to the user id {found.st_uid}, expected {_listed(owners)}")
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise RefusedFileError(f"may be written by others (mode {stat.S_IMODE(found.st_mode):04o}), expected 0644")
        if found.st_size > MOST_BYTES:
            raise RefusedFileError(f"has {found.st_size:,} bytes, expected at most {MOST_BYTES:,}")
        text = os.read(descriptor, MOST_BYTES + 1)
    except OSError as error:
        raise RefusedFileError(f"cannot be read: {error.strerror}") from None
    finally:
        os.close(descriptor)
    return parsed(text)


def parsed(text: bytes) -> Victims:
    """Return the list that a file's bytes say.

    Raises:
        RefusedFileError: as for ``read``.
    """
    if len(text) > MOST_BYTES:
        raise RefusedFileError(f"has more than {MOST_BYTES:,} bytes")
    try:
        document = small_json.value_of(text)
    except ValueError:
        raise RefusedFileError("is no JSON") from None
    if not isinstance(document, dict) or not _is_number(document.get("schema"), 1, 1 << 31):
        raise RefusedFileError("says no schema")
    if document["schema"] != SCHEMA:
        raise RefusedFileError(f"has the schema {document['schema']}, this guard knows {SCHEMA}: restart the guard")
    victims = document.get("victims")
    if not isinstance(victims, list) or len(victims) > MOST_VICTIMS:
        raise RefusedFileError(f"expected a list of at most {MOST_VICTIMS} victims")
    if not isinstance(document.get("starting"), bool):
        raise RefusedFileError("starting: expected true or false")
    return Victims([_victim(one) for one in victims], _lines(document.get("lines")), starting=document["starting"])


def _lines(value: Any) -> Lines | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise RefusedFileError("lines: expected reserve, act and floor in bytes")
    given: list[Any] = [value.get(name) for name in ("reserve", "act", "floor")]
    if not all(_is_number(one, 1, 1 << 62) for one in given):
        raise RefusedFileError("lines: expected reserve, act and floor in bytes")
    try:
        return Lines(*given)
    except ValueError as error:
        raise RefusedFileError(f"lines: {error}") from None


def _victim(value: Any) -> ListedVictim:
    if not isinstance(value, dict):
        raise RefusedFileError("a victim: expected a map")
    given: list[Any] = [value.get(key) for key in ("name", "container", "priority")]
    name, container, priority = given
    if not (_is_text(name) and name and _is_text(container)):
        raise RefusedFileError("a victim: expected its name and its container")
    if not _is_number(priority, -(1 << 31), 1 << 31):
        raise RefusedFileError(f"{name}: expected a priority")
    cgroup = value.get("cgroup") or ""
    if not _is_text(cgroup) or (cgroup and not _is_own(cgroup, container)):
        raise RefusedFileError(f"{name}: its cgroup is none of its container")
    pids = value.get("pids")
    if not isinstance(pids, list) or not 1 <= len(pids) <= MOST_PIDS:
        raise RefusedFileError(f"{name}: expected 1 to {MOST_PIDS} processes")
    return ListedVictim(name, container, priority, [_pid(name, one) for one in pids], cgroup)


def _pid(name: str, value: Any) -> tuple[int, int]:
    if not (isinstance(value, list) and len(value) == 2):  # noqa: PLR2004  (a pair)
        raise RefusedFileError(f"{name}: a process: expected its number and its start")
    number, start = value
    if not (_is_number(number, 2, _PID) and _is_number(start, 0, 1 << 63)):
        raise RefusedFileError(f"{name}: a process: expected its number and its start")
    return number, start


def _is_own(cgroup: str, container: str) -> bool:
    """Return whether a folder is a container's own cgroup: killed as a whole it takes nobody else along."""
    parts = cgroup.split("/")
    return cgroup.startswith(_CGROUPS) and ".." not in parts and len(container) >= _ID and container in parts[-1]


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _TEXT and "\0" not in value


def _is_number(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _listed(owners: Collection[int]) -> str:
    return " or ".join(str(one) for one in sorted(owners))
