"""What a recipe's flags mean for memory."""

from __future__ import annotations

from typing import Any

import pytest
from packaging.version import Version

from sparkctl.memory.facts import ModelFacts
from sparkctl.recipes.recipe import Recipe
from sparkctl.recipes.sizing.memory_settings import open_inputs, settings_of

TOWERS = ModelFacts(config={"vision_config": {"depth": 2}, "audio_config": {"d_model": 8}})
ALL = {"image", "video", "audio"}


def recipe(*, args: dict[str, Any] | None = None, **limits: object) -> Recipe:
    return Recipe.model_validate(
        {
            "template": "vllm-openai",
            "image": "vllm/vllm-openai:v0.20.2",
            "vllm": "0.20.2",
            "model": {"repo": "me/towers"},
            "serve": {"name": "m", "port": 8000},
            "limits": {"context": 1024, **limits},
            "args": args or {},
        }
    )


@pytest.mark.parametrize(
    ("wanted", "left"),
    [
        (recipe(), ALL),
        (recipe(multimodal={"image": 2}), ALL),
        (recipe(multimodal={"image": 0, "video": 0}), {"audio"}),
        (recipe(multimodal={"image": {"count": 0}, "video": {"num_frames": 16}}), ALL - {"image"}),
        (recipe(multimodal=dict.fromkeys(ALL, 0)), set()),
        (recipe(args={"language-model-only": True}), set()),
        (recipe(args={"language-model-only": False}), ALL),
    ],
)
def test_a_config_with_towers_alone_takes_in_what_the_recipe_leaves_open(wanted: Recipe, left: set[str]) -> None:
    assert set(open_inputs(wanted, TOWERS)) == left
    given = settings_of(wanted, TOWERS, Version("0.20.2"))
    assert (given.encoder, given.load.language_model_only) == (bool(left), not left)


@pytest.mark.parametrize(("value", "meant"), [(True, True), (False, False), (None, None)])
def test_prefix_caching_is_vllms_choice_unless_it_is_said(value: bool | None, meant: bool | None) -> None:
    given = settings_of(recipe(args={"enable-prefix-caching": value}), TOWERS, Version("0.20.2"))
    assert given.kv.prefix_caching is meant
