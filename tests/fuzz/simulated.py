"""What is fuzzed of the simulated Spark: its files, its orders, and whole commands that change something on it."""

from __future__ import annotations

import io
import json
import os
import shlex
import signal
import tempfile
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sparkctl.base.errors import SparkctlError
from sparkctl.cli import run
from sparkctl.world.sim import data, orders
from sparkctl.world.sim.engine import SimEngine
from sparkctl.world.sim.host import SimHost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType
    from typing import NoReturn

IDENTITY: Final = "0123456789ab"
IMAGE: Final = "vllm/vllm-openai:v0.20.2"
RECORD: Final[dict[str, Any]] = {
    "id": IDENTITY,
    "name": "a",
    "image": IMAGE,
    "network": "",
    "command": ["c"],
    "env": [["A", "b"]],
    "labels": [["sparkctl.service", "a"]],
    "mounts": [["/a", "/b", True]],
    "sources": ["/a"],
    "ports": [[8000, 8000, "127.0.0.1"]],
}
RUN: Final = {"pid": 1, "started_at": 1.0, "listens": [["127.0.0.1", 8000]], "log_from": 0}
EXIT: Final = {"code": 1, "finished_at": 1.0, "error": ""}
FAULTS: Final = (
    b"load_s: 0.1\noom: true\n",
    b"e4b-nvfp4: {no_such_image: true, wrong_bytes: gemma4.py}\n'*': {lost_mods: true, take: 1.2}\n",
    b'{"e4b-nvfp4": {"die_in": "loading", "exit_code": 3}}',
    b"stuck_scheduler,load_s=5,slow",
)
LINES: Final = (
    b"up e4b-nvfp4\nbench e4b-nvfp4 --tokens 8 --rounds 1 --concurrency 1,2 --save a.json --svg b.svg\ndown e4b-nvfp4",
    b"up e4b-nvfp4 --set limits.context=2048\nup e4b-nvfp4 --replace --fit --json\nreport e4b-nvfp4 --output r.md",
    b"up executor\nrestart --all\nattach e4b-nvfp4 --json\ndown --all",
    b"up e4b-nvfp4 --as other --keep --strict\ncheck other --only echo\nverify-mods other\nlogs other -f",
    b"download e4b-nvfp4\nmods fetch\nmods lock\nmods pin nosuch --file a\nfacts a/b --as c --force",
    b"bench e4b-nvfp4 --sweep limits.sequences=1,2 --tokens 4 --rounds 1\nbench history e4b-nvfp4\nmeasurements",
    b"mods bake . --image a:b --env A=b\nmods add m --file a --module vllm.a --image a:b\nrender a --stage",
)
WHOLE_S: Final = 4.0
"""After which the operator of fuzzed commands presses Ctrl-C: many wait for something, as they were told to."""
_WAITING: Final = "SPARKCTL_SIM_FAULTS"


@contextmanager
def _spark() -> Iterator[Path]:
    """Make the folder of a simulated Spark with one container."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        container = Path(folder) / "containers" / IDENTITY
        container.mkdir(parents=True)
        (container / "spec.json").write_bytes(json.dumps(RECORD).encode())
        yield Path(folder)


def of_container(name: str) -> Callable[[bytes], object]:
    """Return what reads one of the files of a simulated container."""

    def read(given: bytes) -> object:
        with _spark() as folder:
            (folder / "containers" / IDENTITY / name).write_bytes(given)
            engine, host = SimEngine(folder, {}, pull_s=0.0), SimHost(folder)
            seen = [(engine.logs(one.id), engine.container(one.name)) for one in engine.containers()]
            return seen, host.memory(), host.port_taken("127.0.0.1", 8000)

    return read


def image(given: bytes) -> object:
    """Read what is kept of a simulated image that was pulled."""
    with _spark() as folder:
        (folder / "images").mkdir()
        (folder / "images" / data.image(IMAGE).id.removeprefix("sha256:")).write_bytes(given)
        engine = SimEngine(folder, {}, pull_s=0.0)
        return engine.image(IMAGE), engine.packages(IMAGE, ["vllm"]), engine.read_image_files(IMAGE, ["/a"])


def ordered(given: bytes) -> object:
    """Read orders of faults, from the file and from the variable, and do what asks for them."""
    text = given.decode(errors="replace").replace("\0", "")
    with _spark() as folder:
        (folder / "faults.yaml").write_bytes(given)
        engine = SimEngine(folder, {orders.VARIABLE: text}, pull_s=0.0)
        with suppress(SparkctlError):  # the variable is read all the same
            orders.read(folder, {})
        for step in (lambda: list(engine.pull(IMAGE)), lambda: engine.read_image_files(IMAGE, ["/a/gemma4.py"])):
            step()
        return engine.containers()


def commands(given: bytes) -> object:
    """Run a line after another as an operator of a fresh simulated Spark, in a folder of its own.

    A word that leads out of that folder is left out. What waits is interrupted, and what runs is removed.
    """
    lines = given.decode(errors="replace").replace("\0", "").splitlines()[:6]
    before, kept = Path.cwd(), dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        os.chdir(folder)
        os.environ |= {"SPARKCTL_SIM_DIR": f"{folder}/sim", "HOME": folder, _WAITING: "load_s=0.1"}
        os.environ |= {"XDG_STATE_HOME": f"{folder}/state", "XDG_CONFIG_HOME": f"{folder}/config"}
        try:
            with _interrupted(WHOLE_S):
                return [_command(_words(line)) for line in lines]
        finally:
            _remove(SimEngine(Path(folder) / "sim", {}))
            os.chdir(before)
            os.environ.clear()
            os.environ |= kept


def _command(words: Sequence[str]) -> int:
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        return run(["--engine", "sim", *words], None)


def _words(line: str) -> list[str]:
    try:
        words = shlex.split(line)
    except ValueError:
        words = line.split()
    return [word for word in words if not any(out in word for out in ("/", "..", "~", "--engine"))]


def _remove(engine: SimEngine) -> None:
    with suppress(SparkctlError, OSError):
        for container in engine.containers():
            engine.remove(container.id)


@contextmanager
def _interrupted(seconds: float) -> Iterator[None]:
    """Be Ctrl-C after so many seconds, and again: a command that goes on is the next one."""

    def press(_number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, press)
    signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
    try:
        yield
    except KeyboardInterrupt:
        pass  # between two commands
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
