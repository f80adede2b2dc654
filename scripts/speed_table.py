"""Write the table of docs/speed.md: the speed that `sparkctl size` expects beside what others measured.

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
from sparkctl.memory import cards, speed
from sparkctl.memory.changes import defaults
from sparkctl.memory.facts import ModelFacts
from sparkctl.memory.footprint import Once
from sparkctl.memory.weights.checkpoint import facts_of_folder
from sparkctl.vllm import flags

ROOT: Final = Path(__file__).resolve().parent.parent
CASES: Final = ROOT / "tests" / "golden" / "speeds.yaml"
PAGE: Final = ROOT / "docs" / "speed.md"
TABLE: Final = re.compile(r"(<!-- table: speeds -->\n).*?(<!-- end -->)", re.DOTALL)
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


def read(case: dict[str, Any], tokens: int) -> tuple[float, speed.ReachedShare]:
    """Return the bytes that a case's model reads for a token behind so many, and the share that is expected of it."""
    if "parameters" in case:
        size = case["parameters"] * case["bits"] / 8
        return size, speed.reached(size, None)
    facts = facts_of(case)
    once, given = Once(facts), defaults(flags.known(_VLLM).memory, _CONTEXT, facts)
    load = given.load._replace(quantization=case.get("quantize"))
    given = given._replace(repo=case.get("repo"), load=load)
    bandwidth = cards.GB10.bytes_per_second or 0
    found = speed.speed(
        once.weights(given), once.shape, facts.config, case.get("cache", "auto"), tokens, float(bandwidth)
    )
    if found is None:
        raise SystemExit(f"{case['name']}: nothing is known of what it reads")
    return found.bytes_per_token, found.reached


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


def main(arguments: list[str]) -> int:
    """Write the table, or check it."""
    text = PAGE.read_text()
    made = TABLE.sub(lambda match: match[1] + "\n".join(rows(compared())) + "\n" + match[2], text)
    if "--check" in arguments:
        if made != text:
            sys.stderr.write(f"{PAGE.name} is not up to date: python scripts/speed_table.py\n")
        return int(made != text)
    PAGE.write_text(made)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
