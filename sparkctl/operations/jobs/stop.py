"""``job stop``: a run ended, and all that it has made removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.base.errors import EngineError, InputError
from sparkctl.operations.changes import locked
from sparkctl.operations.jobs.runs.asked import products_of
from sparkctl.operations.jobs.runs.work import JobWork, job_containers
from sparkctl.operations.status.leftovers import worker
from sparkctl.recipes.job.reading import KIND

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.operations.context import World


def stop(world: World, names: Sequence[str]) -> list[str]:
    """Stop the runs of jobs, remove their containers and what they have made, and return those that had one.

    A command that waits for such a run ends with an error. Products that have their name stay.

    Raises:
        InputError: no job of such a name is known, and none runs; nothing was stopped.
        EngineError: the engine refuses, or another command checks the product just now.
    """
    products = products_of(world)
    there = {job for job, _ in job_containers(world.engine)}
    for name in names:
        if name not in there | {entry.name for entry in world.catalog.entries(KIND)}:
            known = ", ".join(sorted(there)) or "none"
            raise InputError(f"no job {name} runs, and none has this name (running: {known})", hint="sparkctl job list")
    stopped = []
    for name in names:
        work = JobWork(world, products, name)
        with locked(world.ports, world.report):
            found = work.look(worked_on=work.worked_on())
            if found.ended and found.worked_on:
                message = f"{name}: {worker(found.container)} checks its product"
                raise EngineError(message, hint="end that command with Ctrl-C: it removes what was made")
            if found.container is not None:
                world.report.progress(name, "stopping", "")
                work.remove(found.container, found.labels)
                world.report.say(f"{name}: stopped, and what it had made is removed")
                stopped.append(name)
            for folder in work.tidy():
                world.report.say(f"{name}: removed {folder}, which a killed command left")
    return stopped
