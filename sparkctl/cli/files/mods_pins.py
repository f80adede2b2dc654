"""``sparkctl mods pin``, ``lock`` and ``fetch``: checksums of mods' files, and files that come from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sparkctl.base.errors import ModError
from sparkctl.operations.mods import fetched, pins

if TYPE_CHECKING:
    from sparkctl.cli.session import Session


@click.command("pin")
@click.argument("name")
@click.option("--file", "path", type=click.Path(path_type=Path), help="Your copy of the mod's file.")
@click.pass_obj
def pin_command(session: Session, name: str, path: Path | None) -> None:
    """Record the checksums of a mod's file that you have looked at; `up` then accepts that file and no other.

    With --file the copy is kept in your own folder, where the mod finds it.
    """
    for file, one in pins.pin(session.world, name, path).items():
        session.out.say(f"{name}: {file} is pinned to md5 {one.md5}")


@click.command("lock")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.pass_obj
def lock_command(session: Session, names: tuple[str, ...]) -> None:
    """Pin, at first use, every file that has no checksum yet: what is there, or what its source gives now.

    The pins are in pins.yaml beside the mod's manifest, a file to commit; those of shipped mods are in your own folder.
    """
    with session.out.reporting():
        left = pins.lock(session.world, names)
    for one in left:
        session.out.warn(f"{one.mod}: {one.file} stays unpinned: {one.why}")
    if left:
        hint = "look at your copy of the file, then: sparkctl mods pin NAME --file FILE"
        raise ModError(f"{len(left)} files stay unpinned", hint=hint)


@click.command("fetch")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.pass_obj
def fetch_command(session: Session, names: tuple[str, ...]) -> None:
    """Fetch the files of mods that come from a URL or a released package; afterwards they are used offline."""
    with session.out.reporting():
        found = fetched.fetch_mods(session.world, names)
    for mod in found.unpinned:
        session.out.warn(f"{mod.mod}: {mod.name} is unpinned and was not fetched: sparkctl mods lock {mod.mod}")
    if not found.fetched:
        session.out.say("nothing to fetch")
