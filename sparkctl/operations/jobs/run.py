"""``job run``: a job admitted, run in its container, and what it made checked and given its name."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.base.errors import CheckError, EngineError, InputError, JobError, WaitInterruptedError
from sparkctl.base.units import format_bytes, format_duration
from sparkctl.operations.changes import locked
from sparkctl.operations.jobs.image import ensure_image, image_reference
from sparkctl.operations.jobs.memory.admission import admitted
from sparkctl.operations.jobs.memory.need import need
from sparkctl.operations.jobs.memory.peaks import forget_peaks, keep_peak
from sparkctl.operations.jobs.product.finish import Finishing, finish
from sparkctl.operations.jobs.product_trial import refuse_unprovable
from sparkctl.operations.jobs.runs import failed
from sparkctl.operations.jobs.runs.asked import already_made, asked_job, image_key, products_of
from sparkctl.operations.jobs.runs.settle import Settling, settling
from sparkctl.operations.jobs.runs.watch import Watch, WatchedRun
from sparkctl.operations.jobs.runs.work import BegunRun, JobWork
from sparkctl.operations.records import MADE, EndedJob
from sparkctl.operations.status.leftovers import worker
from sparkctl.world import throwaway

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sparkctl.operations.context import World
    from sparkctl.operations.jobs.product.provenance import Provenance
    from sparkctl.operations.jobs.runs.asked import AskedJob
    from sparkctl.operations.jobs.runs.settle import FoundRun
    from sparkctl.world.engine import Image
    from sparkctl.world.ports import Products


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a job is run: ``overrides`` as of ``--set``; ``wheels`` is a folder of wheels in place of a package index.

    ``left`` says, of an interruption, whether the job is to go on without anybody who waits: the terminal was closed.
    """

    overrides: tuple[str, ...] = ()
    wheels: Path | None = None
    left: Callable[[], bool] = _never


class MadeJob(NamedTuple):
    """A product: its folder, and where it comes from. ``already``: it was there, and nothing was run."""

    name: str
    output: Path
    provenance: Provenance
    already: bool


def run(world: World, name: str, options: RunOptions) -> MadeJob:
    """Make the product of a job, or return that it is there already.

    Raises:
        InputError: a file that cannot be used, an input that is not here or not whole, or an output that is there.
        DoesNotFitError: its peak does not fit beside what runs, or its product does not fit on the disk.
        JobError: the script failed, took too long or was stopped; nothing of its output is kept.
        CheckError: what it made is not as it has to be; nothing of it is kept.
        EngineError: the engine refuses, a simulated one always; or another command runs the job.
    """
    products = products_of(world)
    asked = asked_job(world, products, name, options.overrides)
    made = already_made(world, products, asked)
    if made is not None:
        _tidy(world, JobWork(world, products, asked.name))
        return MadeJob(asked.name, asked.output, made, already=True)
    refuse_unprovable(world, asked.loaded, asked.source)
    image = ensure_image(world, asked.loaded, wheels=options.wheels)
    return _OneRun(world, products, asked, image, options).made()


def _tidy(world: World, work: JobWork) -> None:
    """Remove what a command left that was killed after the product had got its name."""
    with locked(world.ports, world.report):
        found = work.look(worked_on=work.worked_on())
        if found.useless:
            work.remove(found.container, found.labels)
        work.tidy()


class _OneRun:
    """One command's way from what is there to a product."""

    def __init__(self, world: World, products: Products, asked: AskedJob, image: Image, options: RunOptions) -> None:
        self._world = world
        self._products = products
        self._asked = asked
        self._image = image
        self._options = options
        self._digest = asked.digest(image_key(asked.loaded, image, image_reference(world, asked.loaded)))
        self._need = need(world, asked.loaded, asked.source)
        self._work = JobWork(world, products, asked.name)

    def made(self) -> MadeJob:
        """Make the product."""
        with ExitStack() as held:
            begun = self._begun(held)
            if isinstance(begun, MadeJob):
                return begun
            try:
                made = self._finished(begun)
            except (KeyboardInterrupt, WaitInterruptedError):
                if not self._options.left():
                    self._undone(begun, "stopped")
                raise
            except (JobError, CheckError) as error:
                self._undone(begun, "failed", error.message.partition("\n")[0])
                raise
        return MadeJob(self._asked.name, self._asked.output, made, already=False)

    def _begun(self, held: ExitStack) -> BegunRun | MadeJob:
        """Find the run that is there, or begin one, and hold its byte in ``held``."""
        name = self._asked.name
        with locked(self._world.ports, self._world.report):
            mine = held.enter_context(self._work.work_on())
            found = self._work.look(worked_on=not mine)
            step = settling(found, self._digest, str(self._asked.output))
            _refuse_other(name, str(self._asked.output), found, step, mine=mine)
            self._sweep()
            if found.container is not None and step is Settling.REMOVE:
                failed.keep_log(self._world, name, found.container.id)
                self._work.remove(found.container, found.labels)
                self._world.report.say(f"{name}: removed what a run left that was killed or failed")
            made = already_made(self._world, self._products, self._asked)
            if made is not None:
                return MadeJob(name, self._asked.output, made, already=True)
            if found.container is not None and found.labels is not None and step in {Settling.JOIN, Settling.FINISH}:
                doing = (
                    "runs already: waiting for its end"
                    if step is Settling.JOIN
                    else "has ended: its product is checked"
                )
                self._world.report.say(f"{name}: {doing}")
                return BegunRun(found.container.id, found.labels)
            admitted(self._world, self._asked.loaded, self._need)
            return self._work.begin(self._asked, self._image, self._need, self._digest)

    def _sweep(self) -> None:
        """Remove what killed commands left of this job, and of containers that were for a moment."""
        engine, report = self._world.engine, self._world.report
        for container in throwaway.sweep(engine, self._world.ports.locks.lives):
            report.say(f"removed the container {container.name}, which a killed command left")
        for folder in self._work.tidy():
            report.say(f"{self._asked.name}: removed {folder}, which a killed command left")

    def _finished(self, begun: BegunRun) -> Provenance:
        """Wait for the end of a run, and finish its product."""
        asked, world = self._asked, self._world
        watch = Watch(world, asked.name, begun.partial, self._need.product_bytes, self._need.disk_bytes)
        watched = watch.until_end(begun.container, asked.loaded.job.timeout)
        lines = failed.keep_log(world, asked.name, begun.container) if watched.container is not None else []
        if not watched.well:
            with locked(
                world.ports, world.report
            ):  # which `job stop` holds until it has removed the container that it has killed
                if world.engine.container(begun.container) is None:
                    watched = watched._replace(container=None)
            if watched.container is not None and watched.container.oom_killed:
                forget_peaks(world, asked.name)
            raise failed.failure(asked, watched, lines, self._need.limit_bytes)
        made = finish(world, self._products, Finishing(asked, begun, watched, self._image))
        with locked(world.ports, world.report):
            self._work.done_with(begun)
        self._keep(MADE, watched, made)
        return made

    def _undone(self, begun: BegunRun, outcome: str, why: str = "") -> None:
        """Remove a run that came to nothing, and keep that it did."""
        with locked(self._world.ports, self._world.report):
            container = self._world.engine.container(begun.container)
            self._work.remove(container, begun.labels)
        self._record(EndedJob(self._asked.name, self._digest, self._world.ports.clock.epoch(), outcome, why=why))

    def _keep(self, outcome: str, watched: WatchedRun, made: Provenance) -> None:
        seconds, peak = watched.seconds, watched.peak_bytes
        took = "" if seconds is None else f" in {format_duration(seconds)}"
        held = "" if peak is None else f", with {format_bytes(peak)} of memory at most"
        now = self._world.ports.clock.epoch()
        self._world.report.say(f"{made.job}: made {format_bytes(made.bytes)}{took}{held}")
        output = str(self._asked.output)
        if peak is not None and self._need.size is not None:
            keep_peak(self._world, self._asked.loaded, self._need.size, peak)
        self._record(
            EndedJob(made.job, self._digest, now, outcome, seconds, peak, product_bytes=made.bytes, output=output)
        )

    def _record(self, one: EndedJob) -> None:
        """Keep how a run ended; that it cannot be kept is no error of the run."""
        try:
            self._world.records.add_job_run(one, self._asked.source.repo)
        except InputError as error:
            self._world.report.warn(f"how {one.job} ended is not kept: {error.message}")


def _refuse_other(name: str, output: str, found: FoundRun, step: Settling, *, mine: bool) -> None:
    """Refuse to touch a run that another command waits for, or that makes something else.

    Raises:
        EngineError: as said.
    """
    logs, stop = f"sparkctl job logs -f {name}", f"sparkctl job stop {name}"
    if step is Settling.BUSY or not mine:
        who = worker(found.container)
        raise EngineError(f"{name}: {who} runs it already", hint=f"{logs} shows how far it is, {stop} stops it")
    if step is Settling.OTHER:
        if found.labels is None:
            raise EngineError(f"{name}: it runs already, and its labels are damaged", hint=f"{stop} removes it")
        what = f"{found.labels.output}{' with other values' if found.labels.output == output else ''}"
        if found.ended:
            message = f"{name}: an earlier run has made {what}, and its product is not checked yet"
            raise EngineError(
                message, hint=f"run it again as it was asked then, which finishes it; or remove it: {stop}"
            )
        raise EngineError(f"{name}: it runs already, and makes {what}", hint=f"wait for its end: {logs}; or {stop}")
