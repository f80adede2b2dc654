"""Plans for GPUs with their own memory: several memories, each of which has to have room at every moment."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import permutations
from random import Random
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import InputError
from sparkctl.base.units import GIB
from sparkctl.memory.items import PlacePart
from sparkctl.memory.pool import HOST, GpuPool, Pool
from sparkctl.planning.admission import Need, OnGpu, Sizes, StartupCheck
from sparkctl.planning.box.order import is_in_order
from sparkctl.planning.devices import Devices
from sparkctl.planning.plan import Wanted, describe, make_plan
from sparkctl.planning.running import Held, Running

if TYPE_CHECKING:
    from collections.abc import Sequence

TOTAL = 100
SETS = 500


def card(index: int, available: int, *, name: str = "RTX", total: int = TOTAL, reserve: int = 1) -> GpuPool:
    return GpuPool(index, name, f"GPU-{index}", Pool(total, available, reserve))


def wanted(name: str, gpu: tuple[int, int], host: tuple[int, int], *, on: str = "0", fraction: float = 0) -> Wanted:
    """Return a service that holds and takes so much on its GPU, and of the host."""
    check = StartupCheck(fraction, 50, taken_own_bytes=2) if fraction else None
    place = OnGpu(PlacePart(*gpu, "gpu words"), PlacePart(*host, "host words"), Devices(ids=(on,)))
    return Wanted(name, "r", "1", gpu[0] + host[0], gpu[1] + host[1], check=check, gpu=place)


def running(name: str, on: str, held: Held, host: Held, *, state: str = "ready", digest: str = "1") -> Running:
    claim, resident, peak, _ = host
    return Running(name, "r", digest, state, claim, resident, peak_bytes=peak, gpus={f"GPU-{on}": held})


def test_a_service_fits_by_its_gpu_and_by_the_host_each() -> None:
    service = wanted("a", (60, 62), (5, 20))
    fits = make_plan([service], [], Pool(64, 30, 4, gpus=(card(0, 70),)), replace=False)
    assert fits.fits
    assert fits.steps[0].free_bytes == 6
    assert fits.steps[0].memory == HOST
    no_gpu = make_plan([service], [], Pool(64, 30, 4, gpus=(card(0, 62),)), replace=False)
    assert not no_gpu.fits
    assert no_gpu.reasons[0].startswith("a does not fit on GPU 0 (RTX): ")
    assert "gpu words" in " ".join(no_gpu.reasons)
    no_host = make_plan([service], [], Pool(64, 23, 4, gpus=(card(0, 70),)), replace=False)
    assert no_host.reasons[0].startswith("a does not fit on the host's memory: ")
    assert "host words" in " ".join(no_host.reasons)


def test_memory_of_the_host_does_not_stand_in_for_a_gpus() -> None:
    service = wanted("a", (60, 60), (1, 1))
    assert not make_plan([service], [], Pool(9000, 9000, 0, gpus=(card(0, 50),)), replace=False).fits
    assert make_plan([service], [], Pool(9, 9, 0, gpus=(card(0, 70),)), replace=False).fits


def test_a_spark_counts_all_of_it_in_the_one_pool_as_before() -> None:
    service = wanted("a", (60, 60), (5, 20), fraction=0.6)
    pool = Pool(TOTAL, 95, 10, gpus=(GpuPool(0, "NVIDIA GB10", "GPU-0"),))
    assert make_plan([service], [], pool, replace=False) == make_plan(
        [service], [], pool._replace(gpus=()), replace=False
    )._replace(pool=pool)
    step = make_plan([service], [], pool, replace=False).steps[0]
    assert (step.free_bytes, step.check_free_bytes) == (95 - 80 - 10, 95 - 60 - 50)
    assert describe(make_plan([service], [], pool, replace=False))[0][-1] == f"{-15 / GIB:.1f}"


def test_vllms_check_is_of_the_gpus_total_and_takes_no_page_cache_for_used() -> None:
    service = wanted("a", (10, 10), (1, 1), fraction=0.5)
    assert service.check is not None
    service = service._replace(check=service.check._replace(counts_cache=True))
    pool = Pool(1000, 900, 0, cache_bytes=800, gpus=(card(0, 52, reserve=0),))
    step = make_plan([service], [], pool, replace=False).steps[0]
    assert step.check_free_bytes == 52 - math.ceil(0.5 * TOTAL) - 2
    refused = make_plan([service], [], pool._replace(gpus=(card(0, 51, reserve=0),)), replace=False)
    assert "vLLM itself would refuse" in refused.reasons[0]
    assert any("gpu-memory-utilization 0.50 of" in line for line in refused.reasons)


def test_what_a_stranger_holds_of_a_card_is_not_available_and_is_counted_by_card() -> None:
    pool = Pool(64, 60, 0, gpus=(card(0, 10), card(1, 100)))
    mine = running("mine", "0", Held(4, 4), Held(2, 2))
    plan = make_plan([], [mine], pool, replace=False)
    assert plan.on_cards == {"GPU-0": TOTAL - 10 - 4, "GPU-1": 0}
    assert plan.foreign_bytes == 64 - 60 - 2


def test_a_claim_that_is_not_yet_taken_is_kept_free_on_its_own_card_alone() -> None:
    loading = running("other", "0", Held(60, 10, 70), Held(3, 1, 20), state="starting")
    pool = Pool(64, 60, 4, gpus=(card(0, 90), card(1, 90)))
    assert not make_plan([wanted("a", (40, 40), (3, 10))], [loading], pool, replace=False).fits
    assert make_plan([wanted("a", (40, 40), (3, 10), on="1")], [loading], pool, replace=False).fits
    host = make_plan([wanted("a", (40, 40), (3, 40), on="1")], [loading], pool, replace=False)
    assert not host.fits, "19 of the host's memory are spoken for"


def test_a_replacement_gives_back_on_the_card_that_it_leaves() -> None:
    old = running("a", "0", Held(60, 60), Held(3, 3), digest="old")
    pool = Pool(64, 30, 4, gpus=(card(0, 5), card(1, 90)))
    moved = make_plan([wanted("a", (60, 60), (3, 10), on="1")], [old], pool, replace=True)
    assert moved.fits
    both = [wanted("a", (60, 60), (3, 10), on="1"), wanted("b", (50, 50), (3, 10), on="0")]
    plan = make_plan(both, [old], pool, replace=True)
    assert plan.fits
    assert plan.order == ("a", "b"), "b has room once a has left its card"


def test_another_gpu_is_a_way_out() -> None:
    pool = Pool(64, 60, 4, gpus=(card(0, 10), card(1, 90, name="Other"), GpuPool(2, "Broken", "GPU-2", problem="MIG")))
    plan = make_plan([wanted("a", (60, 60), (3, 10))], [], pool, replace=False)
    assert [(way.words, way.changes["a"].overrides) for way in plan.ways] == [
        ("with a on GPU 1 (Other)", ("gpus=1",)),
    ]


def test_what_is_looked_for_of_a_smaller_service_is_its_part_on_the_card() -> None:
    def need(change: object) -> Need:
        context = getattr(change, "context", None) or 4096
        on = OnGpu(PlacePart(context // 64, context // 64, ""), PlacePart(2, 2, ""), Devices())
        return Need(context // 64 + 2, context // 64 + 2, None, on)

    service = wanted("a", (64, 64), (2, 2))._replace(sizes=Sizes(4096, 1, (), need))
    plan = make_plan([service], [], Pool(64, 60, 0, gpus=(card(0, 51),)), replace=False)
    assert [(way.changes["a"].context or 0) // 64 for way in plan.ways] == [50]


def test_a_profile_without_main_memory_counts_the_gpu_alone() -> None:
    pool = Pool(0, 0, 4, gpus=(card(0, 70),), known=False)
    plan = make_plan([wanted("a", (60, 60), (5, 20))], [], pool, replace=False)
    assert plan.fits
    assert plan.steps[0].memory == "GPU-0"


# --- which GPUs ------------------------------------------------------------------------------------------------------

TWO = (card(0, 90), card(1, 90))
DIFFERENT = (GpuPool(0, "NVIDIA GB10", "GPU-a"), card(1, 90, name="NVIDIA GeForce RTX 5090"))


@pytest.mark.parametrize(
    ("devices", "gpus", "taken"),
    [
        (Devices(), TWO, [0]),
        (Devices(ranks=2), TWO, [0, 1]),
        (Devices(ids=("1",)), TWO, [1]),
        (Devices(ids=("GPU-1",)), TWO, [1]),
        (Devices(ids=("1", "0")), TWO, [1]),
        (Devices(visible=("1",)), TWO, [1]),
        (Devices(ids=("1", "0"), visible=("1",)), TWO, [0]),
        (Devices(visible=("GPU-1", "0"), ranks=2), TWO, [1, 0]),
        (Devices(ids=("1",)), DIFFERENT, [1]),
        (Devices(ranks=2), DIFFERENT, [0, 1]),
        (Devices(ids=("7",)), (), []),
    ],
)
def test_ranks_take_the_first_gpus_that_the_container_sees(
    devices: Devices, gpus: tuple[GpuPool, ...], taken: list[int]
) -> None:
    assert [gpu.index for gpu in devices.among(gpus)] == taken


@pytest.mark.parametrize(
    ("devices", "gpus", "said"),
    [
        (Devices(ids=("2",)), TWO, "there is no GPU 2"),
        (Devices(ids=("GPU-",)), TWO, "there is no GPU GPU-"),
        (Devices(ids=("MIG-7",)), TWO, "a part of a GPU"),
        (Devices(ids=("0:1",)), TWO, "a part of a GPU"),
        (Devices(ids=("0",), visible=("1",)), TWO, "CUDA_VISIBLE_DEVICES: 1 is none of its 1 GPUs"),
        (Devices(visible=("",)), TWO, "CUDA_VISIBLE_DEVICES: nothing is none of its 2 GPUs"),
        (Devices(ids=("0",), ranks=2), TWO, "it needs 2 GPUs, one for each of its ranks, and has GPU 0 (RTX)"),
        (Devices(), DIFFERENT, "it may take any of GPU 0 (NVIDIA GB10), GPU 1 (NVIDIA GeForce RTX 5090)"),
        (Devices(), (GpuPool(0, "H200", "u", problem="it is divided"),), "GPU 0 (H200): it is divided"),
    ],
)
def test_a_gpu_that_cannot_be_planned_on_is_refused(devices: Devices, gpus: tuple[GpuPool, ...], said: str) -> None:
    with pytest.raises(InputError) as refused:
        devices.among(gpus)
    assert said in refused.value.message
    assert refused.value.hint


# --- every order -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Situation:
    wanted: list[Wanted]
    running: list[Running]
    pool: Pool


def situation(random: Random) -> Situation:
    """Return a random set on one or two cards, and memories that are about large enough."""
    cards = random.choice([1, 2])
    services = []
    for name in random.sample("abcdef", random.choice([1, 2, 3, 3, 4, 5])):
        steady, host = random.randint(0, 40), random.randint(0, 6)
        services.append(
            wanted(
                name,
                (steady, steady + random.choice([0, random.randint(0, 30)])),
                (host, host + random.choice([0, random.randint(0, 20)])),
                on=str(random.randrange(cards)),
                fraction=random.choice([0, random.randint(1, 70) / 100]),
            )
        )
    if random.random() < 0.5:  # some come after others, in no circle
        names = [one.name for one in random.sample(services, len(services))]
        services = [
            one._replace(after=tuple(name for name in names[: names.index(one.name)] if random.random() < 0.4))
            for one in services
        ]
    there = []
    for name in random.sample("abcdefgh", random.randint(0, 2)):
        held = Held(random.randint(0, 30), random.choice([None, random.randint(0, 30)]), random.randint(30, 40))
        host_side = Held(random.randint(0, 6), random.choice([None, random.randint(0, 6)]), random.randint(6, 20))
        state = random.choice(["ready", "starting", "stopped"])
        there.append(running(name, str(random.randrange(cards)), held, host_side, state=state, digest="old"))
    gpus = tuple(card(index, random.randint(20, TOTAL), reserve=random.randint(0, 3)) for index in range(cards))
    return Situation(services, there, Pool(64, random.randint(10, 64), random.randint(0, 6), gpus=gpus))


class Machine:
    """A host whose memories are walked moment by moment."""

    def __init__(self, given: Situation) -> None:
        self.pools = given.pool.memories
        self.left = {key: pool.available_bytes for key, pool in self.pools.items()}
        self.old = {one.name: one for one in given.running}
        for one in given.running:
            self._give(one, back=-1)

    def _give(self, one: Running, *, back: int) -> None:
        for key, count in one.spoken().items():
            self.left[key] += back * count

    def has_room(self, service: Wanted) -> bool:
        """Start a service, and return whether there was room at each moment."""
        if service.name in self.old:
            one = self.old[service.name]
            self._give(one, back=1)
            for key in one.memories:
                self.left[key] += one.held(key)
        assert service.gpu is not None
        on = f"GPU-{service.gpu.devices.ids[0]}"
        fraction = 0.0 if service.check is None else service.check.fraction
        moments = [self.left[on] - 2 >= math.ceil(fraction * self.pools[on].total_bytes) or not fraction]
        for memory, part in ((on, service.gpu.gpu), (HOST, service.gpu.host)):
            free = self.left[memory] - part.peak_bytes
            moments.append(free >= self.pools[memory].reserve_bytes or not part.peak_bytes)
            self.left[memory] -= part.steady_bytes
        return all(moments)


def walked(given: Situation, order: Sequence[Wanted]) -> bool:
    """Return whether each of these starts had room."""
    machine = Machine(given)
    return all(machine.has_room(service) for service in order)


def test_no_memory_is_exceeded_and_no_set_is_refused_that_some_order_could_start() -> None:
    admitted = searched = 0
    for seed in range(SETS):
        given = situation(Random(seed))  # noqa: S311  (no secret)
        plan = make_plan(given.wanted, given.running, given.pool, replace=True)
        by_name = {one.name: one for one in given.wanted}
        assert sorted(plan.order) == sorted(by_name)
        assert is_in_order([by_name[name] for name in plan.order]), seed
        possible = [walked(given, order) for order in permutations(by_name.values()) if is_in_order(order)]
        assert plan.fits == any(possible), seed
        assert plan.fits == walked(given, [by_name[name] for name in plan.order]), seed
        assert plan.fits == (not plan.reasons)
        admitted += plan.fits
        searched += plan.fits and not all(possible)
    assert SETS // 5 < admitted < SETS * 4 // 5
    assert searched > SETS // 100


def test_a_large_set_that_fits_in_no_order_is_refused_at_once() -> None:
    services = [wanted(f"s{place}", (5, 9), (1, 1 + place), on=str(place % 2)) for place in range(40)]
    plan = make_plan(services, [], Pool(300, 290, 0, gpus=(card(0, 90), card(1, 90))), replace=False)
    assert not plan.fits
