"""Two servers on one GPU, each as if it were alone."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.gpu.servers import E2B, QWEN_EAGER, Servers, complete

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module", autouse=True)
def _both(servers: Servers) -> None:
    for shape in (E2B, QWEN_EAGER, E2B):  # the last again: a small card may have taken it down for the second
        servers.serve(shape)
    if not {E2B, QWEN_EAGER} <= set(servers.up):
        pytest.skip("two servers do not fit on this GPU together")


def test_both_answer_at_once(servers: Servers) -> None:
    both = [servers.serve(shape) for shape in (E2B, QWEN_EAGER)]
    with ThreadPoolExecutor() as pool:
        asked = [pool.submit(complete, one.url, one.shape.config, 2000) for one in both for _ in range(2)]
        assert [each.result() for each in asked] == [16] * 4
    assert [servers.doing(one.name) for one in both] == ["ready", "ready"]


def test_each_holds_what_it_held_alone(servers: Servers) -> None:
    for shape in (E2B, QWEN_EAGER):
        served = servers.serve(shape)
        now = servers.held(served.name)
        assert now.gpu_bytes == pytest.approx(served.after_prompt.gpu_bytes, rel=0.02)
        servers.figures.setdefault("together", {})[shape.name] = now._asdict()


def test_what_runs_is_kept_and_counted_once(servers: Servers) -> None:
    names = [servers.serve(shape).name for shape in (E2B, QWEN_EAGER)]
    plan = servers.run("plan", *names, "--json").expect(0).json
    assert [step["action"] for step in plan["steps"]] == ["keep", "keep"], json.dumps(plan["steps"])
    # What the services hold is theirs: others hold what they held before, as far as MemAvailable keeps still.
    assert servers.foreign_bytes(plan) - servers.foreign_before < 3 * 2**30
