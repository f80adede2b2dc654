"""Write the tables of docs/memory.md: what `sparkctl size` says beside what real vLLMs logged.

python scripts/error_table.py           write it
python scripts/error_table.py --check   say whether it is up to date (exit code 1: it is not)
"""

from __future__ import annotations

import json
import re
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, Final

import footprint_table
import yaml

from sparkctl.cli import run

ROOT: Final = Path(__file__).resolve().parent.parent
GOLDEN: Final = ROOT / "tests" / "golden" / "size"
CONFIGS: Final = ROOT / "tests" / "fixtures" / "configs"
PAGE: Final = ROOT / "docs" / "memory.md"
TABLE: Final = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
GIB: Final = 2**30


def arguments(case: dict[str, Any]) -> list[str]:
    """Return the words of `sparkctl size` for a case."""
    folder = CONFIGS / case["model"]
    words = ["size", str(folder) if folder.is_dir() else case["model"], "--json"]
    for name, value in case["options"].items():
        given = str(CONFIGS / value) if name == "draft" else str(value)
        words += [f"--{name}"] if value is True else [f"--{name}", given]
    return words


def figures(size: dict[str, Any]) -> dict[str, float]:
    """Return the figures that a case may name, in the units of vLLM's log: sizes in GiB."""
    cache = size["kv_cache"]
    return {
        "loaded": size["weights"]["bytes"] / GIB,
        "tokens": cache["tokens"],
        "num_blocks": cache["num_blocks"],
        "max_concurrency": cache["max_concurrency"],
        "bytes_per_request": cache["bytes_per_request"] / GIB,
    }


def rows() -> list[str]:
    """Return the table's lines."""
    names = {"loaded": "loaded, GiB", "tokens": "cache, tokens", "bytes_per_request": "cache of one sequence, GiB"}
    found = ["| start | figure | logged | computed | error | source |", "| --- | --- | --- | --- | --- | --- |"]
    for case in [one for name in ("measured", "gb10") for one in yaml.safe_load((GOLDEN / f"{name}.yaml").read_text())]:
        with redirect_stdout(StringIO()) as printed:
            code = run(arguments(case), None)
        if code != 0:
            raise SystemExit(f"sparkctl size fails for {case['name']}: exit code {code}")
        said = figures(json.loads(printed.getvalue()))
        for name, words in names.items():
            if name in case and name not in case.get("outside", {}):
                logged, computed = case[name]["is"], said[name]
                shown = f"{computed:,.2f}" if isinstance(logged, float) else f"{computed:,}"
                error = f"{(computed - logged) / logged:+.2%}" if round(computed, 2) != logged else "0"
                found.append(f"| {case['name']} | {words} | {logged:,} | {shown} | {error} | {case['source']} |")
    return found


def main(arguments: list[str]) -> int:
    """Write the table, or check it."""
    text = PAGE.read_text()
    written = {"errors": rows, "footprints": footprint_table.rows, "outside": footprint_table.outside}
    made = TABLE.sub(lambda match: match[1] + "\n".join(written[match[2]]()) + "\n" + match[3], text)
    if "--check" in arguments:
        if made != text:
            sys.stderr.write(f"{PAGE.name} is not up to date: python scripts/error_table.py\n")
        return int(made != text)
    PAGE.write_text(made)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
