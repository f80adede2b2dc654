"""``sparkctl recipes``: list, show and check the recipes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from sparkctl.base.errors import InputError, Problem, ProblemsError
from sparkctl.base.validation import shown
from sparkctl.cli.options import as_json, overrides, strict
from sparkctl.recipes import reading
from sparkctl.recipes.catalog import Member

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.base.document import Node
    from sparkctl.base.errors import Place
    from sparkctl.cli.session import Session
    from sparkctl.recipes.catalog import Catalog, LoadedRecipe


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
    listed = _listed(session)
    if as_json:
        session.out.json(listed)
    else:
        headers = ["name", "kind", "from", "description"]
        session.out.table(
            [header.upper() for header in headers], [[row[header] for header in headers] for row in listed]
        )


@command.command
@click.argument("name")
@overrides
@strict
@as_json
@click.pass_obj
def show(session: Session, name: str, overrides: tuple[str, ...], *, strict: bool, as_json: bool) -> None:
    """Show a recipe after extends and --set, each value with the place that it comes from."""
    loaded = session.world.catalog.recipe(name, overrides, strict=strict)
    for warning in loaded.warnings:
        session.out.warn(str(warning))
    if loaded.version.note:
        session.out.say(loaded.version.note)
    origins = {path: place for path, place in loaded.origins.items() if not str(path[0]).startswith("x-")}
    if as_json:
        places = {shown(path): str(place) for path, place in origins.items()}
        session.out.json({"name": loaded.name, "recipe": _dump(loaded), "origins": places})
        return
    session.out.result(_lines(loaded, origins))


@command.command
@click.argument("files", nargs=-1, metavar="[FILE...]")
@strict
@click.pass_obj
def lint(session: Session, files: tuple[str, ...], *, strict: bool) -> None:
    """Check recipes and stacks, by name or by file; all of them when none is named. Every problem is printed."""
    names = files or tuple(entry.name for entry in session.world.catalog.recipes())
    names += () if files else tuple(entry.name for entry in session.world.catalog.entries("stack"))
    problems: dict[str, Problem] = {}
    for name in names:
        problems |= {str(problem): problem for problem in _problems(session, name, strict=strict)}
    for text, problem in problems.items():
        if problem.warning:
            session.out.warn(text)
    errors = [problem for problem in problems.values() if not problem.warning]
    if errors:
        raise ProblemsError(errors)
    session.out.say(f"checked {len(names)}, errors 0, warnings {len(problems)}")


def _listed(session: Session) -> list[dict[str, str]]:
    catalog = session.world.catalog
    found = [("recipe", entry) for entry in catalog.recipes()] + [
        ("stack", entry) for entry in catalog.entries("stack")
    ]
    return [
        {
            "name": entry.name,
            "kind": kind,
            "from": entry.label,
            "description": _description(catalog, kind, entry.name),
            "path": str(entry.path),
        }
        for kind, entry in found
    ]


def _description(catalog: Catalog, kind: str, name: str) -> str:
    try:
        return catalog.recipe(name).recipe.description if kind == "recipe" else catalog.stack(name).stack.description
    except InputError as error:
        return f"cannot be used: {error.message.splitlines()[0]}"


def _problems(session: Session, name: str, *, strict: bool) -> list[Problem]:
    """Return everything that is wrong or doubtful with a recipe, or with a stack and its recipes."""
    catalog = session.world.catalog
    try:
        if catalog.knows_stack(name):
            stack = catalog.stack(name)
            return [
                problem
                for member in stack.members
                for problem in _recipe_problems(
                    session, member, stack.document.place(("services", member.service, "recipe")), strict=strict
                )
            ]
        entry = catalog.entry("recipe", name)
        if entry.name.startswith("_"):
            return catalog.base_problems(entry)
    except ProblemsError as error:
        return error.problems
    return _recipe_problems(session, Member(entry.name, name), None, strict=strict)


def _recipe_problems(session: Session, member: Member, place: Place | None, *, strict: bool) -> list[Problem]:
    """Return what is wrong or doubtful with a recipe; ``place`` is where a stack names it."""
    try:
        loaded = session.world.catalog.recipe(member.recipe, member.overrides, strict=strict)
    except ProblemsError as error:
        return error.problems
    except InputError as error:
        return [Problem(error.message, place, error.hint)]
    dangling = session.world.catalog.dangling(loaded)
    try:
        misfits = [] if dangling else reading.misfits(session.world.catalog, loaded)
    except ProblemsError as error:
        misfits = error.problems
    return [*loaded.warnings, *dangling, *misfits]


def _dump(loaded: LoadedRecipe) -> dict[str, object]:
    return loaded.recipe.model_dump(mode="json", by_alias=True)


def _lines(loaded: LoadedRecipe, origins: Mapping[tuple[str | int, ...], Place]) -> str:
    """Return one line a value: its path, the value as it was written, and where."""
    rows = [(shown(path), _written(loaded.document.node(path)), str(place)) for path, place in origins.items()]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return "\n".join(f"{path:{widths[0]}}  {value:{min(widths[1], 60)}}  {place}" for path, value, place in rows)


def _written(node: Node) -> str:
    if isinstance(node.content, str):
        return json.dumps(node.content, ensure_ascii=False) if node.content != node.text or not node.text else node.text
    return node.text or json.dumps(node.plain())
