"""Model facts: those that are shipped, and what a model takes in."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from sparkctl.memory.facts import ModelFacts
from tests.support.paths import REPOSITORY

VISION, AUDIO = {"vision_config": {"depth": 2}}, {"audio_config": {"d_model": 8}}
DECLARED = {"inputs": ["image"], "source": "a model card"}


def test_every_shipped_file_of_facts_is_valid_and_names_its_sources() -> None:
    for path in sorted((REPOSITORY / "recipes" / "models").glob("*.yaml")):
        known = ModelFacts.model_validate(yaml.safe_load(path.read_text()))
        assert all(loaded.source for loaded in known.loaded)
        assert known.config_source or not known.config


@pytest.mark.parametrize(
    ("config", "declared", "inputs"),
    [
        (VISION | AUDIO, None, ["image", "video", "audio"]),
        (VISION | {"audio_config": None}, None, ["image", "video"]),
        (VISION | AUDIO, DECLARED, ["image"]),
        ({"text_config": {}}, None, []),
    ],
)
def test_a_model_takes_in_what_is_declared_else_what_its_towers_show(
    config: dict[str, Any], declared: dict[str, Any] | None, inputs: list[str]
) -> None:
    assert ModelFacts.model_validate({"config": config, "multimodal": declared}).inputs == inputs
