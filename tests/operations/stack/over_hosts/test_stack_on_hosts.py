"""A stack over two real hosts, by a real ssh: planned, applied, killed while a service moves, and a host lost."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.support.command_line import free_port, wait_for
from tests.support.real_hosts import RECIPE, folder_of_hosts, model_on_hosts, operator_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.command_line import Operator

pytestmark = pytest.mark.hosts


class RealFleet(NamedTuple):
    """An operator with two recipes, whose models lie on both hosts; all names begin with ``prefix``."""

    operator: Operator
    prefix: str

    def stack(self, text: str, hosts: str = "a, b") -> None:
        """Write the stack: ``x`` and ``y`` are its services, with settings."""
        named = text.replace("x:", f"{self.prefix}-x:").replace("y:", f"{self.prefix}-y:")
        self.operator.write(f"recipes/stacks/{self.prefix}.yaml", f"hosts: [{hosts}]\nservices: {{{named}}}\n")

    def where(self) -> dict[str, list[str]]:
        """Return the hosts on which each service runs, by the end of its name."""
        rows = json.loads(self.operator.run("ps", "--all-hosts", "--json").expect(0).out)
        found: dict[str, list[str]] = {}
        for row in rows:
            if row["name"].startswith(self.prefix) and row["state"] == "running":
                found.setdefault(row["name"][-1], []).append(row["host"])
        return found

    def differing(self) -> list[str]:
        """Return which of its services `diff` names; others have services on these hosts, too."""
        found = json.loads(self.operator.run("diff", self.prefix, "--json").out)
        rows = [row for host in found["hosts"].values() for row in host["services"] if row["kinds"]]
        return [*found["lines"], *(row["name"] for row in rows if row["name"].startswith(self.prefix))]


@pytest.fixture
def fleet(tmp_path: Path, tiny_model: Path) -> Iterator[RealFleet]:
    """Return a fleet of which nothing is left afterwards."""
    hosts = folder_of_hosts()
    operator, prefix = operator_of(hosts, tmp_path), f"p{os.getpid()}-{time.monotonic_ns() % 10**6}"
    for name in ("x", "y"):
        operator.write(f"recipes/{prefix}-r{name}.yaml", RECIPE.format(name=prefix, port=free_port()))
    with model_on_hosts(tiny_model, prefix):
        yield RealFleet(operator, prefix)
        operator.write("hosts.yaml", "hosts:\n  a: {ssh: spark-a}\n  b: {ssh: spark-b}\n")
        for host in ("a", "b"):
            operator.run("--host", host, "down", f"{prefix}-x", f"{prefix}-y")


def test_a_stack_over_two_hosts_from_a_plan_to_the_loss_of_one_h5(fleet: RealFleet) -> None:
    operator, name = fleet.operator, fleet.prefix
    x, y = f"{{recipe: {name}-rx", f"{{recipe: {name}-ry"
    fleet.stack(f"x: {x}, host: a}}, y: {y}, spread: w}}")
    planned = json.loads(operator.run("plan", name, "--json").expect(0).out)
    assert {one["name"][-1]: one["action"] for one in planned["services"]} == {"x": "starts", "y": "starts"}
    operator.run("apply", name).expect(0)
    there = fleet.where()
    assert there["x"] == ["a"]
    (of_y,) = there["y"]
    assert fleet.differing() == []

    fleet.stack(f"x: {x}, host: b}}, y: {y}}}")
    moving = operator.start("apply", name)
    wait_for(lambda: f"b: {name}-x: ready" in moving.told())
    os.kill(moving.pid, signal.SIGKILL)
    moving.wait(timeout=30)
    assert "b" in fleet.where()["x"]
    operator.run("apply", name).expect(0)
    assert fleet.where() == {"x": ["b"], "y": [of_y]}
    assert fleet.differing() == []

    other = "b" if of_y == "a" else "a"
    lost = {"a": "spark-a", "b": "spark-b", of_y: "nobody.invalid"}
    operator.write("hosts.yaml", "hosts:\n" + "".join(f"  {host}: {{ssh: {ssh}}}\n" for host, ssh in lost.items()))
    fleet.stack(f"x: {x}}}, y: {y}}}")
    assert f"{of_y} does not answer: " in operator.run("apply", name).expect(4).err
    fleet.stack(f"x: {x}}}, y: {y}}}", hosts=other)
    operator.run("apply", name).expect(0)
    operator.write("hosts.yaml", "hosts:\n  a: {ssh: spark-a}\n  b: {ssh: spark-b}\n")
    assert sorted(fleet.where()["y"]) == ["a", "b"], "the lost host has its own still"
    fleet.stack(f"x: {x}}}, y: {y}}}")
    operator.run("apply", name).expect(0)
    assert all(len(hosts) == 1 for hosts in fleet.where().values())
