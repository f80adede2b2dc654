"""What it costs to place 500 services of 50 recipes over 100 hosts, and how near it comes to the fewest hosts."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

from sparkctl.memory.pool import Pool
from sparkctl.planning.admission import Wanted
from sparkctl.planning.placement.place import place
from sparkctl.planning.placement.values import PlacedService, PlacementHost

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.support.bin_bound import least_bins

GIB: Final = 2**30
HOSTS: Final = 100
SERVICES: Final = 500
RECIPES: Final = 50
SPARK: Final = Pool(round(121.69 * GIB), 117 * GIB, 10 * GIB)
SMALL, LARGE = 2, 36
"""GiB that the recipes hold, of which small ones are the most: 500 of them fill nine tenths of 100 hosts."""


class Placed(NamedTuple):
    """Seconds, hosts used, the fewest that any placement needs, and services without a place."""

    seconds: float
    used: int
    least: int
    refused: int


def services(seed: int) -> list[PlacedService]:
    """Return the services, each of one host."""
    dice = Random(seed)  # noqa: S311  (a seed, so that the figure comes again)
    recipes = [SMALL + (LARGE - SMALL) * dice.random() ** 1.3 for _ in range(RECIPES)]
    found = []
    for number in range(SERVICES):
        held = round(recipes[number % RECIPES] * GIB)
        wanted = Wanted(f"s{number}", "r", "d", held, held + held // 10 + 2 * GIB)
        found.append(PlacedService((wanted,)))
    return found


def placed(seed: int) -> Placed:
    """Place them once."""
    given = services(seed)
    hosts = [PlacementHost(f"h{number:03}", SPARK) for number in range(HOSTS)]
    start = time.perf_counter()
    found = place(given, hosts)
    seconds = time.perf_counter() - start
    starts = min(one.ranks[0].peak_bytes - one.ranks[0].steady_bytes for one in given)
    capacity = SPARK.available_bytes - SPARK.reserve_bytes - starts
    least = least_bins([one.ranks[0].steady_bytes for one in given], capacity)
    return Placed(seconds, len({name for at in found.where.values() for name in at}), least, len(found.refused))


if __name__ == "__main__":
    for number in range(5):
        one = placed(number)
        print(f"{one.seconds * 1000:.0f} ms, {one.used} hosts of at least {one.least}, {one.refused} refused")
