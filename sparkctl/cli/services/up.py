"""``sparkctl up``: start services, together where there is room, and prove each healthy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.cli.memory import planned_set
from sparkctl.cli.options import named, names, over_hosts, overrides, strict
from sparkctl.operations.memory.plan import SetDoesNotFitError
from sparkctl.operations.services.named_services import up

if TYPE_CHECKING:
    from sparkctl.cli.session import Session


@click.command
@names
@named
@overrides
@strict
@over_hosts
@click.option("--replace", is_flag=True, help="Stop and start again what has changed: its recipe, image or secrets.")
@click.option("--keep", is_flag=True, help="Leave a container that failed, to look at it.")
@click.option("--fit", is_flag=True, help="Take the first smaller setting with which the set fits, and say which.")
@click.option("--one-by-one", is_flag=True, help="Start each when the last is ready, however much room there is.")
@click.option("--drop-caches", is_flag=True, help="Ask the kernel (as root) to give back the page cache first.")
@click.option("--json", "as_json", is_flag=True, help="Print what happens as lines of JSON.")
@click.option("--download", is_flag=True, help="Download the models that are not on this host.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    names: tuple[str, ...],
    overrides: tuple[str, ...],
    named: str | None,
    hosts: tuple[str, ...],
    **switches: bool,
) -> None:
    """Start recipes or stacks and prove each healthy, those together whose starts have room together.

    With --hosts one recipe with nodes is started on several hosts as one; later its name alone means the same hosts.

    What is up already stays up. Exit codes: 2 recipe or usage, 3 does not fit, 4 engine, port or name taken,
    5 not ready, 6 mods, 7 a required check failed, 130 interrupted.
    """
    session: Session = ctx.obj
    asked = planned_set.asked(ctx, names, overrides, named, switches)
    taken = {name: switches[name] for name in ("fit", "drop_caches", "download", "one_by_one")}
    try:
        with session.out.reporting(as_json=switches["as_json"]):
            up(session.world, asked, hosts, **taken)
    except SetDoesNotFitError as error:
        planned_set.draw(session.out, error.planned.plan)
        for line in error.planned.strangers:
            session.out.warn(line)
        raise
