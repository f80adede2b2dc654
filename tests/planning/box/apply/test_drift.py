"""How a box differs from its declaration and from what was applied."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparkctl.planning.box.apply.drift import DiffKind, FoundService, ServiceDiff, Three, differences
from sparkctl.planning.box.declared import DeclaredService, Restarts, StartMode
from sparkctl.planning.box.generation import KeptService
from tests.support.thorough import examples

DECLARED = DeclaredService("a", StartMode.ALWAYS, 0, False, (), None, 60.0, Restarts(10, 300, 3, 1800))
KEPT = KeptService(DECLARED, "e4b-nvfp4", "", ("docker", "run"), "0" * 12, "image:tag", "sha256:1")
RUNS = FoundService("a", "running", KEPT.digest, "e4b-nvfp4", "box")


def named(name: str, start: StartMode = StartMode.ALWAYS) -> KeptService:
    return replace(KEPT, declared=replace(DECLARED, name=name, start=start))


def one(
    declared: KeptService | None,
    applied: KeptService | None,
    seen: FoundService | None,
    *,
    changes: tuple[str, ...] = (),
    moved: str = "",
    standing: str = "",
) -> ServiceDiff:
    three = Three(
        "box",
        {} if declared is None else {"a": declared},
        {} if applied is None else {"a": applied},
        {} if seen is None else {"a": seen},
        {"a": standing} if standing else {},
    )
    (found,) = differences(three, {"a": changes}, {"a": moved} if moved else {})
    return found


def test_what_is_declared_applied_and_runs_so_does_not_differ() -> None:
    assert one(KEPT, KEPT, RUNS) == ServiceDiff("a", (), state="running", start="always")


def test_a_service_that_has_to_run_and_does_not_has_drifted_with_the_reason() -> None:
    gone = one(KEPT, KEPT, None)
    assert gone.kinds == (DiffKind.DRIFTED,)
    assert gone.drifts == ("it does not run: it has no container, and no `sparkctl down` paused it",)
    ended = one(KEPT, KEPT, replace(RUNS, state="exited", ended="it ended by itself with 0"))
    assert ended.drifts == ("it does not run: it ended by itself with 0",)
    assert one(KEPT, KEPT, replace(RUNS, state="created")).drifts == ("it does not run: its container is created",)
    assert one(KEPT, KEPT, None, standing="paused by alice").drifts == ("it does not run: paused by alice",)
    assert one(KEPT, KEPT, RUNS, standing="paused").drifts == ("it runs, and is kept as paused",)


def test_what_is_started_by_hand_alone_may_be_stopped_by_hand() -> None:
    manual, asked = (named("a", start) for start in (StartMode.MANUAL, StartMode.ON_DEMAND))
    assert one(manual, manual, None, standing="paused by alice").same
    assert one(asked, asked, None, standing="paused by alice").drifts == ("it does not run: paused by alice",)


@pytest.mark.parametrize("start", [StartMode.MANUAL, StartMode.ON_DEMAND])
def test_a_service_that_need_not_run_has_not_drifted_when_it_does_not(start: StartMode) -> None:
    kept = named("a", start)
    assert one(kept, kept, None).same
    assert one(kept, kept, replace(RUNS, state="exited")).same
    assert one(kept, kept, replace(RUNS, digest="1" * 12, laid_over="limits.context=512")).drifts == (
        "it was started by hand with other settings: limits.context=512",
    )


def test_what_was_laid_over_by_hand_is_named_with_how_it_differs() -> None:
    seen = replace(RUNS, digest="1" * 12, laid_over="limits.context=512", differs=("--max-model-len: 512 runs, …",))
    found = one(KEPT, KEPT, seen)
    assert found.drifts[0] == "it was started by hand with other settings: limits.context=512"
    assert found.drifts[1:] == seen.differs


def test_what_is_declared_otherwise_has_changed_and_runs_as_it_was_applied() -> None:
    declared = replace(KEPT, digest="2" * 12)
    found = one(declared, KEPT, RUNS, changes=("--max-model-len: 1 applied, 2 declared",))
    assert (found.kinds, found.drifts) == ((DiffKind.CHANGED,), ())
    by_hand = one(declared, KEPT, replace(RUNS, digest="2" * 12), changes=("x",))
    assert by_hand.kinds == (DiffKind.CHANGED, DiffKind.DRIFTED)
    assert by_hand.drifts == (
        "it runs as it is declared now already, started by hand, or by an apply that has not come to its end",
    )


def test_what_moved_or_is_lost_has_drifted_without_a_word_of_settings() -> None:
    found = one(KEPT, KEPT, replace(RUNS, lost=("mod x: /a.py is another",)), moved="image:tag names another image")
    assert found.kinds == (DiffKind.DRIFTED,)
    assert found.drifts == ("image:tag names another image", "mod x: /a.py is another")


def test_what_is_new_gone_and_of_others_is_told_apart() -> None:
    assert one(KEPT, None, None).kinds == (DiffKind.ADDED,)
    assert (
        "is there already, started by hand, or by an apply that has not come to its end"
        in one(KEPT, None, RUNS).changes[0]
    )
    removed = one(None, KEPT, RUNS)
    assert removed.kinds == (DiffKind.REMOVED,)
    assert "--prune" in removed.changes[0]
    assert "no container" in one(None, KEPT, None).changes[0]
    assert "of no stack" in one(None, None, replace(RUNS, stack="")).drifts[0]
    assert "of the stack other" in one(None, None, replace(RUNS, stack="other")).drifts[0]
    assert "--prune" in one(None, None, RUNS).drifts[0]


@settings(max_examples=examples(500), deadline=None)
@given(st.data())
def test_every_name_of_the_three_sides_is_told_once_and_the_same_says_nothing(data: st.DataObject) -> None:
    names = st.sets(st.sampled_from("abcdef"))
    declared, applied, seen = (data.draw(names) for _ in range(3))
    three = Three(
        "box",
        {name: named(name) for name in sorted(declared)},
        {name: named(name) for name in sorted(applied)},
        {name: replace(RUNS, name=name) for name in seen},
        {},
    )
    found = differences(three, {}, {})
    assert sorted(diff.name for diff in found) == sorted(declared | applied | seen)
    for diff in found:
        sides = (diff.name in declared, diff.name in applied, diff.name in seen)
        assert diff.same == (sides == (True, True, True))
        assert diff.same == (not diff.changes and not diff.drifts)
