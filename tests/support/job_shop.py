"""Two roots with jobs, scripts and constraints, the operator's and the shipped one; and a job after loading."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sparkctl.base import document
from sparkctl.base.errors import InputError
from sparkctl.recipes.catalog import Catalog, CatalogEntry, Root
from sparkctl.recipes.job.job import Job
from sparkctl.recipes.job.loaded import LoadedJob
from sparkctl.recipes.job.reading import load_job
from sparkctl.recipes.job.script import ScriptFile

if TYPE_CHECKING:
    from collections.abc import Sequence

BASE = """\
image: {base: "python:3.12", steps: [[tool==1.0]], constraints: tool.txt}
script: quantize
with: {scheme: FP8_DYNAMIC, ignore: [lm_head]}
gpus: all
"""
CHILD = "extends: _base\ninput: {repo: a/b, path: ~/models/b, facts: f}\noutput: ~/models/b-fp8\n"
DECLARED = """\
description: makes weights smaller
parameters:
  type: object
  additionalProperties: false
  required: [scheme]
  properties:
    scheme: {enum: [FP8_DYNAMIC, NVFP4A16], description: what the weights become}
    way: {enum: [oneshot, model-free], default: oneshot}
    ignore: {type: array, items: {type: string}, default: []}
    calibration:
      type: object
      additionalProperties: false
      properties:
        samples: {type: integer, minimum: 1, maximum: 512, default: 16}
        texts:
          oneOf:
            - {type: string, minLength: 1}
            - {type: array, minItems: 1, items: {type: string}}
memory:
  - {when: {way: model-free}, shard: 1.7, base: 0.5 GiB, source: measured}
  - {input: 1.4, base: 0.5 GiB, source: measured}
"""


class JobShop:
    """A catalog of two roots."""

    def __init__(self, folder: Path) -> None:
        self.yours, self.shipped = folder / "yours", folder / "shipped"
        self.catalog = Catalog([Root(self.yours, "yours"), Root(self.shipped, "shipped")])
        self.write("recipes/jobs/_base.yaml", BASE)
        self.write("recipes/jobs/small.yaml", CHILD)
        self.write("jobs/quantize.py", "print('{}')\n")
        self.write("jobs/quantize.yaml", DECLARED)
        self.write("jobs/tool.txt", "# made by pip freeze\ntool==1.0\nbeside==2.0.1  # of tool\n")

    def write(self, path: str, text: str, *, yours: bool = False) -> Path:
        file = (self.yours if yours else self.shipped) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def job(self, *overrides: str, name: str = "small") -> LoadedJob:
        return load_job(self.catalog, name, overrides)

    def told(self, *overrides: str, name: str = "small") -> str:
        """Return what is wrong, with the folders left out."""
        with pytest.raises(InputError) as error:
            self.job(*overrides, name=name)
        text = error.value.message + (f" ({error.value.hint})" if error.value.hint else "")
        for root in (self.shipped, self.yours):
            text = text.replace(f"{root}/recipes/jobs/", "").replace(f"{root}/", f"{root.name}/")
        return text


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
