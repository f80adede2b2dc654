"""Write the table of docs/failures.md from the catalogue of failures.

python scripts/failure_table.py           write it
python scripts/failure_table.py --check   say whether it is up to date (exit code 1: it is not)
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

from sparkctl.vllm.failures import catalogue

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "failures.md"
TABLE: Final = re.compile(r"(<!-- table: failures -->\n).*?(<!-- end -->)", re.DOTALL)
LONGEST: Final = 120


def table() -> str:
    """Return a row for each failure: what is printed, what it means, what to do, who says so."""
    rows = ["| what is printed | cause | fix | source |", "| --- | --- | --- | --- |"]
    for failure in catalogue():
        # A traceback's first line says nothing: the frame that is looked for and the exception do.
        printed = [line.strip() for line in failure.example.split("\n") if not line.startswith("Traceback")]
        text = " ⏎ ".join(printed)
        text = text if len(text) <= LONGEST else text[:LONGEST] + "…"
        cells = (f"`{text.replace('`', chr(39)).strip()}`", failure.cause, failure.fix, failure.source)
        rows.append(f"| {' | '.join(cell.replace('|', '/').replace('{{', '{').replace('}}', '}') for cell in cells)} |")
    return "\n".join(rows) + "\n"


def main() -> None:
    """Write the page, or compare it."""
    page = PAGE.read_text(encoding="utf-8")
    written = TABLE.sub(lambda match: match.group(1) + table() + match.group(2), page)
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(written, encoding="utf-8")
    elif written != page:
        sys.exit("docs/failures.md is out of date: run scripts/failure_table.py")


if __name__ == "__main__":
    main()
