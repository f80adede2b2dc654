"""What every engine does, as a user of the port relies on it: a class of tests to be inherited once for each engine.

A subclass has a fixture ``bench``. Its image serves what ``sparkctl/world/sim/server.py`` serves.
"""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import pytest

from sparkctl.base.errors import EngineError
from sparkctl.world.labels import LABEL_SERVICE
from sparkctl.world.spec import ContainerSpec, Mount, Port

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.world.engine import Container, Engine

MODEL_FILE = "/usr/local/lib/python3.12/dist-packages/vllm/model_executor/models/gemma4_mtp.py"
READY = "Application startup complete."
FRACTION = ("--gpu-memory-utilization", "0.2")
PACE = ("SPARKCTL_SIM_FAULTS", "load_s=0.1")
DYING = ("SPARKCTL_SIM_FAULTS", "load_s=0.1,die_in=loading,exit_code=3")


class Bench(NamedTuple):
    """An engine that has ``image``, and a beginning of names that is this test's own."""

    engine: Engine
    image: str
    prefix: str

    def spec(self, name: str = "one", **changes: Any) -> ContainerSpec:  # noqa: ANN401 (any field)
        """Return a container that serves a model for which the simulated Spark has room twice."""
        command = ("/models/gemma4-e4b", "--served-model-name", "e4b", "--kv-cache-memory-bytes", "1073741824")
        given = {"image": self.image, "name": f"{self.prefix}-{name}", "command": (*command, *FRACTION), "env": (PACE,)}
        return ContainerSpec(**(given | changes))

    def started(self, name: str = "one", **changes: Any) -> Container:  # noqa: ANN401 (any field)
        """Create a container, start it and return it as the engine then sees it."""
        identity = self.engine.create(self.spec(name, **changes))
        self.engine.start(identity)
        return self.seen(identity)

    def seen(self, container: str) -> Container:
        """Return a container that has to be there."""
        found = self.engine.container(container)
        assert found is not None
        return found

    def ended(self, container: str) -> Container:
        """Wait for a container's end and return it."""
        until(lambda: self.seen(container).state == "exited")
        return self.seen(container)


def until(seen: Callable[[], object], seconds: float = 30) -> None:
    """Wait for something that happens in another process."""
    end = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < end, f"it did not happen within {seconds:g} s"
        time.sleep(0.02)


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class EngineContract:
    """The contract. Each test starts with none of its own containers."""

    def test_the_engine_says_who_it_is_and_that_it_is_this_hosts(self, bench: Bench) -> None:
        first, second = bench.engine.info(), bench.engine.info()

        assert first.id == second.id
        assert first.id
        assert first.version
        assert first.elsewhere is None

    def test_a_container_goes_from_created_to_running_to_exited_and_away(self, bench: Bench) -> None:
        began = time.time()
        identity = bench.engine.create(bench.spec(labels=((LABEL_SERVICE, "one"), ("x", "y z"))))
        created = bench.seen(identity)
        bench.engine.start(identity)
        running = bench.seen(f"{bench.prefix}-one")
        bench.engine.stop(identity, grace_s=1)
        exited = bench.seen(identity)
        bench.engine.remove(identity)

        assert (created.id, created.state, created.exit_code) == (identity, "created", None)
        assert (created.started_at, created.finished_at) == (None, None)
        assert (running.id, running.state, running.exit_code) == (identity, "running", None)
        assert running.started_at is not None
        assert began - 1 <= running.started_at <= time.time() + 1
        assert (exited.state, exited.exit_code is None) == ("exited", False)
        assert exited.finished_at is not None
        assert exited.finished_at >= running.started_at
        assert bench.engine.container(identity) is None

    def test_a_container_is_as_it_was_ordered(self, bench: Bench, tmp_path: Path) -> None:
        bench.engine.create(bench.spec(labels=((LABEL_SERVICE, "one"),), mounts=(_mount(tmp_path, "/data"),)))
        container = bench.seen(f"{bench.prefix}-one")

        assert container.name == f"{bench.prefix}-one"
        assert container.image == bench.image
        image = bench.engine.image(bench.image)
        assert image is not None
        assert container.image_id == image.id
        assert container.command == bench.spec().command
        assert container.labels[LABEL_SERVICE] == "one"
        assert PACE in container.env
        assert container.mounts == ((str(tmp_path), "/data", True),)

    def test_every_container_is_listed_whoever_made_it(self, bench: Bench) -> None:
        running, created = bench.started("one"), bench.engine.create(bench.spec("two"))
        listed = {container.id: container.state for container in bench.engine.containers()}

        assert listed[running.id] == "running"
        assert listed[created] == "created"

    def test_the_server_is_reached_on_its_published_port(self, bench: Bench) -> None:
        port = free_port()
        bench.started(ports=(Port(8000, port, "127.0.0.1"),))

        until(lambda: _health(port) == 200)

    def test_the_log_is_followed_without_waiting_and_each_line_comes_once(self, bench: Bench) -> None:
        identity = bench.started().id
        tail = bench.engine.follow(identity)
        lines: list[str] = []
        until(lambda: lines.extend(tail.read()) or _ready(lines))
        began = time.monotonic()
        rest = tail.read()
        waited = time.monotonic() - began
        tail.close()

        assert waited < 0.2
        assert lines + rest == bench.engine.logs(identity)
        assert bench.engine.logs(identity, tail=1) == bench.engine.logs(identity)[-1:]
        assert tail.read() == []

    def test_the_log_can_be_read_after_the_end(self, bench: Bench) -> None:
        container = bench.started(env=(DYING,))
        bench.ended(container.id)
        tail = bench.engine.follow(container.id)
        lines: list[str] = []
        until(lambda: lines.extend(tail.read()) or len(lines) == len(bench.engine.logs(container.id)))
        tail.close()

        assert lines == bench.engine.logs(container.id)

    def test_a_container_that_dies_at_once_says_how_and_why(self, bench: Bench) -> None:
        container = bench.ended(bench.started(env=(DYING,)).id)

        assert (container.exit_code, container.oom_killed) == (3, False)
        assert "".join(bench.engine.logs(container.id))
        assert bench.engine.processes(container.id) == ()

    def test_the_processes_are_those_of_the_host_and_none_when_it_does_not_run(self, bench: Bench) -> None:
        identity = bench.engine.create(bench.spec())
        before = bench.engine.processes(identity)
        bench.engine.start(identity)
        running = bench.engine.processes(identity)
        existing = [Path(f"/proc/{pid}").exists() for pid in running]
        bench.engine.stop(identity, grace_s=1)

        assert before == ()
        assert running
        assert all(existing)
        assert bench.engine.processes(identity) == ()
        assert bench.engine.processes(f"{bench.prefix}-nobody") == ()

    def test_a_running_container_sees_its_mounted_file_and_the_image_keeps_its_own(
        self, bench: Bench, tmp_path: Path
    ) -> None:
        mod = tmp_path / "gemma4_mtp.py"
        mod.write_bytes(b"# ours \xff\n")
        plain = bench.started("plain").id
        modified = bench.started("modified", mounts=(_mount(mod, MODEL_FILE),)).id
        original = bench.engine.read_image_files(bench.image, [MODEL_FILE])[MODEL_FILE]

        assert original
        assert bench.engine.read_file(plain, MODEL_FILE) == original
        assert bench.engine.read_file(modified, MODEL_FILE) == b"# ours \xff\n"
        assert bench.engine.read_image_files(bench.image, [MODEL_FILE])[MODEL_FILE] == original

    def test_a_file_that_is_not_there_is_none(self, bench: Bench) -> None:
        identity = bench.started().id

        assert bench.engine.read_file(identity, "/nowhere/file.py") is None
        assert bench.engine.read_image_files(bench.image, ["/nowhere/file.py"])["/nowhere/file.py"] is None

    def test_a_file_of_a_container_that_does_not_run_cannot_be_read(self, bench: Bench) -> None:
        identity = bench.engine.create(bench.spec())

        with pytest.raises(EngineError, match=f"cannot read {MODEL_FILE} in the container {bench.prefix}-one"):
            bench.engine.read_file(identity, MODEL_FILE)

    def test_reading_an_image_leaves_no_container(self, bench: Bench) -> None:
        bench.engine.read_image_files(bench.image, [MODEL_FILE])[MODEL_FILE]

        assert [c.name for c in bench.engine.containers() if c.name.startswith(bench.prefix)] == []

    def test_a_name_that_is_taken_is_refused_and_its_owner_is_untouched(self, bench: Bench) -> None:
        owner = bench.started("one")

        with pytest.raises(EngineError, match=f"the name {bench.prefix}-one is taken") as refused:
            bench.engine.create(bench.spec("one"))
        assert refused.value.hint
        assert bench.seen(owner.name) == owner

    def test_a_container_gets_another_name_unless_that_is_taken(self, bench: Bench) -> None:
        first, second = bench.started("one"), bench.engine.create(bench.spec("two"))

        with pytest.raises(EngineError, match=f"the name {bench.prefix}-two is taken"):
            bench.engine.rename(first.id, f"{bench.prefix}-two")
        bench.engine.rename(first.id, f"{bench.prefix}-three")
        assert bench.engine.container(f"{bench.prefix}-one") is None
        assert bench.seen(f"{bench.prefix}-three") == first._replace(name=f"{bench.prefix}-three")
        assert bench.seen(f"{bench.prefix}-two").id == second

    def test_a_port_that_is_taken_is_refused_at_the_start_and_its_owner_serves_on(self, bench: Bench) -> None:
        port = free_port()
        owner = bench.started("one", ports=(Port(8000, port, "127.0.0.1"),))
        late = bench.engine.create(bench.spec("two", ports=(Port(8000, port, "127.0.0.1"),)))

        with pytest.raises(EngineError, match=rf"port 127\.0\.0\.1:{port} is taken") as refused:
            bench.engine.start(late)
        assert refused.value.hint
        assert bench.seen(late).state == "created"
        assert bench.seen(owner.id).state == "running"

    def test_an_image_that_is_not_there_is_none_and_cannot_be_used(self, bench: Bench) -> None:
        missing = f"{bench.prefix}/nothing:1"

        assert bench.engine.image(missing) is None
        with pytest.raises(EngineError, match=f"{bench.prefix}/nothing:1"):
            bench.engine.create(bench.spec(image=missing))
        with pytest.raises(EngineError, match=f"{bench.prefix}/nothing:1"):
            bench.engine.read_image_files(missing, [MODEL_FILE])[MODEL_FILE]

    def test_a_mount_without_its_source_is_refused_and_leaves_nothing(self, bench: Bench, tmp_path: Path) -> None:
        missing = tmp_path / "no such file"

        with pytest.raises(EngineError, match=f"there is no {missing}"):
            bench.engine.create(bench.spec(mounts=(_mount(missing, MODEL_FILE),)))
        assert bench.engine.container(f"{bench.prefix}-one") is None

    @pytest.mark.parametrize("call", ["start", "logs", "follow"])
    def test_a_container_that_is_not_there_is_named(self, bench: Bench, call: str) -> None:
        with pytest.raises(EngineError, match=f"there is no container {bench.prefix}-nobody"):
            getattr(bench.engine, call)(f"{bench.prefix}-nobody")
        with pytest.raises(EngineError, match=f"there is no container {bench.prefix}-nobody"):
            bench.engine.read_file(f"{bench.prefix}-nobody", "/etc/passwd")
        assert bench.engine.container(f"{bench.prefix}-nobody") is None

    def test_stopping_and_removing_twice_is_no_error(self, bench: Bench) -> None:
        container = bench.started()

        for _ in range(2):
            bench.engine.stop(container.id, grace_s=1)
        for name in (container.id, container.id, container.name):
            bench.engine.remove(name)
        bench.engine.stop(container.name, grace_s=1)
        assert bench.engine.container(container.id) is None

    def test_removing_ends_what_runs(self, bench: Bench) -> None:
        container = bench.started()
        processes = bench.engine.processes(container.id)
        bench.engine.remove(container.id)

        assert processes
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in processes))

    def test_the_beginning_of_an_id_is_not_a_name(self, bench: Bench) -> None:
        identity = bench.engine.create(bench.spec())
        bench.engine.remove(identity[:6])

        assert bench.engine.container(identity[:6]) is None
        assert bench.seen(identity).state == "created"

    def test_a_container_that_is_started_again_is_followed_from_its_new_start(self, bench: Bench) -> None:
        identity = bench.started().id
        until(lambda: _ready(bench.engine.logs(identity)) == 1)
        bench.engine.stop(identity, grace_s=1)
        before = len(bench.engine.logs(identity))
        bench.engine.start(identity)
        tail = bench.engine.follow(identity)
        lines: list[str] = []
        until(lambda: lines.extend(tail.read()) or _ready(lines))
        tail.close()

        assert _ready(lines) == 1
        assert lines == bench.engine.logs(identity)[before : before + len(lines)]


def _ready(lines: list[str]) -> int:
    return sum(READY in line for line in lines)


def _mount(source: Path, target: str) -> Mount:
    return Mount(target, str(source), read_only=True)


def _health(port: int) -> int | None:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health").status_code
    except httpx.TransportError:
        return None
