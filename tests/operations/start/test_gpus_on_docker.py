"""A recipe's GPUs on a real engine with CDI and NVIDIA's hook: what the service gets, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.engine_fixtures import FIRST, NEW

if TYPE_CHECKING:
    from tests.support.docker_spark import Spark

pytestmark = pytest.mark.docker


def gpus(spark: Spark, name: str) -> tuple[str, str, str]:
    """Return what a service's server has from NVIDIA's hook and from CDI; an exec would not get these variables."""
    server = dict(
        each.split("=", 1) for each in spark.docker("exec", name, "cat", "/proc/1/environ").split("\0") if each
    )
    mounted = spark.docker("exec", name, "sh", "-c", "cat /opt/sparkctl-test/cdi || true")
    return server.get("NVIDIA_VISIBLE_DEVICES", ""), server.get("SPARKCTL_TEST_CDI", ""), mounted


@NEW
def test_a_recipe_gets_its_gpus_by_cdi(docker_spark: Spark) -> None:
    name = docker_spark.recipe("a")
    docker_spark.run("up", name, "--set", "gpus=cdi:nvidia.com/gpu=all").expect(0)
    assert gpus(docker_spark, name) == ("", "all", "mounted by CDI")


@NEW
def test_a_recipe_gets_its_gpus_by_nvidias_hook(docker_spark: Spark) -> None:
    name = docker_spark.recipe("a")
    docker_spark.run("up", name, "--set", "gpus=all").expect(0)
    assert gpus(docker_spark, name) == ("all", "", "")


@NEW
def test_a_cdi_device_that_nobody_describes_is_explained_and_leaves_nothing(docker_spark: Spark) -> None:
    name = docker_spark.recipe("a")
    failed = docker_spark.run("up", name, "--set", "gpus=cdi:nvidia.com/gpu=7").expect(4)
    assert "no CDI specification on the engine's host describes nvidia.com/gpu=7" in failed.err
    assert "nvidia-ctk cdi list" in failed.err
    assert docker_spark.state(name) == ""


@NEW
def test_doctor_takes_an_engine_with_cdi_for_no_blocker(docker_spark: Spark) -> None:
    findings = docker_spark.run("doctor", "--json").json
    found = {finding["subject"]: finding["status"] for finding in findings}
    assert (found["engine"], found["container toolkit"]) == ("ok", "note")


@FIRST
@pytest.mark.parametrize("wanted", ["all", "cdi:nvidia.com/gpu=all"])
def test_a_gpu_on_an_engine_without_the_toolkit_is_explained(docker_spark: Spark, wanted: str) -> None:
    name = docker_spark.recipe("a")
    failed = docker_spark.run("up", name, "--set", f"gpus={wanted}").expect(4)
    assert ("nvidia-ctk runtime configure" if wanted == "all" else '"features": {"cdi": true}') in failed.err
    assert docker_spark.state(name) == ""
    findings = docker_spark.run("doctor", "--json").expect(8).json
    assert {f["subject"]: f["status"] for f in findings}["container toolkit"] == "blocker"
