"""How a container was created, as a real engine keeps it: what it was ordered with comes back, option by option."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pytest

from sparkctl.recipes.exchange.sources.inspected import ordered
from sparkctl.world.docker.creation import creation_of
from sparkctl.world.docker_run import grammar
from tests.support.engine_fixtures import BASE
from tests.world.docker.test_create import CASES

if TYPE_CHECKING:
    from sparkctl.world.docker.engine import DockerEngine
    from sparkctl.world.spec import ContainerSpec

KEPT_OTHERWISE: Final[dict[str, dict[str, Any]]] = {
    "env from the operator": {"env": ()},
    "platform": {"platform": ""},
    "pull": {"pull": ""},
    "runtime": {"runtime": ""},
    "no entrypoint": {"entrypoint": None},
    "log": {"log_driver": ""},
}
"""What the engine keeps no trace of, or that is as it does it by itself."""


def test_nothing_but_what_is_needed_need_be_said() -> None:
    """An engine may leave out whatever it likes: keys of other versions of the API."""
    found = creation_of({"Id": "1" * 64, "Name": "/one", "Config": {"Image": "x"}}, {}, "runc")
    assert (found.spec.name, found.spec.image, found.spec.command, found.others) == ("one", "x", (), ())
    host = {"CpuShares": 512, "Links": ["a:b"], "Mounts": [{"Target": "/x", "BindOptions": {"Propagation": "rslave"}}]}
    found = creation_of({"Id": "1" * 64, "Name": "/one", "Config": {"Image": "x"}, "HostConfig": host}, {}, "runc")
    assert found.others == ("CpuShares=512", 'Links=["a:b"]', 'Mounts /x BindOptions={"Propagation": "rslave"}')


@pytest.mark.docker
def test_what_a_container_was_ordered_with_comes_back(docker_engine: DockerEngine, prefix: str) -> None:
    wrong: list[str] = []
    for number, (name, case) in enumerate(CASES.items()):
        words = ["docker", "create", "--name", f"{prefix}-{number}", *shlex.split(case.words), BASE, "sleep", "a b"]
        spec = grammar.parse(words)
        identity = docker_engine.create(spec)
        try:
            creation = docker_engine.creation(identity)
            assert creation is not None
            again = ordered(creation)
        finally:
            docker_engine.remove(identity)
        expected = _comparable(replace(spec, **KEPT_OTHERWISE.get(name, {})))
        if _comparable(again) != expected:
            wrong.append(f"{name}: {_different(_comparable(again), expected)}")
        has_options = any(mount.options for mount in spec.mounts if not mount.create_source)
        if creation.others and not has_options:
            wrong.append(f"{name}: also {creation.others}")
    assert wrong == []


def _comparable(spec: ContainerSpec) -> ContainerSpec:
    """Return a spec without the order of what the engine sorts, and without options of --mount, which are others."""
    mounts = (replace(one, options=one.options if one.create_source else ()) for one in spec.mounts)
    return replace(
        spec,
        mounts=tuple(sorted(mounts, key=lambda one: one.target)),
        ports=tuple(sorted(spec.ports, key=lambda one: one.container_port)),
        labels=tuple(sorted(spec.labels)),
        log_opts=tuple(sorted(spec.log_opts)),
        ulimits=tuple(sorted(spec.ulimits, key=lambda one: one.name)),
        cap_add=tuple(sorted(spec.cap_add)),
        cap_drop=tuple(sorted(spec.cap_drop)),
    )


def _different(one: ContainerSpec, other: ContainerSpec) -> list[tuple[object, object]]:
    pairs = [(getattr(one, name), getattr(other, name)) for name in one.__dataclass_fields__]
    return [pair for pair in pairs if pair[0] != pair[1]]
