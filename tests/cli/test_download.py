"""Downloading a recipe's model, from a hub on the loopback."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.command_line import Operator
from tests.support.fake_hub import hub

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REPO = "coolthor/Gemma-4-E4B-it-NVFP4A16"
FILES = {"config.json": b"{}", "model.safetensors": b"weights", "pytorch_model.bin": b"the same again"}


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    (tmp_path / "home").mkdir()
    (tmp_path / "own").mkdir()
    with hub({REPO: FILES}, gated=frozenset({"google/gemma-4-E4B-it"})) as address:
        offline = {"SPARKCTL_ENGINE": "docker", "HF_HUB_DISABLE_XET": "1"}
        yield Operator(tmp_path / "home", tmp_path / "own", {"HF_ENDPOINT": address, **offline})


def test_a_model_goes_into_the_recipes_folder_without_a_second_copy_of_its_weights(operator: Operator) -> None:
    done = operator.run("download", "e4b-nvfp4").expect(0)
    folder = operator.home / "models" / "gemma4-e4b-nvfp4"
    assert f"e4b-nvfp4: downloading {REPO}" in done.err
    assert done.err.splitlines()[-1] == "everything is here"
    assert {file.name for file in folder.iterdir() if file.is_file()} == {"config.json", "model.safetensors"}
    assert operator.run("download", "e4b-nvfp4").expect(0).err == "everything is here\n"


def test_what_the_hub_does_not_have_is_named(operator: Operator) -> None:
    done = operator.run("download", "e2b-nvfp4").expect(2)
    assert "error: the hub has no repository bg-digitalservices/Gemma-4-E2B-NVFP4A16, or not for you" in done.err


def test_no_network_is_a_clear_error(operator: Operator) -> None:
    operator.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"
    done = operator.run("download", "e4b-nvfp4").expect(2)
    assert f"error: cannot download {REPO}" in done.err
    assert "check the network and try again" in done.err
    assert "Traceback" not in done.err
