"""The gateway of a stack over several hosts: applied on all of them, and answering for all."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import InputError
from sparkctl.operations.agent.agent import Agent
from sparkctl.operations.gateway.gateway import Gateway
from sparkctl.operations.gateway.parts import GatewayParts
from sparkctl.operations.gateway.run import AskedGateway, run
from tests.support.fake_door import FakeDoor
from tests.support.fakes import FakeReport
from tests.support.fleet import Fleet

if TYPE_CHECKING:
    from pathlib import Path

MORE = "routes: {auto: {first: sa, then: sb}}\ngateway: {port: 8090}\n"
HERE = "hosts:\n  here: {ssh: local}\n  two: {ssh: spark-two}\n"


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    found = Fleet(tmp_path)
    (tmp_path / "hosts.yaml").write_text(HERE)
    found.stack("a host: here; b host: two, names: [writer], force: {top_k: 5}", hosts="here, two", more=MORE)
    return found


def test_services_of_all_hosts_are_asked_by_the_names_of_the_stack(fleet: Fleet) -> None:
    fleet.run("apply", "fleet").expect(0)
    world, door = fleet.mine.world(FakeReport()), FakeDoor()
    gateway = Gateway(world, GatewayParts(opener=door))
    agent = Agent(world, gateway.worker, lambda: 0.0, beside=gateway)
    try:
        end = time.monotonic() + 10
        while str(gateway.clerk.desk.services.get("sb@two")).find("DeskState.READY") < 0:
            assert time.monotonic() < end, gateway.clerk.desk.services
            gateway.others.look_soon("sb@two")  # its thread is given no time: a look that takes 15 s is given up
            fleet.mine.clock.now += 0.1
            agent.tick()
            time.sleep(0.01)
        far = door.ask("writer").forwarded()
        assert far.answer_headers["x-sparkctl-model"] == "sb@two"
        assert json.loads(bytes(far.body or b""))["top_k"] == 5  # type: ignore[arg-type]
        assert door.ask("m-a").forwarded().answer_headers["x-sparkctl-model"] == "sa"
        then = door.ask("auto", wishes={"x-sparkctl-route": "then"}).forwarded()
        assert then.answer_headers == {"x-sparkctl-model": "sb@two", "x-sparkctl-route": "asked"}
    finally:
        gateway.close()


def test_it_is_applied_on_all_hosts_before_it_is_served(fleet: Fleet) -> None:
    run(fleet.mine.world(FakeReport()), "fleet", AskedGateway(port=0), ends=lambda: True)
    assert [one.name for one in fleet.mine.engine.containers()] == ["sa"]
    assert fleet.where() == {"sb": "two"}


def test_a_machine_that_is_none_of_its_hosts_is_told_so_before_anything_is_started(fleet: Fleet) -> None:
    (fleet.folder / "hosts.yaml").write_text("hosts:\n  here: {ssh: spark-one}\n  two: {ssh: spark-two}\n")
    with pytest.raises(InputError, match="this machine is none of the hosts of fleet"):
        run(fleet.mine.world(FakeReport()), "fleet", AskedGateway(port=0))
    assert fleet.where() == {}
