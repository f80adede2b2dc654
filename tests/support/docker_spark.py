"""An operator on the real engine, whose services carry names of this test run."""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.command_line import Operator, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RECIPE = """\
description: a stand-in for vLLM
template: vllm-openai
image: sparkctl-test/standin:latest
vllm: "0.29"
model: {{repo: test/tiny, path: {model}, mount: /models/tiny}}
gpus: none
serve: {{name: tiny, port: {port}}}
limits: {{context: 1024, sequences: 2, batched-tokens: 512}}
env: {{SPARKCTL_SIM_FAULTS: "{faults}"}}
ready: {{timeout: 60s}}
"""
HOST = "total: 16 GiB\nreserve: 512 MiB\nsources: {total: this test, reserve: this test}\n"


class Spark(Operator):
    """An operator whose services carry names of this test run, on the real engine."""

    model: Path
    prefix: str

    def recipe(self, name: str, *, faults: str = "load_s=0.3", port: int | None = None, more: str = "") -> str:
        """Write a recipe and return its name, unique on the engine."""
        full = f"{self.prefix}-{name}"
        text = RECIPE.format(model=self.model, port=port or free_port(), faults=faults) + more
        self.write(f"recipes/{full}.yaml", text)
        return full

    def docker(self, *arguments: str) -> str:
        done = subprocess.run(["docker", *arguments], env=self.environment, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def state(self, name: str) -> str:
        """Return docker's own word for a container's state, '' when there is none."""
        return self.docker("ps", "--all", "--filter", f"name=^{name}$", "--format", "{{.State}}")


@pytest.fixture
def docker_spark(docker_host: str, tiny_model: Path, tmp_path: Path) -> Iterator[Spark]:
    home, folder = tmp_path / "home", tmp_path / "folder"
    home.mkdir()
    spark = Spark(home, folder)
    spark.model, spark.prefix = tiny_model, f"t{os.getpid()}-{time.monotonic_ns() % 10**6}"
    spark.environ |= {"DOCKER_HOST": docker_host, "SPARKCTL_ENGINE": "docker", "SPARKCTL_PROFILE": "test"}
    spark.write("recipes/hosts/test.yaml", HOST)
    yield spark
    for name in spark.docker("ps", "--all", "--filter", f"name={spark.prefix}", "--format", "{{.Names}}").split():
        spark.docker("rm", "--force", name)
