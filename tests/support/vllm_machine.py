"""An operator with the real vLLM, on the CPU, in the real engine, and the one service of it that most tests read."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from sparkctl.vllm.server import Server
from sparkctl.world.local.http_client import SocketHttp
from tests.support.command_line import Operator, free_port
from tests.support.engine_fixtures import not_here
from tests.testbed.state import DEFAULT_ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

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
container: {{shm-size: 1 GiB}}
serve: {{name: tiny, port: {port}}}
limits: {{context: 1024, sequences: 4, batched-tokens: 512}}
args: {{enforce-eager: true}}
"""
HOST = "total: 20 GiB\nreserve: 1 GiB\nsources: {total: this test, reserve: this test}\n"

CHECK = """\
description: what a server with random weights can do
source: this test
requests:
  - {prompt: "1 2 3", completion: "1 2 3", max-tokens: 8, expect: {tokens: 1}}
  - {prompt: "4 5 6", completion: "4 5 6", max-tokens: 8, expect: {tokens: 1}}
"""
MODIFIED = "/usr/local/lib/python3.11/dist-packages/vllm/version.py"
VERSION = "0.32.0+mod"
KEY = "sk-f\u00fcr-tiny"
"""Not of ASCII alone: a header is Latin-1, and vLLM compares what it has in its environment."""
EVERYTHING = """\
mods: [version]
checks: [answers]
secrets: [VLLM_API_KEY]
speculative: {method: ngram, num_speculative_tokens: 3, prompt_lookup_max: 4}
ready: {warm: 0.5}
"""


class Machine(Operator):
    """An operator with the real vLLM's image; ``prefix`` begins the names of this run."""

    prefix: str
    model: Path

    def recipe(self, name: str, more: str = "") -> tuple[str, str]:
        """Write a recipe; return its name and its URL."""
        full, port = f"{self.prefix}-{name}", free_port()
        self.write(f"recipes/{full}.yaml", RECIPE.format(image=IMAGE, model=self.model, port=port) + more)
        return full, f"http://127.0.0.1:{port}"

    def run(self, *arguments: str, timeout: float = 900) -> Done:
        """Run a command to its end. A start is half a minute of a quiet machine's, and minutes of one that is busy."""
        return super().run(*arguments, timeout=timeout)

    def copy(self, name: str, more: str = "") -> str:
        """Write the recipe anew under another name, for a service that does not run; return that name."""
        text = (self.folder / "recipes" / f"{name}.yaml").read_text()
        self.write(f"recipes/{name}-again.yaml", text + more)
        return f"{name}-again"

    def docker(self, *arguments: str) -> str:
        done = subprocess.run(["docker", *arguments], env=self.environment, capture_output=True, check=True)
        return done.stdout.decode()

    def engine_core(self, name: str) -> int:
        """Return the process of a service in which its scheduler runs."""
        table = self.docker("top", name, "-eo", "pid,args").splitlines()[1:]
        (core,) = [int(row.split()[0]) for row in table if "EngineCore" in row]
        return core


class Served(NamedTuple):
    """The service that is up: where it is, what its start told moment by moment, and what had been planned of it."""

    name: str
    url: str
    moments: list[dict[str, Any]]
    planned: dict[str, Any]

    @property
    def told(self) -> list[str]:
        """What the start said in sentences."""
        return [moment["said"] for moment in self.moments if "said" in moment]

    def server(self, key: str | None = KEY) -> Server:
        """Return a client of it, that of sparkctl."""
        return Server(SocketHttp(), self.url, key)


@dataclass
class Shared:
    """One service of the real vLLM, for all tests that read it: a start takes half a minute of both cores.

    It has all that a recipe may ask for and that does not change what a test sees: a key, drafts, a baked mod that
    shows, a check. Whoever ends it says so, and it is started for the next that wants it.
    """

    machine: Machine
    served: Served | None = field(default=None, init=False)
    baked: dict[str, Any] = field(default_factory=dict, init=False)

    def up(self) -> Served:
        """Return the service, started if it is not."""
        if self.served is None:
            self.served = self._start()
        return self.served

    def ended(self) -> None:
        self.served = None

    def _start(self) -> Served:
        machine = self.machine
        machine.write("checks/answers.yaml", CHECK)
        machine.environ["VLLM_API_KEY"] = KEY
        if not self.baked:
            self.baked = bake_over_the_version(machine)
        name, url = machine.recipe("shared", EVERYTHING)
        planned = machine.run("plan", name, "--json").expect(0).json["services"][0]
        lines = machine.run("up", name, "--json").expect(0).out.splitlines()
        return Served(name, url, [json.loads(line) for line in lines], planned)


def bake_over_the_version(machine: Machine) -> dict[str, Any]:
    """Bake a community mod that patches a file of vLLM's own: its effect is seen in GET /version."""
    script = machine.home / "community" / "version" / "run.sh"
    script.parent.mkdir(parents=True)
    script.write_text(f"#!/bin/bash\necho '__version__ = \"{VERSION}\"' >> {MODIFIED}\n")
    baked: dict[str, Any] = machine.run("mods", "bake", str(script.parent), "--image", IMAGE, "--json").expect(0).json
    return baked


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


TESTBED = Path(os.environ.get("SPARKCTL_TESTBED") or DEFAULT_ROOT)
"""It keeps what vLLM finds out about an architecture in 11 s of CPU, as an operator's cache does."""


@pytest.fixture(scope="session")
def machine(first_host: str, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    root = tmp_path_factory.mktemp("vllm")
    kept = TESTBED / "compiled"
    kept.mkdir(parents=True, exist_ok=True)
    (root / "home/.cache/sparkctl").mkdir(parents=True)
    (root / "home/.cache/sparkctl/compiled").symlink_to(kept)
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


@pytest.fixture(scope="session")
def shared(machine: Machine) -> Shared:
    return Shared(machine)


@pytest.fixture
def served(shared: Shared) -> Served:
    """Return the one service of the real vLLM, which the test leaves as it is."""
    return shared.up()
