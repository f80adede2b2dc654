"""Generations are kept whole, numbered once, and what is damaged or newer is left out and said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparkctl.base.errors import InputError
from sparkctl.operations.stack.generations import GENERATION, GENERATION_END, Generations
from sparkctl.planning.box.declared import DeclaredService, Restarts, StartMode
from sparkctl.planning.box.generation import (
    APPLIED,
    FAILED,
    PENDING,
    GenerationEnd,
    KeptGeneration,
    KeptMod,
    KeptService,
)
from tests.support.applied_stack import AppliedStack
from tests.support.fake_world import FakeSpark
from tests.support.fakes import FakeReport, FakeStore
from tests.support.thorough import examples

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SECONDS = st.floats(0, 10**6, allow_nan=False)
DECLARED = st.builds(
    DeclaredService,
    name=TEXTS,
    start=st.sampled_from(StartMode),
    priority=st.integers(-(10**9), 10**9),
    keep=st.booleans(),
    after=st.lists(TEXTS, max_size=2).map(tuple),
    idle_s=st.none() | SECONDS,
    stays_s=SECONDS,
    restarts=st.builds(Restarts, SECONDS, SECONDS, st.integers(1, 99), SECONDS),
)
SERVICES = st.builds(
    KeptService,
    declared=DECLARED,
    recipe=TEXTS,
    text=TEXTS,
    words=st.lists(TEXTS, max_size=4).map(tuple),
    digest=TEXTS,
    image=TEXTS,
    image_id=TEXTS,
    image_digests=st.lists(TEXTS, max_size=2).map(tuple),
    vllm=TEXTS,
    model=TEXTS,
    revision=st.none() | TEXTS,
    overrides=st.lists(TEXTS, max_size=2).map(tuple),
    mods=st.lists(st.builds(KeptMod, TEXTS, TEXTS, TEXTS), max_size=2).map(tuple),
    secrets=st.lists(TEXTS, max_size=2).map(tuple),
    draft=TEXTS,
    draft_revision=st.none() | TEXTS,
)
SIZES = st.none() | st.integers(1, 2**40)
GENERATIONS = st.builds(
    KeptGeneration,
    number=st.just(0),
    stack=TEXTS,
    file=TEXTS,
    at=st.floats(0, 10**10, allow_nan=False),
    who=TEXTS,
    services=st.lists(SERVICES, max_size=3).map(tuple),
    restores=st.none() | st.integers(1, 10**6),
    reserve_bytes=SIZES,
    act_bytes=SIZES,
    floor_bytes=SIZES,
)


@pytest.fixture
def applied(tmp_path: Path) -> AppliedStack:
    applied = AppliedStack(tmp_path)
    applied.write("{chat: {recipe: e4b-nvfp4, priority: 3, set: {limits.context: 4096}}}")
    return applied


def damage(store: FakeStore, number: int, text: str, kind: str = GENERATION) -> None:
    """Put another text into the record of a generation, or of its end."""
    store.kept = [
        one._replace(text=text) if (one.kind, one.recipe) == (kind, str(number)) else one for one in store.kept
    ]


@settings(max_examples=examples(200))
@given(st.lists(GENERATIONS, min_size=1, max_size=3))
def test_what_was_kept_is_read_as_the_same(every: list[KeptGeneration]) -> None:
    report = FakeReport()
    world = FakeSpark(Path("/nowhere")).world(report)
    kept = [Generations(world).keep(one) for one in every]
    assert kept == [replace(one, number=number) for number, one in enumerate(every, start=1)]
    assert Generations(world).all() == kept
    assert [Generations(world).get(one.number) for one in kept] == kept
    assert report.warned == []


def test_an_apply_without_an_end_is_pending_and_the_last_that_ended_well_is_the_applied_one(
    applied: AppliedStack,
) -> None:
    first, second, third = applied.keep(), applied.keep(FAILED), applied.keep(None)
    generations = Generations(applied.world)
    assert [one.number for one in generations.all()] == [1, 2, 3]
    assert [generations.outcome(one.number) for one in (first, second, third)] == [APPLIED, FAILED, PENDING]
    assert generations.applied() == first
    assert generations.last() == third
    generations.end(GenerationEnd(3, APPLIED, 5.0))
    assert generations.applied() == third


def test_nothing_applied_is_no_error(applied: AppliedStack) -> None:
    generations = Generations(applied.world)
    assert generations.all() == []
    assert generations.last() is None
    assert generations.applied() is None
    with pytest.raises(InputError, match="there is no generation 1") as refused:
        generations.get(1)
    assert "nothing was applied yet" in str(refused.value.hint)


def test_a_number_is_given_once_also_beside_what_cannot_be_read(applied: AppliedStack) -> None:
    applied.keep()
    applied.keep()
    damage(applied.spark.store, 2, "{")
    assert applied.keep().number == 3
    assert applied.spark.locks.held, "under the engine's lock, so that two applies never get one number"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "its text"),
        ("[1]", "its text"),
        ('{"schema": 2, "generation": {"number": 1}}', "a newer sparkctl wrote it: it has schema 2, expected 1"),
        ('{"schema": 1, "generation": {"number": "1"}}', "generation.number"),
        ('{"schema": 1, "generation": {"number": 1e400}}', "too large"),
    ],
)
def test_what_is_damaged_or_newer_is_left_out_and_said_once(text: str, said: str, applied: AppliedStack) -> None:
    first = applied.keep()
    applied.keep()
    damage(applied.spark.store, 2, text)
    generations = Generations(applied.world)
    assert generations.all() == [first]
    assert generations.applied() == first
    (warning,) = applied.report.warned
    assert warning.startswith("generation 2 cannot be read, and is left out: ")
    assert said in warning
    done = applied.spark.run("history").expect(0)
    assert "generation 2 cannot be read" in done.err
    assert done.out.count("\n") == 2, "a head, and the one that can be read"


def test_a_damaged_end_leaves_its_apply_pending(applied: AppliedStack) -> None:
    applied.keep()
    damage(applied.spark.store, 1, '{"schema": 1, "end": 5}', GENERATION_END)
    assert Generations(applied.world).outcome(1) == PENDING
    assert "how generation 1 ended cannot be read, and is left out: end" in applied.report.warned[0]


def test_a_store_that_is_full_refuses_before_anything_is_touched(applied: AppliedStack) -> None:
    applied.apply("{chat: {recipe: e4b-nvfp4}}")
    applied.apply("{chat: {recipe: e4b-nvfp4, set: {limits.context: 4096}}}")
    calls = list(applied.spark.engine.calls)

    class Full(FakeStore):
        """A store that is read, and takes nothing any more."""

        def add(self, record: object) -> None:
            raise InputError("cannot use what is kept in /x: database or disk is full", hint="free some space")

    applied.spark.store = Full(applied.spark.store.kept)
    done = applied.spark.run("rollback").expect(2)
    assert "disk is full" in done.err
    assert "free some space" in done.err
    assert applied.spark.engine.calls == calls


def test_a_store_that_cannot_be_read_is_an_answer_and_no_traceback(applied: AppliedStack) -> None:
    applied.spark.store.broken = InputError("cannot use what is kept in /x: it has schema 9, expected 4 or less")
    for words in (["history"], ["history", "show", "1"], ["history", "diff", "1", "2"], ["rollback"]):
        assert "it has schema 9" in applied.spark.run(*words).expect(2).err


def test_a_kept_generation_is_plain_json_of_its_own_schema(applied: AppliedStack) -> None:
    applied.keep()
    (record,) = (one for one in applied.spark.store.kept if one.kind == GENERATION)
    value = json.loads(record.text)
    assert value["schema"] == 1
    assert value["generation"]["services"][0]["declared"]["start"] == "always"
    assert (record.service, record.recipe) == ("box", "1")
