"""The table of whole starts in docs/memory.md: what they held, and what is said of them before, middle and most."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml
from packaging.version import Version

from sparkctl.base.units import GIB, parse_bytes
from sparkctl.memory.changes import Changes, changed, defaults
from sparkctl.memory.facts import ModelFacts
from sparkctl.memory.footprint import Footprint, Once, footprint
from sparkctl.memory.items import When, Where, bound
from sparkctl.memory.pool import HostProfile
from sparkctl.vllm import flags

ROOT: Final = Path(__file__).resolve().parent.parent
GOLDEN: Final = ROOT / "tests" / "golden" / "size"
CONFIGS: Final = ROOT / "tests" / "fixtures" / "configs"
_TOTAL: Final = {"gb10": 121.69, "h200": 139.8}


class Compared(NamedTuple):
    """One figure of a start, in GiB: as it was logged, the middle and the most that are said, the error of the whole.

    ``whole`` is (said - logged) / logged of everything that the start held.
    """

    name: str
    figure: str
    logged: float
    middle: float
    most: float
    whole: float
    source: str


def cases() -> list[dict[str, Any]]:
    """Return the starts that are known whole: of footprints.yaml all, of gb10.yaml those that a fraction sized."""
    others = [one for one in _logged() if "fraction" in one and "footprint" not in one.get("outside", {})]
    return [*yaml.safe_load((GOLDEN / "footprints.yaml").read_text()), *others]


def _logged() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((GOLDEN / "gb10.yaml").read_text())
    return found


def outside() -> list[str]:
    """Return a line for each figure of a start that is not held, with the reason."""
    words = {"footprint": "the whole", "tokens": "the cache's tokens", "loaded": "what was loaded"}
    return [
        f"* {one['name']}: {words[figure]}: {why} ({one['source']})"
        for one in _logged()
        for figure, why in one.get("outside", {}).items()
    ]


def _facts(name: str) -> ModelFacts:
    return ModelFacts(config=json.loads((CONFIGS / name / "config.json").read_text()))


def said(case: dict[str, Any]) -> Footprint:
    """Return what is said of a start before it."""
    options = {name.replace("-", "_"): value for name, value in case["options"].items()}
    version = flags.known(options.pop("vllm")).memory
    draft = options.pop("draft", None)
    given = options.pop("available", None)
    if options.pop("no_enable_prefix_caching", False):
        options["enable_prefix_caching"] = False
    facts = _facts(case["model"])
    once = Once(facts)
    changes = Changes(
        **options,
        draft=draft,
        available=parse_bytes(given) if given and "fraction" not in case else None,
        gpu_memory_utilization=case.get("fraction"),
    )
    context = changes.max_model_len or once.shape.max_context or 0
    settings = changed(defaults(Version(str(version)), context, facts), changes)
    if case.get("pools"):
        settings = settings.pooling()
    card = case.get("card", "gb10")
    total = round(case.get("total", _TOTAL[card]) * GIB)
    profile = HostProfile(total=total, reserve=GIB, gpu=card)
    draft_facts = _facts(draft) if draft else None
    weights = once.weights(settings)
    taken = footprint(settings, once.shape, weights, draft_facts, profile)
    if "loaded" not in case:
        return taken
    # What was logged as loaded is not what is asked here: everything else is.
    own = round(case["loaded"]["is"] * GIB) - taken.loaded.by_component.get("draft", 0) * ("draft" in case["options"])
    return footprint(settings, once.shape, replace(weights, bytes=own, by_component={}), draft_facts, profile)


def compared(case: dict[str, Any]) -> list[Compared]:
    """Return a start's figures beside what is said of them."""
    taken, name, source = said(case), case["name"], case["source"]
    if "fraction" in case:
        whole = case["total"] * case["fraction"]
        middle = whole - (taken.loaded.bytes + taken.kv_bytes) / GIB
        most = middle + (taken.kv_bytes - taken.kv_least_bytes) / GIB
        logged = whole - taken.loaded.bytes / GIB - case["cache"]
        figure = "beside weights and cache"
        return [Compared(name, figure, logged, middle, most, (middle - logged) / whole, source)]
    ready = [item for item in taken.items if item.when is When.STEADY]
    found = []
    for figure, where in (("gpu", Where.GPU), ("host", Where.HOST)):
        if figure in case:
            side = [item for item in ready if item.where is where]
            found.append((figure, case[figure], sum(item.bytes for item in side) / GIB, bound(side) / GIB))
    logged, middle = sum(one[1] for one in found), sum(one[2] for one in found)
    words = {"gpu": "held on the GPU when ready", "host": "held on the host when ready"}
    return [Compared(name, words[one[0]], one[1], one[2], one[3], (middle - logged) / logged, source) for one in found]


def rows() -> list[str]:
    """Return the table's lines."""
    head = ("start", "figure, GiB", "logged", "middle", "most", "the whole", "source")
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    for case in cases():
        for one in compared(case):
            numbers = (f"{one.logged:.2f}", f"{one.middle:.2f}", f"{one.most:.2f}", f"{one.whole:+.1%}")
            lines.append(" | ".join((one.name, one.figure, *numbers, one.source)))
    return [f"| {line} |" for line in lines]
