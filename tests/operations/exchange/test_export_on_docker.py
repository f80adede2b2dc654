"""What docker compose starts of an exported stack, beside what `up` starts: the same, by ``docker inspect``."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.mods.checksum import md5_of
from sparkctl.recipes.exchange.exports.exported import ExportTarget
from sparkctl.recipes.exchange.exports.written import written
from sparkctl.world.labels import OF_THE_MOMENT
from sparkctl.world.spec import Device, GpuRequest, HealthCheck, Mount, Port, Ulimit
from tests.support.engine_fixtures import NEW, STANDIN
from tests.support.exporting import service, together
from tests.support.inspect_parity import normalised
from tests.support.tools import done, tool

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sparkctl.world.docker.engine import DockerEngine
    from tests.support.docker_spark import Spark

pytestmark = pytest.mark.docker

ODD = "a $HOME ${HOME} $$ %h 'q' \"d\" #x \\n"
"""A value that many readers take for something else."""
SECRET = "plain-secret-of-a-test"  # noqa: S105  (of nobody)


def bare(environ: Mapping[str, str], name: str) -> dict[str, Any]:
    """Return what is compared of a container, but for what only `up` knows and what is compose's own."""
    (found,) = json.loads(done("docker", "inspect", "--type", "container", name, environ=environ).stdout)
    value = normalised(found)
    labels = value["Config"]["Labels"]
    value["Config"]["Labels"] = {
        key: one for key, one in labels.items() if key not in OF_THE_MOMENT and "docker.compose" not in key
    }
    for mount in (*value.get("Mounts", ()), *value["HostConfig"].get("Mounts", ())):
        if mount.get("Destination", mount.get("Target")) == OF_A_MOD:
            mount.pop("Source")
        # compose says create_host_path, which is what --mount does without saying it.
        mount.pop("BindOptions", None)
    value["HostConfig"].get("Mounts", []).sort(key=lambda mount: str(mount["Target"]))  # compose has them in a map
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
    spark.run("render", f"box:{names[0]}", "--stage").expect(0)
    folder = spark.home / "out"
    spark.run("export", "box", "--as", "compose", "--out", str(folder)).expect(0)
    assert SECRET not in (folder / "compose.yaml").read_text()
    compose = (program, "--file", str(folder / "compose.yaml"), "--project-name", spark.prefix)
    environ = {**spark.environment, "ODD": "taken from outside"}
    done(*compose, "up", "--detach", "--wait", environ=environ)
    by_compose = [bare(spark.environment, name) for name in names]
    assert "/health" in str(by_compose[0]["Config"].pop("Healthcheck"))
    assert spark.docker("inspect", "--format", "{{.State.Health.Status}}", names[0]) == "healthy"
    done(*compose, "down", "--timeout", "0", environ=environ)

    spark.run("up", "box").expect(0)
    by_up = [bare(spark.environment, name) for name in names]
    for one, other in zip(by_compose, by_up, strict=True):
        for key in one.keys() | other.keys():
            assert one.get(key) == other.get(key), key
    assert ODD in by_up[0]["Args"]
    assert f"ODD={ODD}" in by_up[1]["Config"]["Env"]
    assert f"VLLM_API_KEY={SECRET}" in by_up[0]["Config"]["Env"]


FIELDS: dict[str, dict[str, Any]] = {
    "gpus": {"gpus": GpuRequest(-1)},
    "two-gpus": {"gpus": GpuRequest(0, ("0", "1")), "runtime": "runc"},
    "cdi": {"cdi_devices": ("nvidia.com/gpu=all",)},
    "process": {
        "entrypoint": "python3",
        "user": "1000:1000",
        "workdir": "/tmp",  # noqa: S108  (in the container)
        "hostname": "box",
        "init": True,
        "tty": True,
        "interactive": True,
        "stop_signal": "SIGINT",
        "stop_timeout": 20,
        "restart": "unless-stopped",
    },
    "limits": {
        "memory": 2**28,
        "memory_swap": 2**29,
        "memory_reservation": 2**27,
        "cpus": "1.5",
        "cpuset_cpus": "0",
        "pids_limit": 100,
        "oom_score_adj": 500,
        "shm_size": 2**26,
        "ulimits": (Ulimit("nofile", 512, 1024),),
    },
    "rights": {
        "privileged": True,
        "cap_add": ("CAP_IPC_LOCK",),
        "cap_drop": ("CAP_NET_RAW",),
        "security_opt": ("no-new-privileges",),
        "group_add": ("video",),
        "read_only": True,
        "devices": (Device("/dev/null", "/dev/nul"),),
        "ipc": "host",
        "pid": "host",
    },
    "around": {
        "network": "none",
        "sysctls": (("kernel.shmmax", "1024000000"),),
        "tmpfs": (("/run", "size=64m"),),
        "log_driver": "json-file",
        "log_opts": (("max-size", "10m"),),
        "health": HealthCheck("true", interval_ns=10**10, retries=2),
    },
    "reached": {
        "extra_hosts": ("db:10.0.0.1",),
        "dns": ("10.0.0.2",),
        "ports": (Port(8000, 18000, "127.0.0.1"), Port(9000, None), Port(53, 18053, "", "udp")),
    },
    "mounts": {
        "mounts": (
            Mount("/a", "/tmp", read_only=True),  # noqa: S108  (a folder that every host has)
            Mount("/b", "/tmp", create_source=True, options=("z",)),  # noqa: S108
            Mount("/d", kind="tmpfs", options=("tmpfs-size=1048576", "tmpfs-mode=1777")),
            Mount("/e", "/tmp", options=("bind-propagation=rslave",)),  # noqa: S108
        )
    },
}


_CDI = {"Driver": "cdi", "Count": 0, "DeviceIDs": ["nvidia.com/gpu=all"]}
AS_COMPOSE_SAYS_IT = {
    "-cdi.DeviceRequests": ([{**_CDI, "Capabilities": [["gpu"]]}], [_CDI]),
    "-mounts.Binds": (["/tmp:/b:rw,z"], ["/tmp:/b:z"]),  # noqa: S108
}
"""What compose spells otherwise, and the engine does alike: it wants capabilities of every device, and says rw."""


@NEW
def test_compose_creates_what_the_adapter_creates_of_every_field(
    docker_engine: DockerEngine, docker_host: str, prefix: str, tmp_path: Path
) -> None:
    services = [
        service(f"{prefix}-{name}", image=STANDIN, **{"gpus": None, "ports": (), **fields})
        for name, fields in FIELDS.items()
    ]
    (file,) = written(together(*services), ExportTarget.COMPOSE).files
    (tmp_path / file.name).write_text(str(file.content))
    environ = {**os.environ, "DOCKER_HOST": docker_host}
    compose = (tool("SPARKCTL_TEST_COMPOSE"), "--file", str(tmp_path / file.name), "--project-name", prefix)
    done(*compose, "create", environ=environ)
    different = {}
    for one in services:
        by_compose = bare(environ, one.name)
        docker_engine.remove(one.name)
        docker_engine.create(one.spec)
        by_adapter = bare(environ, one.name)
        if one.spec.health is None:
            by_compose["Config"].pop("Healthcheck", None)
        different |= {
            f"{one.name.removeprefix(prefix)}.{key}": (by_compose[part].get(key), by_adapter[part].get(key))
            for part in ("Config", "HostConfig")
            for key in by_compose[part].keys() | by_adapter[part].keys()
            if by_compose[part].get(key) != by_adapter[part].get(key)
        }
    assert different == AS_COMPOSE_SAYS_IT
