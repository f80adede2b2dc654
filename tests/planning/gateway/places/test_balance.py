"""Which of several equal services gets a request: least to do first, and no pile for a known beginning."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sparkctl.planning.gateway.places.balance import BEGIN, LEAD, ReadyPlace, chosen, prefix

NAMES = ("a", "a@b", "a@c", "a@d")
PLACES = st.lists(
    st.builds(ReadyPlace, st.sampled_from(NAMES), st.integers(0, 20), st.integers(1, 20)),
    min_size=1,
    max_size=4,
    unique_by=lambda one: one.service,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(PLACES, st.sampled_from((*NAMES, "")), st.text(max_size=4))
def test_nobody_gets_more_than_the_lead_and_nobody_full_while_another_is_free(
    places: list[ReadyPlace], known: str, turn: str
) -> None:
    found = next(one for one in places if one.service == chosen(places, known, turn))
    free = [one for one in places if one.asked < one.limit]
    assert not free or found in free
    assert found.asked <= min(one.asked for one in free or places) + (LEAD if found.service == known else 0)


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=60))
def test_requests_of_one_beginning_are_never_piled_up_s24(turns: list[tuple[int, bool]]) -> None:
    asked = dict.fromkeys(NAMES, 0)
    known = ""
    for place, ends in turns:
        name = NAMES[place]
        if ends and asked[name]:
            asked[name] -= 1
            continue
        least = min(asked.values())
        known = chosen([ReadyPlace(one, count, 100) for one, count in asked.items()], known, str(place))
        asked[known] += 1
        assert asked[known] <= least + LEAD + 1


def test_a_conversation_goes_back_to_where_its_beginning_was() -> None:
    places = [ReadyPlace("a", 2, 8), ReadyPlace("a@b", 0, 8)]
    assert chosen(places, "a") == "a"
    assert chosen([places[0]._replace(asked=3), places[1]], "a") == "a@b"
    assert chosen(places, "gone") == "a@b"
    assert chosen([]) == ""


def test_those_with_equally_little_to_do_take_turns() -> None:
    places = [ReadyPlace("a", 1, 8), ReadyPlace("a@b", 1, 8)]
    assert {chosen(places, turn=f"request {number}") for number in range(20)} == {"a", "a@b"}


def test_the_beginning_is_the_same_in_each_turn_of_a_conversation() -> None:
    system = {"role": "system", "content": "You are a careful reader. " * 1000}
    user = {"role": "user", "content": [{"type": "text", "text": "What is this?"}]}
    first = {"model": "x", "messages": [system, user]}
    later = {"model": "y", "messages": [system, user, {"role": "assistant", "content": "A"}, user], "stream": True}
    assert prefix(first) == prefix(later) != b""
    other = {"messages": [system, {"role": "user", "content": "And that?"}]}
    assert prefix(other) != prefix(first)


def test_every_api_has_a_beginning() -> None:
    bodies = [
        {"prompt": "One upon a time"},
        {"prompt": [1, 2, 3]},
        {"prompt": [1, 2, 4]},
        {"system": "Read.", "messages": [{"role": "user", "content": "x"}]},
        {"instructions": "Read.", "input": "y"},
        {"input": [{"role": "user", "content": "z"}]},
        {"input": ["z", "zz"]},
    ]
    found = [prefix(body) for body in bodies]
    assert len(set(found)) == len(bodies)
    assert b"" not in found
    assert prefix({"model": "x"}) == prefix({"messages": []}) == prefix({"prompt": ""}) == b""


def test_what_is_long_is_only_begun() -> None:
    long = {"messages": [{"role": "user", "content": "x" * BEGIN + "y" * 1_000_000}]}
    same = {"messages": [{"role": "user", "content": "x" * BEGIN + "z"}]}
    assert prefix(long) == prefix(same)


@given(st.dictionaries(st.sampled_from(("system", "messages", "prompt", "input", "instructions")), JSON))
def test_any_body_has_a_beginning_or_none(document: dict[str, object]) -> None:
    assert len(prefix(document)) in {0, 16}
