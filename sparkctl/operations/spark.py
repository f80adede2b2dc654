"""One Spark as a value with methods: what the command line does, for programs. Nothing here prints.

Each method is the function that the command of its name calls. What it needs is imported when it is first called, so
that a plan does not wait for what measures and judges.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.base.lazy import LazyModule
from sparkctl.operations.api.hosts import HostMethods
from sparkctl.operations.api.recipes import RecipeMethods
from sparkctl.operations.api.services import ServiceMethods
from sparkctl.operations.api.stacks import StackMethods
from sparkctl.operations.context import real_world
from sparkctl.operations.memory.asked_set import AskedSet
from sparkctl.world.opening.log_report import LogReport

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sparkctl.memory.changes import Changes
    from sparkctl.mods.verdicts import ModVerdict
    from sparkctl.operations import doctor as doctoring
    from sparkctl.operations.bench import service as benching
    from sparkctl.operations.bench.result import Bench
    from sparkctl.operations.bench.service import BenchProtocol
    from sparkctl.operations.checks import service as checking
    from sparkctl.operations.checks.checker import CheckVerdict
    from sparkctl.operations.doctor import Examined
    from sparkctl.operations.evaluation import evaluate as evaluating
    from sparkctl.operations.evaluation.kept import Evaluated
    from sparkctl.operations.files import render as rendering
    from sparkctl.operations.files.render import Rendered
    from sparkctl.operations.guard import launch as guarding
    from sparkctl.operations.guard import status as guards
    from sparkctl.operations.guard.status import GuardStatus
    from sparkctl.operations.jobs import run as job_running
    from sparkctl.operations.jobs import stop as job_stopping
    from sparkctl.operations.jobs.memory import plan as job_planning
    from sparkctl.operations.jobs.memory.plan import PlannedJob
    from sparkctl.operations.jobs.run import MadeJob
    from sparkctl.operations.memory import fits as fitting
    from sparkctl.operations.memory import plan as planning
    from sparkctl.operations.memory import size as sizing
    from sparkctl.operations.memory.fits import Fits
    from sparkctl.operations.memory.plan import PlannedSet
    from sparkctl.operations.memory.size import Size
    from sparkctl.operations.mods import verify as verifying
    from sparkctl.world.ports import Report
else:
    benching = LazyModule("sparkctl.operations.bench.service")
    checking = LazyModule("sparkctl.operations.checks.service")
    doctoring = LazyModule("sparkctl.operations.doctor")
    fitting = LazyModule("sparkctl.operations.memory.fits")
    guarding = LazyModule("sparkctl.operations.guard.launch")
    guards = LazyModule("sparkctl.operations.guard.status")
    job_running = LazyModule("sparkctl.operations.jobs.run")
    job_stopping = LazyModule("sparkctl.operations.jobs.stop")
    job_planning = LazyModule("sparkctl.operations.jobs.memory.plan")
    evaluating = LazyModule("sparkctl.operations.evaluation.evaluate")
    planning = LazyModule("sparkctl.operations.memory.plan")
    rendering = LazyModule("sparkctl.operations.files.render")
    sizing = LazyModule("sparkctl.operations.memory.size")
    verifying = LazyModule("sparkctl.operations.mods.verify")


def connect(
    engine: str | None = None,
    recipes: str | None = None,
    profile: str | None = None,
    report: Report | None = None,
) -> Spark:
    """Return this machine's Spark. The engine is asked when a method first needs it.

    Args:
        engine: ``docker``, or ``sim`` for a simulated Spark; None: SPARKCTL_ENGINE, else docker where there is an
            NVIDIA driver or a DOCKER_HOST, else sim.
        recipes: a folder with recipes/, mods/, templates/ or checks/ of your own, before the shipped ones; None:
            SPARKCTL_RECIPES.
        profile: the name of a host's profile, which has its memory and its reserve; None: SPARKCTL_PROFILE, else that
            of the kinds of its GPUs.
        report: is told what happens meanwhile (the protocol ``sparkctl.Report``); None: the logger ``sparkctl``.

    Raises:
        InputError: the engine, or the folder of recipes, is none.
    """
    log = LogReport()
    world = real_world(
        engine=engine, folder=recipes, profile=profile, report=report or log, tell=log.detail, bars=False
    )
    log.boundary = world.boundary
    return Spark(world)


class Spark(ServiceMethods, StackMethods, HostMethods, RecipeMethods):
    """A Spark, and the services on it; ``connect`` makes one.

    Services are named as on the command line: a recipe, a stack, a stack's service, or a recipe's file. Every error
    that a method raises on purpose is a
    ``sparkctl.errors.SparkctlError`` with a ``message`` and, where something can be done, a ``hint``.
    A method that asks the engine raises EngineError where none answers.
    """

    @property
    def simulated(self) -> bool:
        """Whether this is a simulated Spark."""
        return self._world.simulated

    def plan(
        self,
        *names: str,
        overrides: Sequence[str] = (),
        strict: bool = False,
        replace: bool = False,
        fit: bool = False,
        host: str | None = None,
        named: str | None = None,
    ) -> PlannedSet:
        """Return whether a set fits beside what runs, and what ``up`` would do. Touches nothing.

        A set that does not fit is no error: ``fits`` of the result is False, and ``plan.ways`` are what would help.

        Args:
            names: recipes and stacks.
            overrides: what is laid over them: ``limits.context=8192``, or ``NAME:limits.context=8192`` for one.
            strict: a flag that a recipe's vLLM does not have is an error.
            replace: plan to replace what runs but differs from its recipe.
            fit: take the first smaller setting with which the set fits, where it does not as it is.
            host: plan for the described machine of this name or file, of which nothing is asked here.
            named: the name of the one service, in place of its recipe's.

        Raises:
            InputError: a file that cannot be used, a name that is none, or two services that want one name or port.
            EngineError: the engine is elsewhere.
        """
        asked = AskedSet(names, tuple(overrides), strict=strict, replace=replace, named=named)
        return planning.plan(self._world, asked, host=host, fit=fit)

    def fits(self, *beside: str) -> Fits:
        """Return which recipes fit beside what runs, or beside these services alone, the best first.

        Raises:
            InputError, EngineError: as for ``plan``; a recipe that cannot be read is no error.
        """
        return fitting.fits(self._world, beside)

    def verify_mods(self, *names: str, everything: bool = False) -> list[ModVerdict]:
        """Return a verdict for each file of each mod: on disk, in the image, in the running container.

        Args:
            names: services, recipes or stacks; all that run when none is named.
            everything: recipes that do not run, too, in place of names.

        Raises:
            InputError: a name that is none, or a recipe that is named and cannot be used.
        """
        return verifying.verify_mods(self._world, names, everything=everything)

    def check(self, name: str, only: Sequence[str] = (), *, run_code: bool = False) -> list[CheckVerdict]:
        """Ask a service what it must answer, and return a verdict for each check. One that fails is no error.

        Args:
            name: the service, which has to be ready.
            only: the names of some checks; every check when none is named.
            run_code: run code that the model writes, in a container without network; else it is parsed.

        Raises:
            InputError: no such service or check.
            NotReadyError: the service is not ready.
        """
        return checking.check(self._world, name, only, run_code=run_code)

    def evaluate(
        self, reference: str, name: str, suite: str = "retention", *, again: bool = False, network: bool = False
    ) -> Evaluated:
        """Ask two services the same questions; compare what the second keeps, keep it and return it.

        A service that does not run is started for the questions and stopped after them. A comparison that is void, or
        below a floor of the suite, is no error: ``compared.passed`` of the result is False.

        Args:
            reference: the service whose score is kept or lost: the original model's.
            name: the other service.
            suite: the name or the file of a suite.
            again: ask also what was answered before.
            network: let lm-eval fetch data that is missing from the hub.

        Raises:
            InputError: no such service or suite, or data of a task that is not here; before anything is started.
            DoesNotFitError: no room for a service that does not run.
            EngineError: a simulated engine, or the engine refuses.
            NotReadyError, ModError, CheckError: a service could not be started, or ended while it was asked.
            JobError: lm-eval's image cannot be built, or lm-eval failed. What was answered is kept.
        """
        asked = evaluating.Evaluation(reference, name, suite, again=again, network=network)
        return evaluating.evaluate(self._world, asked)

    def bench(self, name: str, protocol: BenchProtocol | None = None) -> Bench:
        """Measure how fast a service writes, by its server's own count of tokens; keep the result and return it.

        Args:
            name: the service, which has to be ready.
            protocol: tokens, rounds and requests at once; None: 500 tokens, three rounds, one and three at once.

        Raises:
            InputError: no service of this name is deployed.
            NotReadyError: it does not answer.
        """
        return benching.bench(self._world, name, protocol)

    def size(self, model: str, changes: Changes | None = None, *, vllm: str | None = None) -> Size:
        """Return where every byte of a model goes. Needs no engine.

        Args:
            model: a recipe's name or file, a folder with config.json, a name of model facts, or owner/name on the hub.
            changes: single flags laid over the recipe's, or over vLLM's own defaults on a GB10.
            vllm: a version of vLLM, ``0.20`` being its newest patch; None: the recipe's, else the newest known.

        Raises:
            InputError: nothing of that name, a file that cannot be used, or a choice that this vLLM does not have.
        """
        return sizing.size(self._world, model, changes, vllm=vllm)

    def render(
        self, name: str, overrides: Sequence[str] = (), *, strict: bool = False, stage: bool = False
    ) -> Rendered:
        """Return the docker run command of a recipe. Needs no engine, no image and no Spark.

        Args:
            name: a recipe.
            overrides: what is laid over it, as for ``plan``.
            strict: a flag that the recipe's vLLM does not have is an error.
            stage: make the files that the command names: verified mods, secrets.

        Raises:
            InputError: a name that is none or a stack's, or a file that cannot be used.
            ModError: with ``stage``, a mod's file is not what it has to be.
        """
        return rendering.render(self._world, name, overrides, strict=strict, stage=stage)

    def plan_job(self, name: str, overrides: Sequence[str] = ()) -> PlannedJob:
        """Return what a job takes and whether it fits beside what runs. Touches nothing.

        A job that does not fit is no error: ``fits`` of the result is False, and ``reasons`` has the ways out.

        Args:
            name: a job, by its name or its file.
            overrides: what is laid over it: ``with.scheme=NVFP4A16``.

        Raises:
            InputError: there is no such job, something is wrong with it, or nothing is known of what it takes.
        """
        return job_planning.plan(self._world, name, overrides)

    def run_job(self, name: str, overrides: Sequence[str] = (), wheels: Path | None = None) -> MadeJob:
        """Make the product of a job, check it and give it its name; ``already`` of the result: it was there.

        Args:
            name: a job, by its name or its file.
            overrides: what is laid over it, as for ``plan_job``.
            wheels: a folder of wheels to build its image of, in place of a package index.

        Raises:
            InputError: a file that cannot be used, a model that is not here or not whole, or an output that is there.
            DoesNotFitError: its memory or its product does not fit; nothing was touched.
            JobError, CheckError: it failed, or its product is not as it has to be; nothing of that is kept.
        """
        return job_running.run(self._world, name, job_running.RunOptions(tuple(overrides), wheels))

    def stop_jobs(self, *names: str) -> list[str]:
        """Stop the runs of jobs, remove what they have made so far, and return the jobs that ran.

        Raises:
            InputError: a name that is no job.
        """
        return job_stopping.stop(self._world, names)

    def doctor(self) -> list[Examined]:
        """Return what is found of this host, each with its consequence and its fix: engine, GPU, memory, disk."""
        return doctoring.doctor(self._world)

    def guard(self) -> GuardStatus:
        """Return the guard of this host as it is now: its lines, what it would do to whom, what it did.

        That none runs is no error: ``problem`` of the result says so.
        """
        return guards.of_host(self._world, guarding.moment())
