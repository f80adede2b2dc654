"""A stack on a real Docker Engine: who starts when, and what the kernel is told of each service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.docker_spark import Spark

pytestmark = pytest.mark.docker


def inspected(spark: Spark, name: str, what: str) -> str:
    return spark.docker("inspect", "--format", what, name)


def test_the_kernel_knows_who_stays_and_what_waits_is_created_when_the_other_is_ready(docker_spark: Spark) -> None:
    spark = docker_spark
    first, last, new = (spark.recipe(name, faults="load_s=0.5") for name in ("first", "last", "new"))
    stack = f"services:\n  {last}: {{recipe: {last}, after: [{first}]}}\n  {first}: {{recipe: {first}, priority: 5}}\n"
    file = spark.write("recipes/stacks/both.yaml", stack)
    err = spark.run("up", "both").expect(0).err
    assert err.index(f"{first}: ready at") < err.index(f"{last}: creating")
    scores = {}
    for name in (first, last):
        process = inspected(spark, name, "{{.State.Pid}}")
        scores[name] = Path(f"/proc/{process}/oom_score_adj").read_text().strip()
        assert inspected(spark, name, "{{.HostConfig.IpcMode}}") == "private"
    assert scores == {first: "500", last: "1000"}

    # A third one moves the ranks, and starts neither of them again.
    before = [inspected(spark, name, "{{.Id}}") for name in (first, last)]
    file.write_text(f"{stack}  {new}: {{recipe: {new}, priority: -5}}\n")
    err = spark.run("up", "both").expect(0).err
    assert f"{last}: already up" in err
    assert [inspected(spark, name, "{{.Id}}") for name in (first, last)] == before
    assert inspected(spark, new, "{{.HostConfig.OomScoreAdj}}") == "1000"
    assert "--oom-score-adj 750" in spark.run("render", f"both:{last}").expect(0).out
