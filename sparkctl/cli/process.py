"""What the process needs first: writable streams, signals that clean up, a careful umask."""

from __future__ import annotations

import io
import os
import select
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TextIO

from sparkctl.base.errors import InputError, SparkctlError
from sparkctl.base.lazy import LazyModule

if TYPE_CHECKING:
    import traceback
    from types import FrameType, TracebackType

    from sparkctl.base import shown
else:
    shown = LazyModule("sparkctl.base.shown")
    traceback = LazyModule("traceback")

INTERRUPTED: Final = 130
COMPLETE: Final = "_SPARKCTL_COMPLETE"
"""The variable by which a shell asks for possible next words (click's)."""
_OF_A_SIGNAL: Final = 128
"""What a shell adds to the number of the signal that ended a program."""
_ENDING: Final = (signal.SIGTERM, signal.SIGHUP)
_STANDARD: Final = (0, 1, 2)
_received: list[int] = []


def asked_to_complete() -> str | None:
    """Return what a shell asks for in order to complete words, None if none asks."""
    return os.environ.get(COMPLETE)


def prepare() -> None:
    """Make the process ready; called once, at the door."""
    _open_what_is_closed()
    sys.stdout = _stream(_Results(1, "wb", closefd=False), sys.stdout)
    sys.stderr = _stream(_Talk(2, "wb", closefd=False), sys.stderr)
    # With an umask that lets others write, they could put recipes and secrets into the folders that are made.
    os.umask(os.umask(0o077) | 0o022)
    for one in _ENDING:
        if signal.getsignal(one) is signal.SIG_DFL:  # what nohup ignores stays ignored
            signal.signal(one, _end)
    sys.excepthook = _tell_defect
    # A plugin of another program would see every recipe, and looking for one takes a walk over all installed packages.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")


class Leaving:
    """Ends the process, as the last function registered for its end (``atexit``): it is registered first.

    Python itself would take apart everything that it holds, and collect garbage three times: a fifth of a command's
    time. A process that ends by a defect has no code here, and ends in Python's way.
    """

    def __init__(self) -> None:
        self._code: int | None = None

    def with_code(self, code: int) -> int:
        """Return the code with which the process is going to end."""
        self._code = code
        return code

    def __call__(self) -> None:
        """End the process, unless some output cannot be written: then Python reports it."""
        if self._code is None:
            return
        with suppress(SparkctlError, OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(self._code)


def code_of_interruption() -> int:
    """Return the exit code of a command that was interrupted: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP."""
    return _OF_A_SIGNAL + _received[0] if _received else INTERRUPTED


def hung_up() -> bool:
    """Return whether the terminal was closed (SIGHUP): nobody has asked to end what can run on by itself."""
    return signal.SIGHUP in _received


def _end(number: int, _frame: FrameType | None) -> None:
    """End as Ctrl-C does. A closed terminal sends several signals: the next must not interrupt the clean-up."""
    for one in _ENDING:
        signal.signal(one, signal.SIG_IGN)
    _received.append(number)
    raise KeyboardInterrupt


def _open_what_is_closed() -> None:
    """Open the standard streams that are closed: otherwise the next opened file would get their output."""
    for number in _STANDARD:
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one


class _Results(io.FileIO):
    """stdout. A failure to write is reported once, as an error; then nothing more is written."""

    _broken = False

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        """Write, and wait where whoever reads is slow and does not let us block."""
        try:
            while not self._broken:
                written = super().write(data)
                if written is not None:
                    return written
                select.select([], [self], [])
        except BrokenPipeError:
            self._broken = True
            raise
        except OSError as error:
            self._broken = True
            message = f"cannot print the results: {error.strerror}"
            raise InputError(message, hint="free some space, or send the output elsewhere") from None
        return len(data)


class _Talk(io.FileIO):
    """stderr. If nobody can be told, the command goes on silently."""

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        """Write, or do not."""
        try:
            written = super().write(data)
        except OSError:
            return len(data)
        return len(data) if written is None else written


def _stream(file: io.FileIO, like: TextIO | None) -> io.TextIOWrapper:
    """Return a stream like Python's own; it writes escapes for characters that its encoding does not have."""
    encoding = getattr(like, "encoding", None) or "utf-8"
    buffering = bool(getattr(like, "line_buffering", False))
    return io.TextIOWrapper(io.BufferedWriter(file), encoding, "backslashreplace", line_buffering=buffering)


def _tell_defect(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print a traceback as Python does, without secrets; only the environment's secrets are known here."""
    told = "".join(traceback.format_exception(kind, error, trace))
    boundary = shown.Boundary(value for name, value in os.environ.items() if shown.looks_secret(name))
    sys.stderr.write(f"{boundary.text(told)}this is a defect of sparkctl: please report it, with the lines above\n")
    sys.stderr.flush()
