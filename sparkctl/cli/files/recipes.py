"""``sparkctl recipes``: list, show and check the recipes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.base.errors import InputError, ProblemsError
from sparkctl.cli import options, origins
from sparkctl.cli.options import as_json, overrides, strict
from sparkctl.operations.files import recipes

if TYPE_CHECKING:
    from sparkctl.base.errors import Problem
    from sparkctl.cli.session import Session
    from sparkctl.recipes.catalog import LoadedRecipe
    from sparkctl.recipes.stack import LoadedStack


@click.group(invoke_without_command=True)
@as_json
@click.pass_context
def command(ctx: click.Context, *, as_json: bool) -> None:
    """List the recipes and stacks, with whose they are: given, yours, shipped."""
    if ctx.invoked_subcommand is not None:
        if as_json:
            raise click.UsageError(f"put --json after {ctx.invoked_subcommand}")
        return
    session: Session = ctx.obj
    listed = recipes.listed(session.world.catalog)
    rows = [(one.name, one.kind, one.label, one.description) for one in listed]
    names = ("name", "kind", "from", "description")
    if as_json:
        found = zip(rows, listed, strict=True)
        session.out.json([{**dict(zip(names, row, strict=True)), "path": str(one.path)} for row, one in found])
    else:
        session.out.table([name.upper() for name in names], rows)


@command.command
@options.name
@overrides
@strict
@as_json
@click.pass_obj
def show(session: Session, name: str, overrides: tuple[str, ...], *, strict: bool, as_json: bool) -> None:
    """Show a recipe after extends and --set, each value with the place that it comes from.

    Of a stack, what it says itself, and then the recipe of each service, in the order in which they start. Of what is
    not written, it says from what it follows. NAME may be a hub name, owner/name.
    """
    stack = recipes.shown_stack(session.world, name)
    services = recipes.shown(session.world, name, overrides, strict=strict)
    if stack is not None:
        services = {service: services[service] for service in stack.order}
        if not as_json:
            heading = f"{stack.name}, a stack of {', '.join(stack.order)}:\n"
            session.out.result(f"{heading}{origins.lines(stack.document, stack.origins)}\n")
    for service, loaded in services.items():
        for warning in loaded.warnings:
            session.out.warn(str(warning))
        if loaded.version.note:
            session.out.say(loaded.version.note)
        if not as_json:
            heading = f"{service}, from {loaded.name}:\n" if stack is not None else ""
            session.out.result(heading + origins.lines(loaded.document, loaded.origins))
    if as_json:
        rows = {service: _row(loaded) for service, loaded in services.items()}
        session.out.json(next(iter(rows.values())) if stack is None else _of_stack(stack, rows))


@command.command
@click.argument("files", nargs=-1, metavar="[FILE...]")
@strict
@as_json
@click.pass_obj
def lint(session: Session, files: tuple[str, ...], *, strict: bool, as_json: bool) -> None:
    """Check recipes, stacks, model facts, host profiles and jobs, by name or by file; all when none is named.

    Every problem is printed.
    """
    found = recipes.lint(session.world, files, strict=strict)
    if as_json:
        kinds = {"error": found.errors, "warning": found.warnings, "reaches": found.reaches}
        problems = [_problem(kind, problem) for kind, problems in kinds.items() for problem in problems]
        session.out.json({"checked": list(found.names), "problems": problems})
        if found.errors:
            raise InputError(f"{len(found.errors)} of the problems are errors")
        return
    for problem in found.reaches:
        session.out.say(f"reaches: {problem}")
    for problem in found.warnings:
        session.out.warn(str(problem))
    if found.errors:
        raise ProblemsError(found.errors)
    session.out.say(f"checked {len(found.names)}, errors 0, warnings {len(found.warnings)}")


def _problem(kind: str, problem: Problem) -> dict[str, object]:
    place = problem.place
    return {
        "kind": kind,
        "message": problem.message,
        "hint": problem.hint,
        "file": None if place is None else place.file,
        "line": None if place is None else place.line,
        "column": None if place is None else place.column,
    }


def _of_stack(stack: LoadedStack, rows: dict[str, dict[str, object]]) -> dict[str, object]:
    return {
        "name": stack.name,
        "path": str(stack.entry.path),
        "stack": stack.stack.model_dump(mode="json", by_alias=True),
        "origins": origins.places(stack.origins),
        "order": list(stack.order),
        "services": rows,
    }


def _row(loaded: LoadedRecipe) -> dict[str, object]:
    written = loaded.recipe.model_dump(mode="json", by_alias=True)
    return {"name": loaded.name, "recipe": written, "origins": origins.places(loaded.origins)}
