"""Whatever the desk is told, in whatever order, some things hold."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zlib import crc32

from hypothesis import given, settings
from hypothesis import strategies as st

from sparkctl.planning.box.declared import StartMode
from sparkctl.planning.gateway.desk.due import due_s
from sparkctl.planning.gateway.desk.effects import ForwardRequest, RefuseRequest, StartService, StopService
from sparkctl.planning.gateway.desk.events import (
    DeskTick,
    FirstByte,
    GuardClosed,
    MemoryLooked,
    RequestAsked,
    RequestEnded,
    RequestLeft,
    RequestRests,
    SeenAtDesk,
    ServerLost,
    ServicePinned,
    ServicesSeen,
    ServiceStarted,
    ServiceStopped,
    StackDeclared,
    StartFailed,
    StartGoesOn,
    StopFailed,
)
from sparkctl.planning.gateway.desk.request import DeskRequest
from sparkctl.planning.gateway.desk.room import DeskRoom
from sparkctl.planning.gateway.desk.rules.waiting_words import waiting_words
from sparkctl.planning.gateway.desk.service import DeskDeclared, DeskState
from sparkctl.planning.gateway.desk.step import EMPTY, step
from tests.support.thorough import examples

if TYPE_CHECKING:
    from sparkctl.planning.gateway.desk.effects import DeskEffect
    from sparkctl.planning.gateway.desk.events import DeskEvent
    from sparkctl.planning.gateway.desk.state import Desk

NAMES = st.sampled_from(("a", "b", "c", "nobody"))
IDS = st.sampled_from([f"r{number}" for number in range(8)])
DECLARED = st.lists(
    st.builds(
        DeskDeclared,
        name=NAMES,
        start=st.sampled_from(StartMode),
        priority=st.integers(0, 2),
        keep=st.booleans(),
        idle_s=st.none() | st.floats(0, 600),
        stays_s=st.floats(0, 100),
        limit=st.integers(1, 2),
        queue=st.integers(0, 2),
        load_s=st.floats(0, 200),
        after=st.lists(NAMES, max_size=2).map(tuple),
    ),
    max_size=4,
    unique_by=lambda one: one.name,
).map(lambda those: StackDeclared(tuple(those)))
LOOKS = st.lists(
    st.builds(
        SeenAtDesk,
        service=NAMES,
        state=st.sampled_from(DeskState),
        busy=st.booleans(),
        wanted=st.booleans(),
        wait_s=st.sampled_from((0.0, 0.0, 50.0)),
        eta_s=st.none() | st.floats(-10, 900),
    ),
    max_size=3,
)


def _fits(seed: int) -> MemoryLooked:
    """Return a look by which whatever fits is as good as drawn, but the same each time that it is asked."""
    return MemoryLooked(
        lambda going, coming: DeskRoom(crc32(repr((seed, sorted(going), coming)).encode()) % 3 > 0, lambda: "a sum")
    )


EVENTS = st.one_of(
    DECLARED,
    st.builds(
        RequestAsked,
        st.builds(
            DeskRequest,
            id=IDS,
            service=NAMES,
            stream=st.booleans(),
            may_start=st.booleans(),
            keeps=st.booleans(),
            sent=st.booleans(),
            priority=st.integers(0, 1),
            wait_s=st.floats(0, 600),
        ),
    ),
    st.builds(RequestLeft, IDS),
    st.builds(RequestEnded, IDS),
    st.builds(FirstByte, IDS),
    st.builds(RequestRests, IDS, st.booleans()),
    st.builds(ServiceStarted, NAMES),
    st.builds(StartFailed, NAMES, st.just("why"), passes=st.booleans(), no_room=st.booleans()),
    st.builds(StartGoesOn, NAMES, st.just("loading weights"), st.none() | st.floats(-5, 900)),
    st.builds(ServiceStopped, NAMES),
    st.builds(StopFailed, NAMES, st.just("why")),
    st.builds(ServicesSeen, LOOKS.map(tuple), st.sampled_from(("", "", "job train"))),
    st.builds(ServerLost, NAMES),
    st.builds(ServicePinned, NAMES, st.booleans()),
    st.integers(0, 99).map(_fits),
    st.just(MemoryLooked(None, "the engine does not answer")),
    st.builds(GuardClosed, st.sampled_from(("", "", "the guard"))),
    st.just(DeskTick()),
)


def _held(before: Desk, after: Desk, effect: DeskEffect) -> None:
    """Hold an effect against the desk before and after it."""
    if isinstance(effect, ForwardRequest):
        assert effect.id not in before.requests or before.requests[effect.id].served_at is None
        assert after.services[effect.service].state is DeskState.READY
    elif isinstance(effect, RefuseRequest):
        assert effect.id not in after.requests
    elif isinstance(effect, StopService):
        assert not after.serving(effect.service)
        assert after.services[effect.service].ours
    elif isinstance(effect, StartService):
        assert not after.closed
        assert after.starting == effect.service


@settings(max_examples=examples(480), deadline=None)
@given(DECLARED, st.lists(st.tuples(EVENTS, st.floats(0, 120)), max_size=40))
def test_each_request_has_one_answer_and_nothing_is_done_twice(
    first: StackDeclared, events: list[tuple[DeskEvent, float]]
) -> None:
    now = 0.0
    desk, _ = step(EMPTY, first, now)
    unanswered: set[str] = set()
    for event, after in events:
        now += after
        if isinstance(event, RequestAsked):
            if event.request.id in desk.requests:
                continue
            unanswered.add(event.request.id)
        before = desk
        desk, effects = step(desk, event, now)
        for effect in effects:
            _held(before, desk, effect)
        ended = {event.id} if isinstance(event, RequestLeft | RequestEnded) else set()
        refused = {one.id for one in effects if isinstance(one, RefuseRequest)}
        assert refused <= unanswered
        unanswered -= refused | ended
        assert set(desk.requests) == unanswered
        assert sum(one.state is DeskState.STARTING and one.ours for one in desk.services.values()) <= 1
        assert step(desk, DeskTick(), now).effects == ()
        due = due_s(desk, now)
        assert due is None or due > 0
        assert all(waiting_words(desk, one, now) or one.served_at is not None for one in desk.requests.values())
