"""Whatever is seen of a box, in whatever order, some things are never done."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from sparkctl.base.units import GIB
from sparkctl.planning.agent.decision import decide
from sparkctl.planning.agent.observation import (
    LONG,
    ActionKind,
    ActionOutcome,
    ActionResult,
    BoxSeen,
    Incarnation,
    SeenService,
    SeenState,
    Standing,
    StandingKind,
)
from sparkctl.planning.agent.past import AgentPast
from sparkctl.planning.agent.restarts import HOUR_S, STARTS_AN_HOUR
from sparkctl.planning.box.declared import DeclaredService, Restarts, StartMode
from tests.support.thorough import examples

NAMES = ("a", "b", "c")
PAST = TypeAdapter(AgentPast)
FEW_BYTES = st.none() | st.integers(0, 60).map(lambda gib: gib * GIB)
SERVICES = st.builds(
    SeenService,
    name=st.just(""),
    state=st.sampled_from(SeenState),
    incarnation=st.none() | st.builds(Incarnation, st.sampled_from("xy"), st.sampled_from((1.0, 2.0))),
    exit_code=st.none() | st.integers(0, 255),
    oom_killed=st.booleans(),
    worked_on=st.sampled_from((False, False, False, True)),
    standing=st.sampled_from((None,) * 6 + (Standing(StandingKind.PAUSED), Standing(StandingKind.HELD, "why"))),
    held_bytes=FEW_BYTES,
    mods_lost=st.sampled_from(((), (), ("mtp",))),
    lacks=st.sampled_from(("", "", "the driver does not answer")),
    cause=st.sampled_from(("", "no memory")),
    passes=st.sampled_from((True, True, False)),
)
LOOKS = st.builds(
    BoxSeen,
    services=st.tuples(*(SERVICES.map(lambda one, name=name: replace(one, name=name)) for name in NAMES)),
    agent=st.sampled_from(("one", "one", "one", "two")),
    boot=st.sampled_from(("one", "one", "one", "one", "two")),
    engine=st.sampled_from(("", "", "", "the engine does not answer")),
    available_bytes=FEW_BYTES,
    others_bytes=FEW_BYTES,
    closed=st.sampled_from(("", "", "", "the guard admits no start")),
)
RESULTS = st.none() | st.sampled_from(ActionResult)
STEPS = st.lists(st.tuples(LOOKS, st.floats(0, 900), st.floats(-1, 1), RESULTS), min_size=1, max_size=25)
DECLARED = st.tuples(
    *(
        st.builds(
            DeclaredService,
            name=st.just(name),
            start=st.sampled_from((StartMode.ALWAYS, StartMode.ALWAYS, StartMode.ON_DEMAND, StartMode.MANUAL)),
            priority=st.integers(0, 2),
            keep=st.booleans(),
            after=st.sampled_from(((), (), *((other,) for other in NAMES if other != name))),
            idle_s=st.none(),
            stays_s=st.just(60.0),
            restarts=st.builds(Restarts, st.floats(1, 20), st.floats(20, 600), st.integers(1, 4), st.floats(60, 3600)),
        )
        for name in NAMES
    )
)


@settings(max_examples=examples(320), deadline=None)
@given(DECLARED, STEPS)
def test_never_two_starts_at_once_nor_one_of_what_is_left_alone(
    declared: tuple[DeclaredService, ...], steps: list[tuple[BoxSeen, float, float, ActionResult | None]]
) -> None:
    past, now = AgentPast(), 0.0
    modes = {one.name: one.start for one in declared}
    for look, after_s, jitter, result in steps:
        now += after_s
        seen = look
        if past.underway is not None and result is not None:
            seen = replace(look, outcome=ActionOutcome(past.underway.number, result, "why"))
        busy = past.underway if seen.outcome is None and past.underway and past.underway.agent == seen.agent else None
        rebooted = past.boot != seen.boot
        found = decide(declared, seen, past, now, jitter)
        assert not decide(declared, seen, found.past, now, jitter).actions
        assert PAST.validate_json(PAST.dump_json(found.past)) == found.past
        assert [one.name for one in found.words] == list(NAMES)
        assert all(one.words for one in found.words)
        assert 0 < found.next_s <= 5
        long = [action for action in found.actions if action.kind in LONG]
        assert len(long) <= (0 if busy and not rebooted else 1)
        for action in long:
            one = seen.service(action.service)
            assert not seen.engine
            assert not one.worked_on
            assert one.standing is None or (one.standing.kind is StandingKind.HELD and action.kind is ActionKind.STOP)
            if action.kind is ActionKind.START:
                assert modes[one.name] is StartMode.ALWAYS
                assert not one.live
                assert not one.lacks
                assert not seen.closed
                assert not any(other.state is SeenState.STARTING for other in seen.services)
        past = found.past
    counted = [one.at for one in past.starts]
    assert len([at for at in counted if now - at < HOUR_S]) <= STARTS_AN_HOUR
