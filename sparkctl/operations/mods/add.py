"""A mod out of one file: its manifest, with the checksums of the file and of what it covers in an image."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, NamedTuple

import yaml
from packaging.version import InvalidVersion, Version

from sparkctl.base import document
from sparkctl.base.declarations import NAME
from sparkctl.base.errors import EngineError, InputError
from sparkctl.base.validation import validate
from sparkctl.mods.checksum import ABSENT
from sparkctl.mods.manifest import Mod
from sparkctl.mods.on_disk import behind_links, read_source
from sparkctl.mods.placed import pin
from sparkctl.vllm import releases

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.operations.context import World


class CoveredFile(NamedTuple):
    """A file of an image that a mod lies over; ``of`` are the releases of vLLM that have the same, in words or ''."""

    target: str
    md5: str
    of: str


class AddedMod(NamedTuple):
    """A mod that was made; ``covers`` is None where its file is new in the image."""

    name: str
    folder: Path
    size_bytes: int
    md5: str
    covers: CoveredFile | None


class _Inside(NamedTuple):
    """What an image has where a mod is to be: the covered file's path and md5 (None: no file), and its vLLM's version.

    The version is None where the image does not say it.
    """

    covered: tuple[str, str] | None
    version: str | None


def add(
    world: World,
    name: str,
    path: Path,
    *,
    image: str,
    module: str | None = None,
    target: str | None = None,
    force: bool = False,
) -> AddedMod:
    """Make a mod of one file that is to run in place of a Python module, or of the file at ``target`` in the image.

    The image's own Python is asked where the module is; the file is copied beside the manifest. ``force`` replaces a
    mod of this name.

    Raises:
        InputError: not one of ``module`` and ``target``, a file that cannot be read, a name that is taken.
        EngineError: the image is not here, has no Python, or the engine is elsewhere.
    """
    folder = _folder(world, name, force=force)
    if (module is None) == (target is None):
        raise InputError("expected either --module or --path", hint="--module vllm.model_executor.models.gemma4")
    content = _content(world, path)
    checksums = pin(content)
    file: dict[str, object] = {"module": module} if module else {"path": target}
    file |= {"source": path.name, "md5": checksums.md5, "sha256": checksums.sha256}
    manifest: dict[str, object] = {"description": f"{path.name} over {module or target}", "files": [file]}
    # Checked before an image is asked: a name that cannot be one is no question for it.
    text = yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True, width=1000)
    validate(document.load(text, f"mods/{name}/mod.yaml"), Mod)
    world.report.progress(name, f"asking {image}", "", None)
    covered, version = _inside(world, image, module or "", target or "")
    file["replaces"] = ABSENT if covered is None else {"md5": covered[1]}
    manifest["applies-to"] = {"image": image} | ({"vllm": f"=={version}"} if version else {})
    _write(world, folder, manifest, path.name, content)
    return AddedMod(name, folder, len(content), checksums.md5, _named(covered) if covered is not None else None)


def _folder(world: World, name: str, *, force: bool) -> Path:
    """Return where the mod goes: the first folder that is the operator's."""
    if not NAME.fullmatch(name):
        raise InputError(
            f"expected a mod's name, found {name!r}", hint="letters, digits, dots, dashes; such as gemma4-fix"
        )
    folder = world.catalog.roots[0].path / "mods" / name
    if (folder / "mod.yaml").exists() and not force:
        message = f"there is a mod {name} already: {folder}"
        raise InputError(message, hint="choose another name, or replace it with --force")
    return folder


def _content(world: World, path: Path) -> bytes:
    try:
        content = read_source(behind_links(path))
    except InputError as error:
        raise InputError(f"{path} {error.message}", hint="--file names the file that is to run") from None
    if b"\r\n" in content:
        world.report.warn(f"{path} has the line ends of Windows; it is taken as it is")
    if path.suffix == ".py":
        try:
            ast.parse(content)
        except (SyntaxError, ValueError) as error:
            world.report.warn(f"{path} does not parse as Python: {error}")
    return content


def _inside(world: World, image: str, module: str, target: str) -> _Inside:
    """Return what the image has there.

    Raises:
        EngineError: the image is not here, or has no Python.
        InputError: there is no such package.
    """
    world.refuse_elsewhere()
    if not world.images.there(image):
        raise EngineError(f"the image {image} is not on this host", hint=f"docker pull {image}")
    package = module.partition(".")[0] or "vllm"
    try:
        found = world.images.packages(image, [package])[package]
    except EngineError:
        if module:
            raise
        return _Inside(_at(world, image, target), None)  # a path needs no Python
    if module:
        if found.folder is None or not found.on_disk:
            where = f"it is in {found.folder}, which is no folder" if found.folder else f"its Python finds no {package}"
            raise InputError(f"{image}: {where}", hint="name the file with --path instead")
        below = f"{module.replace('.', '/')}.py"
        root = found.folder.removesuffix(f"/{package}")
        if "." in module and not _package_of(world, image, root, below):
            message = f"{image} has no package {module.rpartition('.')[0]} under {root}"
            raise InputError(message, hint="is the module's name spelled right?")
        target = f"{root}/{below}"
    return _Inside(_at(world, image, target), public_version(found.version))


def _package_of(world: World, image: str, root: str, below: str) -> bool:
    """Return whether the package that a module is in is there: its __init__.py, or the file itself."""
    paths = [f"{root}/{below.rpartition('/')[0]}/__init__.py", f"{root}/{below}"]
    return any(world.images.checksums(image, paths).values())


def _at(world: World, image: str, target: str) -> tuple[str, str] | None:
    md5 = world.images.checksums(image, [target])[target]
    return None if md5 is None else (target, md5)


def public_version(version: str | None) -> str | None:
    """Return a version without what a builder added to it (+cu130), None where it is none."""
    try:
        return Version(version).public if version else None
    except InvalidVersion:
        return None


def _named(covered: tuple[str, str]) -> CoveredFile:
    target, md5 = covered
    of = releases.releases(releases.below_root(target), md5)
    return CoveredFile(target, md5, releases.span(of) if of else "")


def _write(world: World, folder: Path, manifest: dict[str, object], name: str, content: bytes) -> None:
    """Write the file and then the manifest, without which there is no mod."""
    world.files.write(folder / name, content, mode=0o644)
    order = ["description", "applies-to", "files"]
    text = yaml.safe_dump({key: manifest[key] for key in order}, sort_keys=False, allow_unicode=True)
    world.files.write(folder / "mod.yaml", text.encode(), mode=0o644)
