"""Where the tests find their files, wherever a test lies."""

from __future__ import annotations

from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).resolve().parent.parent
REPOSITORY: Final = TESTS.parent
FIXTURES: Final = TESTS / "fixtures"
GOLDEN: Final = TESTS / "golden"
EXCHANGE: Final = FIXTURES / "exchange"
"""Files of other tools, written for these tests."""
