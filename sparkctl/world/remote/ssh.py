"""One ssh to a host, for as long as a command needs it: the engine's socket forwarded, and an interpreter that answers.

It is the operator's own ssh with all of their configuration; it never asks anything (BatchMode), and nobody else can
use what it opens: its sockets lie in a folder of mode 0700.
"""

from __future__ import annotations

import os
import selectors
import shlex
import shutil
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, cast

from sparkctl.base.errors import EngineError
from sparkctl.base.units import format_duration
from sparkctl.world.remote.far.serving import HELLO
from sparkctl.world.remote.far.start import FIRST_WORDS
from sparkctl.world.remote.refusals import refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

CONNECT_S: Final = 15.0
"""How long a host may take to answer, in seconds: a choice; on a nearby network it takes a quarter of a second."""
OPTIONS: Final = (
    "BatchMode=yes",
    "ControlMaster=yes",
    "ControlPersist=no",
    "ConnectTimeout=8",
    "ExitOnForwardFailure=yes",
    "ForwardAgent=no",
    "ForwardX11=no",
    "RequestTTY=no",
    "ServerAliveInterval=10",
    "ServerAliveCountMax=3",
    "StreamLocalBindUnlink=yes",
    "StreamLocalBindMask=0177",
)
FAR_ENGINE: Final = "/var/run/docker.sock"
_MOST_SAID: Final = 16 * 1024
_MOST_BEFORE: Final = 64 * 1024
"""How many bytes a shell's own start-up files may print before our first line."""
_PIECE: Final = 4096
_END_S: Final = 2.0
_LAST_WORDS_S: Final = 0.5


class Ssh:
    """A connection; ``program`` is the ssh command, to which tests add options.

    ``name`` is the host's in messages, ``target`` ssh's destination, ``sent`` the first input of the interpreter there.

    Raises:
        EngineError: it is not reached; the message says why, the hint what to do.
    """

    def __init__(
        self, name: str, target: str, sent: bytes, *, program: Sequence[str] = ("ssh",), within_s: float = CONNECT_S
    ) -> None:
        self.name = name
        self.target = target
        self._program = tuple(program)
        self.folder = Path(
            tempfile.mkdtemp(prefix="sparkctl-")
        )  # of mode 0700, and short: a socket's path has 107 bytes
        self._said = (self.folder / "said").open("ab")
        self._forwards: dict[str, Path] = {}
        self._forwarding = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._process = self._started()
            self._begin(sent, within_s)
        except BaseException:
            self.close()
            raise

    @property
    def engine(self) -> Path:
        """The socket on this host that leads to the engine of the other."""
        return self.folder / "d"

    @property
    def process(self) -> int:
        """The process of ssh."""
        return self._running.pid

    def write(self, line: bytes) -> None:
        """Send a line to the interpreter.

        Raises:
            EngineError: the connection has ended.
        """
        try:
            self._stdin.write(line)
            self._stdin.flush()
        except (OSError, ValueError):
            raise self.lost() from None

    def readline(self, most: int) -> bytes:
        """Return the next line of the interpreter, b"" when the connection has ended."""
        try:
            return self._stdout.readline(most)
        except (OSError, ValueError):
            return b""

    def lost(self) -> EngineError:
        """Return the error of a connection that has ended."""
        with suppress(subprocess.TimeoutExpired):  # its last words come with its end
            self._running.wait(_LAST_WORDS_S)
        if self._running.poll() is None:
            return EngineError(f"the connection to {self.name} has ended", hint=f"does ssh {self.target} still work?")
        return refusal(self.name, self.target, self._words())

    def forwarded(self, address: str, port: int) -> Path:
        """Return a socket on this host that leads to a port of the other, where ``address`` is one of its own.

        Raises:
            EngineError: ssh does not forward it.
        """
        wanted = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        with self._forwarding:
            return self._forwarded(wanted)

    def _forwarded(self, wanted: str) -> Path:
        if wanted not in self._forwards:
            path = self.folder / f"p{len(self._forwards)}"
            command = [*self._program, "-o", f"ControlPath={self.folder / 'c'}", "-O", "forward"]
            command += ["-L", f"{path}:{wanted}", "--", self.target]
            try:
                done = subprocess.run(  # noqa: S603  (words of ours, and a target that cannot be an option)
                    command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=CONNECT_S
                )
            except (OSError, subprocess.TimeoutExpired):
                raise self.lost() from None
            if done.returncode:
                raise refusal(self.name, self.target, done.stderr.decode(errors="replace"))
            self._forwards[wanted] = path
        return self._forwards[wanted]

    def command(self, words: Sequence[str], *, forwarding: bool = False) -> list[str]:
        """Return the words that run a program on the host, with streams of its own.

        It uses this connection, which forwards no agent. With ``forwarding`` it has a connection of its own, and the
        operator's ssh configuration decides whether their agent is forwarded to this host.
        """
        path = "none" if forwarding else str(self.folder / "c")
        options = ("BatchMode=yes", "ControlMaster=no", "ConnectTimeout=8", "ForwardX11=no", f"ControlPath={path}")
        given = [word for option in options for word in ("-o", option)]
        return [*self._program, *given, "-T", "--", self.target, shlex.join(words)]

    def close(self) -> None:
        """End the connection: what was forwarded and held by it ends, too."""
        process = self._process
        if process is not None and process.stdin is not None and process.stdout is not None:
            # Not left to itself: it would wait for what is still open through what it forwards.
            process.terminate()
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for stream in (process.stdin, process.stdout):
                with suppress(OSError, ValueError):
                    stream.close()
        self._said.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise EngineError(f"{self.name} is not connected")
        return self._process

    @property
    def _stdin(self) -> IO[bytes]:
        return cast("IO[bytes]", self._running.stdin)

    @property
    def _stdout(self) -> IO[bytes]:
        return cast("IO[bytes]", self._running.stdout)

    def _started(self) -> subprocess.Popen[bytes]:
        options = [word for option in OPTIONS for word in ("-o", option)]
        command = [*self._program, *options, "-T", "-o", f"ControlPath={self.folder / 'c'}"]
        command += ["-L", f"{self.engine}:{FAR_ENGINE}", "--", self.target, f"python3 -c '{FIRST_WORDS}'"]
        try:
            return subprocess.Popen(  # noqa: S603  (words of ours, and a target that cannot be an option)
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                process_group=0,  # a Ctrl-C is for this command, which ends ssh when it has cleaned up
            )
        except OSError as error:
            message = f"{self.name} is not reached: ssh cannot be run: {error.strerror}"
            raise EngineError(message, hint="sudo apt-get install openssh-client") from None

    def _begin(self, sent: bytes, within_s: float) -> None:
        """Send the first sources, and wait for our first line."""
        until = time.monotonic() + within_s
        # In a thread, since ssh takes nothing before the host has let it in.
        threading.Thread(target=self._send, args=(sent,), daemon=True).start()
        stream, came = self._stdout, b""
        with selectors.DefaultSelector() as ready:
            ready.register(stream, selectors.EVENT_READ)
            while f"{HELLO}\n".encode() not in came:
                left = until - time.monotonic()
                if left <= 0 or len(came) > _MOST_BEFORE:
                    within = format_duration(within_s)
                    message = f"{self.name} is not reached: it did not answer within {within}"
                    raise EngineError(message, hint=f"is it overloaded, or its disk hung? ssh {self.target} uptime")
                if not ready.select(min(left, 1.0)):
                    continue
                piece = os.read(stream.fileno(), _PIECE)
                if not piece:
                    with suppress(subprocess.TimeoutExpired):
                        self._running.wait(_END_S)
                    raise refusal(self.name, self.target, self._words())
                came += piece

    def _send(self, sent: bytes) -> None:
        with suppress(EngineError, OSError, ValueError):  # the answer that does not come says it
            self._stdin.write(sent)
            self._stdin.flush()

    def _words(self) -> str:
        with (self.folder / "said").open("rb") as said:
            return said.read(_MOST_SAID).decode(errors="replace")
