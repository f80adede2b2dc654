"""``sparkctl measurements export`` and ``import``: measurements to send to others, and those of others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sparkctl.operations.memory import shared_measurements

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.cli.session import Session


@click.command("export")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write it there; else on stdout.")
@click.pass_obj
def export_command(session: Session, names: Sequence[str], output: Path | None) -> None:
    """Write what was measured here as a file that others can read: models, flags and figures.

    It has no names of services, recipes, hosts or people, and no paths, addresses or keys. Read it before you send it.
    """
    found = shared_measurements.export(session.world, names)
    for line in found.left_out:
        session.out.warn(f"left out: {line}")
    if output is None:
        session.out.result(found.text.rstrip("\n"))
        return
    shared_measurements.save(session.world, found, output)
    session.out.say(f"{output}: {found.starts} {'start' if found.starts == 1 else 'starts'}")


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.pass_obj
def import_command(session: Session, file: Path) -> None:
    """Keep a FILE of starts that somebody else measured; plans go by them until this host has its own.

    A start whose figures contradict each other is refused.
    """
    found = shared_measurements.import_file(session.world, file)
    session.out.say(f"{found.path}: {found.starts} {'start' if found.starts == 1 else 'starts'}")
