"""An operator with the real vLLM, on the CPU, in the real engine."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.command_line import Operator, free_port
from tests.support.engine_fixtures import not_here

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.command_line import Done

IMAGE = "sparkctl-test/vllm-cpu:0.32.0"
TEMPLATE = """\
{% set package_root = "/usr/local/lib/python3.11/dist-packages" %}
docker run
{% include "_docker.j2" %}
{{ image }}
--model {{ model }}
{% include "_serve.j2" %}
"""
RECIPE = """\
description: a random Llama of 300 KB on the real vLLM
template: vllm-cpu
image: {image}
vllm: "0.32"
model: {{repo: test/tiny, path: {model}, mount: /models/tiny}}
gpus: none
# One thread computes: several wait for each other by spinning, and nothing else gets on beside them on two cores.
env: {{VLLM_CPU_OMP_THREADS_BIND: nobind, OMP_NUM_THREADS: "1"}}
# vLLM's workers share 160 MiB of it, and docker gives 64.
container: {{ipc: host}}
serve: {{name: tiny, port: {port}}}
limits: {{context: 1024, sequences: 4, batched-tokens: 512}}
args: {{enforce-eager: true}}
"""
HOST = "total: 20 GiB\nreserve: 1 GiB\nsources: {total: this test, reserve: this test}\n"


class Machine(Operator):
    """An operator with the real vLLM's image; ``prefix`` begins the names of this run."""

    prefix: str
    model: Path

    def recipe(self, name: str, more: str = "") -> tuple[str, str]:
        """Write a recipe; return its name and its URL."""
        full, port = f"{self.prefix}-{name}", free_port()
        self.write(f"recipes/{full}.yaml", RECIPE.format(image=IMAGE, model=self.model, port=port) + more)
        return full, f"http://127.0.0.1:{port}"

    def run(self, *arguments: str, timeout: float = 250) -> Done:
        """Run a command to its end, which takes its time beside a server that computes on every core."""
        return super().run(*arguments, timeout=timeout)

    def copy(self, name: str) -> str:
        """Write the recipe anew under another name, for a service that does not run; return that name."""
        text = (self.folder / "recipes" / f"{name}.yaml").read_text()
        self.write(f"recipes/{name}-again.yaml", text)
        return f"{name}-again"

    def docker(self, *arguments: str) -> str:
        done = subprocess.run(["docker", *arguments], env=self.environment, capture_output=True, check=True)
        return done.stdout.decode()


@pytest.fixture(scope="module")
def machine(first_host: str, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    root = tmp_path_factory.mktemp("vllm")
    (root / "home").mkdir()
    machine = Machine(root / "home", root / "folder")
    machine.prefix, machine.model = f"v{os.getpid()}", tiny_model
    machine.environ |= {"DOCKER_HOST": first_host, "SPARKCTL_ENGINE": "docker", "SPARKCTL_PROFILE": "test"}
    machine.write("recipes/hosts/test.yaml", HOST)
    machine.write("templates/vllm-cpu.j2", TEMPLATE)
    if not machine.docker("images", "--quiet", IMAGE):
        not_here("vllm", f"the engine has no {IMAGE}; to build it: tests/testbed/testbed vllm")
    yield machine
    for name in machine.docker("ps", "--all", "--filter", f"name={machine.prefix}", "--format", "{{.Names}}").split():
        machine.docker("rm", "--force", name)
