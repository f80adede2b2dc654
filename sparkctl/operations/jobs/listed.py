"""The jobs of a catalog, and whether what they make is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base import regular_file
from sparkctl.base.bounded import JsonBounds, UnreadableError, read_json
from sparkctl.base.errors import InputError
from sparkctl.operations.jobs import ordered
from sparkctl.recipes.job.reading import load_job

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.operations.context import World
    from sparkctl.recipes.catalog import CatalogEntry

PROVENANCE: Final = "sparkctl-job.json"
"""The file of a product that says which job made it, and of what."""
_BOUNDS: Final = JsonBounds(size=4 * 1024 * 1024, parts=100_000)


class MadeFolder(NamedTuple):
    """The folder that a job makes: whether it is there, and which job made it ("": not known, or none did)."""

    folder: Path
    there: bool
    job: str = ""
    digest: str = ""


class ListedJob(NamedTuple):
    """A job of the catalog, and whose it is (``label``: given, yours, shipped).

    ``input`` is the model that it reads, by its repository or its folder; ``serves`` is "" where it says none. One that
    cannot be used says so in its description, and has no ``product``.
    """

    name: str
    label: str
    path: Path
    description: str
    input: str = ""
    output: str = ""
    serves: str = ""
    product: MadeFolder | None = None


def listed(world: World) -> list[ListedJob]:
    """Return the jobs by name, without those that only others extend."""
    entries = [entry for entry in world.catalog.entries("job") if not entry.name.startswith("_")]
    return [_listed(world, entry) for entry in entries]


def made_folder(folder: Path) -> MadeFolder:
    """Return what is in the place of a job's product, as the file that a job leaves in it says."""
    if not regular_file.is_folder(folder):
        return MadeFolder(folder, there=regular_file.is_there(folder))
    try:
        said = read_json(regular_file.read_bytes(folder / PROVENANCE, _BOUNDS.size), _BOUNDS)
    except (InputError, UnreadableError):
        return MadeFolder(folder, there=True)
    job, digest = (said.get(key) for key in ("job", "digest")) if isinstance(said, dict) else (None, None)
    return MadeFolder(folder, True, job if isinstance(job, str) else "", digest if isinstance(digest, str) else "")


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
        made_folder(ordered.output_folder(loaded, world.operator)),
    )
