"""The data files of the package."""

from __future__ import annotations

from pathlib import Path

import pytest

from sparkctl.vllm.data import data_files

NAMES = sorted(one.name for one in (Path(data_files.__file__).parent).iterdir())
READ = [name for name in NAMES if name.endswith((".json", ".yaml"))]


@pytest.mark.parametrize("name", READ)
def test_each_has_values_and_is_read_once(name: str) -> None:
    assert data_files.values(name)
    assert data_files.values(name) is data_files.values(name)


def test_a_text_is_as_it_is_in_the_file() -> None:
    assert data_files.text("known-pains.yaml").startswith("#")
