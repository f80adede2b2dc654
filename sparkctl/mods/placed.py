"""Mods in their places: files laid over files of an image, each with its md5, and what to mount.

The bytes that are hashed are the bytes that are staged.
"""

from __future__ import annotations

import hashlib
import posixpath
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import InputError
from sparkctl.mods.checksum import ABSENT, UNPINNED, md5_of
from sparkctl.mods.manifest import Covered, Elsewhere, Pin
from sparkctl.vllm import releases
from sparkctl.world.labels import RecordedMod

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from packaging.version import Version

    from sparkctl.mods.manifest import Mod, ModFile, Pins

NOWHERE: Final = Path()
"""The source of a mod that is known only from a container's label."""


@dataclass(frozen=True, slots=True)
class MountedMod:
    """One file of a mod, in its place: ``original`` is where it comes from, ``source`` the staged copy to mount.

    ``original`` is None if the checkpoint that contains it is not on this host. ``replaces`` is what the covered file
    may be: md5s, ``absent`` alone, or () if nothing is declared; ``meant`` says it in words. ``root`` is the package
    root of a module's target, None for a plain path. ``elsewhere`` is where the file is fetched from, ``fetch`` its
    name there, and ``kept`` where this machine keeps it then (None: it is not fetched). ``on_host``: ``original`` is on
    the host that mounts it, which may be another one.
    """

    mod: str
    name: str
    original: Path | None
    source: Path
    target: str
    md5: str
    sha256: str | None = None
    replaces: tuple[str, ...] = ()
    root: str | None = None
    meant: str = ""
    fixed_in: str | None = None
    made_for: str | None = None
    elsewhere: Elsewhere | None = None
    fetch: str = ""
    kept: Path | None = None
    on_host: bool = False

    @property
    def module(self) -> str | None:
        """The module's dotted name, if the file was named as a module."""
        below = self.target.removeprefix(f"{self.root}/").removesuffix(".py")
        return below.replace("/", ".").removesuffix(".__init__") if self.root is not None else None

    @property
    def waits(self) -> bool:
        """Whether it has to be fetched and is not there yet."""
        return self.kept is not None and self.original == self.kept and not self.kept.is_file()


def staged_path(state: Path, md5: str, name: str) -> Path:
    """Return where the verified copy of a file is: under its checksum, so that no upgrade can change it."""
    return state / "mods" / md5 / name


def misfits(name: str, mod: Mod, image: str, vllm: Version) -> list[str]:
    """Return in words how the recipe differs from what the mod is for: another image, another vLLM."""
    found = []
    meant, versions = mod.applies_to.image, mod.applies_to.vllm
    if meant is not None and meant != image:
        found.append(f"mod {name} is made for the image {meant}, and the recipe has {image}")
    if versions is not None and not releases.within(vllm, versions):
        found.append(f"mod {name} is made for vLLM {versions}, and the recipe has {vllm}")
    return found


def pin(content: bytes) -> Pin:
    """Return the checksums of a file."""
    return Pin(md5=md5_of(content), sha256=hashlib.sha256(content).hexdigest())


def mounted(
    name: str,
    mod: Mod,
    pins: Pins | None,
    roots: Callable[[str], str],
    states: tuple[Path, Path],
    originals: Mapping[str, Path | None],
) -> list[MountedMod]:
    """Return the files of a mod in their places.

    ``originals`` are the sources by file name; ``roots`` gives the folder that contains a top-level package.

    ``states`` are the state folders of the mounting host and of this machine; they are equal if the two are one.
    The operator's pin has precedence over the manifest's checksum. Fetched files are kept by this machine.
    """
    found = []
    for file in mod.files:
        own = pins.files.get(file.name) if pins is not None else None
        root = roots(file.module.partition(".")[0]) if file.module is not None else None
        md5 = own.md5 if own is not None else file.md5
        elsewhere = file.source if isinstance(file.source, Elsewhere) else None
        source, kept = (staged_path(state, md5, file.name) for state in states)
        fetched = elsewhere is not None and elsewhere.fetched and md5 != UNPINNED
        original = originals[file.name]
        if original is None and fetched:
            original = kept
        found.append(
            MountedMod(
                mod=name,
                name=file.name,
                original=original,
                source=source,
                target=file.target(root or ""),
                md5=md5,
                sha256=own.sha256 if own is not None else file.sha256,
                replaces=_replaced(file),
                root=root,
                meant=_meant(file),
                fixed_in=mod.fixed_in,
                made_for=mod.applies_to.vllm,
                elsewhere=elsewhere,
                fetch=(elsewhere.url or file.wheel_file) if elsewhere is not None and elsewhere.fetched else "",
                kept=kept if fetched else None,
            )
        )
    return found


def _replaced(file: ModFile) -> tuple[str, ...]:
    if not isinstance(file.replaces, Covered):
        return (ABSENT,) if file.replaces else ()
    if file.replaces.md5 is not None:
        return (file.replaces.md5,)
    return tuple(sorted(releases.checksums(file.below_root, file.replaces.vllm or "")))


def _meant(file: ModFile) -> str:
    """Return in words what a file covers."""
    if not isinstance(file.replaces, Covered):
        return ""
    if file.replaces.vllm is not None:
        return f"that of vLLM {file.replaces.vllm}"
    of = releases.releases(file.below_root, file.replaces.md5 or "")
    return f"that of vLLM {releases.span(of)}" if of else f"md5 {file.replaces.md5}"


def refuse_overlaps(mods: Sequence[MountedMod]) -> None:
    """Refuse two files with one target: of two mods, or of one mod that names the target as a module and as a path.

    Raises:
        InputError: the mods are named.
    """
    owners: dict[str, str] = {}
    for mod in mods:
        owner = owners.get(mod.target)
        if owner == mod.mod:
            message = f"mod {mod.mod} has two files over {mod.target}"
            raise InputError(message, hint="keep one of them in its mod.yaml")
        if owner is not None:
            message = f"mods {owner} and {mod.mod} both lie over {mod.target}"
            raise InputError(message, hint="keep one of them in the recipe's mods")
        owners[mod.target] = mod.mod


# --- the record -------------------------------------------------------------------------------------------------------


def recorded(mods: Sequence[MountedMod]) -> tuple[RecordedMod, ...]:
    """Return what a container's label says of its mods, so that it can be checked without its recipe."""
    return tuple(RecordedMod(mod.mod, mod.target, mod.md5) for mod in mods)


def as_recorded(mods: Sequence[RecordedMod], now: Sequence[MountedMod]) -> list[MountedMod]:
    """Return the mods that a container was started with, with their sources as far as ``now`` knows them.

    If a mod's checksum has changed since, the container must still have the older one.
    """
    known = {(mod.mod, mod.target): mod for mod in now}
    return [
        mod if (own := known.get((mod.mod, mod.target))) is None else _of_then(own, mod.md5)
        for mod in from_record(mods)
    ]


def _of_then(mod: MountedMod, md5: str) -> MountedMod:
    if mod.md5 == md5:
        return mod
    source = mod.source.parent.parent / md5 / mod.source.name
    kept = None if mod.kept is None else mod.kept.parent.parent / md5 / mod.kept.name
    original = kept if mod.original == mod.kept else mod.original
    return replace(mod, md5=md5, sha256=None, source=source, original=original, kept=kept)


def from_record(mods: Sequence[RecordedMod]) -> list[MountedMod]:
    """Return the mods that a container's label names, without their sources."""
    return [MountedMod(one.mod, posixpath.basename(one.target), None, NOWHERE, one.target, one.md5) for one in mods]
