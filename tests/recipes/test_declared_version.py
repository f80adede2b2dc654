"""The vLLM that a recipe declares is held against the one that its image has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.fake_engine import FakeEngine
from tests.support.fake_world import IMAGE, FakeSpark

if TYPE_CHECKING:
    from pathlib import Path

FILE = "/usr/local/lib/python3.12/dist-packages/vllm/_version.py"


def spark(folder: Path, has: str | None, more: str = "") -> FakeSpark:
    """Return a Spark whose image has a vLLM, and a recipe "mine" of that image."""
    (folder / "recipes").mkdir()
    (folder / "recipes/mine.yaml").write_text(f"extends: e4b-nvfp4\n{more}")
    files = {} if has is None else {FILE: f"__version__ = version = '{has}'\n".encode()}
    found = FakeSpark(folder, engine=FakeEngine(images={IMAGE: files}))
    found.http.serving["127.0.0.1:8003"] = "gemma-4-e4b"
    return found


@pytest.mark.parametrize("words", [["plan", "mine"], ["up", "mine"], ["verify-mods", "mine"]])
def test_another_release_in_the_image_is_an_error_that_names_both(tmp_path: Path, words: list[str]) -> None:
    found = spark(tmp_path, "0.25.0")
    done = found.run(*words).expect(2)
    assert f"vllm: the recipe says 0.19, and the image has 0.25.0 ({IMAGE})" in done.err
    assert 'write vllm: "0.25.0", or vllm: auto' in done.err
    assert found.engine.there == {}


def test_a_development_build_is_a_warning(tmp_path: Path) -> None:
    done = spark(tmp_path, "0.18.2rc1.dev73+gdb7a17ecc").run("plan", "mine").expect(0)
    assert "the image has 0.18.2rc1.dev73+gdb7a17ecc (vllm/vllm-openai:gemma4-cu130), a development build" in done.err


def test_an_image_that_comes_with_another_release_is_refused_before_its_container_is_made(tmp_path: Path) -> None:
    found = spark(tmp_path, None)
    found.engine.images.clear()
    found.engine.comes = {FILE: b"__version__ = version = '0.25.0'\n"}
    assert "the image has 0.25.0" in found.run("up", "mine").expect(2).err
    assert found.engine.there == {}


def test_auto_takes_the_images_also_where_it_has_to_be_fetched_first(tmp_path: Path) -> None:
    found = spark(tmp_path, None, "vllm: auto\nbackend: {linear: marlin}\n")
    found.engine.images.clear()
    found.engine.comes = {FILE: b"__version__ = version = '0.19.1'\n"}
    assert "it counts as" in found.run("recipes", "show", "mine").err
    found.run("up", "mine").expect(0)
    (container,) = found.engine.there.values()
    assert "--linear-backend" not in container.command
    assert dict(container.env)["VLLM_NVFP4_GEMM_BACKEND"] == "marlin"


def test_auto_of_a_build_that_says_no_release_is_refused(tmp_path: Path) -> None:
    done = spark(tmp_path, "0.1.dev16581+gdda4668b5", "vllm: auto\n").run("plan", "mine").expect(2)
    assert "the image says 0.1.dev16581+gdda4668b5, a development build that does not say of which release" in done.err


def test_a_fork_has_the_rules_of_its_base_and_flags_of_its_own(tmp_path: Path) -> None:
    found = spark(tmp_path, "0.27.0+b12x", 'vllm: "0.27+b12x"\nargs: {b12x-mode: fast}\n')
    done = found.run("plan", "mine", "--strict").expect(0)
    assert "has no --b12x-mode; the fork b12x may have it" in done.err


@pytest.mark.parametrize("words", [["plan", "mine"], ["recipes", "lint", "mine"]])
def test_a_release_before_the_oldest_known_one_is_said_to_count_as_that(tmp_path: Path, words: list[str]) -> None:
    done = spark(tmp_path, None, 'vllm: "0.10.2"\n').run(*words).expect(0)
    assert "vLLM 0.10.2 is older than 0.17.1, the oldest release whose flags are known; it counts as 0.17.1" in done.err


def test_a_tag_that_names_another_release_is_doubted(tmp_path: Path) -> None:
    found = spark(tmp_path, None)
    (tmp_path / "recipes/mine.yaml").write_text("extends: e4b-nvfp4\nimage: vllm/vllm-openai:v0.25.0\n")
    done = found.run("recipes", "lint", "mine").expect(0)
    assert "vllm: the recipe says 0.19, and the image's tag 0.25.0 (vllm/vllm-openai:v0.25.0)" in done.err


def test_status_names_another_release_in_the_image_of_a_service_that_runs(tmp_path: Path) -> None:
    found = spark(tmp_path, "0.19.1")
    found.run("up", "mine").expect(0)
    (tmp_path / "recipes/mine.yaml").write_text('extends: e4b-nvfp4\nvllm: "0.25"\n')
    done = found.run("status", "mine")
    assert f"vllm: the recipe says 0.25, and the image has 0.19.1 ({IMAGE})" in done.out + done.err
