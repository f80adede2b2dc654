"""The simulated engine with processes that are forked from one that has everything imported: a tenth of the CPU.

How the product starts them is tested by tests/world/sim/test_engine.py and by every command of the simulated Spark.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.world.sim import process
from sparkctl.world.sim.engine import SimEngine
from tests.support.command_server import Command
from tests.support.paths import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Sequence


class ServedSimEngine(SimEngine):
    """Of a test: the command server forks."""

    def launch(self, arguments: Sequence[str]) -> str:
        command = Command(tuple(arguments), {"PATH": os.defpath}, REPOSITORY, process.__name__)
        _, err = command.communicate(timeout=60)
        return err[-500:] if command.returncode else ""


class ForkingSimEngine(SimEngine):
    """Of a command that the command server has forked: it forks itself."""

    def launch(self, arguments: Sequence[str]) -> str:
        sys.stdout.flush()
        sys.stderr.flush()
        child = os.fork()
        if child:
            _, status = os.waitpid(child, 0)
            return f"it ended with {os.waitstatus_to_exitcode(status)}" if status else ""
        try:
            os.setsid()
            os.closerange(3, 256)
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
            sim, identity, listens, extra = arguments
            code = process.main(Path(sim), identity, json.loads(listens), json.loads(extra))
        except BaseException:  # nothing of the command is to go on here
            code = 1
            raise
        finally:
            os._exit(code)
