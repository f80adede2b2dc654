"""``sparkctl hosts list``: what hosts.yaml says; nobody is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.base import units
from sparkctl.cli.options import as_json
from sparkctl.operations.hosts.listed import hosts, place

if TYPE_CHECKING:
    from sparkctl.cli.session import Session


@click.command
@as_json
@click.pass_obj
def command(session: Session, *, as_json: bool) -> None:
    """List the hosts of hosts.yaml. None of them is asked: `hosts doctor` does that."""
    found = hosts(session.world)
    if as_json:
        session.out.json([{"name": name, **host.model_dump(mode="json")} for name, host in found.hosts.items()])
    elif not found.hosts:
        session.out.say(f"no hosts: there is no {place(session.world)}; `sparkctl hosts add NAME SSH` writes it")
    else:
        headers = ["host", "ssh", "address", "fabric", "profile", "reserve"]
        rows = [
            [
                name,
                host.ssh,
                host.address or "-",
                f"{host.fabric.address} on {host.fabric.interface}" if host.fabric else "-",
                host.profile or "by its GPUs",
                "its profile's" if host.reserve is None else units.format_gib(host.reserve),
            ]
            for name, host in found.hosts.items()
        ]
        session.out.table(headers, rows)
