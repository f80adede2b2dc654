"""The process of a simulated container: ``python -m sparkctl.world.sim.process SIM CONTAINER LISTENS ENVIRONMENT``.

It leaves the command that started it, takes the container's lock, serves, and records how it ended. LISTENS is JSON:
the addresses and ports that it has; ENVIRONMENT too: what the server is told beside the container's own environment.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.world.sim import pool
from sparkctl.world.sim.boot import GIB, out_of_memory
from sparkctl.world.sim.folders import KILLED, ContainerFolder, Exit, Holds, Run, locked
from sparkctl.world.sim.server import run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.world.sim.pool import SimMachine


def main(sim: Path, identity: str, listens: Sequence[tuple[str, int]], extra: Mapping[str, str]) -> int:
    """Fork into the container's process and return when the start is recorded."""
    folder = ContainerFolder(sim / "containers" / identity)
    folder.lock_alive()  # kept open by the child alone when this process ends
    told, tell = os.pipe()
    if os.fork():
        os.close(tell)
        return 0 if os.read(told, 1) else 1
    os.close(told)
    log = os.open(folder.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    folder.begin(Run(os.getpid(), time.time(), tuple(listens), os.fstat(log).st_size))
    os.write(tell, b".")
    os.close(tell)
    _serve(sim, folder, extra)
    return 0


def _serve(sim: Path, folder: ContainerFolder, extra: Mapping[str, str]) -> None:
    record = folder.record()
    if record is None:
        return
    os.write(1, f"{extra['SPARKCTL_SIM_NOTE']}\n".encode())

    there = pool.of_order(json.loads(extra[pool.VARIABLE]))

    def hold(gpu: int, host: int) -> int:
        return _hold(sim, folder, Holds(gpu, host), there)

    code = run(record.command, {**dict(record.env), **extra}, hold)
    folder.end(Exit(code, time.time()))


def _hold(sim: Path, folder: ContainerFolder, holds: Holds, there: SimMachine) -> int:
    """Record what the container takes, and return what its GPU has left; if nothing is left, end here."""
    record = folder.record()
    cards = there.cards(record) if record is not None else ()
    with locked(sim, "pool.lock"):
        folder.write_holds(holds)
        left = pool.available_bytes(sim, there)
        own = min((pool.free_bytes(sim, there, card) for card in cards), default=left)
    if left < 0:
        over = f"{-left / GIB:.1f} GiB more than this {_words(there)}'s {there.memory_bytes / GIB:.1f} GiB"
        fate = "Linux would kill a process" if _words(there) == "host" else "a GB10 would have frozen"
        error = f"simulated: the set takes {over}: {fate} here"
        os.write(1, f"{error}; this container is killed in its place\n".encode())
        folder.end(Exit(KILLED, time.time(), error))
        signal.raise_signal(signal.SIGKILL)
    if own < 0:
        total = max((card.total_bytes or 0 for card in cards), default=0)
        os.write(1, f"{out_of_memory(-own, total, 0)}\n".encode())
        folder.end(Exit(1, time.time()))
        signal.raise_signal(signal.SIGKILL)
    return own


def _words(there: SimMachine) -> str:
    return "Spark" if any(gpu.total_bytes is None for gpu in there.gpus) else "host"


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3]), json.loads(sys.argv[4])))
