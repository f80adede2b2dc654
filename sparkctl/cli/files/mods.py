"""``sparkctl mods``: list and show the mods; what makes, fetches and pins them is in modules of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from sparkctl.cli.files import mods_add, mods_bake, mods_pins
from sparkctl.cli.options import as_json
from sparkctl.operations.mods import listing

if TYPE_CHECKING:
    from sparkctl.cli.session import Session
    from sparkctl.operations.mods.listing import ListedModFile

_COLUMNS: Final = ("mod", "file", "over", "md5", "from", "used by")


@click.group(invoke_without_command=True)
@as_json
@click.pass_context
def command(ctx: click.Context, *, as_json: bool) -> None:
    """List the mods with their files: what each lies over, where it comes from, and whether its checksum is known."""
    if ctx.invoked_subcommand is None:
        _list(ctx.obj, as_json=as_json)
    elif as_json:
        raise click.UsageError(f"put --json after {ctx.invoked_subcommand}")


command.add_command(mods_add.command)
command.add_command(mods_bake.command)
command.add_command(mods_pins.pin_command)
command.add_command(mods_pins.lock_command)
command.add_command(mods_pins.fetch_command)


@command.command("list")
@as_json
@click.pass_obj
def list_command(session: Session, *, as_json: bool) -> None:
    """List the mods, as `mods` alone does."""
    _list(session, as_json=as_json)


@command.command("show")
@click.argument("name")
@as_json
@click.pass_obj
def show_command(session: Session, name: str, *, as_json: bool) -> None:
    """Show a mod: what it is for, and of each file its place, source, checksums and what it covers."""
    shown = listing.shown(session.world, name)
    mod = shown.manifest
    if as_json:
        meant = {"image": mod.applies_to.image, "vllm": mod.applies_to.vllm, "fixed_in": mod.fixed_in}
        files = [_row(file) for file in shown.files]
        session.out.json({"mod": name, "description": mod.description, **meant, "files": files})
        return
    lines = [
        ("mod", f"{name} ({shown.path})"),
        ("what", mod.description.strip()),
        ("made for the image", mod.applies_to.image or "any"),
        ("made for vLLM", mod.applies_to.vllm or "any"),
        ("needed no more in vLLM", mod.fixed_in or "not said"),
        ("used by", ", ".join(shown.used_by) or "no recipe"),
    ]
    for file in shown.files:
        lines.append((f"file {file.file}", f"over {file.over}, from {file.source}"))
        lines += [("  md5", file.md5), ("  covers", file.covers)]
    width = max(len(key) for key, _ in lines)
    for key, value in lines:
        session.out.result(f"{key:{width}}  {value}")


def _list(session: Session, *, as_json: bool) -> None:
    files = listing.listed(session.world)
    if as_json:
        session.out.json([_row(file) for file in files])
        return
    rows = [[one.mod, one.file, one.over, one.md5, one.label, ", ".join(one.used_by)] for one in files]
    session.out.table(_COLUMNS, rows)


def _row(file: ListedModFile) -> dict[str, object]:
    row = {"from" if name == "label" else name: value for name, value in file._asdict().items()}
    return row | {"used_by": list(file.used_by)}
