"""Write the tables of docs/speed.md: the speeds that are expected beside what others measured.

python scripts/speed_table.py           write it
python scripts/speed_table.py --check   say whether it is up to date (exit code 1: it is not)
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from sparkctl.base import document
from sparkctl.base.validation import validate
from sparkctl.memory import cards
from sparkctl.memory.changes import defaults
from sparkctl.memory.facts import ModelFacts
from sparkctl.memory.footprint import Once
from sparkctl.memory.pace import pace, roofline_share
from sparkctl.memory.pool import HostProfile
from sparkctl.memory.weights.checkpoint import facts_of_folder
from sparkctl.recipes.catalog import Catalog, Root
from sparkctl.recipes.sizing.estimate import estimate
from sparkctl.recipes.sizing.pace import SHORT, pace_of
from sparkctl.recipes.sizing.smaller import Resizer
from sparkctl.vllm import flags

ROOT: Final = Path(__file__).resolve().parent.parent
CASES: Final = ROOT / "tests" / "golden" / "speeds.yaml"
DRAFTS: Final = ROOT / "tests" / "golden" / "drafts.yaml"
PAGE: Final = ROOT / "docs" / "speed.md"
TABLE: Final = re.compile(r"(<!-- table: ([a-z]+) -->\n).*?(<!-- end -->)", re.DOTALL)
PAIR: Final = {"e4b-nvfp4": 18.0, "26b-a4b-nvfp4": 31.0}
PAIR_SOURCE: Final = "ai-muninn, DGX Spark part 10: both busy"
CLOSE: Final = 0.15
_VLLM: Final = "0.26.0"
_CONTEXT: Final = 32768


class Compared(NamedTuple):
    """A measured speed beside the expected one, in tokens per second."""

    name: str
    kind: str
    tokens: int
    gigabytes: float
    most: float
    expected: float
    measured: float
    source: str

    @property
    def error(self) -> float:
        """By what share of the measured one the expected is more (+) or less (-)."""
        return self.expected / self.measured - 1


def facts_of(case: dict[str, Any]) -> ModelFacts:
    """Return what is known of a case's model."""
    sheet = ROOT / "recipes" / "models" / f"{case['model']}.yaml"
    if sheet.is_file():
        facts = validate(document.read(sheet), ModelFacts)
    else:
        facts = facts_of_folder(ROOT / "tests" / "fixtures" / "configs" / case["model"])
    if "quantization" not in case:
        return facts
    config = facts.config | {"quantization_config": case["quantization"]}
    return facts.model_copy(update={"config": config, "loaded": [], "checkpoints": []})


def read(case: dict[str, Any], tokens: int) -> tuple[float, roofline_share.ReachedShare]:
    """Return the bytes that a case's model reads for a token behind so many, and the share that is expected of it."""
    if "parameters" in case:
        size = case["parameters"] * case["bits"] / 8
        return size, roofline_share.reached(size, None)
    found = plain(case, tokens)
    return found.bytes_per_token, found.reached


def plain(case: dict[str, Any], tokens: int) -> roofline_share.Speed:
    """Return the speed that is expected of a case's model behind so many tokens."""
    facts = facts_of(case)
    once, given = Once(facts), defaults(flags.known(_VLLM).memory, _CONTEXT, facts)
    load = given.load._replace(quantization=case.get("quantize"))
    given = given._replace(repo=case.get("repo"), load=load)
    bandwidth = cards.GB10.bytes_per_second or 0
    found = roofline_share.speed(once.weights(given), once, case.get("cache", "auto"), tokens, float(bandwidth))
    if found is None:
        raise SystemExit(f"{case['name']}: nothing is known of what it reads")
    return found


def compared() -> list[Compared]:
    """Return each figure beside the expected one."""
    bandwidth = float(cards.GB10.bytes_per_second or 0)
    found = []
    for case in yaml.safe_load(CASES.read_text()):
        for tokens, measured in case["measured"].items():
            size, reached = read(case, tokens)
            most = bandwidth / size
            found.append(
                Compared(
                    case["name"],
                    reached.kind,
                    tokens,
                    size / 1e9,
                    most,
                    most * reached.share,
                    measured,
                    case["source"] + (f" ({case['note']})" if "note" in case else ""),
                )
            )
    return found


def rows(found: list[Compared]) -> list[str]:
    """Return the table's lines, and before them how many are close."""
    close = sum(abs(one.error) <= CLOSE for one in found)
    lines = [
        f"{close} of {len(found)} figures ({close / len(found):.0%}) are within {CLOSE:.0%}.",
        "",
        "| model | tokens before | GB a token | at most | expected | measured | error | source |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {one.name} | {one.tokens:,} | {one.gigabytes:.2f} | {one.most:.1f} | {one.expected:.1f} "
        f"| {one.measured:.1f} | {one.error:+.0%} | {one.source} |"
        for one in found
    ]
    kinds: dict[str, list[float]] = {}
    for one in found:
        kinds.setdefault(one.kind, []).append(one.measured / one.most)
    lines += [
        "",
        "| kind of weights | figures | share of the bandwidth: least | median | most |",
        "| --- | --- | --- | --- | --- |",
    ]
    for kind, shares in sorted(kinds.items()):
        shares.sort()
        lines.append(
            f"| {kind} | {len(shares)} | {shares[0]:.2f} | {shares[len(shares) // 2]:.2f} | {shares[-1]:.2f} |"
        )
    return lines


def with_drafts() -> list[Compared]:
    """Return each figure with drafts beside the expected one; ``tokens`` are those that a step drafts."""
    found = []
    for case in yaml.safe_load(DRAFTS.read_text()):
        without = plain(case, SHORT)
        for figure in case["measured"]:
            count = len(figure["accepted"])
            accepted = pace.Accepted(tuple(figure["accepted"]), case["source"])
            one = pace.Pace(without, pace.DraftReading(count, count, case["draft"]), accepted)
            gigabytes = one.bytes_of_step / 1e9
            name, kind = case["name"], without.reached.kind
            source = case["source"] + (f" ({case['note']})" if "note" in case else "")
            most, expected = one.span[1], one.expected or 0
            found.append(Compared(name, kind, count, gigabytes, most, expected, figure["speed"], source))
    return found


def draft_rows() -> list[str]:
    """Return the lines of the table of drafts."""
    return [
        "| model | drafted a step | GB a step | all accepted | expected | measured | error | source |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *(
            f"| {one.name} | {one.tokens} | {one.gigabytes:.2f} | {one.most:.1f} | {one.expected:.1f} "
            f"| {one.measured:.1f} | {one.error:+.0%} | {one.source} |"
            for one in with_drafts()
        ),
    ]


def recipe_pace(catalog: Catalog, name: str) -> tuple[pace.Pace | None, float | None, str]:
    """Return how fast a shipped recipe is expected to write, what its source measured, and the source."""
    loaded = catalog.recipe(name)
    recipe, profile = loaded.recipe, catalog.load("host", "gb10", HostProfile)
    sheet, drafter = recipe.model.facts, recipe.speculative.facts if recipe.speculative else None
    if sheet is None:
        raise SystemExit(f"{name} names no facts")
    facts = catalog.load("facts", sheet, ModelFacts)
    draft = catalog.load("facts", drafter, ModelFacts) if drafter else None
    resizer = Resizer(loaded, facts, draft, profile, Once(facts))
    taken = estimate(recipe, facts, draft, loaded.version.memory, profile, once=resizer.once)
    expect = recipe.expect
    return pace_of(resizer, taken), expect and expect.tokens_per_second, expect.source if expect else ""


def of_recipes() -> list[tuple[str, str, float | None, float, str]]:
    """Return each figure of a shipped recipe's source: what it is, the bytes, the expected speed, the measured one."""
    catalog = Catalog([Root(ROOT, "shipped")])
    found: list[tuple[str, str, float | None, float, str]] = []
    paces: dict[str, pace.Pace] = {}
    for entry in catalog.recipes():
        one, measured, source = recipe_pace(catalog, entry.name)
        if one is None or measured is None:
            continue
        paces[entry.name] = one
        found.append((entry.name, f"{one.bytes_of_step / 1e9:.2f}", one.expected, measured, source))
    for name, (speed_of, _) in pace.together({name: paces[name] for name in PAIR}).items():
        other = next(one for one in PAIR if one != name)
        found.append((f"{name}, {other} busy too", "", speed_of, PAIR[name], PAIR_SOURCE))
    return found


def recipe_rows() -> list[str]:
    """Return the lines of the table of the shipped recipes."""
    found = of_recipes()
    lines = [
        "| recipe | GB a step | expected | its source measured | error | source |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, gigabytes, expected, measured, source in found:
        said = "not known" if expected is None else f"{expected:.1f}"
        off = "" if expected is None else f"{pace.error(expected, measured):+.0%}"
        lines.append(f"| {name} | {gigabytes} | {said} | {measured:.1f} | {off} | {source} |")
    return lines


def made(text: str) -> str:
    """Return the page with its tables written anew."""
    tables = {"speeds": lambda: rows(compared()), "drafts": draft_rows, "recipes": recipe_rows}
    return TABLE.sub(lambda match: match[1] + "\n".join(tables[match[2]]()) + "\n" + match[3], text)


def main(arguments: list[str]) -> int:
    """Write the tables, or check them."""
    text = PAGE.read_text()
    new = made(text)
    if "--check" in arguments:
        if new != text:
            sys.stderr.write(f"{PAGE.name} is not up to date: python scripts/speed_table.py\n")
        return int(new != text)
    PAGE.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
