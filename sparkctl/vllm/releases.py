"""Which release of vLLM a file is from, by its md5, for the files that mods touch most.

The table is read out of the released wheels for arm64 (scripts/known_files.py). Pure.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Final

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from sparkctl.base.start.named_tuple import NamedTuple
from sparkctl.vllm.data import data_files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PACKAGES: Final = re.compile(r".*/(?:site|dist)-packages/")


class Table(NamedTuple):
    """The releases that were read, the oldest first, and for each file its releases by md5."""

    releases: tuple[str, ...]
    files: Mapping[str, Mapping[str, Sequence[str]]]


@cache
def table() -> Table:
    """Return the table."""
    read = data_files.values("known-files.json")
    return Table(tuple(read["releases"]), read["files"])


def below_root(path: str) -> str:
    """Return a path below the folder of the Python packages that it lies in; '' where it lies in none."""
    found = _PACKAGES.match(path)
    return path[found.end() :] if found else ""


def releases(file: str, md5: str) -> tuple[str, ...]:
    """Return the releases that have this content of a file (below the package root); () where none is known to."""
    return tuple(table().files.get(file, {}).get(md5, ()))


def checksums(file: str, versions: str) -> frozenset[str]:
    """Return the md5s that a file has in some releases, as PEP 440 names them; empty where none is known."""
    wanted = SpecifierSet(versions)
    contents = table().files.get(file, {})
    return frozenset(md5 for md5, of in contents.items() if any(wanted.contains(release) for release in of))


def span(of: Sequence[str]) -> str:
    """Return releases in words: one, or the first to the last of a run, or a list."""
    known = table().releases
    if len(of) == 1:
        return of[0]
    first, last = known.index(of[0]), known.index(of[-1])
    return f"{of[0]} to {of[-1]}" if list(of) == list(known[first : last + 1]) else ", ".join(of)


def contains_fix(of: Sequence[str], fixed_in: str | None) -> bool:
    """Return whether any of these releases is among those that contain a mod's fix."""
    return fixed_in is not None and any(SpecifierSet(fixed_in).contains(Version(release)) for release in of)
