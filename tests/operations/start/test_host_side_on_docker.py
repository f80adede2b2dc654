"""What a container on a real engine sees of its host: a snapshot with its blobs, files of flags, its image's caches."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.docker_spark import Spark

pytestmark = pytest.mark.docker

MORE = """\
container: {user: "12345:12345", mounts: ["~/notes:/notes"]}
args: {chat-template: ~/house.jinja}
"""


def snapshot(spark: Spark) -> Path:
    """Lay the tiny model out as the hub's library does, and return its snapshot."""
    repo = spark.home / "hub/models--test--tiny"
    folder = repo / "snapshots/1"
    folder.mkdir(parents=True)
    shutil.copytree(spark.model, repo / "blobs")
    for file in (repo / "blobs").iterdir():
        (folder / file.name).symlink_to(f"../../blobs/{file.name}")
    return folder


def test_a_server_that_is_not_root_reads_and_writes_what_is_its(docker_spark: Spark) -> None:
    spark = docker_spark
    (spark.home / "house.jinja").write_text("{{ messages }}")
    (spark.home / "notes").mkdir()
    name = spark.recipe("seen", more=f"model: {{path: {snapshot(spark)}}}\n" + MORE)
    text = (spark.folder / f"recipes/{name}.yaml").read_text()
    first = text.index("model: {")
    text = text[:first] + text[text.index("\n", first) + 1 :].replace("model: {path", "model: {repo: test/tiny, path")
    spark.write(f"recipes/{name}.yaml", text)
    spark.run("up", name).expect(0)

    def inside(script: str) -> str:
        return spark.docker("exec", name, "sh", "-c", script)

    assert json.loads(inside("cat /models/1/config.json"))["model_type"] == "llama"
    assert inside(f"cat {spark.home}/house.jinja; ls -d /notes") == "{{ messages }}/notes"
    assert inside("touch /compiled/x $HOME/y; echo $HOME $USER; touch /notes/x 2>&1 || true").endswith(
        "/compiled vllm\ntouch: cannot touch '/notes/x': Read-only file system"
    )
    image = spark.docker("image", "inspect", "--format", "{{.Id}}", "sparkctl-test/standin:latest")
    kept = spark.home / ".cache/sparkctl/compiled/sparkctl-test_standin_latest"
    assert [folder.name for folder in kept.iterdir()] == [image.removeprefix("sha256:")[:16]]
    assert "already up" in spark.run("up", name).expect(0).err
