"""The manifest of a mod: its files, where they come from, what they cover; and the operator's pins of them.

A mod names its files one by one; a folder is never walked.
"""

from __future__ import annotations

import posixpath
import re
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from packaging.version import InvalidVersion, Version
from pydantic import AfterValidator, Field, model_validator

from sparkctl.base.declarations import Declaration, Finding, complain, wrong
from sparkctl.base.lazy import regex
from sparkctl.mods.checksum import UNPINNED
from sparkctl.vllm import releases

_MD5: Final = re.compile(r"[0-9a-f]{32}")
_MODULE: Final = regex(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_FILE_NAME: Final = regex(r"[^/\\\0]+")


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


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"https", "http"} or not parts.hostname:
        raise wrong(f"expected a URL that begins with https://, found {text!r}")
    if parts.username is not None or parts.password is not None:
        raise wrong("a URL must not hold a user or a password", "give the name of a secret: {url: …, secret: NAME}")
    return text


def _release(text: str) -> str:
    try:
        Version(text)
    except InvalidVersion:
        raise wrong(f"expected a release as PEP 440 has it, found {text!r}", 'such as "0.22.1"') from None
    return text


def _below(text: str) -> str:
    if text.startswith(("/", "..")) or posixpath.normpath(text) != text:
        raise wrong(f"expected a file's path in the wheel, found {text!r}", "such as vllm/envs.py")
    return text


def _versions(text: str) -> str:
    if not releases.is_range(text):
        raise wrong(f"expected versions as PEP 440 has them, found {text!r}", 'such as ">=0.20.2rc1.dev0,<0.21"')
    return text


class Elsewhere(Declaration):
    """A file that is not in the mod's folder: of the checkpoint, behind a URL, or of a released Python package."""

    model: Annotated[str, AfterValidator(_file_name)] | None = Field(
        None, description="a file's name in the checkpoint's folder"
    )
    url: Annotated[str, AfterValidator(_url)] | None = Field(None, description="or where it is fetched from, once")
    secret: str | None = Field(
        None, pattern="^[A-Za-z_][A-Za-z0-9_]*$", description="the name of what the URL's server wants as its token"
    )
    package: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="or a Python package")
    release: Annotated[str, AfterValidator(_release)] | None = Field(None, description="its release, such as 0.22.1")
    file: Annotated[str, AfterValidator(_below)] | None = Field(
        None, description="the file in its wheel; that of the module unless said"
    )

    @model_validator(mode="after")
    def _one_place(self) -> Elsewhere:
        places = [name for name in ("model", "url", "package") if getattr(self, name) is not None]
        if len(places) != 1:
            raise wrong(f"expected one of model, url and package, found {' and '.join(places) or 'none'}")
        if (self.package is None) != (self.release is None):
            raise wrong("a package goes with its release", 'such as {package: vllm, release: "0.22.1"}')
        if self.file is not None and self.package is None:
            raise wrong("file names a file of a package's wheel, and there is no package")
        if self.secret is not None and self.url is None:
            raise wrong("secret is for the server of a url, and there is no url")
        return self

    @property
    def fetched(self) -> bool:
        """Whether it comes over the network."""
        return self.model is None

    def __str__(self) -> str:
        """Return it in words."""
        if self.model is not None:
            return f"{self.model} of the checkpoint"
        return self.url or f"{self.package} {self.release}"


class Covered(Declaration):
    """The file of the image that is covered: by its md5, or as any of some releases of vLLM has it."""

    md5: Annotated[str, AfterValidator(_known_md5)] | None = Field(None, description="its md5, from a released wheel")
    vllm: Annotated[str, AfterValidator(_versions)] | None = Field(
        None, description="or the releases of vLLM whose file it is, as in PEP 440"
    )

    @model_validator(mode="after")
    def _one_way(self) -> Covered:
        if (self.md5 is None) == (self.vllm is None):
            raise wrong(f"expected either md5 or vllm, found {'neither' if self.md5 is None else 'both'}")
        return self


class ModFile(Declaration):
    """One file of a mod: where it goes, where it comes from, what it must be."""

    module: Annotated[str, AfterValidator(_module)] | None = Field(None, description="the Python module it replaces")
    path: Annotated[str, AfterValidator(_target)] | None = Field(None, description="or a path in the container")
    source: Annotated[str, AfterValidator(_file_name)] | Elsewhere = Field(
        description="a file in the mod's folder, or {model: …}, {url: …}, {package: …, release: …}"
    )
    md5: Annotated[str, AfterValidator(_md5)] = Field(description="the md5 of the source, or unpinned")
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$", description="its sha256, which must agree")
    replaces: Covered | Literal["absent"] | None = Field(
        None, description="{md5: …} or {vllm: …} of the file that it covers; absent for a new file"
    )

    @model_validator(mode="after")
    def _one_target(self) -> ModFile:
        if (self.module is None) == (self.path is None):
            found = "neither" if self.path is None else "both"
            complain([Finding((), f"expected either module or path, found {found}")])
        if isinstance(self.source, Elsewhere) and self.source.package and not (self.source.file or self.module):
            complain([Finding(("source",), "expected the file in the package's wheel: there is no module to name it")])
        covered = self.replaces
        if isinstance(covered, Covered) and covered.vllm and not releases.checksums(self.below_root, covered.vllm):
            text = f"no release of vLLM {covered.vllm} is known to have {self.below_root or self.path}: give its md5"
            complain([Finding(("replaces",), text)])
        return self

    @property
    def name(self) -> str:
        """The source's file name."""
        if not isinstance(self.source, Elsewhere):
            return self.source
        if self.source.model is not None:
            return self.source.model
        path = urlsplit(self.source.url).path if self.source.url is not None else self.wheel_file
        return posixpath.basename(path) or "file"

    @property
    def wheel_file(self) -> str:
        """The file in the wheel of the package that it comes from."""
        named = self.source.file if isinstance(self.source, Elsewhere) else None
        return named or self.below_root

    @property
    def below_root(self) -> str:
        """The target below the folder of the Python packages; '' for a path that is not below one."""
        return f"{self.module.replace('.', '/')}.py" if self.module else releases.below_root(self.path or "")

    def target(self, package_root: str) -> str:
        """Return the path in the container; a module lies under the root that the template declares."""
        if self.module is None:
            return self.path or ""
        return f"{package_root}/{self.module.replace('.', '/')}.py"


class AppliesTo(Declaration):
    """What a mod was made for."""

    image: str | None = Field(None, min_length=1, description="the image")
    vllm: Annotated[str, AfterValidator(_versions)] | None = Field(None, description="versions of vLLM, as in PEP 440")


class Mod(Declaration, title="sparkctl mod"):
    """A named set of files laid over files of an image."""

    description: str = Field("", description="what it mends, and its public source")
    applies_to: AppliesTo = Field(default_factory=AppliesTo, description="what it was made for")
    fixed_in: Annotated[str, AfterValidator(_versions)] | None = Field(
        None, description="the releases of vLLM that need it no more, as in PEP 440"
    )
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
        """Return a finding for each file that has the name of an earlier file: pins refer to names."""
        first: dict[str, ModFile] = {}
        found = []
        for index, file in enumerate(self.files):
            other = first.setdefault(file.name, file)
            if (other.source, other.md5) != (file.source, file.md5):
                found.append(Finding(("files", index), f"two different files are named {file.name}"))
        return found


class Pin(Declaration):
    """What the operator's own file is: both checksums, as ``mods pin`` recorded them."""

    md5: Annotated[str, AfterValidator(_known_md5)]
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Pins(Declaration):
    """The operator's pins of one mod, by the names of its files (``mods/NAME/pins.yaml`` in their folder)."""

    files: dict[str, Pin]
