"""Speculative decoding gates ready: a floor, the counters' difference, other traffic, and what is said below it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from sparkctl.operations.start.acceptance import Floor, below, floor_of, others
from sparkctl.operations.start.probe import probe_body
from sparkctl.operations.start.readiness import (
    DRAFTING_ROUNDS,
    METRICS_TRIES,
    Progress,
    Seen,
    Target,
    begin,
    step,
)
from sparkctl.vllm.answers import NoAnswer
from sparkctl.vllm.metrics import DraftCounts, Metrics
from sparkctl.vllm.server import Route
from sparkctl.world.engine import Container
from sparkctl.world.web import Reply
from tests.mods.test_verdicts import drafting
from tests.support.answering import answered
from tests.support.fake_world import FakeSpark

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FLOOR = Floor({"position-0": 0.4}, declared=True)
TARGET = Target(service="e4b", served_name="gemma-4-e4b", timeout_s=600, floor=FLOOR, context=1024)
RUNS = Container("c1", "e4b", "image", "sha", "running", {})
MODELS = Reply(200, json.dumps({"data": [{"id": "gemma-4-e4b"}]}))


def generated(tokens: int) -> Reply:
    return Reply(200, json.dumps({"choices": [{}], "usage": {"completion_tokens": tokens}}))


def go(replies: Sequence[Reply], target: Target = TARGET) -> Progress:
    """Answer what is asked, one after another."""
    progress = begin(target, 0)
    for reply in (Reply(200, ""), MODELS, generated(4), *replies):
        progress = step(progress, Seen(1, RUNS, (), answered(progress, reply)))
    return progress


def test_ready_waits_for_as_many_drafted_tokens_as_say_something() -> None:
    first = go([Reply(200, drafting(0, 0, 0))])
    assert (first.probe, first.outcome) == (Route.COMPLETIONS, None)
    assert probe_body(first)["max_tokens"] == 128
    assert probe_body(begin(TARGET, 0))["max_tokens"] == 4
    more = go([Reply(200, drafting(0, 0, 0)), generated(128), Reply(200, drafting(50, 30, 20))])
    assert (more.probe, more.outcome) == (Route.COMPLETIONS, None), "100 drafted tokens are not enough"
    enough = go(
        [
            Reply(200, drafting(0, 0, 0)),
            generated(128),
            Reply(200, drafting(50, 30, 20)),
            generated(128),
            Reply(200, drafting(100, 60, 40)),
        ]
    )
    assert enough.outcome is not None
    assert (enough.outcome.ready, enough.outcome.note) == (True, "")
    assert enough.outcome.drafts == "drafts are accepted 60 % 40 % (200 drafted tokens)"


def test_below_the_recipes_floor_it_is_not_ready() -> None:
    before, after = drafting(1000, 900, 900), drafting(1200, 910, 902)
    low = go([Reply(200, before), generated(128), Reply(200, after)]).outcome
    assert low is not None
    assert (low.ready, low.drafts_in_vain) == (False, True)
    assert low.message == (
        "drafts are accepted 5 % 1 % (400 drafted tokens): 5.0 % at position 0, where at least 40.0 % are expected"
    )


def test_below_the_floor_of_its_own_it_is_ready_with_a_warning() -> None:
    target = Target("e4b", "gemma-4-e4b", 600, floor=floor_of({}, "mtp"))
    low = go([Reply(200, drafting(0, 0)), generated(128), Reply(200, drafting(1000, 2))], target).outcome
    assert low is not None
    assert low.ready
    assert "drafts are accepted 0.2 %" in low.note
    assert "is a mod lost?" in low.note


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Reply(404, "not found"), "/metrics says nothing of drafts"),
        (Reply(200, "<html>"), "/metrics says nothing of drafts"),
        (Reply(200, "vllm:num_requests_running 0.0\n"), "/metrics says nothing of drafts"),
    ],
)
def test_a_server_that_does_not_count_drafts_is_ready_and_that_is_said(answer: Reply, words: str) -> None:
    outcome = go([answer]).outcome
    assert outcome is not None
    assert outcome.ready
    assert words in outcome.note


@pytest.mark.parametrize("answer", [Reply(500, "error"), Reply(None, "no answer in time")])
def test_a_server_whose_metrics_do_not_answer_has_to_generate_once_more(answer: Reply) -> None:
    missed = go([answer] * METRICS_TRIES)
    assert (missed.probe, missed.outcome) == (Route.COMPLETIONS, None)
    hung = step(missed, Seen(2, RUNS, (), NoAnswer("no answer in time")))
    assert hung.outcome is None, "one that hangs is not ready"
    ready = step(hung, Seen(3, RUNS, (), answered(hung, generated(4)))).outcome
    assert ready is not None
    assert (ready.ready, ready.note) == (True, "its acceptance was not checked: /metrics does not answer")
    once = go([answer, Reply(200, drafting(0, 0, 0))])
    assert once.counted is not None, "one that is late is asked again"


def test_a_server_that_hardly_drafts_is_not_waited_for_forever() -> None:
    nothing = Reply(200, drafting(0, 0, 0))
    outcome = go([nothing, *[generated(128), nothing] * DRAFTING_ROUNDS]).outcome
    assert outcome is not None
    assert outcome.ready
    assert "only 0 tokens were drafted" in outcome.note


def test_other_traffic_is_told_apart() -> None:
    before, after = Metrics(generation_tokens=100), Metrics(generation_tokens=1128)
    assert others(before, after, 128) == "900 tokens of others' requests are in it"
    assert others(before, Metrics(generation_tokens=228), 128) == ""
    assert others(before, Metrics(), 128) == ""


def test_the_floor_of_a_recipe() -> None:
    assert floor_of({"overall": 0.3}, "mtp") == Floor({"overall": 0.3}, declared=True)
    assert floor_of({}, "mtp").shares == {"overall": 0.02}
    assert floor_of({}, "ngram").shares == {}, "what copies out of the text may find nothing"
    assert "nothing is known at position 3" in below(
        DraftCounts(100, 300, 90, (60, 20, 10)), Floor({"position-3": 0.1})
    )


def test_the_operator_sees_the_figures_and_what_the_mods_are(tmp_path: Path) -> None:
    spark = FakeSpark(tmp_path)
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "mine.yaml").write_text(
        "extends: e4b-nvfp4\nready: {acceptance: {overall: 0.4}}\n"
        "speculative: {method: ngram, num_speculative_tokens: 1}\n"
    )
    spark.http.metrics_in_turn = [drafting(0, 0), drafting(1000, 2)]
    refused = spark.run("up", "mine").expect(5)
    assert "drafts are accepted 0.2 % (1,000 drafted tokens): 0.2 % overall, where at least 40.0 %" in refused.err
    assert "it has no mods: does this image draft at all?" in refused.err
