"""What goes wrong on a GPU, and what is said of it; nothing is left afterwards."""

from __future__ import annotations

import re

import pytest

from sparkctl.world.local.machine import LinuxHost
from tests.gpu.servers import E2B, Servers, card_used
from tests.support.command_line import wait_for

pytestmark = pytest.mark.gpu

GIB = 2**30
STRANGER = 6 * GIB


def cache_of(size: int) -> str:
    return f"memory={{kv: {size} GiB}}"


def largest_cache(servers: Servers, name: str) -> int:
    """Return the GiB of the largest cache with which a service fits now."""
    fits, too_large = 0, servers.total_bytes // GIB
    while too_large - fits > 1:
        middle = (fits + too_large) // 2
        plan = servers.run("plan", name, "--set", cache_of(middle), "--json").json
        fits, too_large = (middle, too_large) if plan["fits"] else (fits, middle)
    return fits


def test_what_a_stranger_holds_is_counted_and_named(servers: Servers) -> None:
    servers.serve(E2B)
    name = servers.recipe(E2B, "large")
    large = cache_of(largest_cache(servers, name) - 1)
    before = servers.run("plan", name, "--set", large, "--json").expect(0).json
    stranger = servers.hold(STRANGER)
    try:
        plan = servers.run("plan", name, "--set", large, "--json").json
        refused = servers.run("up", name, "--set", large)
        servers.figures["refused"] = {"plan": plan, "told": refused.err.splitlines(), "code": refused.code}
    finally:
        servers.remove(stranger)
    assert not plan["fits"]
    assert servers.foreign_bytes(plan) - servers.foreign_bytes(before) >= STRANGER
    (told,) = plan["strangers"]
    assert re.search(r"python3 \(process \d+.*\) holds \d\.\d GiB", told)
    assert refused.code == 3
    assert "does not fit" in refused.err
    assert told in refused.err
    assert servers.containers(name) == []


def test_a_context_beyond_the_models_is_refused_before_anything_starts(servers: Servers) -> None:
    name = servers.recipe(E2B, "fails")
    refused = servers.run("up", name, "--set", "limits.context=262144").expect(2)
    assert "262144 is more than the model's longest context, 131072 tokens" in refused.err


def test_a_flag_that_is_none_is_explained(servers: Servers) -> None:
    name = servers.recipe(E2B, "fails")
    failed = servers.run("up", name, "--set", "args.max-modle-len=1").expect(5)
    servers.figures["no such flag"] = failed.err.splitlines()
    assert "cause: this vLLM has no flag --max-modle-len" in failed.err
    assert servers.containers(name) == []


def test_a_fraction_that_the_weights_fill_is_explained(servers: Servers) -> None:
    """The real failure of an engine, after the weights are on the GPU."""
    weights = servers.serve(E2B).size["weights"]["bytes"]
    fraction = int(100 * weights / servers.total_bytes) / 100
    name = servers.recipe(E2B, "full")
    failed = servers.run("up", name, "--set", f"memory.utilization={fraction}")
    servers.figures["no cache"] = failed.err.splitlines()
    left = servers.containers(name)
    servers.run("down", name)
    failed.expect(5)
    assert "cause: after weights and activations nothing of the fraction is left for the KV cache" in failed.err
    assert left == []


def test_a_killed_engine_is_seen(servers: Servers) -> None:
    served = servers.serve(E2B)
    assert servers.doing(served.name) == "ready"
    servers.kill_engine(served.name)
    wait_for(lambda: servers.doing(served.name) == "dead", seconds=120)
    servers.figures["killed"] = {"status": servers.run("status", served.name).out.splitlines()}
    servers.stop(E2B)


def test_nothing_is_left(servers: Servers) -> None:
    for shape in list(servers.up):
        servers.stop(shape)
    before = servers.figures["machine"]
    assert servers.containers(servers.prefix) == []
    assert set(LinuxHost().gpu_bytes()) <= set(before["gpu_bytes_by_process"])
    used = card_used()
    servers.figures["afterwards"] = {"card_used_bytes": used}
    if used is not None:
        assert used <= before["card_used_bytes"] + 64 * 2**20  # the driver's own moves by some MiB
