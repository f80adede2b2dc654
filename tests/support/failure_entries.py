"""What every entry of a catalogue of failures has to keep to: that of vLLM's texts, and that of jobs'."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sparkctl.vllm.failures import compiled, diagnose

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.vllm.failures import Failure


def assert_knows_its_text_alone(failure: Failure, catalogue: Sequence[Failure]) -> None:
    """Hold an entry to its own text, of which it leaves no place unfilled, and to its neighbour's, which it passes."""
    found = diagnose(failure.example.split("\n"), catalogue)
    assert found is not None
    assert found.failure == failure.id
    assert not [name for name in compiled(failure.pattern).groupindex if f"{{{name}}}" in f"{found.cause} {found.fix}"]
    assert found.fix
    assert failure.source
    other = diagnose(failure.neighbour.split("\n"), catalogue)
    assert other is None or other.failure != failure.id


def assert_takes_no_line_long(failure: Failure) -> None:
    """Hold an entry to a second of CPU for lines that were written to hold up a regular expression."""
    beginning = failure.example[:40]
    hostile = "\n".join([*("x" * 8000, " " * 8000, "a.b" * 2600, "'" * 8000, beginning * (8000 // len(beginning)))] * 3)
    before = time.process_time()
    for pattern in filter(None, (failure.pattern, failure.within)):
        list(compiled(pattern).finditer(hostile))
    assert time.process_time() - before < 1
