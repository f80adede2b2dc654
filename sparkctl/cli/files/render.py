"""``sparkctl render``: the docker run command of a recipe."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from sparkctl.cli import options
from sparkctl.cli.options import as_json, named, over_hosts, overrides, strict
from sparkctl.cli.session import over_hosts as said_of
from sparkctl.operations.files.render import render, warn_of_words
from sparkctl.operations.groups import by_name
from sparkctl.operations.memory.asked_set import AskedSet
from sparkctl.world.docker_run import grammar

if TYPE_CHECKING:
    from sparkctl.cli.session import Session


@click.command
@options.name
@named
@overrides
@strict
@over_hosts
@as_json
@click.option("--stage", is_flag=True, help="Make the files that the command names: verified mods, secrets.")
@click.pass_obj
def command(
    session: Session,
    /,
    name: str,
    named: str | None,
    overrides: tuple[str, ...],
    hosts: tuple[str, ...],
    **switches: bool,
) -> None:
    """Print the docker run command of a recipe, one flag a line, to read or to paste.

    Needs no engine, no image and no Spark. What is assumed or missing is said on stderr. With --hosts it is a command
    for each of these hosts, which are asked where the model and the mods lie there.
    """
    strict, as_json, stage = (switches[one] for one in ("strict", "as_json", "stage"))
    if hosts:
        if stage:
            raise click.UsageError("--stage is for one host: leave it out beside --hosts")
        _of_group(session, hosts, AskedSet((name,), overrides, strict=strict, named=named), as_json=as_json)
        return
    rendered = render(session.world, name, overrides, strict=strict, stage=stage, named=named)
    for note in rendered.notes:
        session.out.say(note)
    if as_json:
        session.out.json(asdict(rendered.spec))
    else:
        session.out.shell(grammar.shell_text(rendered.words, ascii_only=not session.out.unicode))


def _of_group(session: Session, hosts: tuple[str, ...], asked: AskedSet, *, as_json: bool) -> None:
    """Print the command of each rank; which is which is said on stderr, and in its label."""
    said_of(session, hosts)
    services = by_name.rendered(session.world, hosts, asked)
    if as_json:
        session.out.json([{"host": host, **asdict(one.spec)} for host, one in zip(hosts, services, strict=True)])
        return
    for host, service in zip(hosts, services, strict=True):
        session.out.say(f"on {host}:")
        warn_of_words(session.world, service.words)
        session.out.shell(grammar.shell_text(service.words, ascii_only=not session.out.unicode))
