"""Two real vLLMs behind the gateway, of which one has room: a cold start by a request, and an eviction by another."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, TypeVar

import pytest

from sparkctl.base.lazy import LazyModule
from sparkctl.base.units import GIB
from tests.support.command_line import free_port, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import openai

    from tests.support.command_server import Command
    from tests.support.vllm_machine import Machine

else:  # a second of CPU for every worker that only collects
    openai = LazyModule("openai")

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1200)]
STACK = """\
host: {{reserve: {reserve}, guard: {{act: 2 MiB, floor: 1 MiB}}}}
services:
  {first}: {{recipe: {first}, start: on-demand, stays: 1s, names: [first]}}
  {second}: {{recipe: {second}, priority: 5, start: on-demand, stays: 1s, names: [second]}}
"""
KV = "memory: {kv: 3 GiB}\n"
Answer = TypeVar("Answer")


@pytest.fixture
def pair(machine: Machine) -> tuple[str, str]:
    """Return two services, of which one alone has room."""
    first, _ = machine.recipe("gw-a", KV)
    second, _ = machine.recipe("gw-b", KV)
    planned = machine.run("plan", first, "--json").expect(0).json
    (one,) = planned["services"]
    # What is available moves while others work here, by less than the cache of either.
    room = one["peak_bytes"] + GIB
    reserve = planned["pool"]["available_bytes"] - room
    text = STACK.format(reserve=f"{reserve >> 20} MiB", first=first, second=second)
    machine.write(f"recipes/stacks/{machine.prefix}-box.yaml", text)
    return first, second


@pytest.fixture
def gateway(machine: Machine, pair: tuple[str, str]) -> Iterator[tuple[Command, str]]:
    port = free_port()
    process = machine.start("gateway", "run", f"{machine.prefix}-box", "--port", str(port))
    yield process, f"http://127.0.0.1:{port}/v1"
    process.kill()
    process.wait(20)
    machine.run("down", *pair)


def when_others_have_left(ask: Callable[[], Answer]) -> Answer:
    """Return what is answered, asked again while services of other tests have claimed the memory that is missing."""
    while True:
        try:
            return ask()
        except openai.InternalServerError as error:
            if "does not fit" not in str(error) or not re.search(r"claimed by (job )?t", str(error)):
                raise
            time.sleep(1)


def streamed(client: openai.OpenAI, model: str) -> list[str]:
    answering = client.completions.with_streaming_response
    with answering.create(model=model, prompt="1 2 3", max_tokens=4, stream=True) as answer:
        return [line for line in answer.iter_lines() if line]


def test_a_cold_start_and_an_eviction_by_requests_alone(
    machine: Machine, pair: tuple[str, str], gateway: tuple[Command, str]
) -> None:
    process, url = gateway
    first, second = pair
    wait_for(lambda: "models: " in process.told())
    client = openai.OpenAI(base_url=url, api_key="none", timeout=600, max_retries=0)

    # Cold, and a stream: it is told what it waits for in comments, and its text has nothing of that.
    lines = when_others_have_left(lambda: streamed(client, "first"))
    told = [line for line in lines if line.startswith(":")]
    assert told
    assert all(re.match(f": sparkctl (starting|waiting for room for) {first}", line) for line in told), told
    assert lines[-1] == "data: [DONE]"
    assert all(line.startswith("data: {") for line in lines[len(told) : -1])

    # The other one has no room beside it, and the first goes for it by what both take.
    answered = when_others_have_left(
        lambda: client.completions.with_raw_response.create(model="second", prompt="1 2 3", max_tokens=4)
    )
    assert answered.headers["x-sparkctl-model"] == second
    assert answered.parse().usage.completion_tokens == 4  # type: ignore[union-attr]
    there = machine.docker("ps", "--filter", f"name={machine.prefix}-gw", "--format", "{{.Names}}").split()
    assert there == [second]
    wait_for(lambda: f"{first} goes for {second}" in process.told())
