"""Write the tables of formats in docs (recipes, stacks, checks, evaluate, jobs) from their declarations.

python scripts/format_tables.py           write them
python scripts/format_tables.py --check   say whether they are up to date (exit code 1: they are not)
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sparkctl.base.declarations import FOLLOWS
from sparkctl.memory.facts import ModelFacts
from sparkctl.memory.pool import HostProfile
from sparkctl.operations.checks.check import Check
from sparkctl.operations.evaluation.suite import Suite
from sparkctl.planning.known_starts import KnownStarts
from sparkctl.recipes.job.job import Job
from sparkctl.recipes.job.script import JobScript
from sparkctl.recipes.recipe import Recipe
from sparkctl.recipes.stack import Stack

if TYPE_CHECKING:
    from sparkctl.base.declarations import Declaration

DOCS: Final = Path(__file__).resolve().parent.parent / "docs"
PAGES: Final[dict[str, tuple[type[Declaration], ...]]] = {
    "recipes.md": (Recipe, ModelFacts, HostProfile, KnownStarts),
    "stacks.md": (Stack,),
    "checks.md": (Check,),
    "evaluate.md": (Suite,),
    "jobs.md": (Job, JobScript),
}
TABLE: Final = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
WORDS: Final = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "object": "map",
    "array": "list",
    "null": "nothing",
}
TOLD: Final = {
    "LoadedSize": "map, as below",
    "Checkpoint": "map, as below",
    "Parameters": "map of count and source",
    "Multimodal": "map of inputs, max-item-tokens and source",
    "OnCardRule": "map of base, input and shard",
    "ProfileSources": "map of text",
    "ProfileGpu": "map of gpu, total, reserve and bandwidth",
    "Tensor": "name, dtype, shape and bytes",
    "Expected": "map of reference and quantized (scores from 0 to 1)",
    "KeptScore": "map of suite and reference",
}
"""Parts that have no heading of their own: what their key holds, in words."""
KEYS: Final = {
    "ContainerOptions": "container",
    "ExpectedFigures": "expect",
    "GuardLines": "guard",
    "HostSettings": "host",
    "JobImage": "image",
    "JobInput": "input",
    "JobMemory": "memory",
    "JudgedMetric": "metric",
    "LighterWay": "lighter",
    "MemoryRule": "memory-of-a-script",
    "RestartBounds": "restart",
    "StackGateway": "gateway",
    "StackRoute": "routes",
    "StackService": "services",
    "SuiteTask": "task",
}
"""The heading of a declaration that is not called as its key is."""
SCALAR: Final = {"text", "whole number", "number", "true or false"}


def kind(schema: dict[str, Any]) -> str:
    """Return what a value may be, in words."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        key = KEYS.get(name, name.lower())
        return TOLD.get(name, f"[{key}](#{key})")
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "anyOf" in schema:
        kinds = list(dict.fromkeys(kind(part) for part in schema["anyOf"] if part.get("type") != "null"))
        if set(kinds) >= SCALAR:
            kinds = ["scalar", *(word for word in kinds if word not in SCALAR)]
        return " or ".join(kinds)
    inner = schema.get("items") or schema.get("additionalProperties")
    words = WORDS.get(schema.get("type", ""), "anything")
    return f"{words} of {kind(inner)}" if isinstance(inner, dict) and inner else words


def table(schema: dict[str, Any]) -> str:
    """Return the table of one part: key, what it may be, its default, what it means."""
    rows = ["| key | value | default | meaning |", "| --- | --- | --- | --- |"]
    for key, field in schema["properties"].items():
        required = key in schema.get("required", ())
        follows = field.get(FOLLOWS)
        default = follows if follows is not None else "required" if required else _default(field.get("default"))
        rows.append(f"| `{key}` | {kind(field)} | {default} | {field.get('description', '')} |")
    return "\n".join(rows) + "\n"


def _default(value: object) -> str:
    return "" if value in (None, [], {}, "") else f"`{json.dumps(value)}`"


def main() -> None:
    """Write the pages, or compare them."""
    for name, models in PAGES.items():
        parts: dict[str, Any] = {}
        for model in models:
            schema = model.model_json_schema(by_alias=True)
            parts |= {model.__name__: schema, **schema["$defs"]}
        page = (DOCS / name).read_text(encoding="utf-8")
        written = filled(page, parts)
        if "--check" not in sys.argv[1:]:
            (DOCS / name).write_text(written, encoding="utf-8")
        elif written != page:
            sys.exit(f"docs/{name} is out of date: run scripts/format_tables.py")


def filled(page: str, parts: dict[str, Any]) -> str:
    """Return a page with the tables of the parts that it names."""
    return TABLE.sub(lambda match: match.group(1) + table(parts[match.group(2)]) + match.group(3), page)


if __name__ == "__main__":
    main()
