"""The releases of vLLM that have a class for an architecture, and the parsers of each release.

The facts are a data file, read out of released wheels by scripts/read_vllm_registry.py.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from packaging.version import Version

from sparkctl.vllm.data import data_files

if TYPE_CHECKING:
    from collections.abc import Iterable

TOOLS: Final = "tool_parsers"
REASONING: Final = "reasoning_parsers"
_ARCHITECTURES: Final = "architectures"


def releases_of(architecture: str) -> tuple[Version, ...]:
    """Return the known releases that have a class for an architecture, oldest first."""
    return _releases(_ARCHITECTURES, architecture)


def has_parser(kind: str, name: str, version: Version) -> bool:
    """Return whether a release has a parser; a release between two known ones is judged by the older of them.

    ``kind`` is ``TOOLS`` or ``REASONING``.
    """
    before = [release for release in _versions() if release <= version]
    return bool(before) and before[-1] in _releases(kind, name)


def parsers(kind: str, version: Version) -> tuple[str, ...]:
    """Return the parsers that a release has, by name."""
    return tuple(name for name in _data()[kind] if has_parser(kind, name, version))


@cache
def _versions() -> tuple[Version, ...]:
    return tuple(Version(text) for text in _data()["versions"])


@cache
def _releases(kind: str, name: str) -> tuple[Version, ...]:
    return tuple(_within(_data()[kind].get(name, ())))


def _within(ranges: Iterable[str]) -> list[Version]:
    ends = [(Version(first), Version(last or first)) for first, _, last in (one.partition("..") for one in ranges)]
    return [release for release in _versions() if any(first <= release <= last for first, last in ends)]


def _data() -> dict[str, Any]:
    found: dict[str, Any] = data_files.values("vllm-registry.json")
    return found
