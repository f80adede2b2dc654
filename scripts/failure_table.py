"""Write the tables of docs/failures.md from the catalogues of failures, of starts and of jobs.

python scripts/failure_table.py           write it
python scripts/failure_table.py --check   say whether it is up to date (exit code 1: it is not)
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sparkctl.recipes.job import failures as job_failures
from sparkctl.vllm import failures

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.vllm.failures import Failure

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "failures.md"
TABLES: Final[dict[str, Callable[[], tuple[Failure, ...]]]] = {
    "failures": failures.catalogue,
    "job failures": job_failures.catalogue,
}
LONGEST: Final = 120


def table(entries: tuple[Failure, ...]) -> str:
    """Return a row for each failure: what is printed, what it means, what to do, who says so."""
    rows = ["| what is printed | cause | fix | source |", "| --- | --- | --- | --- |"]
    for failure in entries:
        # A traceback's first line says nothing: the frame that is looked for and the exception do.
        printed = [line.strip() for line in failure.example.split("\n") if not line.startswith("Traceback")]
        text = " ⏎ ".join(printed)
        text = text if len(text) <= LONGEST else text[:LONGEST] + "…"
        cells = (f"`{text.replace('`', chr(39)).strip()}`", failure.cause, failure.fix, failure.source)
        rows.append(f"| {' | '.join(cell.replace('|', '/').replace('{{', '{').replace('}}', '}') for cell in cells)} |")
    return "\n".join(rows) + "\n"


def main() -> None:
    """Write the page, or compare it."""
    page = written = PAGE.read_text(encoding="utf-8")
    for name, catalogue in TABLES.items():
        before, _, rest = written.partition(f"<!-- table: {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        written = f"{before}<!-- table: {name} -->\n{table(catalogue())}{end}{after}"
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(written, encoding="utf-8")
    elif written != page:
        sys.exit("docs/failures.md is out of date: run scripts/failure_table.py")


if __name__ == "__main__":
    main()
