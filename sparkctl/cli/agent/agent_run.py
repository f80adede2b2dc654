"""``sparkctl agent run``: keep the applied stack running, until it is stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.operations.gateway.run import keep

if TYPE_CHECKING:
    from sparkctl.cli.session import Session


@click.command
@click.pass_obj
def command(session: Session) -> None:
    """Keep the applied stack running: one resident process, which `agent install` lets systemd start.

    A service that ends is started again after a wait, one at a time; what fails again and again is held, and `ps` says
    why. What you stop by `down` stays down until `up` or `apply`. Where the stack's file has `gateway:`, it serves all
    of it at one address. SIGTERM and Ctrl-C end it, and the services go on. What you started over several hosts (up
    --hosts) is stopped on all of them where a rank ends, and started again as one.
    Exit codes: 4 another agent keeps this engine.
    """
    keep(session.world)
