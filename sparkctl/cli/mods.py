"""``sparkctl mods``: list the mods; pin the checksum of a file that the operator has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import yaml

from sparkctl import document
from sparkctl.adapters.files import DiskFiles
from sparkctl.deployment import PINS
from sparkctl.errors import InputError
from sparkctl.mods import FromModel, Mod, ModFile, Pins, pin
from sparkctl.sources import read_source
from sparkctl.validation import validate

if TYPE_CHECKING:
    from sparkctl.cli.world import World


@click.group(invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """List the mods with their files: what each lies over, and whether its checksum is known."""
    if ctx.invoked_subcommand is not None:
        return
    world: World = ctx.obj
    rows = []
    for entry in world.catalog.entries("mod"):
        mod, pins = world.catalog.load("mod", entry.name, Mod), _pins(world, entry.name)
        for file in mod.files:
            own = pins.files.get(file.name)
            md5 = f"{own.md5} (yours)" if own else file.md5
            rows.append([entry.name, file.name, file.module or file.path or "", md5, entry.label])
    world.out.table(["mod", "file", "over", "md5", "from"], rows)


@command.command("pin")
@click.argument("name")
@click.option("--file", "path", type=click.Path(path_type=Path), help="Your copy of the mod's file.")
@click.pass_obj
def pin_command(world: World, name: str, path: Path | None) -> None:
    """Record the checksums of a mod's file that you have looked at; `up` then accepts that file and no other.

    With --file the copy is kept in your own folder, where the mod finds it.
    """
    mod = world.catalog.load("mod", name, Mod)
    own = world.operator.mod_folder(name)
    sources = {file.name for file in mod.files}
    if path is not None and len(sources) > 1:
        message = f"mod {name} has {len(sources)} files, and --file is one"
        raise InputError(message, hint=f"put your copies into {own} under their names, then pin without --file")
    contents = {file.name: _content(world, name, file, path) for file in mod.files}
    pinned = {file: pin(content) for file, content in contents.items()}
    merged = _pins(world, name).files | pinned
    text = yaml.safe_dump({"files": {file: one.model_dump() for file, one in merged.items()}})
    # The pin first: a copy without its pin would be used, and a pin without its copy is refused.
    DiskFiles().write(own / PINS, text.encode(), mode=0o644)
    if path is not None:
        for file, content in contents.items():
            DiskFiles().write(own / file, content, mode=0o644)
    for file, one in pinned.items():
        world.out.say(f"{name}: {file} is pinned to md5 {one.md5}")


def _content(world: World, name: str, file: ModFile, path: Path | None) -> bytes:
    """Return the bytes to pin: of the file that the operator names, else of the one that the mod finds."""
    own = world.operator.mod_folder(name) / file.name
    source = path or (own if own.exists() else world.catalog.path("mod", name).parent / file.name)
    if path is None and not source.exists() and isinstance(file.source, FromModel):
        message = f"{file.name} comes from the folder of a checkpoint"
        raise InputError(message, hint=f"say which: sparkctl mods pin {name} --file FOLDER/{file.name}")
    try:
        # A file that is named outright may be a link: a snapshot of the Hugging Face cache is nothing else.
        return read_source(_behind_links(path) if path is not None else source)
    except InputError as error:
        message = f"{source} {error.message}"
        raise InputError(message, hint=f"name your copy: sparkctl mods pin {name} --file FILE") from None


def _behind_links(path: Path) -> Path:
    """Return the file that a path leads to, or the path itself where that is none."""
    try:
        return path.resolve(strict=True)
    except (OSError, RuntimeError):
        return path


def _pins(world: World, name: str) -> Pins:
    path = world.operator.mod_folder(name) / PINS
    return validate(document.read(path), Pins) if path.is_file() else Pins(files={})
