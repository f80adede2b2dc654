"""``sparkctl history``: what was applied, when, by whom, how it ended; one of it whole; how two of it differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from sparkctl.cli.options import as_json
from sparkctl.cli.stack import generation_json, generation_lines
from sparkctl.operations.stack import history
from sparkctl.operations.stack.compared import REMOVED
from sparkctl.planning.box.generation import APPLIED
from sparkctl.world.docker_run import grammar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.cli.session import Session
    from sparkctl.operations.stack.compared import ServiceChange
    from sparkctl.operations.stack.history import PastApply

_COLUMNS: Final = ("generation", "when (UTC)", "who", "stack", "outcome", "changed")


@click.group(invoke_without_command=True)
@as_json
@click.pass_context
def command(ctx: click.Context, *, as_json: bool) -> None:
    """List what was applied: when, by whom, how it ended, and which services it changed."""
    if ctx.invoked_subcommand is None:
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
        ("generation", f"{of.number} ({_outcome(one)})"),
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
    session.out.table(_COLUMNS, [_cells(one) for one in found])


def _cells(one: PastApply) -> list[str]:
    of = one.generation
    return [str(of.number), one.when, of.who, of.stack, _outcome(one), _changed(one)]


def _changed(one: PastApply) -> str:
    """Return what an apply changed; one that changed nothing declared was made because what ran differed."""
    if one.changes:
        return ", ".join(f"{change.service} {_kind(one, change)}" for change in one.changes)
    removed = f"{', '.join(one.removed)} removed" if one.removed else "what ran differed"
    return f"nothing declared: {removed}"


def _kind(one: PastApply, change: ServiceChange) -> str:
    """Return what was done of a service; what is declared no more is removed by --prune alone."""
    left = change.kind == REMOVED and one.outcome == APPLIED and change.service not in one.removed
    return "declared no more (left as it was)" if left else change.kind


def _outcome(one: PastApply) -> str:
    back = one.generation.restores
    return one.outcome if back is None else f"{one.outcome}, back to {back}"


def _pairs(session: Session, lines: Sequence[tuple[str, str]], indent: str = "") -> None:
    width = max(len(key) for key, _ in lines)
    for key, value in lines:
        session.out.result(f"{indent}{key:{width}}  {value}")
