"""``sparkctl mods add``: a manifest from a file, what it replaces, and an image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sparkctl.base import units
from sparkctl.operations.mods.add import add

if TYPE_CHECKING:
    from sparkctl.cli.session import Session
    from sparkctl.operations.mods.add import CoveredFile


@click.command("add")
@click.argument("name")
@click.option("--file", "path", required=True, type=click.Path(path_type=Path), help="The file that is to run.")
@click.option("--module", help="The Python module that it replaces.")
@click.option("--path", "target", help="Or the path in the image that it lies over.")
@click.option("--image", required=True, help="The image, which has to be on this host.")
@click.option("--force", is_flag=True, help="Replace a mod of this name.")
@click.pass_obj
def command(
    session: Session, name: str, path: Path, image: str, *, module: str | None, target: str | None, force: bool
) -> None:
    """Make a mod of one file: a manifest with the checksums of the file and of what it covers in the image.

    The image's own Python is asked where the module is; the file is copied beside the manifest.
    """
    out = session.out
    with out.reporting():
        added = add(session.world, name, path, image=image, module=module, target=target, force=force)
    size = units.format_bytes(added.size_bytes)
    out.say(f"{name}: {path.name} ({size}, md5 {added.md5}) in {added.folder}")
    out.say(f"{name}: covers {_in_words(added.covers)}")
    out.say(f"use it in a recipe for {image}: mods: [{name}]")


def _in_words(covers: CoveredFile | None) -> str:
    if covers is None:
        return "nothing: it is a new file"
    return f"{covers.target} (md5 {covers.md5}{f', that of vLLM {covers.of}' if covers.of else ''})"
