"""Mods: files laid over files of an image, each with its md5, and what to mount.

A mod names its files one by one; a folder is never walked. The bytes that are hashed are the bytes that are staged.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from pydantic import AfterValidator, Field, model_validator

from sparkctl.errors import InputError
from sparkctl.parts import Finding, Part, complain, wrong

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from packaging.version import Version

UNPINNED: Final = "unpinned"
ABSENT: Final = "absent"
NOWHERE: Final = Path()
"""The source of a mod that is known by a container's label alone."""
_MD5: Final = re.compile(r"[0-9a-f]{32}")
_MODULE: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_FILE_NAME: Final = re.compile(r"[^/\\\0]+")


def _md5(text: str) -> str:
    if text == UNPINNED or _MD5.fullmatch(text):
        return text
    if _MD5.fullmatch(text.lower()):
        raise wrong(f"expected an md5 in lower case, found {text}", f"write {text.lower()}, as md5sum prints it")
    raise wrong(f"expected 32 hexadecimal digits or unpinned, found {text!r} ({len(text)} characters)")


def _known_md5(text: str) -> str:
    if text == UNPINNED:
        raise wrong("a file that is replaced has a checksum, or none is declared", "leave replaces out")
    return _md5(text)


def _module(text: str) -> str:
    if not _MODULE.fullmatch(text):
        raise wrong(f"expected a module's dotted name, found {text!r}", "such as vllm.model_executor.models.gemma4")
    return text


def _target(text: str) -> str:
    # Two slashes at the beginning stay two (POSIX), and would make another name of the same file.
    if not text.startswith("/") or text.startswith("//") or posixpath.normpath(text) != text or text == "/":
        raise wrong(f"expected an absolute path of a file in the container, found {text!r}")
    return text


def _file_name(text: str) -> str:
    if not _FILE_NAME.fullmatch(text) or text in {".", ".."}:
        raise wrong(f"expected a file's name in the mod's folder, without a path, found {text!r}")
    return text


def _versions(text: str) -> str:
    try:
        SpecifierSet(text)
    except InvalidSpecifier:
        raise wrong(
            f"expected versions as PEP 440 has them, found {text!r}", 'such as ">=0.20.2rc1.dev0,<0.21"'
        ) from None
    return text


class FromModel(Part):
    """A file of the checkpoint's folder."""

    model: Annotated[str, AfterValidator(_file_name)] = Field(description="the file's name there")


class Covered(Part):
    """The file of the image that is covered."""

    md5: Annotated[str, AfterValidator(_known_md5)] = Field(description="its md5, from a released wheel")


class ModFile(Part):
    """One file of a mod: where it goes, where it comes from, what it must be."""

    module: Annotated[str, AfterValidator(_module)] | None = Field(None, description="the Python module it replaces")
    path: Annotated[str, AfterValidator(_target)] | None = Field(None, description="or a path in the container")
    source: Annotated[str, AfterValidator(_file_name)] | FromModel = Field(
        description="a file in the mod's folder, or {model: a file in the checkpoint's folder}"
    )
    md5: Annotated[str, AfterValidator(_md5)] = Field(description="the md5 of the source, or unpinned")
    replaces: Covered | Literal["absent"] | None = Field(
        None, description="{md5: …} of the file that it covers; absent for a new file"
    )

    @model_validator(mode="after")
    def _one_target(self) -> ModFile:
        if (self.module is None) == (self.path is None):
            found = "neither" if self.path is None else "both"
            complain([Finding((), f"expected either module or path, found {found}")])
        return self

    @property
    def name(self) -> str:
        """The source's file name."""
        return self.source.model if isinstance(self.source, FromModel) else self.source

    def target(self, package_root: str) -> str:
        """Return the path in the container; a module lies under the root that the template declares."""
        if self.module is None:
            return self.path or ""
        return f"{package_root}/{self.module.replace('.', '/')}.py"


class AppliesTo(Part):
    """What a mod was made for."""

    image: str | None = Field(None, min_length=1, description="the image")
    vllm: Annotated[str, AfterValidator(_versions)] | None = Field(None, description="versions of vLLM, as in PEP 440")


class Mod(Part, title="sparkctl mod"):
    """A named set of files laid over files of an image."""

    description: str = Field("", description="what it mends, and its public source")
    applies_to: AppliesTo = Field(default_factory=AppliesTo, description="what it was made for")
    files: tuple[ModFile, ...] = Field(strict=False, description="its files, one by one")

    @model_validator(mode="after")
    def _targets_differ(self) -> Mod:
        if not self.files:
            raise wrong("files: a mod has at least one file")
        targets = [file.module or file.path for file in self.files]
        twice = [
            Finding(("files", index), f"two files over {target}")
            for index, target in enumerate(targets)
            if target in targets[:index]
        ]
        complain([*twice, *self._contradictions()])
        return self

    def _contradictions(self) -> list[Finding]:
        """Return a finding for each file whose name stands for another file before it: pins go by names."""
        first: dict[str, ModFile] = {}
        found = []
        for index, file in enumerate(self.files):
            other = first.setdefault(file.name, file)
            if (other.source, other.md5) != (file.source, file.md5):
                found.append(Finding(("files", index), f"two different files are named {file.name}"))
        return found


@dataclass(frozen=True, slots=True)
class MountedMod:
    """One file of a mod, in its place: ``original`` is where it comes from, ``source`` the staged copy to mount.

    ``original`` is None where the checkpoint that has it is not on this host. ``replaces`` is an md5, ``absent``, or
    None. ``root`` is the package root that a module's target was assumed under, None for a plain path.
    """

    mod: str
    name: str
    original: Path | None
    source: Path
    target: str
    md5: str
    sha256: str | None = None
    replaces: str | None = None
    root: str | None = None


class Pin(Part):
    """What the operator's own file is: both checksums, as ``mods pin`` recorded them."""

    md5: Annotated[str, AfterValidator(_known_md5)]
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Pins(Part):
    """The operator's pins of one mod, by the names of its files (``mods/NAME/pins.yaml`` in their folder)."""

    files: dict[str, Pin]


def staged_path(state: Path, md5: str, name: str) -> Path:
    """Return where the verified copy of a file is: under its checksum, so that no upgrade can change it."""
    return state / "mods" / md5 / name


def md5_of(content: bytes) -> str:
    """Return the md5 that operators compare with ``md5sum``; it guards against drift, not against malice."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def misfits(name: str, mod: Mod, image: str, vllm: Version) -> list[str]:
    """Return in words what the mod says it is for and the recipe is not: another image, another vLLM."""
    found = []
    meant, versions = mod.applies_to.image, mod.applies_to.vllm
    if meant is not None and meant != image:
        found.append(f"mod {name} is made for the image {meant}, and the recipe has {image}")
    if versions is not None and not SpecifierSet(versions).contains(vllm, prereleases=True):
        found.append(f"mod {name} is made for vLLM {versions}, and the recipe has {vllm}")
    return found


def pin(content: bytes) -> Pin:
    """Return the checksums of a file."""
    return Pin(md5=md5_of(content), sha256=hashlib.sha256(content).hexdigest())


def mounted(
    name: str, mod: Mod, pins: Pins | None, package_root: str, state: Path, originals: Mapping[str, Path | None]
) -> list[MountedMod]:
    """Return the files of a mod in their places; ``originals`` are where each comes from, by its name.

    A pin of the operator's stands above the manifest's checksum.
    """
    found = []
    for file in mod.files:
        own = pins.files.get(file.name) if pins is not None else None
        md5 = own.md5 if own is not None else file.md5
        found.append(
            MountedMod(
                mod=name,
                name=file.name,
                original=originals[file.name],
                source=staged_path(state, md5, file.name),
                target=file.target(package_root),
                md5=md5,
                sha256=own.sha256 if own is not None else None,
                replaces=file.replaces.md5 if isinstance(file.replaces, Covered) else file.replaces,
                root=package_root if file.module is not None else None,
            )
        )
    return found


def refuse_overlaps(mods: Sequence[MountedMod]) -> None:
    """Refuse two files over one: of two mods, or of one that names it as a module and as a path.

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


# --- the label -------------------------------------------------------------------------------------------------------


def label(mods: Sequence[MountedMod]) -> str:
    """Return what a container says of its mods: compact JSON, so that it can be checked without its recipe."""
    return json.dumps(
        [{"mod": mod.mod, "target": mod.target, "md5": mod.md5} for mod in mods], separators=(",", ":"), sort_keys=True
    )


def from_label(text: str) -> list[MountedMod]:
    """Return the mods that a label names, without their sources; [] for a label that is not ours."""
    try:
        return [
            MountedMod(str(one["mod"]), posixpath.basename(one["target"]), None, NOWHERE, one["target"], one["md5"])
            for one in json.loads(text or "[]")
        ]
    except (ValueError, KeyError, TypeError):
        return []


def names_in_label(text: str) -> tuple[str, ...]:
    """Return the names of the mods in a label, each once."""
    return tuple(dict.fromkeys(mod.mod for mod in from_label(text)))
