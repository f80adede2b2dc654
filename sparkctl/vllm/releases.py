"""The release of vLLM that a file is from, by its md5, for the files that mods touch most; and ranges of releases.

The table is read out of the released wheels for arm64 (scripts/known_files.py). Pure.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from packaging.version import InvalidVersion, Version

from sparkctl.base.lazy import LazyModule
from sparkctl.vllm.data import data_files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from packaging import specifiers
else:
    # packaging.specifiers imports a dozen modules, among them those for the names of wheels.
    specifiers = LazyModule("packaging.specifiers")

_PACKAGES: Final = re.compile(r".*/(?:site|dist)-packages/")
_BOUND: Final = re.compile(r"(>=|<=|<)\s*([0-9][^\s*+]*)")


class Table(NamedTuple):
    """The releases that were read, oldest first, and for each file a map from its md5 to its releases."""

    releases: tuple[str, ...]
    files: Mapping[str, Mapping[str, Sequence[str]]]


@cache
def _bounds(versions: str) -> tuple[tuple[str, Version], ...] | None:
    """Return the bounds of a range such as ``>=0.20,<0.21``; None if it is no range, or has other operators."""
    found = [_BOUND.fullmatch(one.strip()) for one in versions.split(",")]
    try:
        bounds = [(one[1], Version(one[2])) for one in found if one is not None]
    except InvalidVersion:
        return None
    plain = len(bounds) == len(found) and not any(bound.is_postrelease for _, bound in bounds)
    return tuple(bounds) if plain else None


def is_range(versions: str) -> bool:
    """Return whether a text names versions as PEP 440 has them."""
    if _bounds(versions) is not None:
        return True
    try:
        specifiers.SpecifierSet(versions)
    except specifiers.InvalidSpecifier:
        return False
    return True


def within(version: Version, versions: str) -> bool:
    """Return whether a version, which may be a pre-release, is in a range, as PEP 440 has it.

    Raises:
        packaging.specifiers.InvalidSpecifier: it is no range.
    """
    bounds = _bounds(versions)
    if bounds is None:
        return specifiers.SpecifierSet(versions).contains(version, prereleases=True)
    return all(_keeps(version, kind, bound) for kind, bound in bounds)


def _keeps(version: Version, kind: str, bound: Version) -> bool:
    """Return whether a version keeps a bound: below a release, its own pre-releases do not count (PEP 440)."""
    if kind == "<":
        own = version.is_prerelease and Version(version.base_version) == Version(bound.base_version)
        return version < bound and (bound.is_prerelease or not own)
    public = Version(version.public)
    return public >= bound if kind == ">=" else public <= bound


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
    """Return the releases that have a file (below the package root) with this content; () if none is known."""
    return tuple(table().files.get(file, {}).get(md5, ()))


def checksums(file: str, versions: str) -> frozenset[str]:
    """Return the md5s of a file in a range of releases, written as in PEP 440; empty if none is known."""
    wanted = specifiers.SpecifierSet(versions)
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
    """Return whether any of these releases contains a mod's fix already."""
    return fixed_in is not None and any(specifiers.SpecifierSet(fixed_in).contains(Version(release)) for release in of)
