"""Images of jobs, built on real engines from wheels, without a network: what comes of it, pip's words, and kills."""

from __future__ import annotations

import base64
import signal
import subprocess
import threading
import uuid
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import pytest

from sparkctl.base.errors import JobError
from sparkctl.operations.jobs import image as images
from sparkctl.operations.jobs.image import WantedImage
from sparkctl.recipes.job.built_image import LABEL_BUILT
from sparkctl.recipes.job.job import JobImage
from sparkctl.world import throwaway
from sparkctl.world.labels import LABEL_THROWAWAY
from sparkctl.world.local.locks import FileLocks
from tests.support.engine_fixtures import BASE, FIRST, NEW
from tests.support.fakes import FakeReport
from tests.support.killed import Changes, KillableMachine
from tests.support.wheelhouse import pip_base, wheelhouse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sparkctl.operations.context import World
    from sparkctl.world.docker.engine import DockerEngine

pytestmark = pytest.mark.docker


NOTHING = "[] False"
GATEWAY = """
import socket
default = next(line.split() for line in open("/proc/net/route") if line.split()[1] == "00000000")
print(socket.inet_ntoa(bytes.fromhex(default[2])[::-1]))
"""
FIND = """
import os
print([
    os.path.join(place, name)
    for root in ("/etc", "/root", "/tmp", "/usr/local", "/opt", "/var", "/home")
    for place, _, names in os.walk(root)
    for name in names
    if os.path.isfile(os.path.join(place, name)) and b"hush-1234" in open(os.path.join(place, name), "rb").read()
])
"""


class Kitchen(NamedTuple):
    """A world on a real engine, and a base that is this test's own: so are the images that are built of it."""

    world: World
    report: FakeReport
    engine: DockerEngine
    host: str
    base: str
    wheels: Path

    def wanted(self, *steps: Sequence[str], constraints: str = "") -> WantedImage:
        return WantedImage("quantize", JobImage.model_validate({"base": self.base, "steps": steps}), constraints)

    def built(self) -> list[str]:
        """Return the tags of the images that were built of this test's base, "" for one that has none."""
        ours = [one for one in self.engine.built(LABEL_BUILT) if self.base in one.labels[LABEL_BUILT]]
        return [tag for one in ours for tag in one.tags or ("",)]

    def left(self) -> list[str]:
        """Return the containers in which this test's images were built and that are still there."""
        ours = [one for one in self.engine.containers() if self.base in one.labels.get(LABEL_BUILT, "")]
        return [one.id for one in ours if one.labels.get(LABEL_THROWAWAY)]

    def python(self, image: str, code: str) -> str:
        words = ["docker", "--host", self.host, "run", "--rm", "--network", "none", image, "python3", "-c", code]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def _machine(home: Path, host: str) -> KillableMachine:
    (home / "folder").mkdir(parents=True)
    return KillableMachine(home, home / "folder", home, host, "gb10")


@pytest.fixture
def kitchen(docker_engine: DockerEngine, docker_host: str, tmp_path: Path) -> Iterator[Kitchen]:
    base = f"sparkctl-test/own:{uuid.uuid4().hex[:12]}"
    docker = ["docker", "--host", docker_host]
    subprocess.run([*docker, "tag", pip_base(docker_engine, tmp_path), base], check=True)
    report = FakeReport()
    machine = _machine(tmp_path / "operator", docker_host)
    locks = FileLocks(tmp_path, "this test", door=machine.door)
    world = machine.session(Changes(), cast("Any", report), locks).world
    kitchen = Kitchen(world, report, docker_engine, docker_host, base, wheelhouse(tmp_path / "wheels"))
    yield kitchen
    for identity in kitchen.left():
        docker_engine.remove(identity)
    for tag in [*kitchen.built(), base]:
        docker_engine.discard(tag)


@NEW
def test_the_steps_are_installed_and_nothing_else_of_the_build_is_in_the_image(kitchen: Kitchen) -> None:
    wanted = kitchen.wanted(["tinyold==1.0"], ["--no-deps", "tinynew==1.0"])
    image = images.ensure(kitchen.world, wanted, wheels=kitchen.wheels)

    installed = images.packages_of(kitchen.world, image)
    assert (installed["tinyold"], installed["tinynew"], installed["tinybase"]) == ("1.0", "1.0", "1.0")
    assert kitchen.python(image.id, "import tinybase; print(tinybase.version)") == "1.0"
    assert kitchen.python(image.id, "import os; print(os.listdir('/tmp'), os.path.exists('/root/.cache'))") == NOTHING
    assert images.ensure(kitchen.world, wanted, wheels=kitchen.wheels).id == image.id
    assert len(kitchen.built()) == 1
    assert kitchen.left() == []
    assert "quantize: building the image, step 2 of 2" in kitchen.report.phases


@NEW
@pytest.mark.parametrize(
    ("steps", "constraints", "says"),
    [
        (
            [["tinybase==9"]],
            "",
            "1 of 1: No matching distribution found for tinybase==9; the newest that there are: 1.0, 2.0",
        ),
        (
            [["tinybase==2.0"], ["tinynew==1.0"]],
            "tinybase==1.0\n",
            (
                "1 of 2: these packages contradict each other:\n  The user requested tinybase==2.0\n"
                "  The user requested (constraint) tinybase==1.0"
            ),
        ),
    ],
)
def test_versions_that_do_not_go_together_are_named_in_pips_words_and_nothing_is_left(
    kitchen: Kitchen, steps: list[list[str]], constraints: str, says: str
) -> None:
    with pytest.raises(JobError) as failed:
        images.ensure(kitchen.world, kitchen.wanted(*steps, constraints=constraints), wheels=kitchen.wheels)

    assert failed.value.message.startswith(f"quantize: the image cannot be built: pip failed at step {says}")
    assert failed.value.hint
    assert len(failed.value.message.splitlines()) <= 5
    assert kitchen.built() == []
    assert kitchen.left() == []


@NEW
def test_a_base_without_pip_and_a_folder_without_its_wheel_is_named(kitchen: Kitchen) -> None:
    subprocess.run(["docker", "--host", kitchen.host, "tag", BASE, kitchen.base], check=True)
    next(kitchen.wheels.glob("pip-*.whl")).unlink()
    with pytest.raises(JobError, match=f"the image cannot be built: {kitchen.base} has no pip"):
        images.ensure(kitchen.world, kitchen.wanted(["tinybase==1.0"]), wheels=kitchen.wheels)
    assert kitchen.built() == []


@NEW
def test_a_build_that_is_killed_at_any_moment_leaves_no_image_and_no_container(
    kitchen: Kitchen, tmp_path: Path
) -> None:
    machine = _machine(tmp_path / "killed", kitchen.host)
    tag = f"sparkctl-job:{kitchen.base.rpartition(':')[2]}"
    words = ("build-image", kitchen.base, tag, LABEL_BUILT)

    def start(last: int, number: int = signal.SIGKILL) -> tuple[int, str]:
        command = machine.start(last, number, words)
        _, err = command.communicate(timeout=100)
        return command.returncode or 0, err

    code, err = start(0)
    assert code == 0, err
    assert err.splitlines()[-1] == "5"  # create, copy, start, commit, remove
    whole = kitchen.built()
    assert whole == [tag]
    for last, number in (*((last, signal.SIGKILL) for last in range(1, 6)), (3, signal.SIGTERM)):
        for tag in kitchen.built():
            kitchen.engine.discard(tag)
        code, err = start(last, number)
        assert code in {-signal.SIGKILL, 128 + signal.SIGTERM}, err
        assert kitchen.built() == (whole if last > 3 else []), (last, number)
        assert len(kitchen.left()) == (number == signal.SIGKILL and last < 5), (last, number)
        throwaway.sweep(kitchen.engine, kitchen.world.ports.locks.lives)
        assert kitchen.left() == [], (last, number)


class Index(BaseHTTPRequestHandler):
    """A package index that wants a password: the pages of PEP 503 over a folder of wheels."""

    folder: Path
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.headers.get("Authorization") != f"Basic {base64.b64encode(b'robot:hush-1234').decode()}":
            self.send_error(HTTPStatus.UNAUTHORIZED)
            return
        parts = self.path.strip("/").split("/")
        if parts[0] == "simple":
            name = parts[1].replace("-", "_")
            links = "".join(f'<a href="/files/{one.name}">{one.name}</a>' for one in self.folder.glob(f"{name}-*.whl"))
            self._send(links.encode() or None, "text/html")
        else:
            self._send((self.folder / parts[-1]).read_bytes(), "application/zip")

    def _send(self, content: bytes | None, kind: str) -> None:
        self.send_response(HTTPStatus.OK if content else HTTPStatus.NOT_FOUND)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        self.wfile.write(content or b"")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@FIRST
def test_an_index_of_ones_own_is_used_and_neither_shown_nor_kept(kitchen: Kitchen) -> None:
    docker = ["docker", "--host", kitchen.host]
    asks = [*docker, "run", "--rm", BASE, "python3", "-c", GATEWAY]
    gateway = subprocess.run(asks, capture_output=True, text=True, check=True).stdout.strip()
    handler = type("OwnIndex", (Index,), {"folder": kitchen.wheels, "asked": []})
    environ = cast("dict[str, str]", kitchen.world.environ)
    with ThreadingHTTPServer((gateway, 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        address = f"http://robot:hush-1234@{gateway}:{server.server_port}/simple"
        environ |= {"PIP_INDEX_URL": address, "PIP_TRUSTED_HOST": gateway, "PIP_RETRIES": "1"}
        image = images.ensure(kitchen.world, kitchen.wanted(["tinynew==1.0"]))
        server.shutdown()
    with pytest.raises(JobError, match="the package index was not reached: connection refused") as away:
        images.ensure(kitchen.world, kitchen.wanted(["tinybase==1.0"]))

    assert handler.asked
    assert kitchen.python(image.id, "import tinybase; print(tinybase.version)") == "2.0"
    reads = ([*docker, "inspect", image.id], [*docker, "history", "--no-trunc", image.id])
    kept = "".join(subprocess.run(words, capture_output=True, text=True, check=True).stdout for words in reads)
    told = "\n".join([*kitchen.report.said, *kitchen.report.phases, str(away.value)])
    assert gateway not in kept + told
    assert "hush" not in kept + told
    found = kitchen.python(image.id, FIND)
    assert found == "[]"
