"""What an operator reads when the engine is absent, refuses or stops answering."""

from __future__ import annotations

import json
import signal
import socketserver
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

import pytest
from docker.errors import DockerException

from sparkctl.base.errors import EngineError
from sparkctl.world.docker.engine import connect
from sparkctl.world.docker.errors import Endpoint, refusal, to_its_end, within
from sparkctl.world.docker.inspected import HostFacts, container_of, elsewhere, image_of, info_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOOLKIT = "sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker"


@pytest.mark.parametrize(
    ("text", "meaning", "hint"),
    [
        (
            (
                'Conflict. The container name "/e4b" is already in use by container "b17e40d4d2ee18cb". You have to '
                "remove (or rename) that container to be able to reuse that name."
            ),
            "the name e4b is taken by the container b17e40d4d2ee",
            "choose another name, or remove that container if it is yours: docker rm e4b",
        ),
        (
            (
                "driver failed programming external connectivity on endpoint X (5a1): Bind for 0.0.0.0:8080 failed: "
                "port is already allocated"
            ),
            "port 0.0.0.0:8080 is taken by another container",
            "serve on another port; docker ps --filter publish=8080 shows who has it",
        ),
        (
            (
                "failed to set up container networking: driver failed programming external connectivity on endpoint X: "
                "failed to bind host port 0.0.0.0:8003/tcp: address already in use"
            ),
            "port 0.0.0.0:8003 is taken by a process of the host",
            "serve on another port; sudo ss -lntup 'sport = :8003' shows who has it",
        ),
        (
            "failed to bind host port for 127.0.0.1:8003:172.17.0.2:8000/tcp: address already in use",
            "port 127.0.0.1:8003 is taken by a process of the host",
            "serve on another port; sudo ss -lntup 'sport = :8003' shows who has it",
        ),
        (
            (
                "driver failed programming external connectivity on endpoint X: Error starting userland proxy: listen "
                "tcp6 [::1]:8003: bind: address already in use"
            ),
            "port [::1]:8003 is taken by a process of the host",
            "serve on another port; sudo ss -lntup 'sport = :8003' shows who has it",
        ),
        (
            (
                "driver failed programming external connectivity on endpoint X: Error starting userland proxy: listen "
                "tcp4 203.0.113.9:8003: bind: cannot assign requested address"
            ),
            "203.0.113.9 is no address of the engine's host",
            "ip address shows those that it has; 127.0.0.1 is reached from that host alone, 0.0.0.0 stands for all",
        ),
        (
            (
                "driver failed programming external connectivity on endpoint X: Error starting userland proxy: listen "
                "tcp6 [fe80::1]:8003: bind: invalid argument"
            ),
            "[fe80::1] is no address of the engine's host",
            "ip address shows those that it has; 127.0.0.1 is reached from that host alone, 0.0.0.0 stands for all",
        ),
        (
            "failed to bind host port 203.0.113.9:8003/tcp: cannot assign requested address",
            "203.0.113.9 is no address of the engine's host",
            "ip address shows those that it has; 127.0.0.1 is reached from that host alone, 0.0.0.0 stands for all",
        ),
        (
            "Error when allocating new name: Invalid container name (/a b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
            "a b is no name for a container",
            "two or more of the letters a to z and A to Z, digits, _ . and -, beginning with a letter or a digit",
        ),
        ("No such image: vllm:1", "the engine does not have the image vllm:1", "fetch it: docker pull vllm:1"),
        (
            'invalid mount config for type "bind": bind source path does not exist: /models/a b',
            "there is no /models/a b on the engine's host to mount",
            "create it, or correct the path",
        ),
        (
            'could not select device driver "" with capabilities: [[gpu]]',
            (
                "the NVIDIA container toolkit is not registered with the engine "
                '(could not select device driver "" with capabilities: [[gpu]])'
            ),
            f"{TOOLKIT}; or give the recipe gpus: cdi:nvidia.com/gpu=all",
        ),
        (
            'could not select device driver "cdi" with capabilities: []',
            'the engine does not resolve CDI devices (could not select device driver "cdi")',
            (
                'Docker 25 or newer, with "features": {"cdi": true} in /etc/docker/daemon.json, resolves them; then: '
                "sudo systemctl restart docker. Or give the recipe gpus: all"
            ),
        ),
        (
            (
                "failed to create task for container: CDI device injection failed: unresolvable CDI devices "
                "nvidia.com/gpu=all: unknown"
            ),
            "no CDI specification on the engine's host describes nvidia.com/gpu=all",
            "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml; nvidia-ctk cdi list shows the names",
        ),
        (
            (
                "OCI runtime create failed: container init caused: error running hook: exit status 1, "
                "stdout: , stderr: nvidia-container-cli: device error: 1: unknown device: unknown"
            ),
            "the engine's host has no GPU 1",
            "nvidia-smi -L lists the GPUs by index and by UUID; give the recipe one of them: gpus: …",
        ),
        (
            (
                "OCI runtime create failed: invoking the NVIDIA Container Runtime Hook directly (e.g. specifying the "
                "docker --gpus flag) is not supported. Please use the NVIDIA Container Runtime"
            ),
            (
                "the NVIDIA container toolkit is in CDI mode and refuses --gpus (invoking the NVIDIA Container Runtime "
                "Hook directly is not supported)"
            ),
            "give the recipe gpus: cdi:nvidia.com/gpu=all",
        ),
        ("unknown or invalid runtime name: nvidia", "the engine has no runtime nvidia", f"for nvidia: {TOOLKIT}"),
        ("Unknown runtime specified nvidia", "the engine has no runtime nvidia", f"for nvidia: {TOOLKIT}"),
        (
            "failed to register layer: write /usr/lib/libtorch.so: no space left on device",
            "the engine's disk is full (write /usr/lib/libtorch.so: no space left on device)",
            "docker system df shows what images and containers take; docker image prune frees unused images",
        ),
    ],
)
def test_an_engines_refusal_is_a_cause_and_a_fix(text: str, meaning: str, hint: str) -> None:
    error = refusal(text, "start the container e4b")

    assert (error.message, error.hint) == (f"cannot start the container e4b: {meaning}", hint)
    assert error.exit_code == 4


def test_a_refusal_that_is_not_known_is_shown_as_the_engine_wrote_it() -> None:
    assert refusal(" the moon is full\n", "start e4b").message == "cannot start e4b: the moon is full"


def test_no_permission_names_the_group() -> None:
    refused = DockerException("Error while fetching server API version: ('Connection aborted.', …)")
    refused.__cause__ = PermissionError(13, "Permission denied")

    with (
        pytest.raises(EngineError, match=r"^no permission to use the Docker engine at unix:///s$") as seen,
        Endpoint("unix:///s", 1).asked("connect"),
    ):
        raise refused
    assert seen.value.hint == "join the group docker and log in again: sudo usermod -aG docker $USER"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("unix:///nowhere/docker.sock", "no Docker engine at unix:///nowhere/docker.sock"),
        ("tcp://127.0.0.1:1", r"no Docker engine answers at tcp://127.0.0.1:1 \(connection refused\)"),
        (
            "ssh://nobody@nowhere",
            "no connection to the Docker engine at ssh://nobody@nowhere: ssh:// needs .* paramiko",
        ),
        ("carrier://pigeon", "cannot connect to the engine: Invalid bind address protocol: carrier://pigeon"),
    ],
)
def test_an_engine_that_cannot_be_reached_is_named(address: str, message: str) -> None:
    with pytest.raises(EngineError, match=f"^{message}"):
        connect(environment={"DOCKER_HOST": address})


def test_certificates_that_are_not_there_are_named(tmp_path: Path) -> None:
    environment = {"DOCKER_HOST": "tcp://127.0.0.1:1", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path)}

    with pytest.raises(EngineError, match=r"DOCKER_CERT_PATH|TLS"):
        connect(environment=environment)


def test_a_context_that_does_not_exist_is_named() -> None:
    with pytest.raises(EngineError, match=r"^there is no docker context spark-2$"):
        connect(environment={"DOCKER_CONTEXT": "spark-2"})


@pytest.mark.docker
def test_dockers_active_context_leads_to_the_engine(docker_host: str) -> None:
    for words in (["create", "bed", "--docker", f"host={docker_host}"], ["use", "bed"]):
        subprocess.run(["docker", "context", *words], check=True, capture_output=True)  # in this test's own home
    expected = connect(environment={"DOCKER_HOST": docker_host})
    by_name = connect(environment={"DOCKER_CONTEXT": "bed"})
    active = connect(environment={})

    with expected, by_name, active:
        assert by_name.info().id == active.info().id == expected.info().id


class _Daemon(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """A Docker Engine that only tells its version, and then does ``order``: hang, drop, garble or end."""

    daemon_threads = True
    order = "hang"
    api_version = "1.41"
    done = threading.Event()


class _Handler(BaseHTTPRequestHandler):
    server: _Daemon
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path.endswith("/version"):
            self.send_response(200)
            self._answer(json.dumps({"ApiVersion": self.server.api_version}).encode())
        elif "/one/" in self.path or "/b17e/" in self.path:
            self._answer_about_one()
        elif self.server.order == "end" and self.command == "POST":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"0\r\n\r\n")
        elif self.server.order == "end":
            self.send_response(404)
            self._answer(b'{"message": "No such image: vllm:1"}')
        elif self.server.order == "hang":
            self.server.done.wait(10)
        elif self.server.order == "drop":
            self.close_connection = True
        else:
            self.send_response(200)
            self._answer(b"<html>")

    do_POST = do_GET  # noqa: N815 (the name that http.server wants)

    def _answer_about_one(self) -> None:
        """Answer about a container that runs, and whose processes cannot be listed."""
        waits = self.path.endswith("/wait")
        if waits and self.server.order != "ends":
            self.close_connection = True
            return
        self.send_response(500 if "/top" in self.path else 200)
        told = {"message": "ttrpc: closed: unknown"} if "/top" in self.path else inspected_one("running")
        self._answer(json.dumps({"StatusCode": 137} if waits else told).encode())

    def _answer(self, body: bytes) -> None:
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "a socket"

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def daemon(folder: Path, **orders: Any) -> Iterator[dict[str, str]]:  # noqa: ANN401 (any attribute)
    with _Daemon(str(folder / "s"), _Handler) as server:
        vars(server).update(orders, done=threading.Event())
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield {"DOCKER_HOST": f"unix://{folder}/s"}
        finally:
            server.done.set()
            server.shutdown()
            thread.join()


def test_a_container_that_ends_at_this_moment_has_no_processes_and_one_that_runs_on_is_an_error(tmp_path: Path) -> None:
    with daemon(tmp_path, order="ends") as environment, connect(environment=environment) as engine:
        assert engine.processes("one") == ()
    (tmp_path / "s").unlink()
    with (
        daemon(tmp_path, order="drop") as environment,
        connect(environment=environment) as engine,
        pytest.raises(EngineError, match="cannot list the processes of the container one: ttrpc: closed: unknown"),
    ):
        engine.processes("one")


def test_an_engine_that_is_too_old_is_refused(tmp_path: Path) -> None:
    with daemon(tmp_path, api_version="1.40") as environment, pytest.raises(EngineError) as refused:
        connect(environment=environment)
    assert refused.value.message == f"the Docker engine at {environment['DOCKER_HOST']} is too old: its API is 1.40"
    assert refused.value.hint == "update Docker Engine to 20.10 or newer"


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ("hang", r"the engine stopped answering: no reply from {} within 0\.2 s \(to list the containers\)"),
        ("drop", r"the engine at {} broke the connection off \(to list the containers\)"),
        ("garble", "cannot list the containers: Expecting value"),
    ],
)
def test_an_engine_that_fails_in_the_middle_of_a_call_is_one_error(tmp_path: Path, order: str, message: str) -> None:
    with (
        daemon(tmp_path, order=order) as environment,
        connect(timeout_s=0.2, environment=environment) as engine,
        pytest.raises(EngineError, match=f"^{message.format(environment['DOCKER_HOST'])}"),
    ):
        engine.containers()


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ("hang", r"the engine stopped answering: no reply from {} within 0\.2 s \(to fetch the image vllm:1\)"),
        ("drop", r"the engine at {} broke the connection off \(to fetch the image vllm:1\)"),
        ("end", "cannot fetch the image vllm:1: the engine stopped before it had it"),
    ],
)
def test_an_engine_that_fails_in_the_middle_of_a_pull_is_one_error(tmp_path: Path, order: str, message: str) -> None:
    with (
        daemon(tmp_path, order=order) as environment,
        connect(timeout_s=0.2, environment=environment) as engine,
        pytest.raises(EngineError, match=f"^{message.format(environment['DOCKER_HOST'])}"),
    ):
        list(engine.pull("vllm:1"))


def test_a_stream_that_takes_too_long_is_given_up() -> None:
    never = threading.Event()

    with pytest.raises(TimeoutError):
        within(0.05, never.wait)
    never.set()


SPARK = HostFacts("spark-1", "6.17.0-1008-nvidia", 128_422_248_448)
INFO = {"Name": "spark-1", "KernelVersion": "6.17.0-1008-nvidia", "MemTotal": 128_422_248_448}


@pytest.mark.parametrize(
    ("address", "described", "reason"),
    [
        ("unix:///var/run/docker.sock", INFO, None),
        ("tcp://127.0.0.1:2375", INFO, None),
        # A container that has the engine's socket has a name of its own.
        ("unix:///var/run/docker.sock", INFO | {"Name": "another"}, None),
        ("tcp://spark-2:2375", INFO | {"Name": "spark-2"}, "name spark-2 there, spark-1 here"),
        (
            "unix:///home/me/.docker/desktop/docker.sock",
            INFO | {"KernelVersion": "6.6.16-linuxkit", "MemTotal": 8_223_735_808},
            "kernel 6.6.16-linuxkit there, 6.17.0-1008-nvidia here; memory 7.7 GiB there, 119.6 GiB here",
        ),
    ],
)
def test_an_engine_is_this_hosts_when_name_kernel_and_memory_agree(
    address: str, described: dict[str, Any], reason: str | None
) -> None:
    expected = reason and f"the engine at {address} runs on another machine or in a virtual one ({reason})"

    assert elsewhere(described, address, SPARK) == expected


@pytest.mark.parametrize(("more", "kind"), [({}, "docker"), ({"BuildahVersion": "1.39.4"}, "podman")])
def test_podman_behind_a_socket_of_dockers_kind_is_named_as_such(more: dict[str, str], kind: str) -> None:
    described = INFO | {"ID": "a1", "ServerVersion": "5.4.1", "DockerRootDir": "/var/lib/x"} | more
    found = info_of(described, "unix:///run/podman/podman.sock", SPARK, (1, 41))
    assert (found.kind, found.version, found.data_root) == (kind, "5.4.1", "/var/lib/x")


def inspected_one(status: str) -> dict[str, Any]:
    """Return what an engine says of a container that is called one."""
    return {
        "Id": "b17e",
        "Name": "/one",
        "Image": "sha256:5c80",
        "Config": {"Image": "base", "Env": None, "Cmd": None, "Labels": None},
        "State": {"Status": status, "ExitCode": 1, "StartedAt": "2026-11-20T22:58:17.957108719Z", "FinishedAt": ""},
        "Mounts": [],
    }


@pytest.mark.parametrize(
    ("status", "state", "exit_code"),
    [
        ("created", "created", None),
        ("running", "running", None),
        ("paused", "paused", None),
        ("restarting", "exited", 1),
        ("removing", "dead", 1),
        ("exited", "exited", 1),
        ("dead", "dead", 1),
    ],
)
def test_dockers_states_are_those_of_the_port(status: str, state: str, exit_code: int | None) -> None:
    container = container_of(inspected_one(status))

    assert (container.state, container.exit_code) == (state, exit_code)
    assert container.started_at == pytest.approx(1795215497.957108)
    assert (container.finished_at, container.command, container.env, container.labels) == (None, (), (), {})


def test_an_image_is_told_from_another_by_its_layers_and_what_it_brings() -> None:
    config = {"Entrypoint": ["vllm"], "Cmd": None, "Env": ["HF_TOKEN=hf_secret"], "User": "", "Labels": {"a": "b"}}
    described = {
        "Id": "sha256:1",
        "RepoDigests": None,
        "Size": 7,
        "Architecture": "arm64",
        "RootFS": {"Type": "layers", "Layers": ["sha256:2"]},
        "Config": config,
    }
    image = image_of(described)
    assert (image.layers, image.architecture, image.labels) == (("sha256:2",), "arm64", {"a": "b"})
    assert "secret" not in repr(image), "of the environment a digest is kept"
    empty = image_of({**described, "Config": {**config, "Cmd": [], "Env": ["HF_TOKEN=other"]}})
    assert [part for part, digest in image.parts.items() if empty.parts[part] != digest] == ["environment"]
    bare = image_of({"Id": "sha256:1"})
    assert (bare.layers, bare.architecture) == ((), "")


def test_a_call_is_made_to_its_end_before_an_interruption_is_raised() -> None:
    made: list[str] = []
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def call() -> None:
        signal.raise_signal(signal.SIGINT)
        made.append("to its end")

    try:
        with pytest.raises(KeyboardInterrupt):
            to_its_end(call)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert made == ["to its end"]
    assert to_its_end(lambda: 3) == 3


def test_an_engine_of_another_host_is_called_by_the_name_of_that_host() -> None:
    there = Endpoint("unix:///a/folder/of/ours/engine.sock", 1.0, of="b")
    with pytest.raises(EngineError) as caught, there.asked("list the containers"):
        raise ConnectionRefusedError
    assert caught.value.message == "no Docker engine answers at b (connection refused)"
    assert caught.value.hint == "sparkctl hosts doctor says how b is"
