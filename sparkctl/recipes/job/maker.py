"""Which job makes the model of a recipe, as the job's ``output`` and ``serves`` say."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.base import document
from sparkctl.base.errors import InputError

if TYPE_CHECKING:
    from sparkctl.base.document import Document
    from sparkctl.recipes.catalog import Catalog
    from sparkctl.recipes.host_side.operator import Operator
    from sparkctl.recipes.recipe import Recipe


class MakingJob(NamedTuple):
    """A job that makes a recipe's folder. ``alone``: the recipe's repository is what the job reads, not what it makes.

    Such a model cannot be downloaded: the hub has its source alone.
    """

    name: str
    alone: bool


def maker_of(catalog: Catalog, operator: Operator, recipe_name: str, recipe: Recipe) -> MakingJob | None:
    """Return the job that makes a recipe's model folder; None if there is none.

    Only these keys are read of a job: whether it is right is nothing that a service has to know.
    """
    if recipe.model.path is None:
        return None
    folder = operator.expand(recipe.model.path)
    for entry in catalog.entries("job"):
        if entry.name.startswith("_"):
            continue
        with suppress(InputError):
            job = catalog.extended("job", entry, lambda one: document.read(one.path))
            output, serves = job.node(("output",)).content, job.node(("serves",)).content
            if serves == recipe_name and isinstance(output, str) and operator.expand(output) == folder:
                return MakingJob(entry.name, _repo(job) == recipe.model.repo)
    return None


def _repo(job: Document) -> str | None:
    written = job.node(("input",)).content
    found = written if isinstance(written, str) else job.node(("input", "repo")).content
    return found if isinstance(found, str) else None
