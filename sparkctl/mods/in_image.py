"""What the image has where a mod covers it: the file that the mod was made for? From which release is it? Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from packaging.version import Version

from sparkctl.mods.checksum import ABSENT, UNPINNED
from sparkctl.vllm import releases

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.mods.placed import MountedMod


class Fit(StrEnum):
    """How a mod relates to the file that it covers."""

    AS_MEANT = "as meant"
    NOT_DECLARED = "not declared"
    MOVED = "moved"
    NOTHING_THERE = "nothing there"


def covered(mod: MountedMod, image: str, md5: str | None) -> tuple[Fit, str]:
    """Return how a mod fits the image's file (``md5``; None: no file), and in words what is wrong and what to do."""
    if md5 is None:
        if mod.replaces == (ABSENT,):
            return Fit.AS_MEANT, ""
        why = f"{image} has no {mod.target} that mod {mod.mod} could cover"
        return Fit.NOTHING_THERE, f"{why}: is the mod for another image?"
    file = releases.below_root(mod.target)
    of = releases.releases(file, md5)
    if md5 in mod.replaces:
        return Fit.AS_MEANT, ""
    drop = _drop(mod, md5, of)
    if not mod.replaces and not drop:
        return Fit.NOT_DECLARED, ""
    return Fit.MOVED, f"the image has moved: {_found(mod, image, md5, of)}: {drop or _remake(mod, of)}"


def _found(mod: MountedMod, image: str, md5: str, of: Sequence[str]) -> str:
    """Return in words which file is there, and which was expected."""
    if of:
        there = f"{mod.target} in {image} is that of vLLM {releases.span(of)} (md5 {md5})"
    else:
        table = releases.table()
        there = f"{mod.target} in {image} has md5 {md5}"
        if releases.below_root(mod.target) in table.files:
            there += f", a file of no known release ({table.releases[0]} to {table.releases[-1]})"
    if mod.replaces == (ABSENT,):
        return f"{there}, and mod {mod.mod} expects none"
    return f"{there}, and mod {mod.mod} covers {mod.meant}" if mod.replaces else there


def _drop(mod: MountedMod, md5: str, of: Sequence[str]) -> str:
    """Return why the mod is no longer needed, or ''."""
    if md5 == mod.md5 != UNPINNED:
        return "it is the mod's own file: drop the mod"
    ours = releases.releases(releases.below_root(mod.target), mod.md5)
    newer = bool(of and ours) and Version(of[0]) >= Version(ours[0])
    if newer or releases.contains_fix(of, mod.fixed_in):
        return f"{of[0]} already contains the fix: drop the mod"
    return ""


def _remake(mod: MountedMod, of: Sequence[str]) -> str:
    made = f"make mod {mod.mod} anew for {of[-1]}" if of else f"make mod {mod.mod} anew from the image's file"
    return f"if it contains the fix, drop the mod, else {made}"
