"""The Docker adapter on a real engine: the contract, and what only Docker has."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.base.errors import EngineError
from sparkctl.world.docker.engine import DockerEngine
from sparkctl.world.docker.errors import Endpoint
from sparkctl.world.docker.image_files import read_in_image
from sparkctl.world.labels import LABEL_PROCESS, LABEL_THROWAWAY
from sparkctl.world.spec import ContainerSpec, Mount
from tests.support.engine_bench import Bench
from tests.support.engine_contract import EngineContract
from tests.support.engine_fixtures import BASE, BOTH, STANDIN

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = BOTH

SLEEP = ("/bin/sleep", "60")


@pytest.mark.docker
class TestDockerEngine(EngineContract):
    """The contract, on the real engine."""

    @pytest.fixture
    def bench(self, docker_engine: DockerEngine, prefix: str) -> Bench:
        return Bench(docker_engine, STANDIN, prefix)


@pytest.fixture
def name(prefix: str) -> str:
    return f"{prefix}-one"


def run(engine: DockerEngine, name: str, **changes: Any) -> str:  # noqa: ANN401 (any field)
    identity = engine.create(ContainerSpec(**({"image": BASE, "command": SLEEP, "name": name} | changes)))
    engine.start(identity)
    return identity


@pytest.mark.docker
def test_a_read_only_mount_cannot_be_written(
    docker_engine: DockerEngine, docker_host: str, name: str, tmp_path: Path
) -> None:
    file = tmp_path / "mod.py"
    file.write_text("ours")
    run(docker_engine, name, mounts=(Mount("/opt/mod.py", str(file), read_only=True),))
    words = ["docker", "--host", docker_host, "exec", name, "sh", "-c", "echo theirs > /opt/mod.py"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)

    assert "Read-only file system" in done.stderr
    assert docker_engine.read_file(name, "/opt/mod.py") == b"ours"


@pytest.mark.docker
def test_a_file_is_read_as_the_process_sees_it_and_not_as_the_path_now_is(
    docker_engine: DockerEngine, name: str, tmp_path: Path
) -> None:
    file = tmp_path / "mod.py"
    file.write_text("at the start")
    run(docker_engine, name, mounts=(Mount("/opt/mod.py", str(file)),))
    file.rename(tmp_path / "old.py")
    file.write_text("another file of this name")

    assert docker_engine.read_file(name, "/opt/mod.py") == b"at the start"


@pytest.mark.docker
def test_an_image_without_cat_is_read_with_its_python(docker_engine: DockerEngine, name: str) -> None:
    run(docker_engine, name, mounts=(Mount("/usr/bin/cat", "/dev/null"),))

    assert docker_engine.read_file(name, "/etc/hostname")
    assert docker_engine.read_file(name, "/nowhere") is None
    with pytest.raises(EngineError, match=f"^cannot read /etc in the container {name}: Is a directory$"):
        docker_engine.read_file(name, "/etc")


@pytest.mark.docker
def test_an_image_with_neither_cat_nor_python_is_an_error_that_says_so(docker_engine: DockerEngine, name: str) -> None:
    run(docker_engine, name, env=(("PATH", "/nowhere"),))

    with pytest.raises(EngineError, match=f"^cannot read /etc/hostname in the container {name}: its image has neither"):
        docker_engine.read_file(name, "/etc/hostname")


@pytest.mark.docker
def test_a_file_that_is_none_cannot_be_read_in_a_container(docker_engine: DockerEngine, name: str) -> None:
    run(docker_engine, name)

    assert docker_engine.read_file(name, "/etc/passwd/x") is None
    with pytest.raises(EngineError, match=f"^cannot read /etc in the container {name}: cat: /etc: Is a directory$"):
        docker_engine.read_file(name, "/etc")


@pytest.mark.docker
def test_a_file_without_an_end_is_not_read_to_it(docker_engine: DockerEngine, name: str) -> None:
    run(docker_engine, name)

    with pytest.raises(EngineError, match=r"what cat wrote in the container \w+ has more than 64 MiB"):
        docker_engine.read_file(name, "/dev/zero")


@pytest.mark.docker
def test_the_links_of_an_image_are_followed_within_the_image(docker_engine: DockerEngine) -> None:
    linked = docker_engine.read_image_files(BASE, ["/bin/python3"])[
        "/bin/python3"
    ]  # /bin is a link, and python3 is one

    assert linked is not None
    assert linked.startswith(b"\x7fELF")
    assert linked == docker_engine.read_image_files(BASE, ["/usr/bin/python3"])["/usr/bin/python3"]
    assert (
        docker_engine.read_image_files(BASE, ["/etc/mtab"])["/etc/mtab"] is None
    )  # a link to /proc, which an image has not
    assert docker_engine.read_image_files(BASE, ["/etc/passwd/x"])["/etc/passwd/x"] is None


class _Interrupted:
    """An SDK client whose reading is interrupted by the operator."""

    def __init__(self) -> None:
        self.created: list[str] = []
        self.removed: list[str] = []
        self.timeout = 5

    def create_container(self, *_: object, name: str, labels: dict[str, str], **__: object) -> None:
        assert labels == {LABEL_THROWAWAY: "reader", LABEL_PROCESS: "me"}
        self.created.append(name)
        raise KeyboardInterrupt

    def remove_container(self, name: str, **_: object) -> None:
        self.removed.append(name)


def test_an_interrupted_reading_of_an_image_leaves_no_container() -> None:
    client = _Interrupted()

    with pytest.raises(KeyboardInterrupt):
        read_in_image(client, "image", ["/etc/passwd"], "me")  # type: ignore[arg-type]
    assert client.removed == client.created != []


class _Described:
    """An SDK client of an engine that counts how often it is asked who it is."""

    api_version = "1.45"
    asked = 0

    def info(self) -> dict[str, str]:
        self.asked += 1
        return {"ID": "the engine", "ServerVersion": "26.1.5"}


def test_an_engine_is_asked_once_in_a_moment_who_it_is() -> None:
    client = _Described()
    engine = DockerEngine(client, Endpoint("unix:///s", 1), {})  # type: ignore[arg-type]

    assert [engine.info().id for _ in range(3)] == ["the engine"] * 3
    assert client.asked == 1


@pytest.mark.docker
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"command": ("vllm", "serve")}, "the image has no program vllm"),
        ({"network": "of-nobody"}, "the engine has no network of-nobody"),
    ],
)
def test_a_start_that_the_engine_refuses_says_why_and_leaves_it_created(
    docker_engine: DockerEngine, name: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(EngineError, match=f"^cannot start the container {name}: {message}") as refused:
        run(docker_engine, name, **changes)
    container = docker_engine.container(name)
    assert refused.value.hint
    assert container is not None
    assert (container.state, bool(container.error)) == ("created", True)


@pytest.mark.docker
def test_a_runtime_that_the_engine_has_not_is_refused_at_the_create(docker_engine: DockerEngine, name: str) -> None:
    with pytest.raises(EngineError, match="the engine has no runtime of-nobody"):
        run(docker_engine, name, runtime="of-nobody")
    assert docker_engine.container(name) is None


@pytest.mark.docker
def test_a_container_that_removes_itself_can_be_removed_at_the_same_time(
    docker_engine: DockerEngine, name: str
) -> None:
    identity = run(docker_engine, name, auto_remove=True, init=True)
    docker_engine.stop(identity, grace_s=5)
    docker_engine.remove(identity)

    assert docker_engine.container(identity) is None


@pytest.mark.docker
def test_a_container_that_is_killed_for_its_memory_says_so(docker_engine: DockerEngine, name: str) -> None:
    limits = {
        "command": ("python3", "-c", "b = bytearray(256 * 2**20)"),
        "memory": 32 * 2**20,
        "memory_swap": 32 * 2**20,
    }
    bench = Bench(docker_engine, BASE, name)
    said = []
    for number in range(5):  # on a crowded host the engine may lose the kernel's word of it, about once in a thousand
        ended = bench.ended(run(docker_engine, f"{name}-{number}", **limits))
        assert ended.exit_code == 137
        said.append(ended.oom_killed)
        if ended.oom_killed:
            break

    assert said[-1], said
