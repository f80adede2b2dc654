"""The main job with the real vLLM, on the CPU, in the real engine: from a recipe to tokens, with a mod that shows."""

from __future__ import annotations

import json
import re
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.vllm_machine import IMAGE, KEY, MODIFIED, VERSION, md5

if TYPE_CHECKING:
    from tests.support.vllm_machine import Machine, Served, Shared

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1200)]


def ask(url: str, body: object = None) -> Any:  # noqa: ANN401  (JSON)
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
    request = urllib.request.Request(url, data, headers)  # noqa: S310  (the loopback)
    with urllib.request.urlopen(request, timeout=30) as reply:  # noqa: S310  (the loopback)
        return json.loads(reply.read())


def test_from_a_recipe_to_tokens_with_a_mod_whose_effect_the_server_shows(machine: Machine, served: Served) -> None:
    name, url = served.name, served.url
    assert served.told[-1] == f"{name}: ready at {url}"
    answer = ask(f"{url}/v1/completions", {"model": "tiny", "prompt": "the quick", "max_tokens": 5, "ignore_eos": True})
    assert answer["usage"]["completion_tokens"] == 5
    assert ask(f"{url}/version") == {"version": VERSION}
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


def test_a_community_mod_is_baked_over_a_file_of_vllms_own(machine: Machine, served: Served, shared: Shared) -> None:
    assert served.url
    original = machine.docker("run", "--rm", "--entrypoint", "cat", IMAGE, MODIFIED).encode()
    (file,) = shared.baked["files"]
    assert (shared.baked["vllm"], file["target"], file["replaces"]) == ("0.32.0", MODIFIED, md5(original))


def test_what_a_start_took_is_measured_and_used_by_the_next_plan(machine: Machine, served: Served) -> None:
    name, before = served.name, served.planned
    assert before["known"] == "estimated"
    (kept,) = machine.run("measurements", name, "--json").expect(0).json
    assert kept["measured"]["kv_bytes"] == before["kv_cache_memory_bytes"]
    assert kept["measured"]["host_bytes"] > 2**29  # the API server, the engine and its worker, but for what they share
    assert kept["vllm"].startswith("0.32.0")
    # The prompt of half its context was answered before it was ready, and what it held then is the mark.
    assert kept["measured"]["high_bytes"] >= 0.9 * kept["measured"]["host_bytes"]
    assert re.search(r"a prompt of 512 tokens", "".join(str(moment.get("detail")) for moment in served.moments))
    # Its phases are those that the start showed, and the time until it was ready.
    assert {"starting", "loading weights", "profiling", "serving", "probing"} <= set(kept["phases"])
    shown = {str(moment.get("phase")) for moment in served.moments}
    # The CPU build logs no "Model loading took", with which the trial run begins for who watches.
    assert {name for name, seconds in kept["phases"].items() if seconds > 2} <= shown | {"profiling"}
    assert name in machine.run("measurements", name).expect(0).out
    fresh = machine.copy(name)
    after = machine.run("plan", fresh, "--json").expect(0).json["services"][0]
    assert after["known"].startswith("measured here on 20")
    assert after["steady_bytes"] != before["steady_bytes"]
    changed = machine.run("plan", fresh, "--set", "limits.context=2048", "--json").expect(0).json["services"][0]
    assert changed["known"].startswith("scaled by what was measured here on 20")
    assert machine.run("render", fresh, "--json").expect(0).json  # the flags follow from the estimate alone


def test_a_fraction_for_which_there_is_no_room_is_refused_before_it_starts(machine: Machine) -> None:
    name, _ = machine.recipe("three", "memory: {utilization: 0.99}\n")
    refused = machine.run("up", name).expect(3)
    assert f"{name} does not fit" in refused.err
    assert f"sparkctl up {name} --set memory=auto" in refused.err
