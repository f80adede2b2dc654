"""``sparkctl keys``: give the gateway's clients keys, list them with their use, and take them back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import click

from sparkctl.cli.options import as_json
from sparkctl.operations.gateway.keys import folder, listed

if TYPE_CHECKING:
    from sparkctl.cli.session import Session
    from sparkctl.operations.gateway.keys.listed import ListedKey

_COLUMNS: Final = ("key", "made (UTC)", "models", "starts", "a minute", "requests", "tokens in", "out", "last (UTC)")


class PerMinute(click.ParamType[float]):
    """How many requests a minute: 30, or 30/min."""

    name = "N/min"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number."""
        text = str(value).removesuffix("/min").strip()
        if not (text.isascii() and text.isdigit() and 0 < int(text[:9]) <= 10**6 and len(text) < 8):  # noqa: PLR2004
            self.fail(f"expected a whole number of requests a minute, such as 30/min, found {value!r}", param, ctx)
        return float(text)


@click.group(invoke_without_command=True)
@as_json
@click.pass_context
def command(ctx: click.Context, *, as_json: bool) -> None:
    """List the keys of the gateway's clients: what each may do, and what was done with it.

    On the loopback the gateway wants none while there is none. A gateway that runs sees a new or a revoked key at once.
    """
    if ctx.invoked_subcommand is None:
        _list(ctx.obj, as_json=as_json)
    elif as_json:
        raise click.UsageError(f"put --json after {ctx.invoked_subcommand}")


@command.command("list")
@as_json
@click.pass_obj
def list_command(session: Session, *, as_json: bool) -> None:
    """List the keys, as `keys` alone does."""
    _list(session, as_json=as_json)


@command.command("add")
@click.argument("name")
@click.option("--models", metavar="NAME,…", help="The only names that it may ask for: services, aliases, routes.")
@click.option("--no-start", is_flag=True, help="No service is started for it.")
@click.option("--rate", type=PerMinute(), help="So many requests a minute, and as many at once.")
@click.pass_obj
def add_command(session: Session, name: str, models: str | None, rate: float | None, *, no_start: bool) -> None:
    """Make a key for a client, and print it: it is shown this once, and only a hash of it is kept."""
    names = tuple(dict.fromkeys(one.strip() for one in (models or "").split(",") if one.strip()))
    if models is not None and not names:
        raise click.UsageError("--models: expected names with commas between them")
    listed.warn_of_unknown(session.world, names)
    made = folder.add(session.world, name, models=names, may_start=not no_start, rate=rate)
    session.out.say(f"the key {name}, shown this once (only a hash of it is kept):")
    session.out.shell(made.text)


@command.command("revoke")
@click.argument("name")
@click.pass_obj
def revoke_command(session: Session, name: str) -> None:
    """Take a key back: a gateway that runs answers no further request that comes with it."""
    folder.revoke(session.world, name)
    session.out.say(f"revoked {name}; a gateway that runs answers nothing more with it, and breaks off what it began")


def _list(session: Session, *, as_json: bool) -> None:
    found = listed.listed(session.world)
    if as_json:
        session.out.json([_row(one) for one in found])
        return
    if not found:
        session.out.say("there is no key: sparkctl keys add NAME")
        return
    session.out.table(_COLUMNS, [_cells(one) for one in found])
    for one in found:
        if one.damaged is not None:
            session.out.warn(f"{one.name} is no key: {one.damaged.why}; {one.damaged.todo}")


def _row(one: ListedKey) -> dict[str, object]:
    key, use = one.key, one.use
    return {
        "name": one.name,
        "made_at": None if key is None else key.made_at,
        "models": None if key is None else list(key.models),
        "may_start": None if key is None else key.may_start,
        "rate": None if key is None else key.rate,
        "requests": None if use is None else use.requests,
        "prompt_tokens": None if use is None else use.prompt_tokens,
        "completion_tokens": None if use is None else use.completion_tokens,
        "last_at": None if use is None else use.last_at,
        "problem": None if one.damaged is None else one.damaged.why,
    }


def _cells(one: ListedKey) -> tuple[str, ...]:
    key, use = one.key, one.use
    if key is None or use is None:
        return (one.name, "damaged", *[""] * 7)
    rate = "any" if key.rate is None else f"{key.rate:g}"
    used = (f"{use.requests:,}", f"{use.prompt_tokens:,}", f"{use.completion_tokens:,}", _when(use.last_at))
    return (one.name, _when(key.made_at), ", ".join(key.models) or "all", "yes" if key.may_start else "no", rate, *used)


def _when(at: float | None) -> str:
    return "never" if at is None else f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}"
