"""Placement over hosts: what stays, what moves, what is refused and with which words."""

from __future__ import annotations

from random import Random

import pytest

from sparkctl.base.errors import InputError
from sparkctl.base.units import GIB
from sparkctl.memory.pool import Pool
from sparkctl.planning.admission import StartupCheck, Wanted, admit
from sparkctl.planning.placement.host_room import HostRoom
from sparkctl.planning.placement.place import place
from sparkctl.planning.placement.values import PlacedService, Placement, PlacementHost
from sparkctl.planning.running import Running
from tests.support.bin_bound import least_bins
from tests.support.thorough import examples

RESERVE = 10 * GIB
SPARK = Pool(122 * GIB, 117 * GIB, RESERVE)


def host(name: str, *running: Running, **more: object) -> PlacementHost:
    held = sum(one.resident_bytes or 0 for one in running)
    pool = SPARK._replace(available_bytes=SPARK.available_bytes - held)
    return PlacementHost(name, pool, running)._replace(**more)  # type: ignore[arg-type]


def need(name: str, steady: float, peak: float | None = None, digest: str = "1", spread: int = 0) -> Wanted:
    held, most = round(steady * GIB), round((steady + 2 if peak is None else peak) * GIB)
    return Wanted(name, "r", digest, held, most, spread_bytes=spread)


def service(name: str, steady: float, *, ranks: int = 1, **more: object) -> PlacedService:
    return PlacedService((need(name, steady),) * ranks)._replace(**more)  # type: ignore[arg-type]


def running(name: str, gib: float, digest: str = "1") -> Running:
    return Running(name, "r", digest, "ready", round(gib * GIB), round(gib * GIB))


def told(found: Placement) -> str:
    return "\n".join(str(one) for one in found.refused)


# --- one service -----------------------------------------------------------------------------------------------------


def test_the_largest_goes_first_and_each_fills_the_fullest_host() -> None:
    found = place([service("small", 10), service("large", 90), service("middle", 60)], [host("a"), host("b")])
    assert found.where == {"small": ("a",), "large": ("a",), "middle": ("b",)}
    assert found.on("a") == ("small", "large")
    assert not found.refused
    assert not found.moved


def test_the_peak_of_a_start_and_the_reserve_count() -> None:
    wanted = [PlacedService((need("x", 60, 100),)), PlacedService((need("y", 40, 100),))]
    assert place(wanted, [host("a"), host("b")]).where == {"x": ("a",), "y": ("b",)}
    assert place(wanted, [host("a")]).where == {"x": ("a",)}


def test_vllms_own_check_counts() -> None:
    check = StartupCheck(0.95, 0)
    wanted = [PlacedService((need("x", 20)._replace(check=check),)), service("y", 40)]
    found = place(wanted, [host("a", running("z", 10))])
    assert found.where == {"y": ("a",)}
    assert "x: a comes nearest" in told(found)


def test_a_refusal_names_the_nearest_host_and_what_is_missing_there_h4() -> None:
    hosts = [host("a", running("x", 60)), host("b", running("y", 30)), host("off", reachable=False)]
    found = place([service("x", 60, at=("a",)), service("y", 30, at=("b",)), service("new", 90)], hosts)
    assert found.where == {"x": ("a",), "y": ("b",)}
    want = "new: b comes nearest: 15.0 GiB are missing there (77.0 GiB are free above its reserve); off does not answer"
    assert told(found) == want


def test_pins_and_labels_leave_the_others_out() -> None:
    hosts = [host("a"), host("b", labels={"room": "cellar"})]
    pinned, labelled = service("x", 20, hosts=("b",)), service("y", 20, labels={"room": "cellar"})
    assert place([pinned, labelled], hosts).where == {"x": ("b",), "y": ("b",)}
    found = place([service("z", 20, labels={"room": "roof"})], hosts)
    assert told(found) == "z: no host may take it: no host has the label room=roof"


def test_equal_services_are_spread_over_hosts() -> None:
    wanted = [service(name, 20, spread="chat") for name in ("x", "y", "z")]
    found = place(wanted, [host("a"), host("b")])
    assert found.where == {"x": ("a",), "y": ("b",)}
    assert told(found) == "z: no host may take it: services of chat go to different hosts"


def test_services_of_one_port_go_to_different_hosts() -> None:
    wanted = [service("x", 20, port=8100), service("y", 20, port=8100), service("z", 20, port=8101)]
    assert place(wanted, [host("a"), host("b")]).where == {"x": ("a",), "y": ("b",), "z": ("a",)}
    assert told(place(wanted, [host("a")])) == "y: no host may take it: its port 8100 is taken"


def test_a_host_that_has_the_models_files_comes_first() -> None:
    hosts = [host("a"), host("b", models=frozenset({"owner/model"}))]
    assert place([service("x", 20, model="owner/model")], hosts).where == {"x": ("b",)}
    full = [hosts[0], host("b", running("y", 100), models=frozenset({"owner/model"}))]
    assert place([service("x", 20, model="owner/model")], full).where == {"x": ("a",)}


def test_no_host_at_all_is_said() -> None:
    assert told(place([service("x", 20)], [])) == "x: no host may take it: there is no host"


@pytest.mark.parametrize(
    ("services", "hosts", "message"),
    [
        ([service("x", 1)], [host("a"), host("a")], "expected each host once, found twice: a"),
        ([service("x", 1), service("x", 1)], [host("a")], "expected each service once, found twice: x"),
        ([service("x", 1, hosts=("c",))], [host("a")], "x: there is no host c"),
    ],
)
def test_what_cannot_be_meant_is_an_error(
    services: list[PlacedService], hosts: list[PlacementHost], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        place(services, hosts)


# --- what runs -------------------------------------------------------------------------------------------------------


def test_what_runs_stays_where_it_is() -> None:
    hosts = [host("a", running("x", 20)), host("b", running("y", 60))]
    found = place([service("x", 20, at=("a",)), service("y", 60, at=("b",)), service("new", 20)], hosts)
    assert found.where == {"x": ("a",), "y": ("b",), "new": ("b",)}
    assert not found.moved


def test_what_changes_stays_if_it_fits_there_and_moves_if_not() -> None:
    hosts = [host("a", running("x", 20), running("y", 60)), host("b")]
    other = service("y", 60, at=("a",))
    grown = PlacedService((need("x", 30, digest="2"),), at=("a",))
    assert place([grown, other], hosts).where["x"] == ("a",)
    larger = PlacedService((need("x", 80, digest="2"),), at=("a",))
    found = place([larger, other], hosts)
    assert found.where == {"x": ("b",), "y": ("a",)}
    assert found.moved == ("x",)


def test_what_changes_and_fits_nowhere_stays_as_it_is() -> None:
    hosts = [host("a", running("x", 20), running("y", 60))]
    found = place(
        [PlacedService((need("x", 80, digest="2"),), at=("a",)), service("y", 60, at=("a",))],
        hosts,
    )
    assert found.where == {"x": ("a",), "y": ("a",)}
    assert "x: a comes nearest" in told(found)


def test_a_host_that_does_not_answer_keeps_its_services_and_gets_nothing_new_h5() -> None:
    hosts = [host("a", running("x", 20), reachable=False), host("b", running("y", 80))]
    changed = PlacedService((need("x", 30, digest="2"),), at=("a",))
    found = place([changed, service("y", 80, at=("b",)), service("new", 40)], hosts)
    assert found.where == {"x": ("a",), "y": ("b",)}
    assert [one.service for one in found.refused] == ["new"]


def test_a_service_that_is_pinned_elsewhere_moves() -> None:
    hosts = [host("a", running("x", 20)), host("b")]
    found = place([service("x", 20, at=("a",), hosts=("b",))], hosts)
    assert (found.where, found.moved) == ({"x": ("b",)}, ("x",))


# --- several ranks ---------------------------------------------------------------------------------------------------


def test_ranks_go_to_different_hosts_of_one_fabric_all_or_none() -> None:
    hosts = [host("a", fabric="one"), host("b", fabric="two"), host("c", fabric="two"), host("d")]
    assert place([service("big", 90, ranks=2)], hosts).where == {"big": ("b", "c")}
    found = place([service("big", 90, ranks=3)], hosts)
    assert not found.where
    assert "3 hosts of one fabric are needed" in told(found)
    assert "no fabric has 3 hosts that may take it" in told(found)


def test_a_group_that_has_room_on_one_host_alone_names_the_other() -> None:
    hosts = [host("a", fabric="one"), host("b", running("x", 40), fabric="one")]
    found = place([service("big", 90, ranks=2), service("x", 40, at=("b",))], hosts)
    assert found.where == {"x": ("b",)}
    assert told(found) == (
        "big: 2 hosts of one fabric are needed and 1 have room; b comes nearest: 25.0 GiB are missing there (67.0 GiB "
        "are free above its reserve)"
    )


def test_the_head_takes_the_host_that_has_room_for_it() -> None:
    hosts = [host("a", running("x", 20), fabric="one"), host("b", running("y", 10), fabric="one")]
    group = PlacedService((need("big", 95), need("big", 84)))
    kept = [service("x", 20, at=("a",)), service("y", 10, at=("b",))]
    assert place([group, *kept], hosts).where["big"] == ("b", "a")


def test_a_group_goes_to_the_fabric_that_has_its_model() -> None:
    files = frozenset({"owner/model"})
    hosts = [host("a", fabric="one"), host("b", fabric="one"), host("c", fabric="two", models=files)]
    hosts.append(host("d", fabric="two", models=files))
    assert place([service("big", 90, ranks=2, model="owner/model")], hosts).where == {"big": ("c", "d")}


def test_a_group_that_lost_a_host_keeps_the_others() -> None:
    hosts = [host("a", fabric="one"), host("b", running("big", 90), fabric="one"), host("c", fabric="one")]
    found = place([service("big", 90, ranks=2, at=("gone", "b"))], hosts)
    assert sorted(found.where["big"]) == ["a", "b"]
    assert found.moved == ("big",)


# --- properties ------------------------------------------------------------------------------------------------------


def drawn(dice: Random, count: int) -> list[PlacedService]:
    """Return services of one, two or four ranks, pinned and spread here and there."""
    found = []
    for number in range(count):
        steady = dice.choice([dice.uniform(2, 12), dice.uniform(10, 40), dice.uniform(40, 88)])
        rank = need(f"s{number:03}", steady, steady + dice.uniform(0, 8), spread=round(dice.uniform(0, 0.1) * GIB))
        if dice.random() < 0.2:
            rank = rank._replace(check=StartupCheck(round(min(0.9, steady / 122 + 0.02), 2), GIB))
        ranks = dice.choice([1] * 8 + [2, 4])
        spread = dice.choice([""] * 9 + ["one"])
        found.append(PlacedService((rank,) * ranks, spread=spread, model=dice.choice(["", "m/1", "m/2"])))
    return found


def drawn_hosts(dice: Random, count: int) -> list[PlacementHost]:
    return [
        host(f"h{number:03}", fabric=f"f{number // 8}", models=frozenset({dice.choice(["m/1", "m/2"])}))
        for number in range(count)
    ]


def started(services: list[PlacedService], found: Placement, hosts: list[PlacementHost]) -> list[PlacementHost]:
    """Return the hosts when all that has a place runs there."""
    by_name = {one.name: one for one in services}
    return [
        host(
            one.name,
            *(running(name, by_name[name].ranks[0].steady_bytes / GIB) for name in found.on(one.name)),
            fabric=one.fabric,
            models=one.models,
        )
        for one in hosts
    ]


def stands(services: list[PlacedService], found: Placement) -> list[PlacedService]:
    return [one._replace(at=found.where.get(one.name, ())) for one in services]


@pytest.mark.parametrize("seed", range(examples(8)))
def test_no_host_takes_more_than_its_own_admission_allows_h4(seed: int) -> None:
    dice = Random(seed)  # noqa: S311  (a seed, so that a failure comes again)
    services, hosts = drawn(dice, 40), drawn_hosts(dice, 16)
    found = place(services, hosts)
    for one in hosts:
        here = [service for service in services if one.name in found.where.get(service.name, ())]
        ranks = [service.ranks[found.where[service.name].index(one.name)] for service in here]
        assert admit(ranks, [], one.pool, replace=False).fits, one.name
        assert len([service for service in here if service.spread]) <= 1
    for service in services:
        placed = found.where.get(service.name, ())
        assert len(set(placed)) == (len(service.ranks) if placed else 0)
        assert len({int(name[1:]) // 8 for name in placed}) <= 1
    assert {one.service for one in found.refused} == {one.name for one in services} - set(found.where)


@pytest.mark.parametrize("seed", range(examples(4)))
def test_a_plan_that_is_made_again_moves_nothing_and_a_lost_host_only_its_own_h5(seed: int) -> None:
    dice = Random(seed)  # noqa: S311  (a seed, so that a failure comes again)
    services, hosts = drawn(dice, 24), drawn_hosts(dice, 16)
    first = place(services, hosts)
    placed = stands([one for one in services if one.name in first.where], first)
    hosts = started(services, first, hosts)
    again = place(placed, hosts)
    assert (dict(again.where), again.moved, again.refused) == (dict(first.where), (), ())
    lost = place(placed, hosts[1:])
    own = set(first.on("h000"))
    assert {name: hosts for name, hosts in lost.where.items() if name not in own} == {
        name: hosts for name, hosts in first.where.items() if name not in own
    }
    assert set(lost.moved) | {one.service for one in lost.refused} == own


@pytest.mark.parametrize("seed", range(examples(3)))
def test_the_hosts_used_are_within_a_tenth_of_the_bound(seed: int) -> None:
    dice = Random(seed)  # noqa: S311  (a seed, so that a failure comes again)
    services = []
    for number in range(150):
        steady = dice.choice([dice.uniform(2, 12), dice.uniform(10, 40), dice.uniform(40, 88)])
        services.append(PlacedService((need(f"s{number}", steady, steady + dice.uniform(1, 6)),)))
    found = place(services, [host(f"h{number:03}") for number in range(60)])
    assert not found.refused
    used = len({name for hosts in found.where.values() for name in hosts})
    starts = min(one.ranks[0].peak_bytes - one.ranks[0].steady_bytes for one in services)
    least = least_bins([one.ranks[0].steady_bytes for one in services], SPARK.available_bytes - RESERVE - starts)
    print(f"{used} hosts of at least {least}: {used / least:.3f}")  # noqa: T201
    assert used <= 1.10 * least


@pytest.mark.parametrize("seed", range(examples(40)))
def test_the_short_answer_refuses_nothing_that_the_admission_takes(seed: int) -> None:
    dice = Random(seed)  # noqa: S311  (a seed, so that a failure comes again)
    room = HostRoom(host("a", running("x", dice.uniform(1, 60))))
    for one in drawn(dice, 8):
        alone = admit([*room.placed, one.ranks[0]], room.host.running, room.host.pool, replace=True).fits
        assert room.takes(one.ranks[0]) is alone
        assert (room.missing(one.ranks[0]) == 0) is alone
        if alone:
            room.place(one.ranks[0])
    assert room.runs("x")
    before = room.free_bytes
    room.end("x")
    assert room.free_bytes > before
    assert not room.runs("x")


def test_the_bound_counts_large_items_alone_and_the_rest_by_their_sum() -> None:
    assert least_bins([6, 6, 6], 10) == 3
    assert least_bins([5, 5, 5], 10) == 2
    assert least_bins([1] * 25, 10) == 3
    assert least_bins([7, 7, 4, 4], 10) == 3
    assert least_bins([], 10) == 0


# --- what runs when it is asked for, and what others have ------------------------------------------------------------


def test_what_runs_when_it_is_asked_for_gets_a_host_and_no_memory() -> None:
    wanted = [service("big", 100), service("asleep", 90, counts=False), service("more", 5)]
    found = place(wanted, [host("a"), host("b")])
    assert found.where == {"big": ("a",), "more": ("a",), "asleep": ("b",)}, "it goes where most is free"
    assert not found.refused


def test_what_runs_when_it_is_asked_for_keeps_its_host_unless_that_may_not_have_it() -> None:
    hosts = [host("a"), host("b", labels={"room": "cellar"}), host("off", reachable=False)]
    asleep = service("x", 20, counts=False, at=("a",))
    assert place([asleep], hosts).where == {"x": ("a",)}
    assert place([asleep._replace(labels={"room": "cellar"})], hosts).where == {"x": ("b",)}
    assert place([asleep._replace(at=("off",))], hosts).where == {"x": ("off",)}
    none = place([asleep._replace(labels={"room": "roof"})], hosts)
    assert "x: no host may take it: no host has the label room=roof" in told(none)


def test_a_port_that_others_have_on_a_host_keeps_a_service_away() -> None:
    hosts = [host("a", ports=frozenset({8100})), host("b")]
    assert place([service("x", 20, port=8100)], hosts).where == {"x": ("b",)}
    asleep = service("y", 20, port=8100, counts=False)
    assert told(place([service("x", 20, port=8100), asleep], hosts)) == (
        "y: no host may take it: its port 8100 is taken"
    )


def test_a_group_that_is_pinned_has_its_ranks_in_that_order() -> None:
    hosts = [host(name, fabric="f") for name in ("a", "b", "c")]
    ranks = (need("x", 40), need("x", 60))
    pinned = PlacedService(ranks, hosts=("c", "a"))
    assert place([pinned], hosts).where == {"x": ("c", "a")}
    assert place([pinned._replace(counts=False)], hosts).where == {"x": ("c", "a")}
    assert place([PlacedService(ranks, counts=False)], hosts).where == {"x": ("a", "b")}
    alone = place([PlacedService(ranks, counts=False)], [host("a", fabric="f"), host("b", fabric="g")])
    assert told(alone) == "x: no host may take it: no fabric has as many hosts"
