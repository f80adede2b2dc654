"""A stack is made so: admitted as a whole, in an order that loses nothing that works, and undone where it fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import InputError
from sparkctl.base.units import GIB
from sparkctl.operations.stack import standing
from sparkctl.operations.stack.one_at_a_time import APPLYING
from sparkctl.planning.box.generation import APPLIED, FAILED, PENDING
from tests.support.box import Box
from tests.support.fake_engine import dies
from tests.support.fake_world import IMAGE
from tests.support.fakes import FakeReport

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.world.engine import Container

SMALLER = "set: {limits.context: 8192}"


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def test_what_has_to_run_is_started_and_kept_as_a_generation(box: Box) -> None:
    done = box.apply("a priority: 5; b; c start: manual; d start: on-demand").expect(0)
    assert box.there() == {"sa": "running", "sb": "running"}
    assert "1. start sa, sb" in done.out
    assert "not started by an apply: sc (start: manual), sd (start: on-demand)" in done.err
    assert "box is applied: generation 1" in done.err
    applied = box.generations.applied()
    assert applied is not None
    assert [one.name for one in applied.services] == ["sa", "sb", "sc", "sd"]
    assert box.outcomes == [APPLIED]


def test_a_stack_that_is_so_already_is_left_alone_without_a_new_generation(box: Box) -> None:
    box.apply("a; b").expect(0)
    box.changed()
    done = box.apply("a; b").expect(0)
    assert "box is as declared: generation 1" in done.err
    assert (box.changed(), box.outcomes) == ([], [APPLIED])


def test_what_runs_already_is_taken_over_by_the_first_apply(box: Box) -> None:
    box.stack("a; b")
    box.run("up", "box").expect(0)
    before = box.container("sa").id
    box.run("apply", "box").expect(0)
    assert box.container("sa").id == before
    assert box.outcomes == [APPLIED]


def test_what_is_new_comes_before_what_changed_and_the_rest_is_not_touched(box: Box) -> None:
    box.apply("a; b").expect(0)
    kept = box.container("sb").id
    box.changed()
    done = box.apply(f"a {SMALLER}; b; c").expect(0)
    assert "sa: changed\n    --max-model-len: 16384 before, 8192 now" in done.out
    assert "1. start sc\n2. replace sa" in done.out
    made = [call for call in box.changed() if call.startswith("create")]
    assert made == ["create sc", "create sa"]
    assert (box.container("sb").id, box.laid_over("sa")) == (kept, ("limits.context=8192",))
    assert box.there() == dict.fromkeys(["sa", "sb", "sc"], "running")


@pytest.mark.parametrize("start", ["manual", "on-demand"])
def test_what_need_not_run_is_replaced_where_it_does_and_not_started_where_it_does_not(box: Box, start: str) -> None:
    box.apply(f"a start: {start}; b start: {start}").expect(0)
    assert box.there() == {}
    box.run("up", "sa").expect(0)
    box.apply(f"a start: {start}, {SMALLER}; b start: {start}, {SMALLER}").expect(0)
    assert box.there() == {"sa": "running"}
    assert box.laid_over("sa") == ("limits.context=8192",)


def test_only_what_was_this_box_s_is_pruned_and_only_when_asked(box: Box) -> None:
    box.stack("d", "other")
    box.run("up", "other", "rc").expect(0)
    box.apply("a; b").expect(0)
    done = box.apply("a").expect(0)
    assert "sb: removed" in done.out
    assert "declared no more (--prune removes them): sb" in done.err
    assert "sb" in box.there()
    assert "sb declared no more (left as it was)" in box.run("history").expect(0).out
    pruned = box.apply("a", "--prune").expect(0)
    assert "1. remove sb" in pruned.out
    assert set(box.there()) == {"sa", "rc", "sd"}, "what another stack has, and what was started by hand, stays"
    end = box.generations.ends()[3]
    assert (end.outcome, end.removed) == (APPLIED, ("sb",))
    assert "nothing declared: sb removed" in box.run("history").expect(0).out


def test_a_dry_run_says_what_would_be_done_and_touches_nothing(box: Box) -> None:
    box.apply("a; b").expect(0)
    box.changed()
    done = box.apply(f"a {SMALLER}; c", "--prune", "--dry-run").expect(0)
    assert "1. start sc\n2. replace sa\n3. remove sb" in done.out
    assert "nothing was done: this was a dry run" in done.err
    assert (box.changed(), box.outcomes) == ([], [APPLIED])


def test_a_dry_run_says_who_waits_for_whom_what_is_fetched_and_what_memory_there_is(box: Box) -> None:
    done = box.apply("a after: [sb]; b; c", "--dry-run").expect(0)
    assert "sa (after sb)" in done.out
    assert " available" in done.err
    assert "kept in reserve" in done.err
    assert "would be fetched" not in done.err
    box.spark.engine.images.pop(IMAGE)
    assert f"{IMAGE} is not here: it would be fetched" in box.run("apply", "box", "--dry-run").expect(0).err
    assert box.run("apply", "box", "--dry-run", "--json").json["fetched"] == [IMAGE]
    assert box.changed() == []
    box.apply("a after: [sb]; b").expect(0)
    assert "(after" not in box.apply(f"a after: [sb], {SMALLER}; b", "--dry-run").expect(0).out, "it is there already"


def test_what_was_laid_over_by_hand_is_put_right(box: Box) -> None:
    box.apply("a").expect(0)
    box.run("up", "sa", "--set", "limits.context=4096", "--replace").expect(0)
    done = box.apply("a").expect(0)
    assert "started by hand with other settings: limits.context=4096" in done.out
    assert box.laid_over("sa") == ()
    assert box.outcomes == [APPLIED, APPLIED]
    assert "nothing declared: what ran differed" in box.run("history").expect(0).out


def test_a_service_that_does_not_become_ready_undoes_what_this_apply_had_changed(box: Box) -> None:
    box.apply("a; b").expect(0)
    ids = {name: box.container(name).id for name in ("sa", "sb")}
    box.spark.engine.on_start["sb"] = dies()
    done = box.apply(f"a {SMALLER}; b {SMALLER}; c").expect(5)
    assert "sa: is started again as it was before" in done.err
    assert "generation 2 was not applied: generation 1 is in effect still" in done.err
    assert box.there() == {"sa": "running", "sb": "running"}, "what it had added goes again"
    assert box.laid_over("sa") == ()
    assert box.container("sb").id == ids["sb"], "the one that was set aside is back"
    assert box.outcomes == [APPLIED, FAILED]
    assert "sb" in box.generations.ends()[2].words


def test_what_had_ended_before_an_apply_that_fails_is_left_as_it_was(box: Box) -> None:
    box.apply("a; b").expect(0)
    ended = box.container("sb")
    box.spark.engine.stop("sb", grace_s=0)
    box.spark.engine.on_start["sb"] = dies()
    box.run("apply", "box").expect(5)
    assert box.there() == {"sa": "running", "sb": "exited"}
    assert box.container("sb").id == ended.id, "with its log"
    box.spark.engine.on_start = {"sc": dies()}
    done = box.apply("a; b; c after: [sb]").expect(5)
    assert "sb: had ended before: it does not run, as then; that container is gone" in done.err
    assert box.there() == {"sa": "running"}


def test_what_ran_by_hand_before_an_apply_that_fails_is_what_comes_back(box: Box) -> None:
    box.run("up", "ra", "--as", "sa", "--set", "limits.context=4096").expect(0)
    box.spark.engine.on_start["sb"] = dies()
    box.run("up", "rc", "--as", "sc").expect(0)
    box.stack(f"a {SMALLER}; b; c")
    box.run("apply", "box").expect(5)
    assert box.laid_over("sa") == ("limits.context=4096",)
    assert set(box.there()) == {"sa", "sc"}
    box.spark.engine.on_start.clear()
    box.run("apply", "box").expect(0)
    assert box.laid_over("sa") == ("limits.context=8192",)


def test_what_went_first_comes_back_when_its_successor_fails(box: Box) -> None:
    box.apply("a").expect(0)
    box.recipe("b", 9001)  # at the port of a
    box.spark.http.serving["127.0.0.1:9001"] = "m-a"
    box.spark.engine.on_start["sb"] = dies()
    done = box.apply("b", "--prune").expect(5)
    assert "1. remove sa\n2. start sb" in done.out, "a port is given back before it is taken"
    assert box.there() == {"sa": "running"}
    box.spark.engine.on_start.clear()
    box.spark.http.serving["127.0.0.1:9001"] = "m-b"
    box.apply("b", "--prune").expect(0)
    assert box.there() == {"sb": "running"}


def test_two_that_swap_their_ports_are_refused_before_anything_is_touched(box: Box) -> None:
    box.apply("a; b").expect(0)
    box.recipe("a", 9002)
    box.recipe("b", 9001)
    box.changed()
    done = box.run("apply", "box").expect(2)
    assert "nothing was touched: in no order can each start have its room and its port" in done.err
    assert box.changed() == []


def test_a_stack_that_does_not_fit_is_refused_whole(box: Box) -> None:
    box.apply("a").expect(0)
    box.changed()
    box.spark.host.available = 20 * GIB
    done = box.apply(f"a; b; c {SMALLER}").expect(3)
    assert "short" in done.err or "GiB" in done.err
    assert (box.changed(), box.outcomes) == ([], [APPLIED])
    box.apply("a; b", "--dry-run").expect(3)


def test_the_reserve_of_a_stack_is_kept_free_and_kept_in_the_generation(box: Box) -> None:
    box.stack("a", more="host: {reserve: 100 GiB}\n")
    box.run("apply", "box").expect(3)
    box.stack("a", more="host: {reserve: 20 GiB}\n")
    box.run("apply", "box").expect(0)
    applied = box.generations.applied()
    assert applied is not None
    assert applied.reserve_bytes == 20 * GIB
    box.stack("a", more="host: {reserve: 12 GiB}\n")
    done = box.run("apply", "box").expect(0)
    assert "host.reserve: 20.0 GiB before, 12.0 GiB now" in done.out
    assert box.outcomes == [APPLIED, APPLIED]


def test_a_service_of_another_stack_is_refused_unless_that_one_was_applied_last(box: Box) -> None:
    box.stack("a; b", "other")
    box.run("up", "other").expect(0)
    done = box.apply("a").expect(2)
    assert "sa of the stack other" in done.err
    assert "sparkctl down sa" in done.err
    box.run("apply", "other").expect(0)
    successor = box.apply("a; c", "--prune").expect(0)
    assert "remove sb" in successor.out
    assert set(box.there()) == {"sa", "sc"}


def test_a_second_apply_meanwhile_is_refused_and_says_who_is_at_it(box: Box) -> None:
    box.apply("a").expect(0)
    box.spark.locks.working.add(APPLYING)
    box.changed()
    done = box.apply("a; b").expect(4)
    assert "another command puts a stack into effect on this engine" in done.err
    generation = box.generations.last()
    assert generation is not None
    box.generations.keep(generation)
    assert f"{generation.who} (generation 2, box) puts a stack" in box.apply("a; b").expect(4).err
    assert box.changed() == []


def test_an_apply_that_was_killed_is_told_and_the_next_one_converges(box: Box) -> None:
    box.apply("a").expect(0)
    generation = box.generations.last()
    assert generation is not None
    box.generations.keep(generation)
    assert "generation 2 (box, by" in box.run("diff").expect(9).err
    assert "did not come to its end: its process was killed" in box.run("diff").err
    box.spark.locks.working.add(APPLYING)
    assert "is being applied" in box.run("diff").err
    box.spark.locks.working.clear()
    box.run("apply", "box").expect(0)
    assert box.outcomes == [APPLIED, PENDING, APPLIED]
    box.run("diff").expect(0)


def test_what_is_pruned_is_waited_for_while_another_command_works_on_it(box: Box) -> None:
    box.apply("a; b").expect(0)
    box.spark.locks.working.add("sb")
    box.spark.clock.dies = box.spark.locks.working.clear
    done = box.apply("a", "--prune").expect(0)
    assert "sb: waiting: another command works on it" in done.err
    assert set(box.there()) == {"sa"}


def test_a_store_that_keeps_nothing_refuses_before_anything_is_touched(box: Box) -> None:
    box.stack("a")
    world_is_full = InputError("the disk is full")
    box.spark.store.broken = world_is_full
    assert "the disk is full" in box.run("apply", "box").expect(2).err
    assert box.there() == {}


def test_an_end_that_cannot_be_kept_is_told_as_that_and_the_next_apply_keeps_it(box: Box) -> None:
    def fills_the_disk(container: Container) -> Container:
        box.spark.store.full = InputError("the disk is full", hint="free some space")
        return container

    box.spark.engine.on_start["sa"] = fills_the_disk
    done = box.apply("a").expect(2)
    assert "every service is as box declares it, but that cannot be kept: the disk is full" in done.err
    assert "free some space; then apply it again: what runs so stays up" in done.err
    assert box.there() == {"sa": "running"}
    box.spark.store.full = None
    assert "or that could not be kept" in box.run("diff", "box").expect(9).err
    before = box.spark.engine.calls.count("start sa")
    box.run("apply", "box").expect(0)
    assert (box.spark.engine.calls.count("start sa"), box.run("diff").expect(0).code) == (before, 0)


def test_an_interrupted_apply_leaves_what_loads_loading(box: Box) -> None:
    box.spark.engine.prints["sb"] = ["Starting to load model /models/m..."]
    box.spark.http.serving.pop("127.0.0.1:9002")
    box.spark.clock.interrupt_at = 100.0
    done = box.apply("a; b").expect(130)
    assert "stopped waiting for sb: it goes on loading" in done.err
    assert box.there() == {"sa": "running", "sb": "running"}
    assert box.generations.ends()[1].words == "interrupted by the operator: what was changed stays"


def test_what_was_paused_or_held_is_started_and_is_so_no_more(box: Box) -> None:
    box.apply("a; b").expect(0)
    box.run("down", "sb").expect(0)
    standing.hold(box.spark.world(FakeReport()), "sa", "three failures within 30 minutes")
    done = box.run("diff").expect(9)
    assert "sa: drifted\n    it runs, and is kept as held: three failures within 30 minutes" in done.out
    assert "sb: drifted\n    it does not run: paused by " in done.out
    box.run("apply", "box").expect(0)
    assert box.there() == {"sa": "running", "sb": "running"}
    assert standing.standings(box.spark.world(FakeReport())) == {}
    box.run("diff").expect(0)


def test_a_failed_apply_leaves_what_is_paused_paused(box: Box) -> None:
    box.apply("a; b").expect(0)
    box.run("down", "sb").expect(0)
    box.spark.engine.on_start["sa"] = dies()
    box.apply(f"a {SMALLER}; b").expect(5)
    assert list(standing.standings(box.spark.world(FakeReport()))) == ["sb"]
    assert box.there() == {"sa": "running"}


def test_two_new_ones_of_which_one_fails_are_both_taken_away(box: Box) -> None:
    box.spark.engine.on_start["sb"] = dies()
    box.apply("a; b; c").expect(5)
    assert (box.there(), box.outcomes) == ({}, [FAILED])


def test_locked_refuses_what_is_not_as_it_was_locked(box: Box) -> None:
    box.stack("a")
    assert box.run("apply", "box", "--locked").code == 2, "there is no lock"
    box.run("lock", "box").expect(0)
    box.run("apply", "box", "--locked").expect(0)
    box.spark.engine.tagged[IMAGE] = "sha256:another"
    box.changed()
    done = box.run("apply", "box", "--locked").expect(2)
    assert "not as it was locked" in done.err
    assert box.changed() == []


def test_what_cannot_be_brought_back_is_told_and_kept(box: Box) -> None:
    box.apply("a; b").expect(0)
    box.spark.store.kept.clear()  # no generation knows any more what ran
    box.recipe("a", 9001, "limits: {sequences: 2}\n")
    box.spark.engine.on_start["sb"] = dies()
    box.stack(f"a; b {SMALLER}")
    done = box.run("apply", "box").expect(5)
    told = "sa could not be brought back to what it was: no generation has what ran, and its recipe ra says something"
    assert told in done.err
    assert told in box.generations.ends()[1].words
    assert box.there() == {"sa": "running", "sb": "running"}, "the new one stays rather than nothing"


def test_the_program_interface_applies_and_says_the_same(box: Box) -> None:
    box.stack("a")
    row = box.run("apply", "box", "--dry-run", "--json").json
    assert row["acts"] == [{"act": "start", "services": ["sa"]}]
    assert (row["generation"], row["already"], row["diff"]["same"]) == (None, False, False)
    lines = box.run("apply", "box", "--json").expect(0).out.splitlines()
    assert '"generation":1' in lines[-1].replace(" ", "")
