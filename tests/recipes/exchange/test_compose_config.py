"""Compose files as docker compose 2.26.1 reads them: what its `config` printed is held against what is read here."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.recipes.exchange.material import Material
from sparkctl.recipes.exchange.sources.compose.reader import PROFILES, ComposeFile, compose_file, stack
from sparkctl.world.docker_run import grammar
from tests.support.paths import FIXTURES
from tests.support.tools import done, tool

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sparkctl.recipes.exchange.launch import Launch
    from sparkctl.world.spec import ContainerSpec

FOLDER = FIXTURES / "compose"
HOME = "/home/operator"
PROJECTS = {"box": "compose.yaml", "layers": "docker-compose.yml", "words": "docker-compose.yml"}


def material_of(folder: Path, name: str) -> Material:
    """Return a project of a folder as it stands in /srv/models, where docker compose read it."""
    beside = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}
    where = f"/srv/models/{folder.name}"
    return Material(beside.pop(name), f"{where}/{name}", {"HOME": HOME, "PWD": where}, beside)


def spec_of(launch: Launch) -> ContainerSpec:
    """Return what docker run would make of a launch."""
    assert launch.image is not None, launch.refused
    words = [word.text for word in (*launch.options, launch.image, *launch.command)]
    return grammar.parse(["docker", "run", *words])


def _plain(value: Any) -> Any:  # noqa: ANN401  (JSON)
    """Return values of `config`, which writes $$ for each $ so that what it prints can be read again."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value.replace("$$", "$") if isinstance(value, str) else value


def read_here(spec: ContainerSpec) -> dict[str, object]:
    return {
        "command": list(spec.command),
        "entrypoint": spec.entrypoint,
        "environment": dict(spec.env),
        "ports": sorted((one.container_port, str(one.host_port or ""), one.host_ip) for one in spec.ports),
        "mounts": sorted((one.source or "", one.target, one.read_only) for one in spec.mounts),
        "ulimits": {one.name: (one.soft, one.hard) for one in spec.ulimits},
        "gpus": None if spec.gpus is None else (spec.gpus.count, spec.gpus.device_ids, set(spec.gpus.capabilities)),
        "shm": spec.shm_size,
        "labels": dict(spec.labels),
        "texts": [spec.ipc, spec.network, spec.pid, spec.restart, spec.user, spec.workdir, spec.hostname, spec.runtime],
        "bounds": [spec.memory, spec.cpuset_cpus, spec.oom_score_adj, spec.init, spec.privileged, spec.read_only],
        "lists": [
            [one.removeprefix("CAP_") for one in spec.cap_add],
            list(spec.security_opt),
            [path for path, _ in spec.tmpfs],
        ],
        "devices": [(one.host_path, one.container_path, one.permissions) for one in spec.devices],
        "sysctls": dict(spec.sysctls),
        "logging": (spec.log_driver, dict(spec.log_opts)),
    }


def read_by_compose(said: Mapping[str, Any], volumes: Mapping[str, Any]) -> dict[str, object]:
    entry = said.get("entrypoint")
    reserved = said.get("deploy", {}).get("resources", {})
    devices = said.get("gpus") or reserved.get("reservations", {}).get("devices") or [None]
    memory = said.get("mem_limit") or reserved.get("limits", {}).get("memory")
    names = {key: volume.get("name", key) for key, volume in volumes.items()}
    bound = {key: volume["driver_opts"]["device"] for key, volume in volumes.items() if "driver_opts" in volume}
    mounted = [one for one in said.get("volumes", ()) if one["type"] != "tmpfs"]
    gpu = devices[0]
    return {
        "command": [*(entry or [])[1:], *(said.get("command") or [])],
        "entrypoint": None if entry is None else entry[0] if entry else "",
        "environment": said.get("environment", {}),
        "ports": sorted(
            (one["target"], one.get("published", ""), one.get("host_ip", "")) for one in said.get("ports", ())
        ),
        "mounts": sorted(
            ({**names, **bound}.get(one["source"], one["source"]), one["target"], one.get("read_only", False))
            for one in mounted
        ),
        "ulimits": {
            key: (value, value) if isinstance(value, int) else (value["soft"], value["hard"])
            for key, value in said.get("ulimits", {}).items()
        },
        "gpus": gpu and (gpu.get("count", 0), tuple(gpu.get("device_ids", ())), {*gpu.get("capabilities", ()), "gpu"}),
        "shm": int(said["shm_size"]) if "shm_size" in said else None,
        "labels": said.get("labels", {}),
        "texts": [
            said.get(key, "")
            for key in ("ipc", "network_mode", "pid", "restart", "user", "working_dir", "hostname", "runtime")
        ],
        "bounds": [
            int(memory) if memory else None,
            said.get("cpuset", ""),
            said.get("oom_score_adj"),
            said.get("init"),
            said.get("privileged", False),
            said.get("read_only", False),
        ],
        "lists": [
            sorted(said.get("cap_add", [])),
            said.get("security_opt", []),
            [*said.get("tmpfs", []), *(one["target"] for one in said.get("volumes", ()) if one["type"] == "tmpfs")],
        ],
        "devices": [(one["source"], one["target"], one["permissions"]) for one in said.get("devices", ())],
        "sysctls": said.get("sysctls", {}),
        "logging": (said.get("logging", {}).get("driver", ""), said.get("logging", {}).get("options", {})),
    }


@pytest.mark.parametrize("folder", PROJECTS)
def test_each_service_is_read_as_docker_compose_reads_it(folder: str) -> None:
    found = compose_file(material_of(FOLDER / folder, PROJECTS[folder]))
    judge = _plain(json.loads((FOLDER / f"{folder}.json").read_text()))
    volumes = judge.get("volumes", {})

    ours = {name: read_here(spec_of(launch)) for name, launch in found.launches.items()}
    theirs = {name: read_by_compose(judge["services"][name], volumes) for name in ours}
    if folder == "words":  # compose makes a word of the end of a joined line, which no server takes
        theirs["joined"]["command"] = [word for word in judge["services"]["joined"]["command"] if word != "\n"]
    assert ours == theirs
    assert {*judge["services"]} - {*ours} <= {"proxy", "other"}


def test_who_comes_after_whom_and_what_starts_by_itself_is_for_the_stack() -> None:
    found: ComposeFile = compose_file(material_of(FOLDER / "box", "compose.yaml"))
    assert found.after == {"chat": (), "embed": ("chat",), "two-gpus": ()}
    assert found.started == ("chat",)
    assert [launch.name for launch in found.launches.values()] == ["chat-small", "embed", "two-gpus"]


def test_a_stack_has_what_starts_by_itself_and_docker_starts_none_of_it_again() -> None:
    material = material_of(FOLDER / "box", "compose.yaml")
    found = stack(material)
    (chat,) = found.services
    assert (found.name, chat.launch, chat.keys) == ("box", "chat-small", {"set": {"container.restart": "no"}})
    assert "embed, two-gpus" in found.notes[0]
    every = stack(replace(material, variables={**material.variables, PROFILES: "*"}))
    assert [dict(one.keys) for one in every.services[1:]] == [{"after": ["chat-small"]}, {}]


def test_what_no_word_of_docker_run_says_stays_over_with_a_reason() -> None:
    found = compose_file(material_of(FOLDER / "box", "compose.yaml"))
    told = {name: {one.what for one in launch.leftovers} for name, launch in found.launches.items() if launch.leftovers}
    assert told == {
        "chat": {"depends_on: proxy"},
        "embed": {"healthcheck", "profiles", "env_file missing.env"},
        "two-gpus": {"profiles"},
    }
    assert [one.what for one in found.leftovers] == ["service proxy (nginx:1.27-alpine)"]
    assert all(one.why for launch in found.launches.values() for one in launch.leftovers)


def test_what_docker_compose_prints_is_what_was_recorded(tmp_path: Path) -> None:
    program = tool("SPARKCTL_TEST_COMPOSE")
    environ = {"PATH": os.environ["PATH"], "HOME": HOME}
    for folder in PROJECTS:
        shutil.copytree(FOLDER / folder, tmp_path / folder)
        words = (program, "--project-directory", str(tmp_path / folder), "--profile", "*", "config", "--format", "json")
        printed = done(*words, environ=environ).stdout.replace(str(tmp_path), "/srv/models")
        assert json.loads(printed) == json.loads((FOLDER / f"{folder}.json").read_text())
