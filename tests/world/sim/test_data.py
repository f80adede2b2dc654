"""The simulated Spark's data: what recorded starts took, which images there are."""

from __future__ import annotations

import pytest

from sparkctl.base.units import GIB
from sparkctl.world.sim import data
from tests.support.paths import REPOSITORY

COMMAND = ("--model", "/models/x")


@pytest.mark.parametrize(
    ("names", "flags", "loaded"),
    [
        (["e4b-nvfp4"], (), 9.8),
        (["Gemma-4-E4B-it-NVFP4A16"], ("--quantization", "compressed-tensors"), 9.8),
        (["gemma4-e4b-bf16"], (), 15.0),
        (["gemma4-e4b-bf16"], ("--quantization", "fp8"), 11.4),
        (["gemma-4-26b-a4b-it-nvfp4"], ("--quantization", "modelopt"), 15.7),
        (["gemma-4-26B-A4B-it"], (), 48),
    ],
)
def test_a_start_takes_what_one_of_its_model_and_quantization_took(
    names: list[str], flags: tuple[str, ...], loaded: float
) -> None:
    assert data.takes((*COMMAND, *flags), names).weights == round(loaded * GIB)


def test_a_model_without_a_recorded_start_says_so() -> None:
    assert data.takes(COMMAND, ["somebody-elses"]).source == "no start of it is recorded"


@pytest.mark.parametrize(
    ("name", "facts"),
    [("e2b-nvfp4", "gemma-4-e2b"), ("e4b-bf16", "gemma-4-e4b"), ("26b-a4b-nvfp4", "gemma-4-26b-a4b")],
)
def test_a_model_is_made_for_the_tokens_that_its_facts_say(name: str, facts: str) -> None:
    said = (REPOSITORY / "recipes" / "models" / f"{facts}.yaml").read_text()

    assert f"max_position_embeddings: {data.takes(COMMAND, [name]).context}" in said
    assert data.takes(COMMAND, ["somebody-elses"]).context is None


def test_every_recorded_start_names_its_source() -> None:
    recorded = data.load("recorded.yaml")

    assert recorded["models"]
    assert all(len(row["source"]) > 20 for row in recorded["models"])


def test_an_image_has_stand_ins_for_the_files_that_mods_replace() -> None:
    root = "/usr/local/lib/python3.12/dist-packages/vllm/model_executor/models"
    right = data.image_file(f"{root}/gemma4_mtp.py", wrong=False)

    assert right is not None
    assert data.image_file(f"{root}/gemma4_mtp.py", wrong=True) != right
    assert data.image_file("vllm/model_executor/models/gemma4.py", wrong=False) is None
    assert data.image("a:1").id != data.image("a:2").id
    assert data.image("localhost:5000/a:1").digests[0].startswith("localhost:5000/a@sha256:")
