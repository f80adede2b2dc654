"""The main job with the real vLLM, on the CPU, in the real engine: from a recipe to tokens, with a mod that shows."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import time
import urllib.request
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.support.vllm_machine import IMAGE

if TYPE_CHECKING:
    from tests.support.vllm_machine import Machine

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600)]

DRAFTING = "speculative: {method: ngram, num_speculative_tokens: 3, prompt_lookup_max: 4}\n"
VERSION = "/usr/local/lib/python3.11/dist-packages/vllm/version.py"


def ask(url: str, body: object = None) -> Any:  # noqa: ANN401  (JSON)
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310  (the loopback)
    with urllib.request.urlopen(request, timeout=30) as reply:  # noqa: S310  (the loopback)
        return json.loads(reply.read())


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def bake_a_mod_over_the_version(machine: Machine) -> None:
    """Bake a community mod that patches a file of vLLM's own: its effect is seen in GET /version."""
    script = machine.home / "community" / "version" / "run.sh"
    script.parent.mkdir(parents=True)
    script.write_text(f"#!/bin/bash\necho '__version__ = \"0.32.0+mod\"' >> {VERSION}\n")
    baked = machine.run("mods", "bake", str(script.parent), "--image", IMAGE, "--json").expect(0).json
    original = machine.docker("run", "--rm", "--entrypoint", "cat", IMAGE, VERSION).encode()
    (file,) = baked["files"]
    assert (baked["vllm"], file["target"], file["replaces"]) == ("0.32.0", VERSION, md5(original))


class Served(NamedTuple):
    """A service that is up: where it is, what its start told, and what had been planned of it."""

    name: str
    url: str
    told: str
    planned: dict[str, Any]


@pytest.fixture(scope="module")
def served(machine: Machine) -> Served:
    """Start one service for all tests that read it: a start takes half a minute."""
    bake_a_mod_over_the_version(machine)
    name, url = machine.recipe("one", f"mods: [version]\n{DRAFTING}")
    planned = machine.run("plan", name, "--json").expect(0).json["services"][0]
    return Served(name, url, machine.run("up", name).expect(0).err, planned)


def test_from_a_recipe_to_tokens_with_a_mod_whose_effect_the_server_shows(machine: Machine, served: Served) -> None:
    name, url = served.name, served.url
    assert f"{name}: loading weights" in served.told
    assert served.told.splitlines()[-1] == f"{name}: ready at {url}"

    answer = ask(f"{url}/v1/completions", {"model": "tiny", "prompt": "the quick", "max_tokens": 5, "ignore_eos": True})
    assert answer["usage"]["completion_tokens"] == 5
    assert ask(f"{url}/version") == {"version": "0.32.0+mod"}
    (row,) = [row for row in machine.run("ps", "--json").expect(0).json if row["name"] == name]
    assert (row["state"], row["ready"], row["mods"]) == ("running", True, ["version"])
    assert re.search(
        rf"{name}: mods hold, acceptance \d+ % \d+ % \d+ %", machine.run("verify-mods", name).expect(0).out
    )
    (verdict,) = machine.run("verify-mods", name, "--json").expect(0).json
    assert [verdict[place] for place in ("host", "image", "container", "verdict")] == ["ok"] * 4

    # The bytes that sparkctl derived are what sized the server: its block count times its block's bytes.
    log = machine.run("logs", name).expect(0).out
    tokens = re.search(r"CPU KV cache size: ([\d,]+) tokens", log)
    assert tokens is not None
    assert int(tokens[1].replace(",", "")) * 512 == served.planned["kv_cache_memory_bytes"]
    assert f"already up at {url}" in machine.run("up", name).expect(0).err


def test_what_a_start_took_is_measured_and_used_by_the_next_plan(machine: Machine, served: Served) -> None:
    name, before = served.name, served.planned
    assert before["known"] == "estimated"
    (kept,) = machine.run("measurements", name, "--json").expect(0).json
    assert kept["measured"]["kv_bytes"] == before["kv_cache_memory_bytes"]
    assert kept["measured"]["host_bytes"] > 2**30  # the API server, the engine and its worker, each with torch
    assert kept["vllm"].startswith("0.32.0")
    assert name in machine.run("measurements", name).expect(0).out
    fresh = machine.copy(name)
    after = machine.run("plan", fresh, "--json").expect(0).json["services"][0]
    assert after["known"].startswith("measured here on 20")
    assert after["steady_bytes"] != before["steady_bytes"]
    changed = machine.run("plan", fresh, "--set", "limits.context=2048", "--json").expect(0).json["services"][0]
    assert changed["known"].startswith("scaled by what was measured here on 20")
    assert machine.run("render", fresh, "--json").expect(0).json  # the flags follow from the estimate alone


def test_a_server_whose_engine_is_killed_is_not_ready_and_up_starts_it_anew(machine: Machine, served: Served) -> None:
    name, url = served.name, served.url
    processes = [
        line.split(maxsplit=2) for line in machine.docker("top", name, "-eo", "pid,comm,args").splitlines()[1:]
    ]
    (core,) = [int(pid) for pid, *words in processes if "EngineCore" in " ".join(words)]
    os.kill(core, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while machine.docker("inspect", "--format", "{{.State.Status}}", name).strip() != "exited":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert machine.docker("inspect", "--format", "{{.State.ExitCode}}", name).strip() == "0"
    (row,) = [row for row in machine.run("ps", "--json").expect(0).json if row["name"] == name]
    assert (row["state"], row["ready"]) == ("exited", False)
    assert f"{name}: ready at {url}" in machine.run("up", name).expect(0).err

    machine.write("mods/version/version.py", "__version__ = 'lost'\n")
    lost = machine.run("verify-mods", name).expect(6)
    assert "version.py" in lost.out + lost.err
    machine.run("down", name).expect(0)


def test_a_start_that_vllm_refuses_ends_with_its_own_words(machine: Machine) -> None:
    name, _ = machine.recipe("three")
    tools = ("--set", "args.enable-auto-tool-choice=true", "--set", "args.tool-call-parser=nosuch")
    refused = machine.run("up", name, *tools).expect(5)
    assert f"{name} is not ready: the container exited with code 1" in refused.err
    assert "invalid tool call parser: nosuch" in refused.err
    assert machine.docker("ps", "--all", "--quiet", "--filter", f"name=^{name}$") == ""


def test_drafts_below_the_recipes_floor_are_not_ready(machine: Machine) -> None:
    name, _ = machine.recipe("four", DRAFTING + "ready: {acceptance: {overall: 1.0}}\n")
    refused = machine.run("up", name).expect(5)
    told = re.search(r"drafts are accepted \d+ % \d+ % \d+ % \((\d+) drafted tokens\): \d+\.\d % overall", refused.err)
    assert told is not None
    assert int(told[1]) >= 200
    assert machine.docker("ps", "--all", "--quiet", "--filter", f"name=^{name}$") == ""


def test_a_fraction_that_vllm_would_refuse_is_refused_before_it_starts(machine: Machine) -> None:
    name, _ = machine.recipe("three", "memory: {utilization: 0.99}\n")
    refused = machine.run("up", name).expect(3)
    assert "vLLM itself would refuse" in refused.err
    assert f"sparkctl up {name} --set memory=auto" in refused.err
