"""The peak of a job: by its script's rules, by what its author wrote down, by what it took here."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.base.units import GIB
from sparkctl.memory.facts import Checkpoint, ModelFacts, Parameters
from sparkctl.memory.job import peak
from sparkctl.memory.job.peak import JobInputSize
from sparkctl.recipes.job.script import MemoryRule
from tests.support import gemma4

SOURCE = "estimate: measured on the CPU, random models of about 1 GB, llm-compressor 0.14.0.1"
BASE = 580_000_000
RULES = (
    MemoryRule(when={"way": "model-free"}, base=BASE, shard=1.7, source=SOURCE),
    MemoryRule(when={"way": "oneshot"}, experts=True, base=BASE, input=1.85, source=SOURCE),
    MemoryRule(when={"way": "oneshot", "scheme": "NVFP4A16"}, base=BASE, input=1.61, source=SOURCE),
)


def test_a_peak_is_a_sum_that_can_be_read() -> None:
    rule = peak.rule_for(RULES, {"way": "oneshot", "scheme": "NVFP4A16"}, experts=False, gpus=False)
    assert rule is RULES[2]
    found = peak.peak(rule, JobInputSize(16 * GIB, 5 * GIB, experts=False, source="headers"))
    assert found.parts == "0.5 GiB for the tool itself + 1.61 times the weights of 16.0 GiB"
    assert found.bytes == BASE + round(1.61 * 16 * GIB)
    assert found.source == SOURCE
    assert found.estimated


def test_a_way_that_reads_one_file_after_another_takes_by_the_largest() -> None:
    rule = peak.rule_for(RULES, {"way": "model-free", "scheme": "FP8_DYNAMIC"}, experts=True, gpus=True)
    assert rule is RULES[0]
    here = peak.peak(rule, JobInputSize(48 * GIB, 5 * GIB, experts=True, source="headers"))
    assert here.bytes == BASE + round(1.7 * 5 * GIB)
    assert here.parts.endswith("1.7 times the largest file of 5.0 GiB")
    unknown = peak.peak(rule, JobInputSize(48 * GIB, None, experts=True, source="facts"))
    assert unknown.bytes == BASE + round(1.7 * 48 * GIB)
    assert unknown.parts.endswith("1.7 times the weights, whose files are not known, of 48.0 GiB")


def test_files_that_are_worked_on_at_a_time_take_each_their_own() -> None:
    rule = MemoryRule(base=0, shard=1.5, times="workers", source="a test")
    size = JobInputSize(40 * GIB, 4 * GIB, experts=False, source="headers")
    found = peak.peak(rule, size, peak.at_a_time(rule, {"workers": 3}))
    assert found.bytes == 18 * GIB
    assert found.parts == "1.5 times 3 files at a time, each 4.0 GiB at most, together of 12.0 GiB"
    assert peak.peak(rule, size, 100).bytes == 60 * GIB, "all files together are no more than the whole"
    unknown = peak.peak(rule, size._replace(shard_bytes=None), 3)
    assert unknown.bytes == 60 * GIB
    assert "whose files are not known" in unknown.parts
    for odd in ({}, {"workers": 0}, {"workers": "many"}, {"workers": True}):
        assert peak.at_a_time(rule, odd) == 1


@pytest.mark.parametrize(
    ("parameters", "experts", "place"),
    [
        ({"way": "oneshot", "scheme": "NVFP4A16"}, True, 1),
        ({"way": "oneshot", "scheme": "FP8_DYNAMIC"}, False, None),
        ({}, True, None),
        ({"way": "model-free", "scheme": "NVFP4A16"}, False, 0),
    ],
)
def test_the_first_rule_that_holds_counts(parameters: dict[str, str], experts: bool, place: int | None) -> None:
    found = peak.rule_for(RULES, parameters, experts=experts, gpus=True)
    assert found is (None if place is None else RULES[place])


def test_a_rule_that_was_measured_with_a_gpu_is_for_jobs_with_one_and_says_what_is_on_it() -> None:
    card = {"base": "0.6 GiB", "input": 0.45}
    with_gpu = MemoryRule(gpus=True, base=2 * GIB, input=1.64, card=card, source="an H200")  # type: ignore[arg-type]
    without = MemoryRule(gpus=False, base=GIB, input=1.61, source="a CPU")
    size = JobInputSize(10 * GIB, None, experts=False, source="headers")
    rule = peak.rule_for((with_gpu, without), {}, experts=False, gpus=True)
    assert rule is with_gpu
    found = peak.script_peak(rule, {}, size)
    assert (found.bytes, found.card_bytes) == (round(18.4 * GIB), round(0.6 * GIB + 4.5 * GIB))
    assert found.card_parts == "0.6 GiB for the tool itself + 0.45 times the weights of 10.0 GiB"
    assert found.with_gpu
    assert peak.rule_for((with_gpu, without), {}, experts=False, gpus=False) is without
    assert peak.script_peak(without, {}, size).card_bytes is None


def test_what_was_measured_here_is_the_most_of_all_runs_and_no_estimate() -> None:
    found = peak.measured_peak([3 * GIB, 5 * GIB, 4 * GIB])
    assert found.bytes == 5 * GIB + GIB // 4
    assert found.parts == "5.0 GiB, the most of 3 runs of it on this host, and 256.0 MiB of margin"
    assert not found.estimated
    large = peak.measured_peak([40 * GIB])
    assert large.bytes == 42 * GIB
    assert large.parts == "40.0 GiB, the most of 1 run of it on this host, and 2.0 GiB of margin"


@pytest.mark.parametrize(("model", "experts"), [("e2b", False), ("e4b", False), ("26b", True)])
def test_experts_are_seen_in_the_headers_and_in_the_config(model: str, experts: bool) -> None:
    source = gemma4.source(model)
    assert peak.has_experts(source) is experts
    assert peak.has_experts(ModelFacts(config=source.config)) is experts
    assert peak.has_experts(ModelFacts(tensors=source.tensors)) is experts


def test_the_weights_of_an_input_are_its_headers_or_what_is_known_of_it() -> None:
    source = gemma4.source("e4b")
    by_headers = peak.input_size(source, 5 * GIB)
    assert by_headers is not None
    assert by_headers.bytes == sum(one.bytes for one in source.tensors)
    assert by_headers.shard_bytes == 5 * GIB
    by_config = peak.input_size(ModelFacts(config=source.config, config_source="config.json"), None)
    assert by_config is not None
    assert by_config.bytes == pytest.approx(by_headers.bytes, rel=0.01)
    assert by_config.source == "its parameters by config.json"
    facts = ModelFacts(
        parameters=Parameters(count=1000, source="a card"),
        checkpoints=[Checkpoint(repo="a/b", size=3000, source="the hub")],
    )
    assert peak.input_size(facts, None, "a/b") == JobInputSize(3000, None, experts=False, source="the hub")
    assert peak.input_size(facts, None, "c/d") == JobInputSize(2000, None, experts=False, source="a card")
    assert peak.input_size(ModelFacts(), None) is None


@given(
    st.integers(0, 2**40),
    st.floats(0, 100),
    st.floats(0, 100),
    st.integers(0, 2**42),
    st.none() | st.integers(0, 2**38),
)
def test_a_peak_never_sinks_with_its_input(
    base: int, whole: float, shard: float, size: int, largest: int | None
) -> None:
    rule = MemoryRule(base=base, input=whole, shard=shard, source="a test")
    found = peak.peak(rule, JobInputSize(size, largest, experts=False, source=""))
    more = peak.peak(rule, JobInputSize(2 * size, largest and 2 * largest, experts=False, source=""))
    assert base <= found.bytes <= more.bytes
    assert found.base_bytes == base
