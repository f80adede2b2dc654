"""The order in which the guard ends services."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from sparkctl.base.units import GIB
from sparkctl.planning.agent.victims import Candidate, victims
from tests.support.thorough import examples


def service(name: str, priority: int, **more: object) -> Candidate:
    return Candidate(name, priority, keep=False, starting=False, started_at=0.0)._replace(**more)


def order(*candidates: Candidate) -> list[str]:
    return [one.name for one in victims(candidates)]


def test_the_one_that_starts_goes_first_whatever_its_priority() -> None:
    found = victims([service("low", 1), service("high", 9, starting=True)])
    assert [(one.name, one.why) for one in found] == [
        ("high", "it is starting"),
        ("low", "its priority 1 is the lowest"),
    ]


def test_the_one_that_grew_most_beyond_its_claim_comes_before_one_of_lower_priority() -> None:
    grew = service("grew", 5, grown_bytes=4 * GIB, over_bytes=3 * GIB)
    grew_within = service("within", 4, grown_bytes=9 * GIB, over_bytes=0)
    found = victims([service("low", 1), grew_within, grew, service("high", 9)])
    assert [one.name for one in found] == ["grew", "low", "within", "high"]
    assert found[0].why == "it grew by 3.0 GiB beyond its claim in ten seconds"


def test_the_highest_priority_is_not_ended_first_because_it_grew() -> None:
    grew = service("high", 9, grown_bytes=4 * GIB, over_bytes=4 * GIB)
    assert order(grew, service("low", 1)) == ["low", "high"]
    assert order(grew, service("peer", 9)) == ["high", "peer"]


def test_without_a_claim_all_that_it_grew_counts() -> None:
    unknown = service("unknown", 5, grown_bytes=2 * GIB)
    assert order(service("low", 1), unknown, service("high", 9)) == ["unknown", "low", "high"]


def test_of_the_same_priority_the_youngest_goes_first_and_one_to_keep_last() -> None:
    old, young = service("old", 1, started_at=10.0), service("young", 1, started_at=20.0)
    kept = service("kept", 1, started_at=30.0, keep=True)
    assert order(kept, old, young, service("next", 2)) == ["young", "old", "kept", "next"]
    assert victims([kept])[0].why == "its priority 1 is the lowest, and it is to be kept"


def test_what_the_stack_does_not_declare_comes_after_all_but_its_highest_priority() -> None:
    hand = service("hand", 0, declared=False, started_at=99.0)
    found = victims([hand, service("low", 1), service("middle", 5), service("high", 9), service("peer", 9)])
    assert [one.name for one in found] == ["low", "middle", "hand", "high", "peer"]
    assert found[2].why == "it was started by hand: the applied stack does not declare it"
    assert order(hand, service("one", 3), service("other", 3)) == ["one", "other", "hand"], (
        "no priority is above another"
    )
    grew = hand._replace(grown_bytes=4 * GIB)
    assert order(service("low", 1), service("high", 9), grew) == ["hand", "low", "high"]
    assert order(service("low", 1), hand._replace(starting=True)) == ["hand", "low"]


CANDIDATES = st.lists(
    st.builds(
        Candidate,
        name=st.uuids().map(str),
        priority=st.integers(-3, 3),
        keep=st.booleans(),
        starting=st.booleans(),
        started_at=st.floats(0, 1e6),
        grown_bytes=st.none() | st.integers(-GIB, 9 * GIB),
        over_bytes=st.none() | st.integers(-GIB, 9 * GIB),
        declared=st.booleans(),
    ),
    unique_by=lambda one: one.name,
)


@settings(max_examples=examples(300))
@given(CANDIDATES)
def test_everybody_is_in_it_once_and_a_higher_priority_is_before_a_lower_one_only_for_a_reason(
    candidates: list[Candidate],
) -> None:
    found = victims(candidates)
    assert sorted(one.name for one in found) == sorted(one.name for one in candidates)
    by = {one.name: one for one in candidates}
    plain = [by[one.name].priority for one in found if one.why.startswith("its priority")]
    assert plain == sorted(plain)
    assert sum(one.why.startswith("it grew") for one in found) <= 1
