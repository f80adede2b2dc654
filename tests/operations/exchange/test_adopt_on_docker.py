"""`sparkctl adopt` on a real engine: a container that somebody started with docker, until a service has its place."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.support.command_line import free_port
from tests.support.engine_fixtures import STANDIN

if TYPE_CHECKING:
    from tests.support.docker_spark import Spark

pytestmark = pytest.mark.docker

SECRET = "hf_of_somebody_else_0123456789"  # noqa: S105  (invented)


def test_a_container_is_adopted_seen_and_replaced_only_when_that_is_told(docker_spark: Spark) -> None:
    spark, name, port = docker_spark, f"{docker_spark.prefix}-theirs", free_port()
    words = ["--model", "/models/tiny", "--served-model-name", "tiny", "--max-model-len", "1024"]
    theirs = spark.docker(
        *("run", "--detach", "--name", name, "--publish", f"127.0.0.1:{port}:8000", "--shm-size", "128m"),
        *("--env", f"HF_TOKEN={SECRET}", "--env", "SPARKCTL_SIM_FAULTS=load_s=0.3", "--restart", "unless-stopped"),
        *("--volume", f"{spark.model}:/models/tiny:ro", "--workdir", "/tmp", STANDIN, *words),  # noqa: S108  (inside)
    )
    told = spark.run("adopt", name, "--json").expect(0)
    (row,) = told.json["recipes"]
    recipe = yaml.safe_load((spark.folder / "recipes" / f"{name}.yaml").read_text())
    assert told.json["known"] is True
    assert [left["what"] for left in row["leftovers"]] == ["--workdir /tmp"]
    assert recipe["model"] == {"path": str(spark.model), "mount": "/models/tiny", "repo": spark.model.name}
    assert recipe["container"] == {"restart": "unless-stopped", "shm-size": "128 MiB"}
    assert (recipe["secrets"], recipe["env"]) == (["HF_TOKEN"], {"SPARKCTL_SIM_FAULTS": "load_s=0.3"})
    assert SECRET not in told.out + told.err + json.dumps(recipe)

    (seen,) = [one for one in spark.run("ps", "--json").expect(0).json if one["name"] == name]
    assert (seen["state"], seen["claim_bytes"], seen["url"]) == ("running", None, f"http://127.0.0.1:{port}")
    assert "sparkctl did not start it" in seen["unknown"][0]
    spark.environ["HF_TOKEN"] = SECRET
    sets = ("--set", "gpus=none", "--set", 'vllm="0.29"')
    assert "sparkctl did not start it" in spark.run("up", name, *sets).expect(2).err
    assert spark.run("down", name).expect(2).err.startswith(f"error: {name}: sparkctl did not start this container")
    assert spark.docker("inspect", "--format", "{{.Id}}", name) == theirs

    spark.run("up", name, *sets, "--replace").expect(0)
    assert spark.docker("inspect", "--format", "{{.Id}}", name) != theirs
    assert spark.docker("ps", "--all", "--quiet", "--filter", f"id={theirs}") == ""
    spark.run("down", name).expect(0)
