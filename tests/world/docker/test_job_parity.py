"""The containers of the shipped jobs: what is rendered and pasted is what a run creates, on real engines."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sparkctl.recipes.catalog import Catalog, Root, shipped_root
from sparkctl.recipes.job import command
from sparkctl.recipes.job.command import RunOrder, input_mounts
from sparkctl.recipes.job.confined import ScriptCode
from sparkctl.recipes.job.reading import load_job
from sparkctl.world.docker_run.grammar import shell_text
from sparkctl.world.docker_run.spelling import split
from sparkctl.world.job_labels import JobLabels
from sparkctl.world.local.models.folders import DiskModels
from tests.support.engine_fixtures import BOTH, STANDIN
from tests.support.inspect_parity import assert_same_container

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.world.docker.engine import DockerEngine

pytestmark = [pytest.mark.docker, BOTH]

CATALOG = Catalog([Root(shipped_root(), "shipped")])
JOBS = [entry.name for entry in CATALOG.entries("job") if not entry.name.startswith("_")]


@pytest.mark.parametrize("name", JOBS)
def test_a_jobs_container_is_the_one_that_its_pasted_words_create(
    name: str, prefix: str, docker_engine: DockerEngine, docker_host: str, tmp_path: Path
) -> None:
    snapshot = tmp_path / "models--a--b" / "snapshots" / "1"
    blobs, partial = tmp_path / "models--a--b" / "blobs", tmp_path / "out.partial-1"
    script, library = tmp_path / "script.py", tmp_path / "sparkctl_job.py"
    for folder in (snapshot, blobs, partial):
        folder.mkdir(parents=True)
    (blobs / "0f").write_text("{}")
    (snapshot / "config.json").symlink_to("../../blobs/0f")
    script.touch()
    library.touch()
    labels = JobLabels(name, "1", "0" * 12, str(snapshot), str(partial), str(tmp_path / "out")).to_labels()
    order = RunOrder(
        load_job(CATALOG, name),
        image=STANDIN,
        input=snapshot,
        partial=partial,
        code=ScriptCode(script, library),
        user="1000:1000",
        container=f"{prefix}-{name}",
        labels=labels,
        memory_bytes=2**30,
        inputs=input_mounts(DiskModels(), snapshot),
    )
    pasted = split(shell_text(command.words(order)).replace(" \\\n", " "))
    words = [word for word in pasted if word != "--detach"]  # docker create has none
    assert_same_container(docker_engine, docker_host, replace(command.spec(order)), ["docker", "create", *words[2:]])
