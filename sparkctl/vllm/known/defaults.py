"""What a release does by default, and which of its defaults differ in another release."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from packaging.version import Version

from sparkctl.vllm.data import data_files
from sparkctl.vllm.known.planned import STATES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sparkctl.vllm.known.planned import PlannedServer

_LEFT: Final = "None"
"""How vLLM's sources write a default that is computed when the server starts."""
_ELSEWHERE: Final = re.compile(r"ROCM|AITER|DEEPEP|ALLREDUCE|RAY|^--(?:dcp|cp)-")
"""Names that concern only GPUs of other makers, or several GPUs together."""


class ChangedDefault(NamedTuple):
    """A default: ``since`` is the first release in which it is ``after``. ``name`` is a flag's, or a variable's."""

    name: str
    since: Version
    before: str
    after: str
    says: str
    source: str
    without: tuple[str, ...] = ()
    types: tuple[str, ...] = ()

    def matters(self, server: PlannedServer) -> bool:
        """Return whether a server depends on this default: False if it sets the value itself."""
        given = {*server.flags, *server.variables}
        return not given.intersection((self.name, *self.without)) and server.types.issuperset(self.types)


@cache
def every() -> tuple[ChangedDefault, ...]:
    """Return the changed defaults whose consequences are known."""
    return tuple(
        ChangedDefault(
            name=entry["name"],
            since=Version(entry["from"]),
            before=entry["before"],
            after=entry["after"],
            says=entry["says"],
            source=entry["source"],
            without=tuple(entry.get("without", ())),
            types=tuple(entry.get("types", ())),
        )
        for entry in data_files.values("changed-defaults.yaml")
    )


def of(name: str, version: Version) -> str | None:
    """Return the default of a flag (``--dtype``) or a variable; None if it is not known.

    It is as Python writes it; "None" means that vLLM computes it when it starts. A release between two known ones has
    the default of the older one.
    """
    table = _table()["flags" if name.startswith("--") else "variables"]
    found = None
    for since, default in table.get(name, {}).items():
        if Version(since) <= version:
            found = default
    return found


def between(before: PlannedServer, after: PlannedServer) -> list[str]:
    """Return in sentences which defaults of a server differ in another release; either release may be the newer one."""
    found = []
    for one in every():
        old, new = before.version >= one.since, after.version >= one.since
        if old != new and one.matters(after):
            was, now = (one.before, one.after) if new else (one.after, one.before)
            why = one.says if new else f"no longer: {one.says}"
            found.append(f"{one.name}: {now} where it was {was}; {why} ({one.source})")
    return [*found, *_bare(before, after)]


def _bare(before: PlannedServer, after: PlannedServer) -> Iterator[str]:
    """Yield the defaults of the table that differ, except those whose consequences are known."""
    said = {one.name for one in every()} | after.flags.keys() | after.variables.keys()
    for kind in ("flags", "variables"):
        for name, defaults in _table()[kind].items():
            if len(defaults) == 1 or name.removeprefix("--") in said or _ELSEWHERE.search(name):
                continue
            if "mamba" in name and STATES not in after.types:
                continue
            was, now = of(name, before.version), of(name, after.version)
            if was != now and was is not None and now is not None:
                yield f"{name.removeprefix('--')}: {_shown(now)} where it was {_shown(was)}"


def _shown(default: str) -> str:
    return "what vLLM works out at its start" if default == _LEFT else default


def _table() -> Mapping[str, Any]:
    """Return the table, the releases of each default in their order."""
    read: Mapping[str, Any] = data_files.values("vllm-defaults.json")
    return read
