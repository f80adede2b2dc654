"""Containers for a moment: gone whatever happens, and those of a killed process found and removed."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import EngineError
from sparkctl.world.labels import LABEL_PROCESS, LABEL_THROWAWAY
from sparkctl.world.local import processes
from sparkctl.world.spec import ContainerSpec
from sparkctl.world.throwaway import left, sweep, throwaway
from tests.support.engine_fixtures import BASE
from tests.support.fake_engine import FakeEngine
from tests.support.fakes import FakeLocks

if TYPE_CHECKING:
    from sparkctl.world.docker.engine import DockerEngine

SPEC = ContainerSpec(image="image:1", name="sparkctl-try-1")


def engine() -> FakeEngine:
    return FakeEngine(images={"image:1": {}})


def test_it_says_what_it_is_for_and_who_made_it_and_is_gone_afterwards() -> None:
    fake = engine()
    with throwaway(fake, SPEC, "reader", "me") as made:
        assert fake.there[made].labels == {LABEL_THROWAWAY: "reader", LABEL_PROCESS: "me"}
    assert fake.there == {}


@pytest.mark.parametrize("error", [EngineError("no"), KeyboardInterrupt()])
def test_it_is_gone_when_what_uses_it_fails(error: BaseException) -> None:
    fake = engine()
    with pytest.raises(type(error)), throwaway(fake, SPEC, "reader", "me"):
        raise error
    assert fake.there == {}


class Interrupted(FakeEngine):
    """An engine whose answer to a create never comes: the operator has pressed Ctrl-C."""

    def create(self, spec: ContainerSpec) -> str:
        super().create(spec)
        raise KeyboardInterrupt


def test_a_create_that_was_interrupted_leaves_none() -> None:
    fake = Interrupted(images={"image:1": {}})
    with pytest.raises(KeyboardInterrupt), throwaway(fake, SPEC, "reader", "me"):
        pass
    assert fake.there == {}


def test_only_what_a_process_left_that_is_known_to_be_gone_is_swept() -> None:
    fake, number = engine(), count()
    for process in ("me", "gone", "elsewhere", "gone"):
        labels = ((LABEL_THROWAWAY, "bake"), (LABEL_PROCESS, process))
        fake.create(ContainerSpec(image="image:1", name=f"{process}-{next(number)}", labels=labels))
    fake.create(ContainerSpec(image="image:1", name="foreign", labels=((LABEL_PROCESS, "gone"),)))
    fake.create(ContainerSpec(image="image:1", name="older", labels=((LABEL_THROWAWAY, "bake"),)))
    assert [one.name for one in left(fake.containers(), FakeLocks().lives)] == ["gone-1", "gone-3"]
    assert [one.name for one in sweep(fake, FakeLocks().lives)] == ["gone-1", "gone-3"]
    assert sorted(one.name for one in fake.containers()) == ["elsewhere-2", "foreign", "me-0", "older"]


@pytest.mark.docker
def test_on_a_real_engine_it_is_created_run_and_gone_and_a_left_one_is_swept(
    docker_engine: DockerEngine, prefix: str
) -> None:
    mine = processes.me()
    *machine, _, start = mine.split("~")
    gone = "~".join([*machine, str(2**22 + 1), start])
    with throwaway(
        docker_engine, ContainerSpec(image=BASE, name=f"{prefix}-1", command=("true",)), "reader", mine
    ) as first:
        labels = ((LABEL_THROWAWAY, "reader"), (LABEL_PROCESS, gone))
        second = docker_engine.create(ContainerSpec(image=BASE, name=f"{prefix}-2", command=("true",), labels=labels))
        sweep(docker_engine, processes.lives)  # another command on this engine may have done it already
        assert docker_engine.container(second) is None
        assert docker_engine.container(first) is not None
    assert [one.name for one in docker_engine.containers() if one.name.startswith(prefix)] == []
