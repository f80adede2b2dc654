"""`up` of three on a simulated Spark, whose servers load as processes: together where there is room."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.base.units import GIB
from sparkctl.world.sim.engine import SimEngine
from tests.support.command_line import Operator, free_port
from tests.support.thorough import only_thorough

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RECIPE = """\
extends: e4b-nvfp4
description: of this test
serve: {{name: m, port: {port}}}
limits: {{context: 1024}}
env: {{SPARKCTL_SIM_FAULTS: "load_s={load_s}"}}
"""
NAMES = ("one", "two", "six")
RESERVE = 10 * GIB
"""Of a GB10, in its profile."""
LOAD_S = 1.0


class Simulated(Operator):
    """An operator of a simulated Spark."""

    engine: SimEngine

    def recipe(self, name: str, load_s: float = LOAD_S) -> None:
        self.write(f"recipes/{name}.yaml", RECIPE.format(port=free_port(), load_s=load_s))

    def began(self) -> list[float]:
        """Return when each container was started, in order, in seconds after the first."""
        at = sorted(one.started_at or 0.0 for one in self.engine.containers() if one.name in NAMES)
        return [one - at[0] for one in at]


@pytest.fixture
def spark(tmp_path: Path) -> Iterator[Simulated]:
    home = tmp_path / "home"
    home.mkdir()
    spark = Simulated(home, tmp_path / "folder")
    spark.environ = {"SPARKCTL_ENGINE": "sim", "SPARKCTL_SIM_DIR": str(tmp_path / "sim")}
    spark.engine = SimEngine(tmp_path / "sim", {})
    for name in NAMES:
        spark.recipe(name)
    yield spark
    for container in spark.engine.containers():
        spark.engine.remove(container.id)


def moments(out: str) -> list[dict[str, Any]]:
    """Return what was told of the starts, moment by moment."""
    return [one for one in map(json.loads, out.splitlines()) if "service" in one]


def test_three_load_at_once_and_the_reserve_stays_free(spark: Simulated) -> None:
    done = spark.run("up", *NAMES, "--json").expect(0)
    told = moments(done.out)
    turns = "".join(one["service"][0] for one in told if "seconds" in one)
    assert len(re.findall(r"(?=ots|tso|sot)", turns)) > 1, f"each is looked at in turn, while all load: {turns}"
    assert min(one["lowest_bytes"] for one in told if "lowest_bytes" in one) >= RESERVE
    rows = spark.run("ps", "--json").expect(0).json
    assert {row["name"]: row["doing"] for row in rows} == dict.fromkeys(NAMES, "ready")


@only_thorough
def test_where_the_peaks_have_no_room_together_one_waits_for_the_others(spark: Simulated) -> None:
    """Each takes 24.3 GiB and 29.7 while it starts: of 97, three peaks would leave 7.9, and two leave 37.6."""
    spark.environ["SPARKCTL_SIM_HOST"] = "memory: 105 GiB"
    done = spark.run("up", *NAMES, "--json").expect(0)
    assert spark.began()[-1] >= LOAD_S
    assert min(one["lowest_bytes"] for one in moments(done.out) if "lowest_bytes" in one) >= RESERVE


@only_thorough
def test_one_that_takes_more_than_it_said_and_is_killed_for_it_ends_no_other(spark: Simulated) -> None:
    spark.write("recipes/two.yaml", RECIPE.format(port=free_port(), load_s=f"{LOAD_S},die_in=loading"))
    done = spark.run("up", *NAMES).expect(5)
    assert "two is not ready" in done.err
    rows = spark.run("ps", "--json").expect(0).json
    assert {row["name"]: row["doing"] for row in rows} == {"one": "ready", "six": "ready"}
