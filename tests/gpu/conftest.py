"""The machine with a GPU, once for all its tests."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sparkctl.world.local.machine import LinuxHost
from tests.gpu import needs
from tests.gpu.servers import E2B, Sampler, Servers, card_used, vllm_version

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Give the operator, who takes down what is still up at the end and writes down the figures."""
    found = needs.look(os.environ)
    if said := needs.missing(found):
        pytest.exit("; ".join(said), returncode=2)
    root = tmp_path_factory.mktemp("gpu")
    (root / "home").mkdir()
    operator = Servers(root / "home", root / "folder", found=found, prefix=f"g{os.getpid()}")
    operator.version = vllm_version(operator.client, found.image)
    operator.environ |= {"DOCKER_HOST": found.docker_host, "SPARKCTL_ENGINE": "docker"}
    if chosen := os.environ.get(needs.PROFILE):
        operator.environ["SPARKCTL_PROFILE"] = chosen
    host = LinuxHost()
    operator.figures["machine"] = {
        "gpus": [gpu._asdict() for gpu in found.gpus],
        "card_used_bytes": card_used(),
        "gpu_bytes_by_process": host.gpu_bytes(),
        "memory": host.memory()._asdict(),
        "kernel": platform.release(),
        "docker": found.version,
        "vllm": operator.version,
        "profile": chosen,
        "cores": os.cpu_count(),
    }
    operator.write_model(E2B)
    plan = operator.run("plan", operator.recipe(E2B, "idle"), "--json").json
    operator.figures["machine"]["doctor"] = operator.run("doctor", "--json").json
    operator.figures["machine"]["idle"] = plan
    operator.foreign_before = operator.foreign_bytes(plan)
    operator.kept = Path(os.environ.get(needs.FIGURES) or root / "figures").absolute()
    operator.kept.mkdir(parents=True, exist_ok=True)
    sampler = Sampler(operator.kept / "card.csv")
    sampler.start()
    yield operator
    for name in operator.containers(operator.prefix):
        operator.remove(name)
    sampler.end()
    (operator.kept / "figures.json").write_text(json.dumps(operator.figures, indent=1))
