"""The interpreter of "another host" in threads of this process, and a way to it: what remote ports are tested over."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from sparkctl.base.errors import EngineError
from sparkctl.world.local.bare.machine import BareHost
from sparkctl.world.opening.far import FarLocks, known
from sparkctl.world.remote.asks import Asks
from sparkctl.world.remote.far.serving import serve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Pipes:
    """A way to the other side over two pipes."""

    name = "spark-b"

    def __init__(self, asks: IO[bytes], answers: IO[bytes]) -> None:
        self._asks = asks
        self._answers = answers

    def write(self, line: bytes) -> None:
        try:
            self._asks.write(line)
            self._asks.flush()
        except (OSError, ValueError):
            raise self.lost() from None

    def readline(self, most: int) -> bytes:
        try:
            return self._answers.readline(most)
        except (OSError, ValueError):
            return b""

    def lost(self) -> EngineError:
        return EngineError("the connection to spark-b has ended", hint="does ssh spark-b still work?")


@contextmanager
def far_side(folder: Path) -> Iterator[tuple[Asks, IO[bytes]]]:
    """Yield what asks the other side, and the end of the line that a test may close; locks lie in ``folder``."""
    read_asks, write_asks = os.pipe()
    read_answers, write_answers = os.pipe()
    asks, answers = os.fdopen(write_asks, "wb"), os.fdopen(read_answers, "rb")
    there_asks, there_answers = os.fdopen(read_asks, "rb"), os.fdopen(write_answers, "wb")

    def answer() -> None:
        with there_asks, there_answers:
            serve(there_asks, there_answers, known(BareHost(), FarLocks(folder, folder)))

    thread = threading.Thread(target=answer)
    thread.start()
    answers.readline()
    try:
        asked = Asks(Pipes(asks, answers))
        yield asked, asks
        asked.end()
    finally:
        asks.close()
        thread.join(10)
        answers.close()
