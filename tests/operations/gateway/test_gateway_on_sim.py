"""The gateway as a process on the simulated Spark, with the official client: from nothing to an eviction."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from sparkctl.base.lazy import LazyModule
from sparkctl.world.sim.engine import SimEngine
from tests.support.command_line import Operator, free_port, wait_for
from tests.support.thorough import only_thorough

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import anthropic
    import openai

    from tests.support.command_server import Command

else:  # seconds of CPU for every worker that only collects
    anthropic = LazyModule("anthropic")
    openai = LazyModule("openai")

pytestmark = [only_thorough, pytest.mark.timeout(120)]
RECIPE = """\
extends: e4b-nvfp4
description: of this test
serve: {{name: served-{name}, port: {port}}}
limits: {{context: {context}}}
memory: auto
env: {{SPARKCTL_SIM_FAULTS: "load_s={load_s}"}}
"""
# Each takes 25 GiB and 30 while it starts: of the 112 that are available two have room beside this reserve.
STACK = """\
host: {reserve: 50 GiB}
services:
  small: {recipe: small, priority: 10, keep: true, names: [executor], defaults: {max_tokens: 8}}
  large: {recipe: large, priority: 5, start: on-demand, stays: 1s, names: [reasoner]}
  aside: {recipe: aside, priority: 1, start: on-demand, stays: 1s}
routes:
  auto: {first: small, then: large, start: true}
"""


class GatewaySpark(Operator):
    """An operator of a simulated Spark with a stack of three services, and a gateway."""

    engine: SimEngine
    port: int
    process: Command

    @property
    def running(self) -> set[str]:
        return {one.name for one in self.engine.containers() if one.state == "running"}

    def client(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"http://127.0.0.1:{self.port}/v1", api_key="none", timeout=60)

    def told(self, text: str) -> bool:
        return text in self.process.told()


@pytest.fixture
def spark(tmp_path: Path) -> Iterator[GatewaySpark]:
    home = tmp_path / "home"
    home.mkdir()
    spark = GatewaySpark(home, tmp_path / "folder")
    spark.environ = {"SPARKCTL_ENGINE": "sim", "SPARKCTL_SIM_DIR": str(tmp_path / "sim"), "USER": "ada"}
    spark.engine, spark.port = SimEngine(tmp_path / "sim", {}), free_port()
    for name, context, load_s in (("small", 1024, 0.1), ("large", 8192, 0.5), ("aside", 1024, 0.1)):
        spark.write(f"recipes/{name}.yaml", RECIPE.format(name=name, port=free_port(), context=context, load_s=load_s))
    spark.write("recipes/stacks/box.yaml", STACK)
    yield spark
    spark.process.kill()
    spark.process.wait(20)
    for container in spark.engine.containers():
        spark.engine.remove(container.id)


def test_from_nothing_to_an_eviction_an_escalation_and_a_client_that_leaves(spark: GatewaySpark) -> None:
    spark.process = spark.start("gateway", "run", "box", "--port", str(spark.port))
    wait_for(lambda: spark.told("the gateway listens at"))
    # It listens before the stack is in effect, and who asks waits for that.
    url = f"http://127.0.0.1:{spark.port}"
    state = httpx2.get(f"{url}/health").json()["status"]
    listed_early = httpx2.get(f"{url}/v1/models", timeout=60).json()["data"]
    assert state == "applying"
    assert [one["id"] for one in listed_early] == ["small", "large", "aside", "auto"]
    assert httpx2.get(f"{url}/health").json() == {"status": "ok"}
    assert spark.running == {"small"}
    second = spark.run("gateway", "run").expect(4)
    assert "an agent keeps this engine already" in second.err
    client = spark.client()
    listed = {one.id: one.model_extra for one in client.models.list().data}
    assert list(listed) == ["small", "large", "aside", "auto"]
    assert listed["large"]["status"] == {"value": "unloaded"}  # type: ignore[index]
    say = [{"role": "user", "content": "hello"}]

    # What runs is asked, by an alias, with the stack's defaults.
    raw = client.chat.completions.with_raw_response.create(model="executor", messages=say)  # type: ignore[arg-type]
    assert raw.headers["x-sparkctl-model"] == "small"
    assert raw.parse().usage.completion_tokens == 8  # type: ignore[union-attr]

    # What does not run is started, and the stream has nothing in it but the server's own.
    stream = client.chat.completions.create(model="aside", messages=say, stream=True)  # type: ignore[call-overload]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert text.startswith("Simulated text")
    assert spark.running == {"small", "aside"}

    # Another one has no room beside the two, and the lower one goes for it.
    done = client.chat.completions.with_raw_response.create(
        model="auto",
        messages=say,
        extra_headers={"x-sparkctl-route": "then"},  # type: ignore[arg-type]
    )
    assert (done.headers["x-sparkctl-model"], done.headers["x-sparkctl-route"]) == ("large", "asked")
    assert spark.running == {"small", "large"}
    wait_for(lambda: spark.told("aside goes for large: priority 1 of aside, priority 5 of large"))

    # A prompt that the first cannot take goes on to the second, before the client has seen anything.
    long = [{"role": "user", "content": "word " * 2000}]
    raw = client.chat.completions.with_raw_response.create(model="auto", messages=long)  # type: ignore[arg-type]
    assert (raw.headers["x-sparkctl-model"], raw.headers["x-sparkctl-route"]) == ("large", "context")
    wait_for(lambda: spark.told("by context"))

    # A client that leaves is no 200.
    stream = client.chat.completions.create(model="large", messages=say, stream=True, max_tokens=4000)  # type: ignore[call-overload]
    next(iter(stream))
    stream.close()
    wait_for(lambda: spark.told(": 499 /v1/chat/completions large"))

    # It ends, and the services go on.
    spark.process.send_signal(signal.SIGTERM)
    _, err = spark.process.communicate(timeout=20)
    assert "ended: the services go on without it" in err
    assert spark.running == {"small", "large"}
    assert "Traceback" not in err


def test_an_agent_serves_what_is_applied_and_a_restart_breaks_streams_off_and_nothing_else_s23(
    spark: GatewaySpark,
) -> None:
    spark.write("recipes/stacks/box.yaml", f"{STACK}gateway: {{port: {spark.port}}}\n")
    spark.run("apply", "box").expect(0)
    spark.process = spark.start("agent", "run")
    wait_for(lambda: spark.told("the gateway listens at"))
    client = spark.client()
    say = [{"role": "user", "content": "hello"}]
    stream = client.chat.completions.create(model="large", messages=say, stream=True, max_tokens=8000)  # type: ignore[call-overload]
    chunks = iter(stream)
    next(chunks)
    there = spark.engine.containers()
    spark.process.kill()
    spark.process.wait(20)
    with pytest.raises((openai.APIError, OSError, httpx2.HTTPError)):
        list(chunks)
    spark.process = spark.start("agent", "run")
    wait_for(lambda: spark.told("the gateway listens at"))
    answer = client.chat.completions.create(model="large", messages=say)  # type: ignore[arg-type]
    assert answer.choices[0].message.content
    assert {one.id for one in spark.engine.containers()} == {one.id for one in there}, "nothing was started again"


def test_a_server_behind_the_gateway_answers_nobody_else_and_every_command_still_asks_it(
    spark: GatewaySpark, tmp_path: Path
) -> None:
    spark.write("recipes/stacks/box.yaml", f"{STACK}gateway: {{port: {spark.port}}}\n")
    done = [spark.run("apply", "box").expect(0)]
    keys = {file.name: file.read_text().strip() for file in spark.home.rglob("server-keys/*")}
    assert set(keys) == {"small", "large", "aside"}
    spark.process = spark.start("agent", "run")
    wait_for(lambda: spark.told("the gateway listens at"))
    (small,) = (one for one in spark.engine.containers() if one.name == "small")
    url = small.labels["sparkctl.url"]
    asked = {"model": "served-small", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}
    refused = [httpx2.get(f"{url}/v1/models"), httpx2.post(f"{url}/v1/chat/completions", json=asked)]
    refused.append(httpx2.get(f"{url}/v1/models", headers={"Authorization": f"Bearer {keys['large']}"}))
    assert [one.status_code for one in refused] == [401, 401, 401]
    answer = spark.client().chat.completions.create(model="small", messages=asked["messages"])  # type: ignore[call-overload]
    assert answer.choices[0].message.content
    asks = (["ps"], ["status", "small"], ["attach", "small"], ["check", "small"], ["logs", "small"], ["diff"])
    done += [spark.run(*words).expect(0) for words in asks]
    assert "ready" in done[1].out
    done.append(spark.run("bench", "small", "--rounds", "1", "--tokens", "8").expect(0))
    done += [spark.run(*words) for words in (["status", "small", "--json"], ["report", "small"], ["up", "box"])]
    told = spark.process.told() + "".join(one.out + one.err for one in done)
    read = httpx2.get(f"http://127.0.0.1:{spark.port}/services/small/metrics")
    assert read.status_code == 200
    own = [file for file in (spark.home, tmp_path / "folder") for file in file.rglob("*") if file.is_file()]
    own = [file for file in own if file.parent.name != "server-keys"]
    for key in keys.values():
        assert key not in told
        assert [file for file in own if key.encode() in file.read_bytes()] == []


def test_what_was_stopped_by_hand_or_died_a_moment_ago_is_no_502(spark: GatewaySpark) -> None:
    spark.write("recipes/stacks/box.yaml", STACK.replace("keep: true", "keep: true, restart: {first: 1s, most: 2s}"))
    spark.process = spark.start("gateway", "run", "box", "--port", str(spark.port))
    wait_for(lambda: spark.told("the gateway listens at"))
    client = spark.client()
    asked: dict[str, Any] = {"model": "small", "messages": [{"role": "user", "content": "hello"}]}
    assert client.chat.completions.create(**asked).choices[0].message.content
    (small,) = (one for one in spark.engine.containers() if one.name == "small")
    for pid in spark.engine.processes(small.id):
        os.kill(pid, signal.SIGKILL)
    assert client.chat.completions.create(**asked).choices[0].message.content, "it waited for the restart"
    spark.run("down", "small").expect(0)
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(**asked)
    assert caught.value.status_code == 503
    assert "ada stopped it; sparkctl up small starts it" in caught.value.message
    assert not spark.told(": 502 ")
    claude = anthropic.Anthropic(base_url=f"http://127.0.0.1:{spark.port}", api_key="none", timeout=60)
    said = claude.messages.create(model="aside", max_tokens=5, messages=asked["messages"])
    assert said.content[0].text == "Simulated text: 1 2 3"  # type: ignore[union-attr]
