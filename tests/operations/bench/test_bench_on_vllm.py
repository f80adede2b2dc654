"""`sparkctl bench` and `status` on the real vLLM: what is counted agrees with the server's own counters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.operations.bench.result import BUNCHED

if TYPE_CHECKING:
    from tests.support.vllm_machine import Machine, Served

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1200)]


def said(found: dict[str, list[str]]) -> list[str]:
    """Return the notes, without that on a host that is busy: tests share theirs."""
    return [note for note in found["notes"] if BUNCHED not in note]


def test_tokens_agree_with_the_servers_counters(machine: Machine, served: Served) -> None:
    name = served.name
    found = machine.run("bench", name, "--tokens", "60", "--rounds", "2", "--json").expect(0).json
    assert [level["concurrency"] for level in found["levels"]] == [1, 3]
    assert [level["tokens"] for level in found["levels"]] == [2 * 60, 2 * 3 * 60]
    assert all(level["counted"] for level in found["levels"])
    assert said(found) == [], "the server's counters are within one percent"
    assert found["vllm"].startswith("0.32.0")
    assert len(found["acceptance"]) == 3
    one, three = found["levels"]
    assert 0 < one["first_s"] < 30
    assert three["together"] > three["per_request"]

    # 300 tokens fill two blocks of the CPU's 128: without salts the second run would find them in the prefix cache.
    for _ in range(2):
        options = ("--tokens", "8", "--rounds", "1", "--concurrency", "1,2", "--input-tokens", "300")
        long = machine.run("bench", name, *options, "--json").expect(0).json
        assert {each["prompt_tokens"] for level in long["levels"] for each in level["each"]} == {300}
        assert said(long) == []
    shared = machine.run("bench", name, "--tokens", "8", "--rounds", "1", "--format", "llama-benchy")
    assert [run["concurrency"] for run in shared.expect(0).json["benchmarks"]] == [1, 3]

    history = machine.run("bench", "history", name).expect(0).out
    assert "0.32.0" in history
    status = machine.run("status", name, "--json").expect(0).json
    assert (status["state"], status["running"], status["url"]) == ("ready", 0, served.url)
    assert status["acceptance"]["drafted"] >= 200
