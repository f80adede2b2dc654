"""``make test-gpu``: say what the machine lacks, or run the tests on its GPU."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.gpu import needs
from tests.support.paths import REPOSITORY


def main(arguments: list[str]) -> int:
    """Run the tests with pytest's own arguments; return 2 when something is missing."""
    found = needs.look(os.environ)
    said = needs.missing(found)
    for sentence in said:
        print(f"make test-gpu: {sentence}", file=sys.stderr)  # noqa: T201
    if said:
        print(f"make test-gpu: {Path(__file__).parent / 'README.md'} says what it needs", file=sys.stderr)  # noqa: T201
        return 2
    folder = str(REPOSITORY / "tests" / "gpu")
    return pytest.main(
        ["-m", "gpu", "-p", "no:cacheprovider", "--timeout", "1800", "-ra", "-v", *(arguments or [folder])]
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
