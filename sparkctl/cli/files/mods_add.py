"""``sparkctl mods add``: a manifest from a file, what it replaces, and an image."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import click
import yaml
from packaging.version import InvalidVersion, Version

from sparkctl.base import document, units
from sparkctl.base.declarations import NAME
from sparkctl.base.errors import EngineError, InputError
from sparkctl.base.validation import validate
from sparkctl.cli.files.mods_pins import behind_links
from sparkctl.mods.manifest import ABSENT, Mod
from sparkctl.mods.on_disk import read_source
from sparkctl.mods.placed import pin
from sparkctl.vllm import releases

if TYPE_CHECKING:
    from sparkctl.cli.session import Session


@click.command("add")
@click.argument("name")
@click.option("--file", "path", required=True, type=click.Path(path_type=Path), help="The file that is to run.")
@click.option("--module", help="The Python module that it replaces.")
@click.option("--path", "target", help="Or the path in the image that it lies over.")
@click.option("--image", required=True, help="The image, which has to be on this host.")
@click.option("--force", is_flag=True, help="Replace a mod of this name.")
@click.pass_obj
def command(session: Session, /, name: str, path: Path, image: str, **options: str | bool | None) -> None:
    """Make a mod of one file: a manifest with the checksums of the file and of what it covers in the image.

    The image's own Python is asked where the module is; the file is copied beside the manifest.
    """
    module, target = options["module"], options["target"]
    folder = _folder(session, name, force=bool(options["force"]))
    if (module is None) == (target is None):
        raise InputError("expected either --module or --path", hint="--module vllm.model_executor.models.gemma4")
    content = _content(session, path)
    checksums = pin(content)
    file: dict[str, object] = {"module": module} if module else {"path": target}
    file |= {"source": path.name, "md5": checksums.md5, "sha256": checksums.sha256}
    manifest: dict[str, object] = {"description": f"{path.name} over {module or target}", "files": [file]}
    # Checked before an image is asked: a name that cannot be one is no question for it.
    validate(document.load(yaml.safe_dump(manifest, sort_keys=False), f"mods/{name}/mod.yaml"), Mod)
    with session.out.reporting():
        session.out.progress(name, f"asking {image}", "", None)
        covered, version = _covered(session, image, str(module or ""), str(target or ""))
    file["replaces"] = ABSENT if covered is None else {"md5": covered[1]}
    manifest["applies-to"] = {"image": image} | ({"vllm": f"=={version}"} if version else {})
    _write(session, folder, manifest, path.name, content)
    session.out.say(f"{name}: {path.name} ({units.format_bytes(len(content))}, md5 {checksums.md5}) in {folder}")
    session.out.say(f"{name}: covers {_in_words(covered)}")
    session.out.say(f"use it in a recipe for {image}: mods: [{name}]")


def _folder(session: Session, name: str, *, force: bool) -> Path:
    """Return where the mod goes: the first folder that is the operator's."""
    if not NAME.fullmatch(name):
        raise InputError(
            f"expected a mod's name, found {name!r}", hint="letters, digits, dots, dashes; such as gemma4-fix"
        )
    folder = session.world.catalog.roots[0].path / "mods" / name
    if (folder / "mod.yaml").exists() and not force:
        message = f"there is a mod {name} already: {folder}"
        raise InputError(message, hint="choose another name, or replace it with --force")
    return folder


def _content(session: Session, path: Path) -> bytes:
    try:
        content = read_source(behind_links(path))
    except InputError as error:
        raise InputError(f"{path} {error.message}", hint="--file names the file that is to run") from None
    if b"\r\n" in content:
        session.out.warn(f"{path} has the line ends of Windows; it is taken as it is")
    if path.suffix == ".py":
        try:
            ast.parse(content)
        except (SyntaxError, ValueError) as error:
            session.out.warn(f"{path} does not parse as Python: {error}")
    return content


def _covered(session: Session, image: str, module: str, target: str) -> tuple[tuple[str, str] | None, str | None]:
    """Return the covered file's path and md5 (None: there is none), and the version that the image reports.

    Raises:
        EngineError: the image is not here, or has no Python.
        InputError: there is no such package.
    """
    session.world.refuse_elsewhere()
    if not session.world.images.there(image):
        raise EngineError(f"the image {image} is not on this host", hint=f"docker pull {image}")
    package = module.partition(".")[0] or "vllm"
    try:
        found = session.world.images.packages(image, [package])[package]
    except EngineError:
        if module:
            raise
        return _at(session, image, target), None  # a path needs no Python
    if module:
        if found.folder is None or not found.on_disk:
            where = f"it is in {found.folder}, which is no folder" if found.folder else f"its Python finds no {package}"
            raise InputError(f"{image}: {where}", hint="name the file with --path instead")
        below = f"{module.replace('.', '/')}.py"
        root = found.folder.removesuffix(f"/{package}")
        if "." in module and not _package_of(session, image, root, below):
            message = f"{image} has no package {module.rpartition('.')[0]} under {root}"
            raise InputError(message, hint="is the module's name spelled right?")
        target = f"{root}/{below}"
    return _at(session, image, target), public_version(found.version)


def _package_of(session: Session, image: str, root: str, below: str) -> bool:
    """Return whether the package that a module is in is there: its __init__.py, or the file itself."""
    paths = [f"{root}/{below.rpartition('/')[0]}/__init__.py", f"{root}/{below}"]
    return any(session.world.images.checksums(image, paths).values())


def _at(session: Session, image: str, target: str) -> tuple[str, str] | None:
    md5 = session.world.images.checksums(image, [target])[target]
    return None if md5 is None else (target, md5)


def public_version(version: str | None) -> str | None:
    """Return a version without what a builder added to it (+cu130), None where it is none."""
    try:
        return Version(version).public if version else None
    except InvalidVersion:
        return None


def _in_words(covered: tuple[str, str] | None) -> str:
    if covered is None:
        return "nothing: it is a new file"
    target, md5 = covered
    of = releases.releases(releases.below_root(target), md5)
    return f"{target} (md5 {md5}{f', that of vLLM {releases.span(of)}' if of else ''})"


def _write(session: Session, folder: Path, manifest: dict[str, object], name: str, content: bytes) -> None:
    """Write the file and then the manifest, without which there is no mod."""
    session.world.files.write(folder / name, content, mode=0o644)
    order = ["description", "applies-to", "files"]
    text = yaml.safe_dump({key: manifest[key] for key in order}, sort_keys=False, allow_unicode=True)
    session.world.files.write(folder / "mod.yaml", text.encode(), mode=0o644)
