"""What was kept may be damaged, or somebody else's: it is read within bounds."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from sparkctl.base.errors import InputError
from sparkctl.operations.records import decoded

ANY: TypeAdapter[Any] = TypeAdapter(Any)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"at": 1e300}', "at: expected a number from 0 to 253402300799"),
        ('{"at": -1}', "at: expected a number from 0"),
        ('{"tokens": [1e300]}', "tokens: expected a number from"),
        ('{"tokens": Infinity}', "its text: no JSON"),
        ("[" * 990 + "]" * 990, "its text: nested deeper than 64"),
        ("9" * 400, "its text: a number of 400 characters"),
    ],
)
def test_numbers_and_nesting_that_nobody_wrote_are_an_input_error(text: str, why: str) -> None:
    with pytest.raises(InputError) as caught:
        decoded(ANY, text)
    assert caught.value.message.startswith(why)


def test_what_was_written_is_read_as_it_is() -> None:
    assert decoded(ANY, b'{"at": 1796000000.5, "bytes": 4611686018427387904}') == {"at": 1796000000.5, "bytes": 2**62}
