"""``sparkctl export``: a recipe or a stack as the files of another tool."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.cli import options
from sparkctl.cli.options import as_json, over_hosts, overrides, strict
from sparkctl.operations.exchange import export
from sparkctl.recipes.exchange.exports.exported import ExportTarget

if TYPE_CHECKING:
    from sparkctl.cli.session import Session


@click.command
@options.name
@click.option(
    "--as",
    "target",
    required=True,
    type=click.Choice([one.value for one in ExportTarget]),
    help="The tool that it is for.",
)
@click.option("--out", "folder", metavar="FOLDER", help="Write the files there, with verified copies of mods.")
@click.option("--replace", is_flag=True, help="Write over files of the same names.")
@over_hosts
@overrides
@strict
@as_json
@click.pass_obj
def command(
    session: Session,
    /,
    name: str,
    target: str,
    folder: str | None,
    hosts: tuple[str, ...],
    overrides: tuple[str, ...],
    **given: bool,
) -> None:
    """Print a recipe or a stack as a file of another tool, or write its files into a folder.

    The same containers come out. What the tool does not do as sparkctl does (admission, order, proof of readiness) is
    said at its place in the file. No value of a secret is in any file. Needs no engine, no image and no Spark.
    """
    where = None if folder is None else export.absolute(folder)
    if given["replace"] and where is None:
        raise click.UsageError("--replace is for --out FOLDER")
    made = export.export(
        session.world, name, ExportTarget(target), overrides, strict=given["strict"], folder=where, hosts=hosts
    )
    written = [] if where is None else export.write(session.world, made, where, over=given["replace"])
    for note in (*made.notes, *made.lost):
        session.out.say(note)
    if given["as_json"]:
        files = [{"name": one.name, "text": export.text_of(one)} for one in made.files]
        folder_name = None if where is None else str(where)
        session.out.json({"target": target, "folder": folder_name, "files": files, "lost": list(made.lost)})
    elif where is None:
        session.out.shell(made.only.removesuffix("\n"))
    for path in written if not given["as_json"] else ():
        session.out.result(str(path))
