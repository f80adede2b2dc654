"""A group on two real hosts: a stand-in for vLLM that meets the other rank as vLLM does, and dies as it does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.command_line import free_port, wait_for
from tests.support.real_hosts import folder_of_hosts, model_on_hosts, operator_of
from tests.support.thorough import only_thorough, part

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.command_line import Operator

pytestmark = pytest.mark.hosts

RECIPE = """\
description: a stand-in for vLLM over two hosts
template: vllm-openai
image: sparkctl-test/standin:latest
vllm: "0.32.0"
model: {{repo: test/tiny, path: ~/models/{name}, mount: /models/tiny}}
gpus: none
nodes: 2
args: {{tensor-parallel-size: 2}}
serve: {{name: tiny, port: {port}}}
limits: {{context: 1024, sequences: 2, batched-tokens: 512}}
env: {{SPARKCTL_SIM_FAULTS: "{faults}"}}
ready: {{timeout: 60s}}
"""
HOSTS = ("--hosts", "a,b")


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    return operator_of(folder_of_hosts(), tmp_path)


@pytest.fixture
def pair(operator: Operator, tiny_model: Path) -> Iterator[str]:
    """Return a recipe whose model lies on both hosts; nothing of it is left afterwards."""
    name = f"g{os.getpid()}-{time.monotonic_ns() % 10**6}"
    write(operator, name, free_port(), "load_s=0.3")
    with model_on_hosts(tiny_model, name):
        yield name
        for host in ("a", "b"):
            operator.run("--host", host, "down", name)


def write(operator: Operator, name: str, port: int, faults: str) -> None:
    operator.write(f"recipes/{name}.yaml", RECIPE.format(name=name, port=port, faults=faults))


def states(operator: Operator, name: str) -> dict[str, str]:
    rows = json.loads(operator.run("ps", "--all-hosts", "--json").expect(0).out)
    return {row["host"]: row["state"] for row in rows if row["name"] == name}


def on(host: str, *words: str) -> str:
    ssh = ("ssh", "-F", str(folder_of_hosts() / "ssh_config"), host, *words)
    return subprocess.run(ssh, capture_output=True, check=True, text=True, timeout=20).stdout


def test_a_group_is_started_seen_and_ended_as_one(operator: Operator, pair: str) -> None:
    up = operator.run("up", pair, *HOSTS).expect(0)
    assert f"{pair}: ready at" in up.err
    assert states(operator, pair) == {"a": "running", "b": "running"}
    status = operator.run("status", pair).expect(0)
    assert "state              ready" in status.out
    assert "rank 0 on a runs; rank 1 on b runs" in status.err
    few = ("--tokens", "10", "--rounds", "1", "--concurrency", "1")
    assert operator.run("bench", pair, *few, "--json").expect(0).json["host"] == "a"
    log = operator.run("logs", pair).expect(0).out
    assert "0| (Worker_TP0" in log
    assert "1| (Worker_TP1" in log
    rendered = operator.run("render", pair, *HOSTS).expect(0).out
    assert ("VLLM_HOST_IP=10.214.0.1" in rendered, "VLLM_HOST_IP=10.214.0.2" in rendered) == (True, True)
    operator.run("restart", pair).expect(0)
    on("spark-b", "docker", "kill", pair)
    assert f"{pair} is half a group: rank 0 on a runs; rank 1 on b" in operator.run("ps", "--all-hosts").expect(0).err
    assert "is half a group" in operator.run("status", pair).expect(5).err
    operator.run("down", pair).expect(0)
    assert states(operator, pair) == {}


def test_a_worker_that_dies_while_it_loads_ends_all_and_is_named_h12(operator: Operator, pair: str) -> None:
    write(operator, pair, free_port(), "load_s=2,die_in=loading,on_rank=1")
    failed = operator.run("up", pair, *HOSTS).expect(5)
    assert "rank 1 on b: exited with code 1" in failed.err
    assert "ordered to die while loading" in failed.err
    assert states(operator, pair) == {}


@pytest.mark.parametrize(("killed", "other", "rank"), part([("spark-b", "a", 1), ("spark-a", "b", 0)], 0))
def test_a_killed_rank_ends_all_within_ten_seconds_and_they_start_again_as_one_h14(
    operator: Operator, pair: str, killed: str, other: str, rank: int
) -> None:
    operator.run("up", pair, *HOSTS).expect(0)
    agent = operator.start("agent", "run")
    try:
        wait_for(lambda: f"{pair}: whole" in agent.told())
        on(killed, "docker", "kill", pair)
        began = time.monotonic()
        wait_for(lambda: states(operator, pair)[other] == "exited", 30)
        assert time.monotonic() - began < 10
        wait_for(lambda: "started again as one" in agent.told())
        wait_for(lambda: f"{pair}: ready at" in agent.told())
        assert states(operator, pair) == {"a": "running", "b": "running"}
        assert f"{pair} has ended: rank {rank} on {killed[-1]}: exited with code 137" in agent.told()
    finally:
        agent.send_signal(signal.SIGTERM)
        agent.communicate(30)
    operator.run("down", pair).expect(0)
    assert states(operator, pair) == {}


@pytest.mark.parametrize("host", part(["spark-b", "spark-a"], 0))
def test_a_killed_up_leaves_nothing_after_the_next_command(operator: Operator, pair: str, host: str) -> None:
    write(operator, pair, free_port(), "load_s=20")
    up = operator.start("up", pair, *HOSTS)
    wait_for(lambda: on(host, "docker", "ps", "--all", "--quiet", "--filter", f"name={pair}"))
    up.kill()
    up.wait(20)
    operator.run("down", pair).expect(0)
    assert states(operator, pair) == {}


@only_thorough
def test_a_port_that_is_dropped_is_told_a_minute_after_both_wait(operator: Operator, pair: str) -> None:
    write(operator, pair, free_port(), "load_s=0.3")
    process = (folder_of_hosts() / "spark-a/pid").read_text().strip()
    rule = ("INPUT", "-p", "tcp", "--dport", "29501:29600", "-j", "DROP")
    inside = ("nsenter", f"--net=/proc/{process}/ns/net", "iptables")
    subprocess.run([*inside, "-I", *rule], check=True)
    try:
        began = time.monotonic()
        failed = operator.run("up", pair, *HOSTS).expect(5)
        assert 60 <= time.monotonic() - began < 110
    finally:
        subprocess.run([*inside, "-D", *rule], check=True)
    assert "its ranks wait for each other and do not meet at 10.214.0.1:29501" in failed.err
    assert "sparkctl hosts check a b" in failed.err
    assert states(operator, pair) == {}
