"""How a request gets to a server of another host: at the host's address where it is open, else through ssh."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from sparkctl.operations.gateway.far.looking import way
from sparkctl.recipes.hosts.declared import DeclaredHost
from sparkctl.world.engine import Container
from sparkctl.world.labels import ServiceLabels
from tests.support.fake_hosts import FakeThere
from tests.support.fake_world import FakeSpark

if TYPE_CHECKING:
    from pathlib import Path

HOST = {"--network": "host"}
BRIDGE = {"--network": "bridge"}
EVERY = "0.0.0.0"  # noqa: S104  (compared)
LAN, HERE = "192.168.1.11", "http://127.0.0.1:8003"


def container(command: tuple[str, ...] = (), settings: dict[str, str] | None = None) -> Container:
    return Container("1", "coder", "i", "i", "running", {}, command=command, settings=settings)


def published(place: str) -> dict[str, str]:
    return {**BRIDGE, "--publish of 8000/tcp": place}


@dataclass
class Asked:
    address: str | None
    url: str
    container: Container = field(default_factory=container)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (Asked(LAN, HERE, container(("--host", EVERY), HOST)), f"http://{LAN}:8003"),
        (Asked(LAN, "http://[::1]:8003", container(("--host=::",), HOST)), f"http://{LAN}:8003"),
        (Asked("fd00::11", HERE, container(("--host", EVERY), HOST)), "http://[fd00::11]:8003"),
        (Asked("spark-b.local", HERE, container(("--host", EVERY), HOST)), "http://spark-b.local:8003"),
        (Asked(LAN, f"http://{LAN}:8003"), f"http://{LAN}:8003"),
        (Asked(LAN, HERE, container((), published(f"{EVERY}:8003"))), f"http://{LAN}:8003"),
        (Asked(LAN, HERE, container((), published("every address:8003"))), f"http://{LAN}:8003"),
        (Asked(LAN, HERE, container((), published(f"127.0.0.1:8003, {EVERY}:9"))), ""),
        (Asked(LAN, HERE, container(("--host", EVERY), BRIDGE)), ""),
        (Asked(LAN, HERE, container(("--host", "127.0.0.1"), HOST)), ""),
        (Asked(LAN, "http://10.0.0.2:8003"), ""),
        (Asked(LAN, HERE, container(("--host", EVERY))), ""),
        (Asked(None, HERE, container(("--host", EVERY), HOST)), ""),
    ],
)
def test_only_what_is_open_is_asked_at_the_address(asked: Asked, expected: str, tmp_path: Path) -> None:
    declared = DeclaredHost(ssh="spark-b", address=asked.address)
    found = way(declared, FakeThere(FakeSpark(tmp_path)), ServiceLabels(url=asked.url), asked.container)
    assert found.key == ""
    if expected:
        assert (found.url, found.socket) == (expected, "")
    else:
        host, _, port = asked.url.removeprefix("http://").rpartition(":")
        assert (found.url, found.socket) == (asked.url, f"/ssh/spark-a/{host.strip('[]')}/{port}")
