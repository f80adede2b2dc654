"""Whether a job fits beside what runs: the same arithmetic and the same ways out as for services, `lighter` among them.

A job is one more claimant, whose claim is its peak for as long as it runs.
"""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.errors import DoesNotFitError, InputError
from sparkctl.base.units import format_bytes, format_gib
from sparkctl.operations.guard.live_state import refuse_closed
from sparkctl.operations.jobs.memory.need import need as need_of
from sparkctl.operations.memory.asked_set import stopping
from sparkctl.operations.planner import planner
from sparkctl.planning.admission import Change, Need, Sizes, Switch
from sparkctl.planning.plan import make_plan
from sparkctl.recipes.job import reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkctl.operations.context import World
    from sparkctl.operations.jobs.memory.need import JobNeed
    from sparkctl.planning.plan import Plan
    from sparkctl.planning.ways import Way
    from sparkctl.recipes.job.loaded import LoadedJob

_LIGHTER: Final = "lighter"
"""What stands for all overrides of the lighter way where a plan counts them as one."""
_LOSS: Final = 0.5
"""What is lost by the lighter way, in halvings of a context (``planning.ways``): a product of the same bytes, made
more slowly. So it comes before stopping anything."""
_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_NO_TEXT: Final = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
"""Words that YAML takes for no text."""
_NOTHING: Final = "no lighter way of it, and nothing that can be stopped, makes it fit"


class JobAdmission(NamedTuple):
    """Whether a job fits: its need, the plan of it beside what runs, and each way to fit with its command.

    ``before`` are options of sparkctl itself, with which the commands that are offered begin.
    """

    need: JobNeed
    plan: Plan
    ways: tuple[tuple[Way, str], ...] = ()
    before: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether there is memory for it, and room on the disk for what it makes."""
        return self.plan.fits and not self.need.missing_disk_bytes

    @property
    def reasons(self) -> list[str]:
        """Why it does not fit, and each way to fit with its command; [] where it fits."""
        return [*self._of_memory(), *self._of_disk()]

    def _of_memory(self) -> Iterator[str]:
        if self.plan.fits:
            return
        yield from self.plan.reasons
        for way, command in self.ways:
            yield f"it fits {way.words}:"
            yield f"    {command}"
        if not self.ways:
            yield _NOTHING

    def _of_disk(self) -> Iterator[str]:
        need = self.need
        if not need.missing_disk_bytes or need.disk_bytes is None or need.free_disk_bytes is None:
            return
        yield (
            f"{need.job}: {format_bytes(need.missing_disk_bytes)} of disk are missing for {need.output}: "
            f"{format_bytes(need.disk_bytes)} are needed, and {format_bytes(need.free_disk_bytes)} are free there"
        )
        if need.product_bytes is not None:
            yield f"  the product will have {format_bytes(need.product_bytes)}, and a margin is counted beside it"
        other = _run(need.wanted.recipe, ("output=FOLDER",), self.before)
        yield f"  free some, or name a folder on another disk: {other}"


class JobDoesNotFitError(DoesNotFitError):
    """A job does not fit; ``admission`` says why, and what would make it fit."""

    def __init__(self, admission: JobAdmission) -> None:
        super().__init__("\n".join(admission.reasons))
        self.admission = admission


def admission(world: World, loaded: LoadedJob, need: JobNeed, *, before: Sequence[str] = ()) -> JobAdmission:
    """Return whether a job fits beside what runs now; touches nothing. ``before`` as for ``JobAdmission``.

    Raises:
        EngineError: the engine is elsewhere, or does not answer.
    """
    world.refuse_elsewhere()
    plans = planner(world)
    back = [one.back for one in plans.aside() if one.back is not None]
    running, pool = plans.now.running(back), plans.now.pool()
    plan = make_plan([need.wanted], running, pool, replace=False)
    if plan.fits:
        return JobAdmission(need, plan, before=tuple(before))
    lighter = _lighter(world, loaded, need)
    if lighter is not None:
        plan = make_plan([need.wanted._replace(sizes=lighter)], running, pool, replace=False)
    ways = tuple((way, _command(loaded, way, before)) for way in plan.ways)
    return JobAdmission(need, plan, ways, tuple(before))


def admitted(world: World, loaded: LoadedJob, need: JobNeed, *, before: Sequence[str] = ()) -> None:
    """Refuse a job that does not fit beside what runs now. The caller holds the engine's lock until it has started it.

    Raises:
        JobDoesNotFitError: its memory or its room on the disk is missing, with the ways out.
        DoesNotFitError: the guard has closed admission.
        EngineError: as for ``admission``.
    """
    found = admission(world, loaded, need, before=before)
    if not found.fits:
        raise JobDoesNotFitError(found)
    refuse_closed(world.ports, world.operator.run)
    for line in found.plan.unknown:
        world.report.warn(line)


def _lighter(world: World, loaded: LoadedJob, need: JobNeed) -> Sizes | None:
    """Return the job's lighter way as a plan tries it, None where it has none; one that cannot be used is said."""
    if loaded.job.lighter is None:
        return None
    try:
        other = reading.load_job(world.catalog, loaded.reference, (*loaded.overrides, *_sets(loaded)))
        less = need_of(world, other, reading.input_source(other, world.ports.models, world.operator))
    except InputError as error:
        world.report.warn(f"the lighter way of {loaded.name} cannot be used: {error.message}")
        return None
    words = f"{loaded.job.lighter.words} ({format_gib(less.peak_bytes)} in place of {format_gib(need.peak_bytes)})"

    def sized(change: Change) -> Need | None:
        """Return what it needs with a change: that is the lighter way, or another GPU."""
        return less.wanted.need if _LIGHTER in change.switches else need.wanted.need

    return Sizes(context=1, sequences=1, switches=(Switch(_LIGHTER, words, _LOSS),), need=sized)


def _sets(loaded: LoadedJob) -> tuple[str, ...]:
    """Return the overrides of the lighter way, as --set takes them: a plain word as it is, all else as JSON."""
    given = {} if loaded.job.lighter is None else loaded.job.lighter.set
    return tuple(f"{path}={_value(value)}" for path, value in given.items())


def _value(value: object) -> str:
    plain = isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _NO_TEXT
    return str(value) if plain else json.dumps(value, ensure_ascii=False)


def _command(loaded: LoadedJob, way: Way, before: Sequence[str]) -> str:
    """Return the command of a way to fit, to paste."""
    changes = [switch for change in way.changes.values() for switch in change.overrides]
    sets = [one for switch in changes for one in (_sets(loaded) if switch == _LIGHTER else (switch,))]
    laid = {one.partition("=")[0] for one in sets}
    kept = [one for one in loaded.overrides if one.partition("=")[0].strip() not in laid]
    return " && ".join([*stopping(way.stops, before), _run(loaded.reference, (*kept, *sets), before)])


def _run(reference: str, overrides: Sequence[str], before: Sequence[str]) -> str:
    sets = [word for override in overrides for word in ("--set", override)]
    return shlex.join(["sparkctl", *before, "job", "run", reference, *sets])
