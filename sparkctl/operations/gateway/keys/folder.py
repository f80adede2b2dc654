"""The keys as they are kept: a file each in a folder of the operator's configuration, for their owner alone.

A file each, so that two who write never lose what the other one wrote, and one that is damaged is no other key's
trouble. A gateway that runs looks at the folder with each request, so that a revoked key is none from then on.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from pydantic import TypeAdapter

from sparkctl.base import regular_file
from sparkctl.base.declarations import NAME
from sparkctl.base.errors import InputError
from sparkctl.base.validation import nearest
from sparkctl.operations.records import decoded
from sparkctl.planning.gateway.keys import KEY_BYTES, MOST_NAME, PREFIX, SALT_BYTES, KeptKey, digest

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.operations.context import World

SCHEMA: Final = 1
_MODE: Final = 0o600
_MOST_BYTES: Final = 64 * 1024
"""The most bytes of one key's file: a larger one is not valid."""
_OTHERS: Final = 0o077
_WRITTEN_BY_OTHERS: Final = 0o022
_FILE: Final = re.compile(rf"(?P<name>{NAME.pattern})\.json")
_HEXADECIMAL: Final = {"salt": re.compile(f"[0-9a-f]{{{2 * SALT_BYTES}}}"), "digest": re.compile("[0-9a-f]{64}")}


@dataclass(frozen=True, slots=True)
class _KeyFile:
    schema: int
    key: KeptKey


@cache
def _files() -> TypeAdapter[_KeyFile]:
    return TypeAdapter(_KeyFile)


class DamagedKey(NamedTuple):
    """A file that is no key: its name, and why, with what to do about it."""

    name: str
    why: str
    todo: str


class KeyRing(NamedTuple):
    """The keys by name, and the files that are not valid keys."""

    keys: tuple[KeptKey, ...] = ()
    damaged: tuple[DamagedKey, ...] = ()


class NewKey(NamedTuple):
    """A key that was just made: its text, which is nowhere else, and what is kept of it."""

    text: str
    kept: KeptKey

    def __repr__(self) -> str:
        """Say which key it is, without its text."""
        return f"NewKey({self.kept.name})"


def place(world: World) -> Path:
    """Return the folder of the keys."""
    return world.operator.config / "gateway-keys"


def mark(folder: Path) -> tuple[int, ...]:
    """Return what differs once a key was added or removed, but for two such changes within one tick of the clock.

    () where there is no folder, or none that can be looked at.
    """
    try:
        found = folder.stat()
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_ino, found.st_mode


def seen(folder: Path) -> tuple[object, ...]:
    """Return what differs whenever a key of the folder was added, changed or removed; () where there is no folder.

    It looks at each file, ``mark`` at the folder alone.
    """
    try:
        own = folder.stat()
        with os.scandir(folder) as entries:
            files = sorted((entry.name, *_marks(entry.stat())) for entry in entries if _FILE.fullmatch(entry.name))
    except FileNotFoundError:
        return ()
    except OSError as error:
        return ("unreadable", error.errno)
    return (stat.S_IMODE(own.st_mode), own.st_uid, *files)


def _marks(found: os.stat_result) -> tuple[int, ...]:
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode


def read(folder: Path) -> KeyRing:
    """Return the keys of a folder; one that is not there has none.

    Raises:
        InputError: it cannot be read, or others can write into it.
    """
    try:
        if stat.S_IMODE(folder.stat().st_mode) & _WRITTEN_BY_OTHERS:
            message = f"{folder} can be written by others, who could add keys of their own"
            raise InputError(message, hint=f"look who did, and: chmod 700 {folder}")
        names = sorted(name for name in os.listdir(folder) if _FILE.fullmatch(name))  # noqa: PTH208  (names alone)
    except FileNotFoundError:
        return KeyRing()
    except OSError as error:
        raise InputError(f"cannot read {folder}: {error.strerror}", hint="mend its owner and its mode") from None
    keys, damaged = [], []
    for name in names:
        found = _read(folder / name, name.removesuffix(".json"))
        if isinstance(found, KeptKey):
            keys.append(found)
        elif found is not None:
            damaged.append(found)
    return KeyRing(tuple(keys), tuple(damaged))


def _read(path: Path, name: str) -> KeptKey | DamagedKey | None:
    """Return a key, why its file is invalid, or None if it was revoked meanwhile."""
    again = f"sparkctl keys revoke {name}; sparkctl keys add {name}"
    try:
        text = regular_file.read_text(path, _MOST_BYTES)
        if stat.S_IMODE(path.stat().st_mode) & _OTHERS:
            return DamagedKey(name, f"{path} can be read by others", f"chmod 600 {path}")
        found = decoded(_files(), text)
    except (InputError, OSError) as error:
        if not os.path.lexists(path):
            return None
        why = error.message if isinstance(error, InputError) else str(error.strerror)
        return DamagedKey(name, f"{path}: {why}" if str(path) not in why else why, again)
    if found.schema != SCHEMA:
        return DamagedKey(name, f"{path}: a newer sparkctl wrote it (schema {found.schema})", again)
    kept = found.key
    if kept.name != name:
        return DamagedKey(name, f"{path}: it is the key {kept.name} under another name", again)
    wrong = [field for field, form in _HEXADECIMAL.items() if not form.fullmatch(getattr(kept, field))]
    if kept.rate is not None and not kept.rate > 0:
        wrong.append("rate")
    return DamagedKey(name, f"{path}: its {' and its '.join(wrong)} cannot be", again) if wrong else kept


def add(
    world: World, name: str, *, models: tuple[str, ...] = (), may_start: bool = True, rate: float | None = None
) -> NewKey:
    """Make a key. Its text is returned and kept nowhere.

    Raises:
        InputError: the name is none or taken, the folder is not to be trusted, or it cannot be written.
    """
    if not NAME.fullmatch(name) or len(name) > MOST_NAME:
        message = f"expected a name of at most {MOST_NAME} letters, digits, _ . -, found {name!r}"
        raise InputError(message, hint="name who will use it: laptop, open-webui")
    folder = place(world)
    read(folder)
    text = PREFIX + os.urandom(KEY_BYTES).hex()
    salt = os.urandom(SALT_BYTES).hex()
    kept = KeptKey(name, salt, digest(text, salt), world.clock.epoch(), models, may_start, rate)
    content = _files().dump_json(_KeyFile(SCHEMA, kept), indent=2)
    if not world.files.create(folder / f"{name}.json", content + b"\n", mode=_MODE):
        hint = f"take another name, or revoke that one first: sparkctl keys revoke {name}"
        raise InputError(f"there is a key {name} already", hint=hint)
    return NewKey(text, kept)


def revoke(world: World, name: str) -> None:
    """Remove a key, also one whose file is damaged. A gateway that runs takes it from no request from then on.

    Raises:
        InputError: there is none of this name, or it cannot be removed.
    """
    folder = place(world)
    path = folder / f"{name}.json"
    if not NAME.fullmatch(name) or not os.path.lexists(path):
        ring = read(folder)
        names = [*(one.name for one in ring.keys), *(one.name for one in ring.damaged)]
        close = nearest(name, names)
        there = f"there are: {', '.join(names)}" if names else "there is none: sparkctl keys add NAME"
        raise InputError(f"there is no key {name}", hint=there if close is None else f"did you mean {close}?")
    try:
        world.files.remove(path)
    except OSError as error:
        raise InputError(f"cannot remove {path}: {error.strerror}", hint="mend the folder's owner and mode") from None
