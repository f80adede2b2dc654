"""Gives back the page cache and joins free pages into large blocks, in a thread: the looks go on meanwhile."""

from __future__ import annotations

import _thread  # threading imports weakref and more: 0.4 MiB
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

FILES: Final = (("/proc/sys/vm/drop_caches", b"1"), ("/proc/sys/vm/compact_memory", b"1"))
"""Both, in this order: dropping alone leaves no large blocks. Their files are opened ahead."""
_STACK: Final = 256 * 1024


class Reclaimer:
    """Does it when it is asked to, once at a time. ``problem``: why it cannot, "" where it can."""

    def __init__(self, files: tuple[tuple[str, bytes], ...] = FILES) -> None:
        self.problem = ""
        self._files: list[tuple[int, bytes]] = []
        for path, word in files:
            try:
                self._files.append((os.open(path, os.O_WRONLY | os.O_CLOEXEC), word))
            except OSError as error:
                self.problem = f"{path}: {error.strerror}"
        self.times = 0
        self._busy = False
        self._wake = -1
        if self._files:
            ask, self._wake = os.pipe()
            _thread.stack_size(_STACK)
            _thread.start_new_thread(self._work, (ask,))

    def ask(self) -> None:
        """Ask for it, unless it is at it still."""
        if self._busy or self._wake < 0:
            return
        self._busy = True
        os.write(self._wake, b"1")

    def _work(self, asked: int) -> None:
        while os.read(asked, 1):
            for descriptor, word in self._files:
                try:
                    os.pwrite(descriptor, word, 0)
                except OSError as error:
                    self.problem = error.strerror or "refused"
            self.times += 1
            self._busy = False
