"""Which defaults that matter are others in another release. The data has its sources."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from packaging.version import Version

from sparkctl.vllm.known.given import data

if TYPE_CHECKING:
    from sparkctl.vllm.known.given import Launched


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

    def matters(self, server: Launched) -> bool:
        """Return whether a server depends on it: nothing that it sets itself decides."""
        given = {*server.flags, *server.variables}
        return not given.intersection((self.name, *self.without)) and server.types.issuperset(self.types)


@cache
def every() -> tuple[ChangedDefault, ...]:
    """Return all that is known."""
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
        for entry in data("changed-defaults.yaml")
    )


def between(before: Launched, after: Launched) -> list[str]:
    """Return in sentences which defaults a server meets otherwise in another release; either may be the newer one."""
    found = []
    for one in every():
        old, new = before.version >= one.since, after.version >= one.since
        if old != new and one.matters(after):
            was, now = (one.before, one.after) if new else (one.after, one.before)
            why = one.says if new else f"no longer: {one.says}"
            found.append(f"{one.name}: {now} where it was {was}; {why} ({one.source})")
    return found
