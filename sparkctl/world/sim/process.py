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
from sparkctl.world.sim.boot import GIB, TOTAL_BYTES
from sparkctl.world.sim.folders import KILLED, ContainerFolder, Exit, Holds, Run, locked
from sparkctl.world.sim.server import run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


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

    def hold(gpu: int, host: int) -> int:
        return _hold(sim, folder, gpu, host)

    code = run(record.command, {**dict(record.env), **extra}, hold)
    folder.end(Exit(code, time.time()))


def _hold(sim: Path, folder: ContainerFolder, gpu: int, host: int) -> int:
    """Record what the container takes, and return what is left; where nothing is left it ends here."""
    with locked(sim, "pool.lock"):
        folder.write_holds(Holds(gpu, host))
        left = pool.available_bytes(sim)
    if left >= 0:
        return left
    over = f"{-left / GIB:.1f} GiB more than this Spark's {TOTAL_BYTES / GIB:.1f} GiB"
    error = f"simulated: the set takes {over}: a GB10 would have frozen here"
    os.write(1, f"{error}; this container is killed in its place\n".encode())
    folder.end(Exit(KILLED, time.time(), error))
    signal.raise_signal(signal.SIGKILL)
    return left


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3]), json.loads(sys.argv[4])))
