"""Bytes of files that go from host to host: by programs that are started on the one and on the other.

``command`` makes of a program's words those that start it here: the words themselves on this host, an ssh that has
them on another. So both are one piece of code. What is carried never lies in this process longer than a piece.
"""

from __future__ import annotations

import base64
import subprocess
import sys
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Final, cast

from sparkctl.base.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

READ: Final = """\
import os,sys
try:
    f=os.open(sys.argv[1],os.O_RDONLY)
    at=os.lseek(f,int(sys.argv[2]),0)
    while True:
        p=os.read(f,4194304)
        if not p: break
        sys.stdout.buffer.write(p)
        os.posix_fadvise(f,at,len(p),os.POSIX_FADV_DONTNEED)
        at+=len(p)
    sys.stdout.buffer.flush()
except BrokenPipeError: os._exit(1)
except OSError as e: sys.exit(e.strerror)
"""
"""A program that prints a file from a place on. Its pages are given back, as ``models.recorded.summed`` does."""
WRITE: Final = """\
import os,sys
try:
    f=os.open(sys.argv[1],os.O_WRONLY|os.O_CREAT|os.O_APPEND|os.O_NOFOLLOW,0o644)
    while True:
        p=sys.stdin.buffer.read1(4194304)
        if not p: break
        while p: p=p[os.write(f,p):]
except OSError as e: sys.exit(e.strerror)
"""
"""A program that writes what it is given at the end of a file."""
RUN: Final = "import sys,base64;exec(base64.b64decode(sys.argv.pop(1)))"
"""Runs a program that is given in base64: no shell of any kind finds something in it to change."""
WATCHED: Final = (
    'exec 3<&0; "$@" </dev/null & c=$!; { cat <&3 >/dev/null; kill $c; } >/dev/null 2>&1 & w=$!; '
    "wait $c; r=$?; kill $w 2>/dev/null; exit $r"
)
"""A shell's words that run a program until it ends, or until the input ends: with whoever started it."""
RSH: Final = "ssh -o BatchMode=yes -o ConnectTimeout=8 -o ServerAliveInterval=10 -o ServerAliveCountMax=3"
"""How rsync gets to the other host: by that host's own ssh, without a question; it ends when the cable is pulled."""
PROBE: Final = (
    f'command -v rsync >/dev/null || exit 101; exec {RSH} "$1" "command -v rsync >/dev/null || exit 102" </dev/null'
)
NO_RSYNC_HERE: Final = 101
NO_RSYNC_THERE: Final = 102
PROBE_S: Final = 20.0
"""For so long the way from host to host may take to answer: a choice, above ssh's own 8 s."""
_MOMENT_S: Final = 0.5
_END_S: Final = 5.0
_WORDS: Final = 300
_LAST: Final = 2
"""Lines of what a program says at its end: rsync's reason comes before its summary."""


class CopyShell:
    """Starts programs on a host. ``name`` is the host's in messages; ``python`` its interpreter.

    ``pushing`` starts those that go on to a third host, as ``command`` does where it is None.
    """

    def __init__(
        self,
        name: str = "this machine",
        command: Callable[[Sequence[str]], list[str]] = list,
        python: str = sys.executable,
        pushing: Callable[[Sequence[str]], list[str]] | None = None,
    ) -> None:
        self._name = name
        self._command = command
        self._pushing = pushing or command
        self._python = python

    @contextmanager
    def reading(self, path: Path, offset: int) -> Iterator[IO[bytes]]:
        """Open a file's bytes from ``offset`` on.

        Raises:
            EngineError: it cannot be read to its end.
        """
        words = self._command([self._python, "-c", RUN, _coded(READ), str(path), str(offset)])
        with self._running(words, f"read {path}", stdout=subprocess.PIPE) as process:
            yield cast("IO[bytes]", process.stdout)

    @contextmanager
    def writing(self, path: Path) -> Iterator[IO[bytes]]:
        """Open the end of a file.

        Raises:
            EngineError: not all of it could be written.
        """
        words = self._command([self._python, "-c", RUN, _coded(WRITE), str(path)])
        with self._running(words, f"write {path}", stdin=subprocess.PIPE) as process:
            yield cast("IO[bytes]", process.stdin)

    def push_problem(self, to: str) -> str | None:
        """Return why rsync of this host does not get to ``to`` by its own ssh; None: it does."""
        try:
            done = subprocess.run(  # noqa: S603  (words of ours)
                self._pushing(["sh", "-c", PROBE, "sh", to]),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=PROBE_S,
            )
        except subprocess.TimeoutExpired:
            return f"{self._name} gets no answer from {to}"
        except OSError as error:
            return f"no program can be started: {error.strerror}"
        address = to.rpartition("@")[2]
        known = {0: None, NO_RSYNC_HERE: f"{self._name} has no rsync", NO_RSYNC_THERE: f"{address} has no rsync"}
        if done.returncode in known:
            return known[done.returncode]
        said = done.stderr.decode(errors="replace").strip().splitlines()
        return f"{self._name} cannot ssh to {to}: {said[-1][:_WORDS] if said else 'ssh ended without a word'}"

    def push(self, path: Path, to: str, partial: Path, moment: Callable[[], None]) -> None:
        """Copy a file to another host by rsync, going on where it was; ``moment`` is called twice a second.

        Raises:
            EngineError: rsync ended before it was there.
        """
        address = to.rpartition("@")[2]
        host = f"{to.rpartition('@')[0]}@[{address}]" if ":" in address else to
        words = ["rsync", "--inplace", "--partial", "--times", "--protect-args", f"--rsh={RSH}"]
        words = self._pushing(["sh", "-c", WATCHED, "sh", *words, "--", str(path), f"{host}:{partial}"])
        with self._running(words, f"copy {path} to {to}", stdin=subprocess.PIPE) as process:
            while process.poll() is None:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_MOMENT_S)
                moment()

    @contextmanager
    def _running(
        self, words: Sequence[str], doing: str, *, stdin: int = subprocess.DEVNULL, stdout: int = subprocess.DEVNULL
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Run a program while something is done with it, and look how it ended."""
        try:
            process = subprocess.Popen(  # noqa: S603  (words of ours)
                words, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, process_group=0
            )
        except OSError as error:
            raise EngineError(f"cannot {doing} on {self._name}: {error.strerror}") from None
        try:
            broke = False
            try:
                yield process
                if process.stdin is not None:
                    process.stdin.close()
            except BrokenPipeError:
                broke = True  # the program has said why, and ended
            code, said = _ended(process)
            if code or broke:
                raise EngineError(f"{self._name} cannot {doing}: {said or f'it ended with {code}'}")
        finally:
            _closed(process)


def _coded(program: str) -> str:
    return base64.b64encode(program.encode()).decode()


def _ended(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    """Return a program's exit code and its last lines; one that does not end by itself is ended."""
    if process.stdout is not None:
        process.stdout.close()
    error = cast("IO[bytes]", process.stderr)
    said = error.read().decode(errors="replace").strip().splitlines()
    try:
        code = process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
    return code, "; ".join(said[-_LAST:])[:_WORDS]


def _closed(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
        process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with suppress(OSError):
                stream.close()
