"""Each numbered statement of a page of the docs has a test whose name ends in its number; no other number is named."""

from __future__ import annotations

import re

import pytest

from tests.support.paths import REPOSITORY


@pytest.mark.parametrize(("page", "letter", "count"), [("gateway", "S", 27), ("hosts", "H", 17)])
def test_every_statement_of_a_page_has_its_test(page: str, letter: str, count: int) -> None:
    text = (REPOSITORY / f"docs/{page}.md").read_text()
    said = [int(number) for number in re.findall(rf"^\| {letter}(\d+) \|", text, re.MULTILINE)]
    assert said == list(range(1, count + 1))
    name = re.compile(rf"^(?:async )?def test_\w*?((?:_{letter.lower()}\d+)+)\(", re.MULTILINE)
    tried: set[int] = set()
    for path in (REPOSITORY / "tests").rglob("test_*.py"):
        for ends in name.findall(path.read_text()):
            tried |= {int(number) for number in re.findall(rf"_{letter.lower()}(\d+)", ends)}
    assert tried == set(said)
