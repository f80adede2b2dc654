"""What ranks of a real vLLM took on two H200s, against what is said of one rank today; and NCCL's own share."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from packaging.version import Version

from sparkctl.base.units import GIB, MIB
from sparkctl.memory.changes import Changes, changed, defaults
from sparkctl.memory.engine.figures import H200
from sparkctl.memory.facts import ModelFacts
from sparkctl.memory.footprint import KV_CACHE, Footprint, Once, footprint
from sparkctl.memory.pool import HostProfile
from sparkctl.memory.split import Split
from tests.support.paths import FIXTURES

MEASURED: Final = json.loads((FIXTURES / "vllm-0.20.2-two-h200" / "ranks.json").read_text())
STARTS: Final[list[dict[str, Any]]] = MEASURED["starts"]
CARD: Final = HostProfile(total=round(139.8 * GIB), gpu="h200")
every_start = pytest.mark.parametrize("start", STARTS, ids=[start["name"] for start in STARTS])


def said(start: dict[str, Any], *, worker: bool = False) -> Footprint:
    read = json.loads((FIXTURES / "configs" / start["config"] / "config.json").read_text())
    facts = ModelFacts(config=read | start.get("config_changes", {}))
    limits = MEASURED["limits"]
    flags = Changes(
        kv_cache_dtype=start["kv_cache_dtype"],
        max_num_seqs=limits["sequences"],
        max_num_batched_tokens=limits["batched_tokens"],
        enforce_eager=start["eager"],
    )
    split = Split(start["tensor"], start["pipeline"], start["by_expert"], nodes=start["nodes"], worker=worker)
    settings = changed(defaults(Version(MEASURED["vllm"]), limits["context"], facts), flags)
    settings = settings._replace(split=split, kv=settings.kv._replace(stages=split.pipeline))
    once = Once(facts)
    return footprint(settings, once.shape, once.weights(settings), None, CARD)


def held(start: dict[str, Any], when: str, host: int) -> int:
    """Return the bytes of one host's processes and of the GPU of its first rank."""
    processes = [one for one in start[when] if one["host"] == host]
    on_gpu = max(one.get("gpu_mib", 0) for one in processes)
    return (sum(one["host_mib"] for one in processes) + on_gpu) * MIB


@every_start
def test_the_rank_with_the_most_loads_what_is_said(start: dict[str, Any]) -> None:
    assert said(start).loaded.bytes / GIB == pytest.approx(max(start["loaded_gib"]), rel=0.003)


@every_start
def test_the_cache_of_a_rank_has_the_very_tokens(start: dict[str, Any]) -> None:
    assert said(start).kv.tokens(start["kv_bytes"]) == start["kv_tokens"]


@every_start
def test_each_host_holds_what_is_said_within_seven_percent_and_never_more_than_the_bound(start: dict[str, Any]) -> None:
    for host in range(start["nodes"]):
        whole = said(start, worker=host > 0)
        beside = start["kv_bytes"] - sum(item.bytes for item in whole.items if item.name == KV_CACHE)
        for when in ("ready", "after_prompt"):
            if when in start:
                seen = held(start, when, host)
                assert seen == pytest.approx(whole.steady_bytes + beside, rel=0.07), (when, host)
                assert seen <= whole.bound_bytes + beside


def test_a_communicator_by_sockets_takes_little_of_the_gpu_after_the_first() -> None:
    """NCCL alone, beside PyTorch: 372 MiB for the first communicator, its code among it, and less than 20 for more."""
    ways = {one["way"]: [step["beside_pytorch_mib"] for step in one["steps"]] for one in MEASURED["nccl_alone"]}
    context, first, send, second, third = ways["sockets"]
    assert first - context == pytest.approx(372)
    assert max(second - send, third - second) < 20
    assert first - context < H200.nccl.size / MIB < ways["NVLink"][1] - ways["NVLink"][0] < H200.nccl_inside.size / MIB
