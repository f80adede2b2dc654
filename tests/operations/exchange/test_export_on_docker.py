"""What docker compose starts of an exported stack, beside what `up` starts: the same, by ``docker inspect``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.mods.checksum import md5_of
from sparkctl.world.labels import OF_THE_MOMENT
from tests.support.inspect_parity import normalised
from tests.support.tools import done, tool

if TYPE_CHECKING:
    from tests.support.docker_spark import Spark

pytestmark = pytest.mark.docker

ODD = "a $HOME ${HOME} $$ %h 'q' \"d\" #x \\n"
"""A value that many readers take for something else."""
SECRET = "plain-secret-of-a-test"  # noqa: S105  (of nobody)


def inspected(spark: Spark, name: str) -> dict[str, Any]:
    """Return what is compared of a container, but for what only `up` knows and what is compose's own."""
    (found,) = json.loads(spark.docker("inspect", "--type", "container", name))
    value = normalised(found)
    labels = value["Config"]["Labels"]
    value["Config"]["Labels"] = {
        key: one for key, one in labels.items() if key not in OF_THE_MOMENT and "docker.compose" not in key
    }
    value["Config"].pop("Healthcheck", None)
    for mount in (*value["Mounts"], *value["HostConfig"].get("Mounts", ())):
        mount.pop("Source", None) if mount.get("Destination", mount.get("ExportTarget")) == OF_A_MOD else None
        mount.pop("BindOptions", None)
    value["HostConfig"]["Mounts"].sort(key=lambda mount: str(mount["ExportTarget"]))  # compose has them in a map
    return dict(value)


OF_A_MOD = "/usr/local/lib/python3.12/dist-packages/vllm/model_executor/models/gemma4_mtp.py"


def stack(spark: Spark) -> tuple[str, str]:
    """Write a stack of two services with all that is awkward; return their names."""
    source = "FIXED = True\n"
    spark.write("mods/fix/fix.py", source)
    md5 = md5_of(source.encode())
    module = "vllm.model_executor.models.gemma4_mtp"
    spark.write("mods/fix/mod.yaml", f"files:\n  - {{module: {module}, source: fix.py, md5: {md5}}}\n")
    more = "container: {caches: false, ulimits: {nofile: '512:1024', core: 0}, shm-size: 64 MiB}\nmods: [fix]\n"
    first = spark.recipe("first", more=f"{more}args: {{chat-template: {json.dumps(ODD)}}}\nsecrets: [VLLM_API_KEY]\n")
    second = spark.recipe("second", more="container: {caches: false, ipc: host}\n")
    spark.environ["VLLM_API_KEY"] = SECRET
    set_ = f"set: {{env.ODD: {json.dumps(ODD)}}}"
    spark.write(
        "recipes/stacks/box.yaml",
        f"services:\n  {first}: {{recipe: {first}, priority: 5}}\n  {second}: {{recipe: {second}, {set_}}}\n",
    )
    return first, second


def test_compose_starts_the_same_containers_as_up(docker_spark: Spark) -> None:
    spark, program = docker_spark, tool("SPARKCTL_TEST_COMPOSE")
    names = stack(spark)
    for name in names:
        spark.run("render", f"box:{name}", "--stage").expect(0)
    folder = spark.home / "out"
    spark.run("export", "box", "--as", "compose", "--out", str(folder)).expect(0)
    assert SECRET not in (folder / "compose.yaml").read_text()
    compose = (program, "--file", str(folder / "compose.yaml"), "--project-name", spark.prefix)
    environ = {**spark.environment, "ODD": "taken from outside"}
    done(*compose, "up", "--detach", "--wait", environ=environ)
    by_compose = [inspected(spark, name) for name in names]
    assert spark.docker("inspect", "--format", "{{.State.Health.Status}}", names[0]) == "healthy"
    done(*compose, "down", "--timeout", "0", environ=environ)

    spark.run("up", "box").expect(0)
    by_up = [inspected(spark, name) for name in names]
    for one, other in zip(by_compose, by_up, strict=True):
        for key in one.keys() | other.keys():
            assert one.get(key) == other.get(key), key
    assert ODD in by_up[0]["Args"]
    assert f"ODD={ODD}" in by_up[1]["Config"]["Env"]
    assert f"VLLM_API_KEY={SECRET}" in by_up[0]["Config"]["Env"]
