"""A simulated machine to order: cards with their own memory, a Spark beside one, and who else is on them."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import EngineError, InputError
from sparkctl.base.units import GIB
from sparkctl.world.sim.engine import SimEngine
from sparkctl.world.sim.host import SimHost
from sparkctl.world.spec import ContainerSpec, GpuRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

IMAGE = "vllm/vllm-openai:gemma4-cu130"
COMMAND = ("/models/gemma4-e4b", "--kv-cache-memory-bytes", str(GIB), "--gpu-memory-utilization", "0.2")
SPEC = ContainerSpec(image=IMAGE, command=COMMAND, name="executor")

BOX = """
memory: 64 GiB
gpus:
  - {name: NVIDIA GeForce RTX 4090, total: 23.64 GiB}
  - {name: NVIDIA GB10}
  - {name: NVIDIA H200, total: 139.8 GiB, mig: true}
  - {name: NVIDIA H200, total: 139.8 GiB, hidden: true}
strangers:
  - {gpu: 0, holds: 5 GiB, name: python3, user: bob}
  - {gpu: 1, holds: 1 GiB, hidden: true}
"""


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[SimEngine]:
    engine = SimEngine(tmp_path, {"SPARKCTL_SIM_FAULTS": "load_s=0.1"}, pull_s=0)
    list(engine.pull(IMAGE))
    yield engine
    for container in engine.containers():
        engine.remove(container.id)


def until(seen: Callable[[], object], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < end, "nothing came of it"
        time.sleep(0.01)


def test_a_machine_that_was_ordered_shows_its_gpus_and_who_else_is_on_them(tmp_path: Path) -> None:
    (tmp_path / "host.yaml").write_text(BOX)
    host = SimHost(tmp_path)
    card, spark, divided, hidden = host.gpus()
    assert (card.name, card.free_bytes) == ("NVIDIA GeForce RTX 4090", int(23.64 * GIB) - 5 * GIB)
    assert (spark.total_bytes, divided.mig, hidden.total_bytes) == (None, True, None)
    assert host.memory().total_bytes == 64 * GIB
    assert host.memory().available_bytes == (64 - 8 - 1) * GIB, "what a GB10 holds is the host's"
    assert [(one.gpu, one.bytes, one.name, one.user) for one in host.gpu_processes()] == [
        (0, 5 * GIB, "python3", "bob"),
        (1, None, "", ""),
    ]
    ordered = SimHost(tmp_path, {"SPARKCTL_SIM_HOST": "gb10,rtx-5090"})
    assert [gpu.name for gpu in ordered.gpus()] == ["NVIDIA GB10", "NVIDIA GeForce RTX 5090"]


@pytest.mark.parametrize("order", ["rtx-9999", "[1]", "{gpus: 3}", "{gpus: [{}]}", "{memory: much}", "{"])
def test_an_order_that_is_no_machine_says_so(tmp_path: Path, order: str) -> None:
    with pytest.raises(InputError, match="SPARKCTL_SIM_HOST: expected the machine to simulate"):
        SimHost(tmp_path, {"SPARKCTL_SIM_HOST": order}).gpus()


def test_a_container_takes_its_own_cards_memory_and_one_that_is_not_there_is_refused(
    tmp_path: Path, engine: SimEngine
) -> None:
    (tmp_path / "host.yaml").write_text("{gpus: [{name: A, total: 40 GiB}, {name: B, total: 40 GiB}]}")
    host = SimHost(tmp_path)
    before = host.memory().available_bytes
    engine.start(engine.create(replace(SPEC, gpus=GpuRequest(0, ("1",)))))
    until(lambda: "startup complete" in "\n".join(engine.logs("executor")))
    on_card = 40 * GIB - (host.gpus()[1].free_bytes or 0)
    assert on_card > 10 * GIB
    assert host.gpus()[0].free_bytes == 40 * GIB
    assert before - host.memory().available_bytes < 5 * GIB
    assert [(one.gpu, one.bytes) for one in host.gpu_processes()] == [(1, on_card)]
    other = engine.create(replace(SPEC, name="other", gpus=GpuRequest(0, ("2",))))
    with pytest.raises(EngineError, match="no GPU 2"):
        engine.start(other)


def test_the_fraction_is_of_the_cards_total_and_too_much_is_vllms_own_error(tmp_path: Path, engine: SimEngine) -> None:
    (tmp_path / "host.yaml").write_text("{gpus: [{name: A, total: 40 GiB}], strangers: [{holds: 35 GiB}]}")
    engine.start(engine.create(replace(SPEC, gpus=GpuRequest(-1))))
    until(lambda: _exited(engine))
    assert "/40.0 GiB) on startup is less than desired GPU memory utilization (0.2, 8.0 GiB)" in _log(engine)


def test_more_than_a_card_has_is_torchs_error_and_no_freeze(tmp_path: Path, engine: SimEngine) -> None:
    (tmp_path / "host.yaml").write_text("{gpus: [{name: A, total: 12 GiB}]}")
    engine.start(engine.create(replace(SPEC, gpus=GpuRequest(-1))))
    until(lambda: _exited(engine))
    container = engine.container("executor")
    assert container is not None
    assert container.exit_code == 1
    assert "torch.OutOfMemoryError: CUDA out of memory" in _log(engine)


def test_a_server_on_the_cpu_takes_the_hosts_memory(tmp_path: Path, engine: SimEngine) -> None:
    (tmp_path / "host.yaml").write_text("{gpus: [{name: A, total: 40 GiB}]}")
    engine.start(engine.create(SPEC))
    until(lambda: "startup complete" in _log(engine))
    assert SimHost(tmp_path).gpus()[0].free_bytes == 40 * GIB
    assert SimHost(tmp_path).memory().available_bytes < 50 * GIB


def _exited(engine: SimEngine) -> bool:
    container = engine.container("executor")
    return container is not None and container.state == "exited"


def _log(engine: SimEngine) -> str:
    return "\n".join(engine.logs("executor"))
