"""A loop in a thread of its own: the gateway's, which starts of services must not hold up."""

from __future__ import annotations

import asyncio
import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")
BESIDE: Final = 4
"""Threads for what takes seconds, a choice: one look at the memory goes on at a time, and writing is quick."""
CLOSING_S: Final = 10.0
"""So long the end of the thread is waited for, a choice: it does not keep the process alive."""


def settle() -> None:
    """Let Python look for garbage no more in what is there now: modules, most of all, which stay until the end.

    Each such look held every stream for 50 to 250 ms, measured with 84,000 objects on a loaded machine.
    """
    gc.collect()
    gc.freeze()


class LoopThread:
    """Runs a loop until it is closed."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        # A thread of its own: the page's questions may take long, and no start must wait for them.
        self._beside = ThreadPoolExecutor(BESIDE, "sparkctl-gateway-beside")
        self._thread = threading.Thread(target=self._run, daemon=True, name="sparkctl-gateway")
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def call(self, what: Callable[[], object]) -> None:
        """Call something in the loop, from any thread; once it is closed, nothing."""
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(what)

    def wait_for(self, what: Coroutine[object, object, T]) -> T:
        """Do something in the loop and return what comes of it. Not from the loop itself.

        Raises:
            Exception: what it raised.
        """
        return asyncio.run_coroutine_threadsafe(what, self.loop).result()

    def begin(self, what: Coroutine[object, object, None]) -> None:
        """Begin something in the loop that goes on until it is closed."""
        asyncio.run_coroutine_threadsafe(what, self.loop)

    def beside(self, what: Callable[[], None]) -> None:
        """Do something that takes seconds in a thread, from the loop."""
        self.loop.run_in_executor(self._beside, what)

    def close(self) -> None:
        """End what still goes on in the loop, and the loop."""

        async def end() -> None:
            tasks = [one for one in asyncio.all_tasks() if one is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self.wait_for(end())
        self._beside.shutdown(wait=False, cancel_futures=True)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(CLOSING_S)
        if not self._thread.is_alive():
            self.loop.close()
