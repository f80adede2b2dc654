"""Two hundred starts with faults at random: none is called ready that is not, and none dead that only takes time."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from sparkctl.operations.start.acceptance import Floor
from sparkctl.operations.start.readiness import STILL_S, Outcome, Progress, Seen, Target, begin, step
from sparkctl.vllm.server import Route
from sparkctl.world.engine import Container
from sparkctl.world.web import Reply
from tests.support.answering import answered
from tests.support.thorough import examples

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGET = Target(service="e4b", served_name="gemma-4-e4b", timeout_s=120)
RUNS = Container("c1", "e4b", "image", "sha", "running", {}, started_at=1.0)
LOST = (None, "connection refused"), (None, "connection reset by peer"), (None, "no answer in time"), (503, "loading")
DRAFTS = replace(TARGET, floor=Floor({"overall": 0.4}, declared=True))
METRICS = ("good", "none", "garbage", "500", "silent", "no drafts", "low")
FAULTS = ("none", "exits", "removed", "restarts", "another model", "no key", "no tokens", "hangs", "dies late")


@dataclass(frozen=True)
class Start:
    """One start: it loads for so long and says so, stands still between lines, and has one fault at most."""

    load_s: int
    quiet_s: int
    fault: str
    fault_s: int
    noise: tuple[int, ...]
    metrics: str
    earlier: int

    def container(self, now: float) -> Container | None:
        late = self.fault == "dies late" and now > self.load_s
        if now < self.fault_s and not late:
            return RUNS
        if self.fault == "exits" or late:
            return RUNS._replace(state="exited", exit_code=0)
        if self.fault == "removed":
            return None
        return RUNS._replace(started_at=99.0) if self.fault == "restarts" else RUNS

    def lines(self, now: float) -> list[str]:
        """Return what the log says: a line now and then while it loads, and our own questions afterwards."""
        if now < self.load_s and now % max(1, self.quiet_s) == 0:
            return [f"Loading safetensors checkpoint shards: 10% Completed | {now:.0f}/{self.load_s}"]
        return ['INFO: 127.0.0.1:5 - "GET /health HTTP/1.1" 200 OK']

    def reply(self, now: float, probe: Route) -> Reply:
        if now < self.load_s:
            return Reply(*LOST[self.noise[int(now) % len(self.noise)]])
        if probe is Route.HEALTH:
            return Reply(200, "")
        if probe is Route.MODELS:
            name = "another" if self.fault == "another model" else "gemma-4-e4b"
            listed = Reply(200, json.dumps({"data": [{"id": name}]}))
            return Reply(401, "Unauthorized") if self.fault == "no key" else listed
        if self.fault == "hangs":
            return Reply(None, "no answer in time")
        if probe is Route.METRICS:
            return self.counters(now)
        return Reply(
            200, json.dumps({"choices": [{}], "usage": {"completion_tokens": 0 if self.fault == "no tokens" else 4}})
        )

    def counters(self, now: float) -> Reply:
        """Answer /metrics: so many drafts of two tokens each second, and some before anybody asked."""
        odd = {"none": (404, ""), "garbage": (200, "<html>\0"), "500": (500, "error"), "silent": (None, "no answer")}
        if self.metrics in odd:
            return Reply(*odd[self.metrics])
        drafts = 0 if self.metrics == "no drafts" else 100 * now + self.earlier
        accepted = 0.3 if self.metrics == "low" else 0.5
        counts = {"num_drafts": drafts, "num_draft_tokens": 2 * drafts, "num_accepted_tokens": 2 * drafts * accepted}
        return Reply(200, "".join(f"vllm:spec_decode_{name}_total {count}\n" for name, count in counts.items()))


def walked(start: Start, target: Target) -> Iterator[tuple[float, Progress]]:
    """Walk a start second by second, for as long as anybody would wait."""
    progress, now = begin(target, 0), 0.0
    while progress.outcome is None and now < start.load_s + TARGET.timeout_s + 3 * STILL_S:
        now += 1
        seen = Seen(now, start.container(now), start.lines(now), answered(progress, start.reply(now, progress.probe)))
        progress = step(progress, seen)
        yield now, progress


starts = st.builds(
    Start,
    load_s=st.integers(1, 300),
    quiet_s=st.integers(1, int(STILL_S) - 1),
    fault=st.sampled_from(FAULTS),
    fault_s=st.integers(2, 300),
    noise=st.lists(st.integers(0, len(LOST) - 1), min_size=1, max_size=8).map(tuple),
    metrics=st.sampled_from(METRICS),
    earlier=st.integers(0, 10_000),
)
BROKEN = frozenset({"another model", "no key", "no tokens", "hangs", "dies late"})


def ends_badly(start: Start) -> bool:
    """Return whether nobody could call this start ready."""
    return start.fault in BROKEN or (start.fault in {"exits", "removed", "restarts"} and start.fault_s <= start.load_s)


@settings(max_examples=examples(200))
@given(starts)
def test_two_hundred_starts_with_faults(start: Start) -> None:
    *_, (now, progress) = walked(start, TARGET)
    outcome = progress.outcome
    assert outcome is not None, "a wait ends"
    if ends_badly(start):
        assert not outcome.ready, f"false ready: {start}"
        assert outcome.message
    elif start.fault == "none" or start.fault_s > start.load_s + 3:
        assert outcome == Outcome(ready=True), f"false dead: {start}"
        assert start.load_s <= now <= start.load_s + 3


@settings(max_examples=examples(200))
@given(starts)
def test_two_hundred_starts_that_draft(start: Start) -> None:
    *_, (_, progress) = walked(start, DRAFTS)
    outcome = progress.outcome
    assert outcome is not None, "a wait ends"
    if ends_badly(start):
        assert not outcome.ready, f"false ready: {start}"
    elif start.fault == "none" and start.metrics == "low":
        assert outcome.drafts_in_vain, f"false ready: {start}"
        assert not outcome.ready
    elif start.fault == "none":
        assert outcome.ready, f"false dead: {start}"
        assert bool(outcome.note) == (start.metrics != "good"), "what could not be counted is said"
