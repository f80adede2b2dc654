"""The simulated engine keeps the contract that the real one keeps."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support.engine_bench import Bench
from tests.support.engine_contract import EngineContract
from tests.support.sim_processes import ServedSimEngine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class TestSimEngine(EngineContract):
    """The contract, on the simulated Spark."""

    @pytest.fixture
    def bench(self, tmp_path: Path) -> Iterator[Bench]:
        engine = ServedSimEngine(tmp_path / "sim", os.environ, pull_s=0)
        image = "vllm/vllm-openai:gemma4-cu130"
        for _ in engine.pull(image):
            pass
        yield Bench(engine, image, "sim")
        for container in engine.containers():
            engine.remove(container.id)
