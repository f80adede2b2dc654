"""``sparkctl gateway run``: apply a stack and serve it, until it is stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.operations.gateway.run import AskedGateway, run

if TYPE_CHECKING:
    from sparkctl.cli.session import Session


@click.command
@click.argument("stack", required=False)
@click.option("--host", metavar="ADDRESS", help="Where it listens (the stack's gateway.bind, or 127.0.0.1).")
@click.option("--port", type=click.IntRange(0, 65535), metavar="N", help="Its port (gateway.port, or 8090); 0: any.")
@click.option("--open", "opened", is_flag=True, help="Serve other hosts without a key.")
@click.pass_obj
def command(session: Session, stack: str | None, host: str | None, port: int | None, *, opened: bool) -> None:
    """Apply STACK as `apply` does, keep it as `agent run` does, and serve all of it at one address.

    What is declared `start: on-demand` is started when a client names it, and stopped for others or when it is idle.
    Without STACK what was applied last is served. Ctrl-C and SIGTERM end it, and the services go on.
    Exit codes: as for apply; 4 also where an agent keeps this engine: that one serves what is applied.
    """
    run(session.world, stack, AskedGateway(host, port, open=opened))
