"""Each statement of docs/gateway.md has a test whose name ends in its number; no other number is named."""

from __future__ import annotations

import re

from tests.support.paths import REPOSITORY

_TEST = re.compile(r"^(?:async )?def test_\w*?((?:_s\d+)+)\(", re.MULTILINE)


def test_every_statement_of_the_gateway_has_its_test() -> None:
    page = (REPOSITORY / "docs/gateway.md").read_text()
    said = [int(number) for number in re.findall(r"^\| S(\d+) \|", page, re.MULTILINE)]
    assert said == list(range(1, 28))
    tried: set[int] = set()
    for path in (REPOSITORY / "tests").rglob("test_*.py"):
        for ends in _TEST.findall(path.read_text()):
            tried |= {int(number) for number in re.findall(r"_s(\d+)", ends)}
    assert tried == set(said)
