"""A group that is to be replaced: whatever can fail is asked before any of its ranks is stopped."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import DoesNotFitError, EngineError
from sparkctl.base.units import GIB
from sparkctl.operations.groups import by_name
from sparkctl.operations.groups.kept import KeptGroup, kept
from sparkctl.operations.guard.alone import kernel
from sparkctl.operations.guard.alone.places import Places
from sparkctl.operations.guard.alone.state import GuardState, StateFile
from tests.support.two_sparks import TwoSparks, two_sparks

if TYPE_CHECKING:
    from pathlib import Path

GROUP = KeptGroup("pair", ("a", "b"), ready=True)


@pytest.fixture
def two(tmp_path: Path) -> TwoSparks:
    found = two_sparks(tmp_path)
    found.up()
    for spark in (found.a, found.b):
        spark.engine.calls.clear()
    return found


def untouched(two: TwoSparks) -> bool:
    """Return whether the group runs on as it was, and is known."""
    nothing = two.a.engine.calls == two.b.engine.calls == []
    return nothing and two.containers == {"a": "running", "b": "running"} and kept(two.world) == {"pair": GROUP}


def closed_guard(run: Path) -> None:
    """Let a guard with this process as its own have closed admission."""
    (run / "guard").mkdir(parents=True)
    state = GuardState(os.getpid(), kernel.start_of(os.getpid()) or 0)
    state.closed, state.available, state.reserve = True, 8 * GIB, 10 * GIB
    StateFile(Places(str(run)).state).write(state)


def head_here(two: TwoSparks, folder: Path) -> None:
    """Let the machine that sparkctl runs on be the head's, with what is kept there."""
    (folder / "hosts.yaml").write_text((folder / "hosts.yaml").read_text().replace("ssh: spark-a", "ssh: local"))
    two.a.files, two.here = two.here.files, two.a
    two.a.run_folder = folder / "run"


@pytest.mark.parametrize("host", ["a", "b"])
def test_a_replacement_that_does_not_fit_leaves_every_rank_running(two: TwoSparks, host: str) -> None:
    getattr(two, host).host.available = 8 * GIB
    with pytest.raises(DoesNotFitError, match=f"^{host}: pair"):
        two.up(overrides=("limits.context=4096",), replace=True)
    assert untouched(two)


def test_a_replacement_whose_port_is_taken_leaves_every_rank_running(two: TwoSparks) -> None:
    two.a.host.taken_ports.add(8666)
    with pytest.raises(EngineError, match=r"^a: pair: port 8666 on 127\.0\.0\.1 is in use"):
        two.up(overrides=("serve.port=8666",), replace=True)
    assert untouched(two)


def test_a_closed_guard_lets_no_group_be_replaced_or_restarted(two: TwoSparks, tmp_path: Path) -> None:
    head_here(two, tmp_path)
    closed_guard(tmp_path / "run")
    with pytest.raises(DoesNotFitError, match=r"^a: the guard has closed admission"):
        two.up(overrides=("limits.context=4096",), replace=True)
    assert untouched(two)
    with pytest.raises(DoesNotFitError, match=r"^a: the guard has closed admission"):
        by_name.restart(two.world, GROUP)
    assert untouched(two)


def test_one_that_is_refused_once_is_replaced_when_it_fits(two: TwoSparks) -> None:
    two.b.host.available = 8 * GIB
    with pytest.raises(DoesNotFitError):
        two.up(overrides=("limits.context=4096",), replace=True)
    two.b.host.available = 110 * GIB
    two.up(overrides=("limits.context=4096",), replace=True)
    assert "4096" in two.b.engine.specs["pair"].command
    assert two.containers == {"a": "running", "b": "running"}
