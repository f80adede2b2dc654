"""The JSON Schemas of the file formats, for editors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sparkctl.base.declarations import FOLLOWS
from sparkctl.memory.facts import ModelFacts
from sparkctl.memory.pool import HostProfile
from sparkctl.mods.manifest import Mod
from sparkctl.operations.checks.check import Check
from sparkctl.operations.evaluation.suite import Suite
from sparkctl.planning.box.lock_file import StackLock
from sparkctl.planning.known_starts import KnownStarts
from sparkctl.recipes.hosts.declared import HostsFile
from sparkctl.recipes.job.job import Job
from sparkctl.recipes.job.script import JobScript
from sparkctl.recipes.recipe import Recipe
from sparkctl.recipes.stack import Stack

if TYPE_CHECKING:
    from sparkctl.base.declarations import Declaration

FORMATS: Final[dict[str, type[Declaration]]] = {
    "recipe": Recipe,
    "stack": Stack,
    "mod": Mod,
    "check": Check,
    "facts": ModelFacts,
    "host": HostProfile,
    "measured": KnownStarts,
    "job": Job,
    "job-script": JobScript,
    "suite": Suite,
    "lock": StackLock,
    "hosts": HostsFile,
}
_EXTENDING: Final = ("recipe", "job")
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a format.

    A recipe or a job that extends another writes only what differs, so its schema requires nothing inside of the parts.
    """
    described = FORMATS[name].model_json_schema(by_alias=True)
    if name in _EXTENDING:
        fields = described["properties"]
        required = [name for name in described.pop("required") if FOLLOWS not in fields[name]]
        described["anyOf"] = [{"required": ["extends"]}, {"required": required}]
        for part in described["$defs"].values():
            part.pop("required", None)
    return {"$schema": DIALECT, **described}
