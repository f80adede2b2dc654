"""Exported units on a host that systemd booted: one after another, every value as it is, started again, stopped."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.booted import FOLDER, IMAGE, BootedHost
from tests.support.command_line import wait_for
from tests.support.engine_fixtures import FIRST, not_here
from tests.support.thorough import only_everything

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sparkctl.world.docker.engine import DockerEngine

pytestmark = [pytest.mark.docker, FIRST, only_everything, pytest.mark.timeout(240)]

ODD = "a $HOME %h \"q\" 'r' $$ \\n"
STACK = f"""\
services:
  chat: {{recipe: chat, priority: 5, set: {{env.ODD: {json.dumps(ODD)}}}}}
  think: {{recipe: think, restart: {{first: 1s}}}}
"""


@pytest.fixture
def host(docker_host: str, docker_engine: DockerEngine, tiny_model: Path) -> Iterator[BootedHost]:
    """Return a host with the units of a stack, which nobody has started."""
    if docker_engine.image(IMAGE) is None:
        not_here("boot", f"there is no image {IMAGE}: run tests/testbed/testbed boot")
    host = BootedHost(docker_host, f"sparkctl-test-export-{os.getpid()}-{time.monotonic_ns()}", tiny_model)
    try:
        host.boot()
        host.recipes("chat", "think")
        host.write(f"{FOLDER}/recipes/stacks/box.yaml", STACK)
        host.sparkctl("export", "box", "--as", "systemd", "--out", "/etc/systemd/system").expect(0)
        host.inside("systemctl", "daemon-reload").expect(0)
        host.inside("systemctl", "enable", "vllm-chat", "vllm-think", "vllm-box.target").expect(0)
        yield host
    finally:
        host.remove()


def test_units_start_one_after_another_and_end(host: BootedHost) -> None:
    host.inside("systemctl", "start", "vllm-box.target").expect(0)
    (first_is_up,) = host.show("vllm-chat.service", "ActiveEnterTimestampMonotonic")
    (second_begins,) = host.show("vllm-think.service", "ExecMainStartTimestampMonotonic")
    assert 0 < int(first_is_up) < int(second_begins)
    env = json.loads(host.inside("docker", "inspect", "--format", "{{json .Config.Env}}", "chat").expect(0).out)
    assert f"ODD={ODD}" in env
    rows = json.loads(host.sparkctl("ps", "--json").expect(0).out)
    assert [(row["name"], row["ready"]) for row in rows] == [("chat", True), ("think", True)]

    before = host.lives()
    host.inside("docker", "kill", "think").expect(0)
    wait_for(lambda: len(host.lives()) == 2 and host.lives()["think"] != before["think"])
    assert host.lives()["chat"] == before["chat"]
    host.inside("systemctl", "stop", "vllm-box.target").expect(0)
    wait_for(lambda: host.lives() == {}, 90)
    assert host.show("vllm-chat.service", "ActiveState", "Result") == ["inactive", "success"]
