"""The engine that other tests are given keeps the contract that the real one keeps."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from sparkctl.world.local.clock import SystemClock
from tests.support.engine_bench import DYING, Bench
from tests.support.engine_contract import EngineContract
from tests.support.fake_engine import FakeEngine, dies
from tests.support.inside_contract import MODEL_FILE, PACKAGES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.world.engine import Container

IMAGE = "image:1"


@dataclass
class FakeBench(Bench):
    """A bench whose host is the fake engine's own."""

    engine: FakeEngine

    def serves(self, address: str, port: int) -> bool:
        return self.engine.listening(address.strip("[]"), port)

    def lives(self, pid: int) -> bool:
        return any(pid in self.engine.processes(one.id) for one in self.engine.containers())

    @contextmanager
    def occupied(self, port: int) -> Iterator[None]:
        self.engine.taken_ports.add(port)
        yield
        self.engine.taken_ports.remove(port)


def serves(container: Container) -> Container:
    """Do as the stand-in does: die where that is ordered."""
    return dies(3)(container) if DYING in container.env else container


class TestFakeEngine(EngineContract):
    """The contract, on the fake."""

    @pytest.fixture
    def bench(self) -> Bench:
        files = {MODEL_FILE: b"# the image's\n", f"{PACKAGES}/vllm/__init__.py": b""}
        names = [f"fake-{name}" for name in ("one", "two", "plain", "modified")]
        orders = dict.fromkeys(names, serves)
        engine = FakeEngine(images={IMAGE: files}, on_start=orders, environ=os.environ, clock=SystemClock())
        return FakeBench(engine, IMAGE, "fake")
