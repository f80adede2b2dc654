"""A real vLLM 0.32.0 over two hosts, tensor parallel on the CPU: it answers, and ends as one when a rank is killed."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.operations.groups.test_groups_on_hosts import on, states
from tests.support.command_line import free_port, wait_for
from tests.support.engine_fixtures import not_here
from tests.support.real_hosts import folder_of_hosts, model_on_hosts, operator_of
from tests.support.vllm_machine import IMAGE, TEMPLATE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.command_line import Operator

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(900)]

RECIPE = """\
description: a random Llama of 300 KB on the real vLLM over two hosts
template: vllm-cpu
image: {image}
vllm: "0.32"
model: {{repo: test/tiny, path: ~/models/{name}, mount: /models/tiny}}
gpus: none
nodes: 2
# One thread computes, and nothing is compiled: the image has no headers of torch.
env: {{VLLM_CPU_OMP_THREADS_BIND: nobind, OMP_NUM_THREADS: "1", TORCHDYNAMO_DISABLE: "1"}}
serve: {{name: tiny, port: {port}}}
limits: {{context: 1024, sequences: 2, batched-tokens: 512}}
memory: {{kv: 64 MiB}}
args: {{enforce-eager: true, tensor-parallel-size: 2}}
ready: {{timeout: 600s}}
"""


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    found = operator_of(folder_of_hosts(), tmp_path)
    found.write("templates/vllm-cpu.j2", TEMPLATE)
    return found


@pytest.fixture
def pair(operator: Operator, tiny_model: Path) -> Iterator[str]:
    """Return a recipe whose model and image are on both hosts; nothing of it is left afterwards."""
    hosts = ("spark-a", "spark-b")
    if not all(on(host, "docker", "images", "--quiet", IMAGE) for host in hosts):
        not_here("vllm", f"the hosts have no {IMAGE}: tests/testbed/testbed vllm, and hosts --vllm")
    name = f"v{os.getpid()}"
    operator.write(f"recipes/{name}.yaml", RECIPE.format(image=IMAGE, name=name, port=free_port()))
    with model_on_hosts(tiny_model, name):
        yield name
        for host in ("a", "b"):
            operator.run("--host", host, "down", name)


def test_two_ranks_meet_and_answer_and_end_together_h14(operator: Operator, pair: str) -> None:
    up = operator.run("up", pair, "--hosts", "a,b", timeout=800).expect(0)
    assert f"{pair}: ready at" in up.err
    log = operator.run("logs", pair, "--rank", "1").expect(0).out
    assert "rank 1 in world size 2 is assigned as" in log
    assert "headless" in log
    agent = operator.start("agent", "run")
    try:
        wait_for(lambda: f"{pair}: whole" in agent.told())
        on("spark-b", "docker", "kill", pair)
        began = time.monotonic()
        wait_for(lambda: states(operator, pair)["a"] == "exited", 60)
        assert time.monotonic() - began < 15, "10 s, and what the look takes"
    finally:
        agent.send_signal(signal.SIGTERM)
        agent.communicate(30)
    operator.run("down", pair).expect(0)
    assert states(operator, pair) == {}
