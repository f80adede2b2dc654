"""Downloading a recipe's model, from a hub on the loopback."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.command_line import Operator
from tests.support.fake_hub import hub
from tests.support.weights import EMPTY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REPO = "coolthor/Gemma-4-E4B-it-NVFP4A16"
FILES = {"config.json": b"{}", "model.safetensors": EMPTY, "pytorch_model.bin": b"the same again"}


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


def test_a_hub_that_is_gone_does_not_make_half_a_model_whole(operator: Operator) -> None:
    """The hub's library is content with what it has of a snapshot where no hub answers."""
    operator.write("recipes/by-repo.yaml", f"extends: e4b-nvfp4\nmodel: {{repo: {REPO}, path: null, mount: null}}\n")
    repo = operator.home / ".cache/huggingface/hub" / f"models--{REPO.replace('/', '--')}"
    for file, text in {"refs/main": "1" * 40, f"snapshots/{'1' * 40}/config.json": "{}"}.items():
        (repo / file).parent.mkdir(parents=True)
        (repo / file).write_text(text)
    operator.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"
    simulated = operator.run("--engine", "sim", "download", "by-repo").expect(2)
    assert f"error: by-repo: {REPO} in the cache {repo.parent} holds no safetensors" in simulated.err
    done = operator.run("download", "by-repo").expect(2)
    assert "everything is here" not in done.err
    assert f"error: by-repo: the download ended, and {REPO} in the cache {repo.parent} holds no safetensors" in done.err
    assert "Traceback" not in done.err


@pytest.mark.a_part(2)
@pytest.mark.parametrize(("name", "below"), [("HF_HOME", "hub"), ("HF_HUB_CACHE", "")])
def test_a_cache_that_the_environment_names_is_the_cache(operator: Operator, name: str, below: str) -> None:
    disk = operator.home / "disk"
    operator.environ[name] = str(disk)
    operator.write("recipes/by-repo.yaml", f"extends: e4b-nvfp4\nmodel: {{repo: {REPO}, path: null, mount: null}}\n")
    operator.run("download", "by-repo").expect(0)
    assert (disk / below / f"models--{REPO.replace('/', '--')}").is_dir()
    command = operator.run("render", "by-repo").expect(0).out
    target = "/root/.cache/huggingface" + ("" if below else "/hub")
    assert f"source={disk},target={target} " in command


def test_a_hub_that_is_a_link_is_mounted_itself(operator: Operator) -> None:
    (operator.home / "disk").mkdir()
    (operator.home / ".cache/huggingface").mkdir(parents=True)
    (operator.home / ".cache/huggingface/hub").symlink_to(operator.home / "disk")
    operator.write("recipes/by-repo.yaml", f"extends: e4b-nvfp4\nmodel: {{repo: {REPO}, path: null, mount: null}}\n")
    operator.run("download", "by-repo").expect(0)
    command = operator.run("render", "by-repo").expect(0).out
    assert f"source={operator.home}/disk,target=/root/.cache/huggingface/hub " in command
