"""A log that somebody has, diagnosed: a file or a stream of any bytes, read up to a bound. Needs no engine."""

from __future__ import annotations

import codecs
import io
from collections import deque
from typing import TYPE_CHECKING, BinaryIO, Final

from sparkctl.base.errors import InputError
from sparkctl.recipes.job import failures as job_failures
from sparkctl.vllm import failures

if TYPE_CHECKING:
    from sparkctl.operations.context import World
    from sparkctl.vllm.failures import Diagnosis

MOST_BYTES: Final = 8 * 1024 * 1024
"""How much of a log is read, from its end: a start writes a tenth of one MiB, a busy server a few MiB a day."""
MOST_READ: Final = 256 * 1024 * 1024
"""How much of a stream that cannot be wound forward is read: reading one without an end stops there."""
_PIECE: Final = 64 * 1024
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def diagnose(world: World, log: BinaryIO) -> Diagnosis | None:
    """Return why the last run in a log failed, None where nothing in it is known; no secret is in the answer.

    What no vLLM prints may be of a job.

    Raises:
        InputError: the log cannot be read, or the operator's secrets, which the answer must not hold.
    """
    lines = world.boundary.hidden(text_of(log)).split("\n")
    found = failures.diagnose(lines)
    of_job = failures.diagnose(lines, job_failures.catalogue()) if found is None or not found.failure else None
    return of_job if of_job is not None and of_job.failure else found


def text_of(log: BinaryIO) -> str:
    """Return the end of a log as text; what is no text is replaced.

    Raises:
        InputError: it cannot be read.
    """
    try:
        beginning, end = _read(log)
    except OSError as error:
        raise InputError(f"the log cannot be read: {error.strerror or error}") from error
    encoding = next((name for mark, name in _MARKS if beginning.startswith(mark)), "utf-8")
    if encoding == "utf-16":  # the mark says which byte of two comes first
        end = beginning[:2] + end.removeprefix(beginning[:2])[: len(end) // 2 * 2]
    return end.decode(encoding, errors="replace")


def _read(log: BinaryIO) -> tuple[bytes, bytes]:
    """Return the first bytes of a log and its last."""
    if log.seekable():
        size = log.seek(0, io.SEEK_END)
        log.seek(0)
        beginning = log.read(4)
        log.seek(max(0, size - MOST_BYTES))
        return beginning, log.read(MOST_BYTES)
    kept: deque[bytes] = deque(maxlen=MOST_BYTES // _PIECE)
    beginning, total = b"", 0
    while total < MOST_READ and (piece := log.read(_PIECE)):
        beginning = beginning or piece[:4]
        kept.append(piece)
        total += len(piece)
    return beginning, b"".join(kept)
