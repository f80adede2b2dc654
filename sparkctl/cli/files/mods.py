"""``sparkctl mods``: list and show the mods; what makes, fetches and pins them is in modules of its own."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

import click

from sparkctl.base.errors import InputError
from sparkctl.cli.files import mods_add, mods_bake, mods_pins
from sparkctl.cli.options import as_json
from sparkctl.mods.manifest import Covered, Elsewhere, Mod
from sparkctl.recipes.reading import pins_of
from sparkctl.vllm import releases

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.cli.session import Session
    from sparkctl.mods.manifest import ModFile

_COLUMNS: Final = ("mod", "file", "over", "md5", "from", "used by")


@click.group(invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """List the mods with their files: what each lies over, where it comes from, and whether its checksum is known."""
    if ctx.invoked_subcommand is None:
        _list(ctx.obj)


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
    if as_json:
        users = _users(session)
        session.out.json(
            [row for entry in session.world.catalog.entries("mod") for row in _rows(session, entry.name, users)]
        )
    else:
        _list(session)


@command.command("show")
@click.argument("name")
@as_json
@click.pass_obj
def show_command(session: Session, name: str, *, as_json: bool) -> None:
    """Show a mod: what it is for, and of each file its place, source, checksums and what it covers."""
    mod = session.world.catalog.load("mod", name, Mod)
    rows = _rows(session, name, _users(session))
    if as_json:
        meant = {"image": mod.applies_to.image, "vllm": mod.applies_to.vllm, "fixed_in": mod.fixed_in}
        session.out.json({"mod": name, "description": mod.description, **meant, "files": rows})
        return
    lines = [
        ("mod", f"{name} ({session.world.catalog.path('mod', name)})"),
        ("what", mod.description.strip()),
        ("made for the image", mod.applies_to.image or "any"),
        ("made for vLLM", mod.applies_to.vllm or "any"),
        ("needed no more in vLLM", mod.fixed_in or "not said"),
        ("used by", ", ".join(_users(session).get(name, [])) or "no recipe"),
    ]
    for row in rows:
        lines.append((f"file {row['file']}", f"over {row['over']}, from {row['source']}"))
        lines += [("  md5", str(row["md5"])), ("  covers", str(row["covers"]))]
    width = max(len(key) for key, _ in lines)
    for key, value in lines:
        session.out.result(f"{key:{width}}  {value}")


def _list(session: Session) -> None:
    users = _users(session)
    rows = [row for entry in session.world.catalog.entries("mod") for row in _rows(session, entry.name, users)]
    shown = [{**row, "used by": ", ".join(users.get(str(row["mod"]), []))} for row in rows]
    session.out.table(_COLUMNS, [[str(row[column]) for column in _COLUMNS] for row in shown])


def _users(session: Session) -> dict[str, list[str]]:
    """Return the recipes that name each mod; a recipe that cannot be used names none."""
    users: dict[str, list[str]] = {}
    for entry in session.world.catalog.recipes():
        with suppress(InputError):
            for name in session.world.catalog.recipe(entry.name).recipe.mods:
                users.setdefault(name, []).append(entry.name)
    return users


def _rows(session: Session, name: str, users: Mapping[str, Sequence[str]]) -> list[dict[str, object]]:
    entry, mod = session.world.catalog.entry("mod", name), session.world.catalog.load("mod", name, Mod)
    pins = pins_of(session.world.operator.mod_folder(name), entry.path.parent)
    return [
        {
            "mod": name,
            "file": file.name,
            "over": file.module or file.path or "",
            "md5": f"{pins.files[file.name].md5} (yours)" if file.name in pins.files else file.md5,
            "source": str(file.source) if isinstance(file.source, Elsewhere) else "its folder",
            "covers": _covers(file),
            "from": entry.label,
            "used_by": list(users.get(name, [])),
        }
        for file in mod.files
    ]


def _covers(file: ModFile) -> str:
    if not isinstance(file.replaces, Covered):
        return "no file of the image" if file.replaces else "not declared"
    if file.replaces.vllm is not None:
        return f"that of vLLM {file.replaces.vllm}"
    of = releases.releases(file.below_root, file.replaces.md5 or "")
    return f"{file.replaces.md5}" + (f" (vLLM {releases.span(of)})" if of else "")
