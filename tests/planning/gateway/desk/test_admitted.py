"""What fits with whom gone, by admission."""

from __future__ import annotations

from dataclasses import replace

from sparkctl.base.units import GIB
from sparkctl.memory.items import PlacePart
from sparkctl.memory.pool import GpuPool, Pool
from sparkctl.planning.admission import OnGpu, Wanted
from sparkctl.planning.devices import Devices
from sparkctl.planning.gateway.desk.admitted import admitted
from sparkctl.planning.running import Running

POOL = Pool(120 * GIB, 57 * GIB, 10 * GIB)
RUNNING = [
    Running("low", "r", "d", "ready", 40 * GIB, 40 * GIB),
    Running("other", "r", "d", "ready", 20 * GIB, 20 * GIB),
]


def wanted(name: str, steady: int, peak: int) -> Wanted:
    return Wanted(name, name, "d", steady * GIB, peak * GIB)


def test_what_goes_gives_back_what_it_holds_and_the_sum_says_so() -> None:
    fits = admitted({"high": wanted("high", 60, 66)}, RUNNING, POOL)
    assert not fits(frozenset(), ("high",)).fits
    assert not fits(frozenset({"unknown"}), ("high",)).fits
    room = fits(frozenset({"other"}), ("high",))
    assert room.fits, "57 + 20 - 66 is 11, above the reserve"
    large = admitted({"high": wanted("high", 80, 90)}, RUNNING, POOL)(frozenset({"other"}), ("high",))
    lines = large.words.splitlines()
    assert lines[0] == "high does not fit: 23.0 GiB are missing when it starts"
    assert lines[1].strip().startswith("77.0 GiB  available")
    assert lines[-1] == "  20.0 GiB of other are counted as available: it may be stopped"


def test_several_come_one_after_the_other() -> None:
    both = {"a": wanted("a", 20, 24), "b": wanted("b", 20, 28)}
    fits = admitted(both, RUNNING, POOL)
    assert not fits(frozenset(), ("a", "b")).fits, "57 - 20 - 28 is 9, below the reserve"
    assert fits(frozenset(), ("b",)).fits
    assert fits(frozenset({"other"}), ("a", "b")).fits


def test_what_is_not_known_and_what_can_not_be_does_not_fit() -> None:
    assert admitted({}, [], POOL)(frozenset(), ("a",)).words == "what a takes is not known"
    card = Pool(80 * GIB, 80 * GIB, GIB)
    pool = replace(GpuPool(0, "H200", "GPU-1", card))
    part = PlacePart(GIB, GIB, "")
    one = wanted("a", 1, 1)._replace(gpu=OnGpu(part, part, Devices(ids=("7",))))
    room = admitted({"a": one}, [], POOL._replace(gpus=(pool,)))(frozenset(), ("a",))
    assert not room.fits
    assert "7" in room.words
