"""The jobs of a catalog, and whether what they make is there."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base import regular_file
from sparkctl.base.errors import EngineError, InputError
from sparkctl.operations.jobs import ordered
from sparkctl.operations.jobs.product import provenance
from sparkctl.operations.jobs.runs.work import job_containers
from sparkctl.operations.records import MADE
from sparkctl.recipes.job.reading import load_job

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.operations.context import World
    from sparkctl.operations.jobs.product.provenance import Provenance
    from sparkctl.recipes.catalog import CatalogEntry


_ENDED: Final = {"exited", "dead"}


class MadeFolder(NamedTuple):
    """The folder that a job makes: whether it is there, and where it comes from (None: not known, or no job's)."""

    folder: Path
    there: bool
    made: Provenance | None = None

    @property
    def job(self) -> str | None:
        """The job that made it."""
        return None if self.made is None else self.made.job


class ListedJob(NamedTuple):
    """A job of the catalog, and whose it is (``label``: given, yours, shipped).

    ``input`` is the model that it reads, by its repository or its folder; ``serves`` is "" where it says none. One that
    cannot be used says so in its description, and has no ``product``. ``run`` says what its run does, "" without one.
    """

    name: str
    label: str
    path: Path
    description: str
    input: str = ""
    output: str = ""
    serves: str = ""
    product: MadeFolder | None = None
    run: str = ""


def listed(world: World) -> list[ListedJob]:
    """Return the jobs by name, without those that only others extend."""
    entries = [entry for entry in world.catalog.entries("job") if not entry.name.startswith("_")]
    runs = _runs(world)
    return [_listed(world, entry)._replace(run=runs.get(entry.name, "")) for entry in entries]


def made_folder(world: World, folder: Path) -> MadeFolder:
    """Return what is in the place of a job's product, as the file that a job leaves in it says."""
    made = provenance.read(world.files, folder)
    if made is None:
        return MadeFolder(folder, there=regular_file.is_folder(folder) or regular_file.is_there(folder))
    return MadeFolder(folder, there=True, made=made)


def _runs(world: World) -> dict[str, str]:
    """Return what each job's run does, by its container; without one, how its last run failed or was stopped.

    Where no engine answers, or what is kept cannot be read, nothing is known of it.
    """
    found: dict[str, str] = {}
    with suppress(InputError):
        last = world.records.last_job_runs().values()
        found |= {one.job: f"{one.outcome} {_day(one.at)}" for one in last if one.outcome != MADE}
    with suppress(EngineError):
        states = {job: container.state for job, container in job_containers(world.engine)}
        found |= {job: "ended, not finished" if state in _ENDED else state for job, state in states.items()}
    return found


def _day(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC).astimezone():%Y-%m-%d %H:%M}"


def _listed(world: World, entry: CatalogEntry) -> ListedJob:
    try:
        loaded = load_job(world.catalog, entry.name)
    except InputError as error:
        why = f"cannot be used: {error.message.splitlines()[0]}"
        return ListedJob(entry.name, entry.label, entry.path, why)
    job = loaded.job
    return ListedJob(
        entry.name,
        entry.label,
        entry.path,
        job.description,
        job.input.repo or job.input.path or "",
        job.output,
        job.serves or "",
        made_folder(world, ordered.output_folder(loaded, world.operator)),
    )
