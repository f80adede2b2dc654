"""A wave on a real Docker Engine: three load at once, and what becomes of one ends no other."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support.engine_fixtures import FIRST

if TYPE_CHECKING:
    from sparkctl.world.docker.engine import DockerEngine
    from tests.support.docker_spark import Spark

pytestmark = [pytest.mark.docker, FIRST]  # either would do, and the other has more to do

LOAD_S = 3


def test_three_load_at_once_and_one_that_dies_ends_no_other(docker_spark: Spark, docker_engine: DockerEngine) -> None:
    """What starts claims 6 GiB by its estimate, a stand-in too: the testbed's host has room for three of them."""
    spark = docker_spark
    one, two = (spark.recipe(name, faults=f"load_s={LOAD_S}") for name in ("one", "two"))
    dying = spark.recipe("dying", faults=f"load_s={LOAD_S},die_in=loading")
    done = spark.run("up", one, two, dying).expect(5)
    assert sorted(re.findall(r"^(\S+): ready at", done.err, re.MULTILINE)) == sorted([one, two])
    assert f"{dying}: removed the container that failed (--keep leaves it)" in done.err
    assert f"error: {dying} is not ready" in done.err
    assert [spark.state(name) for name in (one, two, dying)] == ["running", "running", ""]
    there = [docker_engine.container(name) for name in (one, two)]
    began = sorted(container.started_at or 0.0 for container in there if container is not None)
    assert began[1] - began[0] < LOAD_S
