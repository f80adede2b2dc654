"""What a container is to be: its environment, from env-files and variables given by name."""

from __future__ import annotations

import pytest

from sparkctl.base.errors import InputError
from sparkctl.world.spec import ContainerSpec, variables


def read(path: str) -> bytes:
    raise AssertionError(path)


def test_a_variable_without_a_value_takes_the_operators_or_goes_bare() -> None:
    spec = ContainerSpec("image", env=(("OPERATORS", None), ("NOBODYS", None), ("EMPTY", "")))

    assert list(variables(spec, {"OPERATORS": "theirs"}, read)) == ["OPERATORS=theirs", "NOBODYS", "EMPTY="]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"A=1\nsecret value=hunter2\n", ":2:1: expected NAME=value, found a name with a space"),
        (b"=hunter2\n", ":1:1: expected NAME=value, found no name"),
        (b"A=hunter2\xff\n", ": byte 9 is not UTF-8"),
    ],
)
def test_an_env_file_that_cannot_be_read_is_named_and_its_values_are_not(content: bytes, problem: str) -> None:
    with pytest.raises(InputError) as refused:
        list(variables(ContainerSpec("image", env_files=("/some.env",)), {}, lambda _: content))
    assert refused.value.message.endswith(f"/some.env{problem}")
    assert "hunter2" not in str(refused.value)
    assert refused.value.__context__ is None or refused.value.__suppress_context__
