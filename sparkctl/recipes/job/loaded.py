"""A job after ``extends`` and ``--set``, checked, with its script and what belongs to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sparkctl.base.real_path import real

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.base.document import Document, KeyPath
    from sparkctl.base.errors import Place, Problem
    from sparkctl.recipes.catalog import CatalogEntry
    from sparkctl.recipes.job.job import Job
    from sparkctl.recipes.job.script import ScriptFile


class LoadedJob(NamedTuple):
    """A job, checked; ``document`` is what it was made from, with every place.

    ``parameters`` are those of ``with`` and the defaults of the script's schema. ``constraints`` is the text of the
    image's constraints file, "" without one. ``overrides`` are those of ``--set``.
    """

    name: str
    entry: CatalogEntry
    job: Job
    script: ScriptFile
    parameters: Mapping[str, object]
    constraints: str
    document: Document
    overrides: tuple[str, ...] = ()
    warnings: tuple[Problem, ...] = ()

    @property
    def reference(self) -> str:
        """The name by which the job is found from any folder: its own, or its file's absolute path."""
        return str(real(self.entry.path)) if self.entry.label == "file" else self.name

    @property
    def origins(self) -> Mapping[KeyPath, Place]:
        """Where each single value was written: a file, or a ``--set``."""
        return {path: node.place for path, node in self.document.root.walk()}
