"""Admission against a machine of its own: every moment of every start is walked, and every order is tried."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import permutations
from random import Random
from typing import TYPE_CHECKING

from sparkctl.memory.pool import Pool
from sparkctl.planning.admission import StartupCheck
from sparkctl.planning.box.order import is_in_order
from sparkctl.planning.plan import Action, Running, Wanted, make_plan
from tests.support.thorough import examples

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SETS = examples(10_000)
TOTAL = 300


@dataclass(frozen=True)
class Situation:
    wanted: list[Wanted]
    running: list[Running]
    pool: Pool
    replace: bool


def situation(random: Random) -> Situation:
    """Return a random set, what runs, and a pool that is about large enough."""
    services = []
    for name in random.sample("abcdefg", random.choice([1, 2, 2, 3, 3, 4, 4, 5])):
        steady = random.randint(0, 40)
        peak = steady + random.choice([0, random.randint(0, 40)])
        fraction = random.choice([0.0, random.randint(1, 60) / 100])
        check = StartupCheck(fraction, random.randint(0, 5), counts_cache=random.random() < 0.2) if fraction else None
        services.append(
            Wanted(name, "r", random.choice("12"), steady, peak, priority=random.randint(0, 3), check=check)
        )
    if random.random() < 0.5:  # some come after others, in no circle
        earlier = [one.name for one in random.sample(services, len(services))]
        services = [
            one._replace(after=tuple(name for name in earlier[: earlier.index(one.name)] if random.random() < 0.4))
            for one in services
        ]
    running = []
    for name in random.sample("abcdefghi", random.randint(0, 4)):
        claim = random.choice([random.randint(0, 40)] * 5 + [None])
        running.append(
            Running(
                name,
                "r",
                random.choice("12"),
                random.choice(["ready", "starting", "stopped"]),
                claim,
                random.choice([None, random.randint(0, 50)]),
                peak_bytes=random.choice([None, (claim or 0) + random.randint(0, 20)]),
            )
        )
    available = random.randint(0, 250)
    pool = Pool(TOTAL, available, random.randint(0, 20), cache_bytes=random.randint(0, available // 2))
    return Situation(services, running, pool, random.random() < 0.5)


class Machine:
    """A machine with unified memory. Whatever a running service may still take, it takes at once: the worst of it."""

    def __init__(self, pool: Pool, running: Sequence[Running], waited: set[str]) -> None:
        self.total, self.cache = pool.total_bytes, pool.cache_bytes
        self.held: dict[str, int] = {}
        others = pool.total_bytes - pool.available_bytes
        for service in running:
            now, finally_ = self._grown(service, past_its_peak=service.name in waited)
            self.held[service.name] = finally_
            others -= now
        self.others = others

    @staticmethod
    def _grown(service: Running, *, past_its_peak: bool) -> tuple[int, int]:
        """Return what a service holds now, as far as anybody can tell, and the most that it will."""
        if service.state == "stopped":
            return 0, 0
        starting = service.state == "starting"
        claim, peak = service.claim_bytes, service.peak_bytes if starting and not past_its_peak else None
        most = max(claim or 0, peak or 0)
        if service.resident_bytes is None:  # a ready one has taken its claim; of a starting one nothing is known
            return (0, most) if starting else (claim or 0, claim or 0)
        return service.resident_bytes, max(most, service.resident_bytes)

    @property
    def available(self) -> int:
        return self.total - self.others - sum(self.held.values())

    def start(self, service: Wanted) -> Iterator[tuple[str, int]]:
        """Yield each moment of a start with what is left: of vLLM's check, and of the machine."""
        self.held.pop(service.name, None)
        if service.check is not None:
            self.held[service.name] = service.check.taken_bytes
            free = self.available - (self.cache if service.check.counts_cache else 0)
            yield "check", free - math.ceil(service.check.fraction * self.total)
        for moment in (service.peak_bytes, service.steady_bytes):
            self.held[service.name] = moment
            yield "machine", self.available


def starting(given: Situation) -> list[Wanted]:
    there = {service.name: service for service in given.running}

    def starts(service: Wanted) -> bool:
        old = there.get(service.name)
        return old is None or old.state == "stopped" or (given.replace and old.digest != service.digest)

    return [service for service in given.wanted if starts(service)]


def least_free(given: Situation, order: Sequence[Wanted]) -> int | None:
    """Return the least that is left at any moment of these starts; None where one could not be made."""
    there = {service.name: service for service in given.running}
    waited = {
        service.name
        for service in given.wanted
        if (old := there.get(service.name)) and old.state == "starting" and old.digest == service.digest
    }
    machine = Machine(given.pool, given.running, waited)
    left = []
    for service in order:
        for what, free in machine.start(service):
            if free < (0 if what == "check" else given.pool.reserve_bytes):
                return None
            if what == "machine":
                left.append(free)
    return min(left, default=machine.available)


def test_sets_never_exceed_the_pool_and_none_is_refused_that_some_order_could_start() -> None:
    outcomes = {"admitted": 0, "refused": 0, "checks decided the order": 0}
    for seed in range(SETS):
        given = situation(Random(seed))  # noqa: S311  (no secret)
        plan = make_plan(given.wanted, given.running, given.pool, replace=given.replace)
        by_name = {service.name: service for service in starting(given)}
        assert sorted(plan.order) == sorted(by_name)
        chosen = least_free(given, [by_name[name] for name in plan.order])
        assert is_in_order([by_name[name] for name in plan.order]), seed
        possible = [least_free(given, order) for order in permutations(by_name.values()) if is_in_order(order)]
        best = max((free for free in possible if free is not None), default=None)
        assert plan.fits == (chosen is not None), seed
        assert chosen == best, f"{seed}: another order leaves {best}, the planned one {chosen}"
        assert plan.fits == (not plan.reasons)
        outcomes["admitted" if plan.fits else "refused"] += 1
        outcomes["checks decided the order"] += None in possible and plan.fits
    assert min(outcomes["admitted"], outcomes["refused"]) > SETS // 5, outcomes
    assert outcomes["checks decided the order"] > SETS // 100, outcomes


def test_what_a_refusal_draws_fills_the_pool_and_what_is_missing() -> None:
    refused = exact = 0
    for seed in range(SETS // 10):
        given = situation(Random(seed))  # noqa: S311  (no secret)
        plan = make_plan(given.wanted, given.running, given.pool, replace=given.replace)
        # Where services seem to hold more than is in use at all, nothing is left for others, and the bar is longer.
        held = sum(service.held_bytes for service in given.running)
        if plan.fits or held > given.pool.total_bytes - given.pool.available_bytes:
            continue
        refused += 1
        by_kind = {segment.part: segment.bytes for segment in plan.segments}
        # What is missing may be more than the whole start: the pool was short before it.
        whole = sum(segment.bytes for segment in plan.segments)
        assert whole >= given.pool.total_bytes + by_kind["missing"], seed
        exact += whole == given.pool.total_bytes + by_kind["missing"]
    assert exact > refused // 2
    assert refused > SETS // 100


def test_a_plan_that_was_carried_out_leaves_nothing_to_do() -> None:
    for seed in range(300):
        given = situation(Random(seed))  # noqa: S311  (no secret)
        done = [
            Running(one.name, one.recipe, one.digest, "ready", one.steady_bytes, one.steady_bytes)
            for one in given.wanted
        ]
        again = make_plan(given.wanted, done, given.pool, replace=True)
        assert again.fits, seed
        assert {step.action for step in again.steps} == {Action.KEEP}, seed


def test_more_memory_never_turns_a_plan_into_a_refusal() -> None:
    for seed in range(SETS // 10):
        given = situation(Random(seed))  # noqa: S311  (no secret)
        if make_plan(given.wanted, given.running, given.pool, replace=given.replace).fits:
            more = given.pool.with_more(seed % 50)
            assert make_plan(given.wanted, given.running, more, replace=given.replace).fits
