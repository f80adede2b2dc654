"""GPUs on a real engine: by CDI and by NVIDIA's hook where the engine has them, and what it says where it has not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.base.errors import EngineError
from sparkctl.world.spec import ContainerSpec, GpuRequest
from tests.support.engine_bench import Bench
from tests.support.engine_fixtures import BASE, FIRST, NEW

if TYPE_CHECKING:
    from sparkctl.world.docker.engine import DockerEngine

pytestmark = pytest.mark.docker

SHOWN = "echo gpus=$NVIDIA_VISIBLE_DEVICES cdi=$SPARKCTL_TEST_CDI; cat /opt/sparkctl-test/cdi 2>&1"
ABSENT = "cat: /opt/sparkctl-test/cdi: No such file or directory"


def shown(engine: DockerEngine, name: str, **changes: Any) -> list[str]:  # noqa: ANN401 (any field)
    """Return what a container sees of its GPUs."""
    identity = engine.create(ContainerSpec(BASE, ("sh", "-c", SHOWN), name, **changes))
    engine.start(identity)
    Bench(engine, BASE, name).ended(identity)
    return engine.logs(identity)


@NEW
def test_a_cdi_device_brings_its_variable_and_its_file(docker_engine: DockerEngine, prefix: str) -> None:
    assert shown(docker_engine, prefix, cdi_devices=("nvidia.com/gpu=all",)) == ["gpus= cdi=all", "mounted by CDI"]


@NEW
@pytest.mark.parametrize(
    ("request_", "visible"),
    [
        (GpuRequest(-1), "all"),
        (GpuRequest(device_ids=("0", "1")), "0,1"),
    ],
)
def test_gpus_are_what_nvidias_hook_is_asked_for(
    docker_engine: DockerEngine, prefix: str, request_: GpuRequest, visible: str
) -> None:
    assert shown(docker_engine, prefix, gpus=request_) == [f"gpus={visible} cdi=", ABSENT]


@NEW
def test_a_container_without_gpus_gets_none(docker_engine: DockerEngine, prefix: str) -> None:
    assert shown(docker_engine, prefix) == ["gpus= cdi=", ABSENT]


@NEW
@pytest.mark.parametrize("device", ["nvidia.com/gpu=7", "amd.com/gpu=all"])
def test_a_cdi_device_that_nobody_describes_is_named(docker_engine: DockerEngine, prefix: str, device: str) -> None:
    with pytest.raises(
        EngineError, match=f"^cannot start the container {prefix}: no CDI specification on the engine's host describes "
    ) as refused:
        shown(docker_engine, prefix, cdi_devices=(device,))
    assert refused.value.message.endswith(f" describes {device}")
    assert refused.value.hint == (
        "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml; nvidia-ctk cdi list shows the names"
    )


@NEW
def test_an_engine_with_cdi_that_cannot_list_its_devices_says_so(docker_engine: DockerEngine) -> None:
    info = docker_engine.info()

    assert (info.cdi_devices, info.runtimes) == (None, ("io.containerd.runc.v2", "runc"))


@FIRST
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gpus": GpuRequest(-1)}, "the NVIDIA container toolkit is not registered with the engine"),
        ({"cdi_devices": ("nvidia.com/gpu=all",)}, "the engine does not resolve CDI devices"),
    ],
)
def test_an_engine_with_nothing_of_nvidias_says_what_is_missing(
    docker_engine: DockerEngine, prefix: str, changes: dict[str, Any], message: str
) -> None:
    if "nvidia" in docker_engine.info().runtimes:
        pytest.skip("this engine has the NVIDIA container toolkit")

    with pytest.raises(EngineError, match=f"^cannot start the container {prefix}: {message}") as refused:
        shown(docker_engine, prefix, **changes)
    container = docker_engine.container(prefix)
    assert refused.value.hint
    assert container is not None
    assert (container.state, bool(container.error)) == ("created", True)
    assert docker_engine.info().cdi_devices == ()
