"""``sparkctl history``: what was applied, when, by whom, how it ended; one of it whole; how two of it differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.cli.options import as_json
from sparkctl.cli.stack import generation_json, generation_lines
from sparkctl.cli.stack.history_lines import COLUMNS, cells, list_of_all_hosts, outcome
from sparkctl.operations.stack import history
from sparkctl.world.docker_run import grammar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.cli.session import Session


@click.group(invoke_without_command=True)
@click.option("--all-hosts", is_flag=True, help="What you applied to each host of hosts.yaml; none of them is asked.")
@as_json
@click.pass_context
def command(ctx: click.Context, *, all_hosts: bool, as_json: bool) -> None:
    """List what was applied: when, by whom, how it ended, and which services it changed."""
    if ctx.invoked_subcommand is None and all_hosts:
        list_of_all_hosts(ctx.obj, as_json=as_json)
    elif ctx.invoked_subcommand is None:
        _list(ctx.obj, as_json=as_json)
    elif as_json:
        raise click.UsageError(f"put --json after {ctx.invoked_subcommand}")


@command.command("list")
@as_json
@click.pass_obj
def list_command(session: Session, *, as_json: bool) -> None:
    """List what was applied, as `history` alone does."""
    _list(session, as_json=as_json)


@command.command("show")
@click.argument("number", type=click.IntRange(1))
@as_json
@click.pass_obj
def show_command(session: Session, number: int, *, as_json: bool) -> None:
    """Show a generation whole: the command, the image, the model and the mods of each service."""
    one = history.shown(session.world, number)
    if as_json:
        session.out.json(generation_json.whole(one))
        return
    of = one.generation
    lines = [
        ("generation", f"{of.number} ({outcome(one)})"),
        ("stack", f"{of.stack} ({of.file})"),
        ("applied", f"{one.when} UTC by {of.who}"),
    ]
    lines += [("why", one.why)] if one.why else []
    lines += [("removed", ", ".join(one.removed))] if one.removed else []
    _pairs(session, lines)
    for service in of.services:
        session.out.result()
        session.out.result(f"{service.name}:")
        _pairs(session, generation_lines.service(service), "  ")
        session.out.result(grammar.shell_text(generation_json.words(service), ascii_only=not session.out.unicode))


@command.command("diff")
@click.argument("old", type=click.IntRange(1), metavar="N")
@click.argument("new", type=click.IntRange(1), metavar="M")
@as_json
@click.pass_obj
def diff_command(session: Session, old: int, new: int, *, as_json: bool) -> None:
    """Show how generation M differs from generation N: flag by flag, image by digest, model by revision, mod by md5."""
    found = history.difference(session.world, old, new)
    if as_json:
        session.out.json(generation_json.difference(found))
        return
    if not found.host and not found.services:
        session.out.say(f"the generations {old} and {new} are the same")
    for line in found.host:
        session.out.result(line)
    for line in generation_lines.changed(found.services):
        session.out.result(line)


def _list(session: Session, *, as_json: bool) -> None:
    found = history.history(session.world)
    if as_json:
        session.out.json([generation_json.row(one) for one in found])
        return
    if not found:
        session.out.say("nothing was applied yet: sparkctl apply STACK")
        return
    session.out.table(COLUMNS, [cells(one) for one in found])


def _pairs(session: Session, lines: Sequence[tuple[str, str]], indent: str = "") -> None:
    width = max(len(key) for key, _ in lines)
    for key, value in lines:
        session.out.result(f"{indent}{key:{width}}  {value}")
