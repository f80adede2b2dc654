"""Every shipped recipe and stack as other tools' own readers take it: each is started as seldom as it can be."""

from __future__ import annotations

import json
import os
import shutil
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest
import yaml

from sparkctl.operations.exchange.export import export, text_of
from sparkctl.recipes.catalog import Catalog, Root, shipped_root
from sparkctl.recipes.exchange.exports.exported import ExportTarget
from sparkctl.recipes.exchange.exports.written import written
from tests.support.engine_fixtures import not_here
from tests.support.exporting import ODD, as_compose, as_systemd, entries, odd, together
from tests.support.fake_world import FakeSpark
from tests.support.fakes import FakeReport
from tests.support.tools import done, tool

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CATALOG = Catalog([Root(shipped_root(), "shipped")])
NAMES = [entry.name for entry in (*CATALOG.recipes(), *CATALOG.entries("stack"))]


def exported(folder: Path, target: ExportTarget) -> Mapping[str, Path]:
    """Write every shipped recipe and stack for a tool, each into a folder of its own; return these by the names."""
    world = FakeSpark(folder / "operator").world(FakeReport())
    found = {}
    for name in NAMES:
        found[name] = folder / name
        found[name].mkdir()
        for file in export(world, name, target).files:
            (found[name] / file.name).write_text(text_of(file))
    return found


def test_compose_takes_every_export(tmp_path: Path) -> None:
    program = tool("SPARKCTL_TEST_COMPOSE")
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for name, folder in exported(tmp_path, ExportTarget.COMPOSE).items():
        file = folder / "compose.yaml"
        text = file.read_text()
        for one in yaml.safe_load(text)["services"]:
            (secrets / f"{one}.env").touch()
        file.write_text(text.replace("/state/secrets/", f"{secrets}/"))
        done(program, "--file", str(file), "--profile", "*", "config", "--quiet")
        assert name in text


def test_compose_and_podman_read_odd_words_as_they_are(tmp_path: Path) -> None:
    texts = [text for text in ODD if text]
    one = odd(texts, ports=())
    for target in (ExportTarget.COMPOSE, ExportTarget.QUADLET):
        (file,) = written(together(one), target).files
        (tmp_path / file.name).write_text(str(file.content))
    environ = {**os.environ, "X": "taken from outside", "QUADLET_UNIT_DIRS": str(tmp_path)}
    compose = (tool("SPARKCTL_TEST_COMPOSE"), "--file", str(tmp_path / "compose.yaml"), "config", "--format", "json")
    read = as_compose(json.loads(done(*compose, environ=environ).stdout)["services"]["one"])
    assert read["command"][2:] == texts
    assert read["environment"] == {f"V{number}": text for number, text in enumerate(texts)}
    unit = done(tool("SPARKCTL_TEST_QUADLET"), "-dryrun", environ=environ).stdout
    words = as_systemd(entries(unit)["ExecStart"][0].replace("%t/%N", ""))
    assert words[-len(texts) :] == texts
    assert {f"V{number}={text}" for number, text in enumerate(texts)} <= set(words)


def test_systemd_takes_every_export(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None or shutil.which("docker", path="/usr/bin") is None:
        not_here("tools", "needs systemd-analyze, and docker in /usr/bin")
    folders = exported(tmp_path, ExportTarget.SYSTEMD)
    stacks = [entry.name for entry in CATALOG.entries("stack")]
    recipes = [str(path) for name, folder in folders.items() if name not in stacks for path in folder.iterdir()]
    for units in (recipes, *([str(path) for path in folders[name].iterdir()] for name in stacks)):
        ran = done(program, "verify", "--man=no", *units)
        assert [line for line in ran.stderr.splitlines() if str(tmp_path) in line or "vllm-" in line] == []


def test_podman_makes_a_unit_of_every_export(tmp_path: Path) -> None:
    program, made = tool("SPARKCTL_TEST_QUADLET"), 0
    for folder in exported(tmp_path, ExportTarget.QUADLET).values():
        ran = done(program, "-dryrun", environ={**os.environ, "QUADLET_UNIT_DIRS": str(folder)})
        for unit in ran.stdout.split("---vllm-")[1:]:
            wanted = entries((folder / f"vllm-{unit.partition('.service')[0]}.container").read_text())
            read = entries(unit)
            (start,) = read["ExecStart"]
            words = as_systemd(start.replace("%t/%N", ""))  # where podman itself keeps the container's id
            command = as_systemd(wanted["Exec"][0])
            assert words[-len(command) :] == command
            pairs = [as_systemd(one) for one in (*wanted["Label"], *wanted["Environment"])]
            assert all(len(pair) == 1 and pair[0] in words for pair in pairs)
            assert read["Type"] == ["notify"]
            made += 1
        assert "error" not in ran.stderr.lower()
    assert made >= len(NAMES)


def test_kubernetes_takes_every_export(tmp_path: Path) -> None:
    if find_spec("kubernetes_validate") is None:
        not_here("kubernetes", "needs kubernetes-validate: .venv/bin/pip install kubernetes-validate")
    schemas = import_module("kubernetes_validate")
    kinds = []
    for folder in exported(tmp_path, ExportTarget.KUBERNETES).values():
        for file in folder.iterdir():
            for value in yaml.safe_load_all(file.read_text()):
                schemas.validate(value, schemas.latest_version(), strict=True)
                kinds.append(value["kind"])
    assert kinds.count("Deployment") == kinds.count("Service") >= len(NAMES)


@pytest.mark.parametrize(
    "target", [ExportTarget.LITELLM, ExportTarget.LLAMA_SWAP, ExportTarget.SPARKRUN, ExportTarget.DOCKER_RUN]
)
def test_every_export_is_made(tmp_path: Path, target: ExportTarget) -> None:
    for folder in exported(tmp_path, target).values():
        assert list(folder.iterdir())
