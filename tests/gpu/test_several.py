"""A machine with more than one GPU: a server goes where its recipe says, and counts there."""

from __future__ import annotations

import pytest

from sparkctl.world.local.machine import LinuxHost
from tests.gpu.servers import E2B, Servers

pytestmark = pytest.mark.gpu


def test_a_server_goes_on_the_gpu_that_its_recipe_names(servers: Servers) -> None:
    if len(servers.found.gpus) < 2 or servers.found.gpus[1].total_bytes is None:
        pytest.skip("this machine has no second GPU with memory of its own")
    by_cdi = "nvidia.com/gpu=1" in servers.found.devices
    name = servers.recipe(E2B, "second", gpus="cdi:nvidia.com/gpu=1" if by_cdi else "1")
    before = servers.run("plan", name, "--json").expect(0).json
    assert before["services"][0]["gpus"] == [1]
    servers.run("up", name).expect(0)
    try:
        there = {one.gpu: one.bytes for one in LinuxHost().gpu_processes()}
        after = servers.run("plan", name, "--json").expect(0).json
        servers.figures["second"] = {
            "before": before,
            "after": after,
            "by_gpu": there,
            "held": servers.held(name)._asdict(),
        }
    finally:
        servers.run("down", name)
    assert list(there) == [1]
    free = [
        (gpu["available_bytes"], old["available_bytes"])
        for gpu, old in zip(after["pool"]["gpus"], before["pool"]["gpus"], strict=True)
    ]
    assert free[0][0] == free[0][1]
    assert free[1][1] - free[1][0] == pytest.approx(there[1], rel=0.05)
