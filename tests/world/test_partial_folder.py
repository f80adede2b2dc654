"""The names of what a job has not finished, and those that no product can have."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.world.partial_folder import is_partial, name_problem, partial_of

RUN = "0123456789ab"


@pytest.mark.parametrize(
    ("output", "why"),
    [
        ("/", "has no name"),
        ("/models/a.partial-0123", "has the name of a folder that a job has not finished"),
        (f"/models/{'ä' * 118}", "has a name of more than 234 bytes"),
        (f"/{'x' * 256}/a", "has a folder above it whose name has more than 255 bytes"),
    ],
)
def test_a_name_that_no_product_can_have(output: str, why: str) -> None:
    assert (name_problem(PurePosixPath(output)) or "").startswith(why)


@given(st.text(min_size=1, max_size=240).filter(lambda name: "/" not in name and name not in {".", ".."}))
def test_beside_a_name_that_can_be_one_there_is_room_for_the_unfinished_folder(name: str) -> None:
    output = PurePosixPath("/models") / name
    if name_problem(output) is None:
        partial = output.with_name(f"{output.name}.partial-{RUN}")
        assert len(partial.name.encode(errors="surrogateescape")) <= 255
        assert is_partial(partial)
        assert not is_partial(output)


def test_the_unfinished_folder_lies_beside_its_output() -> None:
    assert partial_of(Path("/models/m"), RUN) == Path("/models/m.partial-0123456789ab")
