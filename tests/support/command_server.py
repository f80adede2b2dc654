"""Starts sparkctl's commands as processes of their own, without the half second that Python's imports take.

A server has the libraries in memory and forks for each command, which then has an environment, a folder, standard
streams and a process number of its own, and ends as any program does: by itself, or by a signal. What reads the
environment while it is imported (huggingface_hub) is not in the server's memory: each command imports it anew.

Run as a program, this is the server; its argument is the descriptor of the socket on which it is asked, and it ends
when its standard input does. The workers of a run share one, which the run itself starts (``share``).
"""

from __future__ import annotations

import atexit
import gc
import importlib
import io
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import redirect_stderr, redirect_stdout, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.support import sparkctl_client
from tests.support.paths import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Mapping

WARM = (["plan", "e4b-nvfp4"], ["recipes", "lint"], ["size", "e4b-nvfp4"], ["ps", "--json"], ["schema", "recipe"])
"""Commands that read only, after which every model is built and every shipped template compiled."""
READS_ENVIRONMENT = "huggingface_hub"
SHARED = "SPARKCTL_TEST_COMMANDS"
"""The variable that names the socket of a server that somebody else has started."""
LONGEST = 2**17
"""Of a request, in bytes: a packet."""


class Command:
    """A command that runs: what the tests use of subprocess.Popen. Its output is kept in memory.

    ``module`` is the program: what ``python -m`` would run.
    """

    def __init__(
        self, arguments: tuple[str, ...], environment: Mapping[str, str], folder: Path, module: str = "sparkctl"
    ) -> None:
        self._arguments = arguments
        self._outputs = os.memfd_create("out"), os.memfd_create("err")
        self._told, telling = os.pipe()
        request = json.dumps([arguments, dict(environment), str(folder), module]).encode()
        assert len(request) < LONGEST
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
            door.connect(f"\0{_name()}")
            socket.send_fds(door, [request], [*self._outputs, telling])
        os.close(telling)
        self.returncode: int | None = None
        self.pid = self._number()

    def poll(self) -> int | None:
        """Return the exit code, minus the signal that ended it, or None: it runs."""
        if self.returncode is None and select.select([self._told], [], [], 0)[0]:
            self.returncode = self._number()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end.

        Raises:
            subprocess.TimeoutExpired: it did not come within ``timeout`` seconds.
        """
        if self.returncode is None:
            if not select.select([self._told], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(["sparkctl", *self._arguments], timeout or 0)
            self.returncode = self._number()
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for the end and return what was written to standard output and to standard error."""
        self.wait(timeout)
        out, err = (_content(descriptor) for descriptor in self._outputs)
        for descriptor in (*self._outputs, self._told):
            os.close(descriptor)
        return out, err

    def told(self) -> str:
        """Return what was written to standard error until now."""
        return _content(self._outputs[1])

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _number(self) -> int:
        """Read a line from whoever waits for the process."""
        line = b""
        while not line.endswith(b"\n"):
            piece = os.read(self._told, 1)
            assert piece, "the command server ended"
            line += piece
        return int(line)


def _content(descriptor: int) -> str:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode()


def in_scripts(folder: Path) -> dict[str, str]:
    """Write the word ``sparkctl`` for scripts into a new folder; return the variables with which it is theirs."""
    folder.mkdir()
    program = folder / "sparkctl"
    program.write_text(f"#!{sys.executable} -IS\n{Path(sparkctl_client.__file__).read_text()}")
    program.chmod(0o700)
    return {"PATH": f"{folder}:{os.environ['PATH']}", sparkctl_client.DOOR: _name()}


def share() -> None:
    """Start a server for this process and for those that it starts from now on."""
    os.environ[SHARED] = _name()


def _name() -> str:
    """Return the name of the server's socket; threads that ask at once have the same."""
    with _ONE:
        return os.environ.get(SHARED) or _server().name


_ONE = threading.Lock()


class _Server(NamedTuple):
    held: socket.socket
    """The server ends when nobody holds this end of its standard input."""
    name: str
    process: subprocess.Popen[bytes]

    def end(self) -> None:
        self.held.close()
        self.process.wait()


@cache
def _server() -> _Server:
    """Start the server of this process; it ends when this process does."""
    near, far = socket.socketpair()
    name = f"sparkctl-test-{os.getpid()}-{time.monotonic_ns()}"
    with far, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
        door.bind(f"\0{name}")
        door.listen()
        program = [sys.executable, "-m", __spec__.name, str(door.fileno())]
        served = subprocess.Popen(
            program, cwd=REPOSITORY, stdin=far, stdout=subprocess.DEVNULL, pass_fds=[door.fileno()]
        )
    server = _Server(near, name, served)
    atexit.register(server.end)
    return server


def _serve() -> str:
    """Fork for each request; return in the process that is to be the command the module that it runs."""
    _preload()
    door = socket.socket(fileno=int(sys.argv[1]))
    woken, wakes = os.pipe()
    for end in (woken, wakes):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    tellings: dict[int, int] = {}
    while True:
        asked, _, _ = select.select([sys.stdin, door, woken], [], [])
        if woken in asked:
            os.read(woken, LONGEST)
            _tell_ends(tellings)
        if sys.stdin in asked:
            raise SystemExit
        if door not in asked:
            continue
        with door.accept()[0] as asking:
            request, descriptors, _, _ = socket.recv_fds(asking, LONGEST, 3)
        if not request:
            continue
        out, err, telling = descriptors
        command = os.fork()
        if command == 0:
            break
        with suppress(BrokenPipeError):
            os.write(telling, b"%d\n" % command)
        tellings[command] = telling
        os.close(out)
        os.close(err)
    door.close()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # A shell starts what runs in its background with SIGINT ignored, and these tests may be such.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    arguments, environment, folder, module = json.loads(request)
    os.chdir(folder)
    _become(arguments, environment, out, err)
    return str(module)


def _preload() -> None:
    """Import all of sparkctl that does not depend on the environment, and have it compute what it keeps.

    What is in memory then is left alone by every command's garbage collector: looking at it copies it.
    """
    package = importlib.import_module("sparkctl")
    reader = importlib.import_module(READS_ENVIRONMENT)
    for name in ("HfApi", "get_session", "hf_hub_url", "snapshot_download"):
        getattr(reader, name)  # what it imports of others stays
    for name in [name for name in sys.modules if name.partition(".")[0] == READS_ENVIRONMENT]:
        del sys.modules[name]
    sys.modules[READS_ENVIRONMENT] = None  # type: ignore[assignment]  # whoever imports it is not kept
    for module in pkgutil.walk_packages(package.__path__, "sparkctl."):
        if not module.name.endswith("__main__"):
            try:
                importlib.import_module(module.name)
            except ImportError:
                continue
    own = dict(os.environ)
    with tempfile.TemporaryDirectory() as home, redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        os.environ.clear()
        os.environ.update({"HOME": home, "SPARKCTL_ENGINE": "sim"})
        for command in WARM:
            assert importlib.import_module("sparkctl.cli").run(list(command), None) == 0
    os.environ.clear()
    os.environ.update(own)
    del sys.modules[READS_ENVIRONMENT]
    gc.collect()
    gc.freeze()


def _tell_ends(tellings: dict[int, int]) -> None:
    """Tell of each command that has ended how it did; whoever asked may have ended before."""
    for command in list(tellings):
        ended, status = os.waitpid(command, os.WNOHANG)
        if ended:
            telling = tellings.pop(command)
            with suppress(BrokenPipeError):
                os.write(telling, b"%d\n" % os.waitstatus_to_exitcode(status))
            os.close(telling)


def _become(arguments: list[str], environment: Mapping[str, str], out: int, err: int) -> None:
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, standard in ((nothing, 0), (out, 1), (err, 2)):
        os.dup2(descriptor, standard)
    os.closerange(3, 256)
    sys.argv[1:] = arguments


def _run(module: str) -> None:
    """Run a program and end with its exit code, as Python does but for the taking apart of all that was imported."""
    sys.modules.pop(module, None)  # it is read anew, as __main__
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code: object = 0
    except SystemExit as end:
        code = end.code
        if not (code is None or isinstance(code, int)) or any(not one.daemon for one in threading.enumerate()[1:]):
            raise
    atexit._run_exitfuncs()  # noqa: SLF001  (what Python does)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    _run(_serve())
