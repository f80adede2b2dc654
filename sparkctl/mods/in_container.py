"""How a running container sees a mod: is the file visible, is it mounted, does its Python import it? Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.mods.checksum import UNPINNED
from sparkctl.mods.on_disk import FileState
from sparkctl.mods.placed import NOWHERE

if TYPE_CHECKING:
    from sparkctl.mods.placed import MountedMod
    from sparkctl.world.engine import Container, ImportedFile


@dataclass(frozen=True, slots=True)
class Sight:
    """The state at one place and, in words, what is wrong, the consequence and the fix."""

    state: FileState
    why: str = ""


def seen(container: Container, mod: MountedMod, file: ImportedFile, *, python: bool) -> Sight:
    """Return the verdict on one file; ``python`` is whether the container's Python was asked."""
    again = f"sparkctl up --replace {container.name}"
    wrong = _mounted(container, mod, file, again) or (_imported(container, mod, file, again) if python else None)
    if wrong is not None:
        return wrong
    if not python and mod.module is not None:
        why = f"{container.name} has no Python that could be asked whether it imports {mod.target} of mod {mod.mod}"
        return Sight(FileState.UNKNOWN, f"{why}: its bytes are the mod's")
    return Sight(FileState.OK)


def _mounted(container: Container, mod: MountedMod, file: ImportedFile, again: str) -> Sight | None:
    """Return what is wrong with the file or its mount, or None."""
    mount = next(((source, read_only) for source, target, read_only in container.mounts if target == mod.target), None)
    found = f"{container.name} has no {mod.target}"
    if file.md5 is not None:
        found = f"{container.name} has md5 {file.md5} at {mod.target}"
    why = f"{found}, and mod {mod.mod} is {mod.md5}"
    if mount is None:
        return Sight(FileState.MISSING, f"this container was started without the mod: {why}: {again}")
    if file.md5 is None:
        return Sight(FileState.MISSING, f"the mod's mount is gone from this container: {why}: {again}")
    if mod.md5 == UNPINNED:
        return Sight(FileState.UNPINNED, f"nothing says whether this is the mod: {why}: sparkctl mods pin {mod.mod}")
    if file.md5 != mod.md5:
        return Sight(FileState.CHANGED, f"{_cause(mount[0], mod)}: {why}: {again}")
    if not mount[1] or file.read_only is False:
        why = f"{mod.target} in {container.name} is mounted writable: what was checked can change"
        return Sight(FileState.CHANGED, f"{why}: {again}")
    return None


def _imported(container: Container, mod: MountedMod, file: ImportedFile, again: str) -> Sight | None:
    """Return what the container's Python imports in place of the file, in words, or None."""
    if file.shadow is not None:
        why = f"{container.name} runs the compiled {file.shadow}, made from another file, in place of {mod.target}"
        return Sight(FileState.SHADOWED, f"{why} of mod {mod.mod}: remove it from the image, then {again}")
    if file.module is None or file.origin == mod.target:
        return None
    where = f"imports {file.module} from {file.origin}" if file.origin else f"finds no module {file.module}"
    why = f"{container.name} {where}, and mod {mod.mod} lies over {mod.target}"
    return Sight(FileState.SHADOWED, f"{why}: the mod has no effect: give it the path that is imported, then {again}")


def _cause(mounted: str, mod: MountedMod) -> str:
    if mod.source in {NOWHERE, Path(mounted)}:
        return f"the mounted copy {mounted} has changed since it was verified"
    return f"this container was started with another file for the mod, {mounted}"
