"""Jobs for tests that need one as it is after loading."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.base import document
from sparkctl.recipes.catalog import CatalogEntry
from sparkctl.recipes.job.job import Job
from sparkctl.recipes.job.loaded import LoadedJob
from sparkctl.recipes.job.script import ScriptFile

if TYPE_CHECKING:
    from collections.abc import Sequence


def loaded_job(checks: Sequence[str], *, serves: str | None = None, **parameters: object) -> LoadedJob:
    """Return a job with these checks, for a recipe, and with parameters of its script."""
    given = {
        "image": {"base": "python:3.12"},
        "script": "quantize",
        "input": {"repo": "a/b"},
        "output": "~/made",
        "checks": tuple(checks),
        "serves": serves,
    }
    script = ScriptFile("quantize", Path("/jobs/quantize.py"), "0" * 32, None)
    text = document.load("description: of a test\n", "job.yaml")
    entry = CatalogEntry("quantize-it", Path("job.yaml"), "given")
    return LoadedJob("quantize-it", entry, Job.model_validate(given), script, parameters, "", text)
