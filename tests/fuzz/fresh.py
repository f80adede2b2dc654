"""What is fuzzed of `new`: a model's config.json and the file of its chat template become a recipe's text."""

from __future__ import annotations

import json
from typing import Any, Final

from sparkctl.base import document
from sparkctl.base.bounded import BOUNDS, UnreadableError, read_json
from sparkctl.memory.facts import ModelFacts
from sparkctl.memory.footprint import Once
from sparkctl.recipes.exchange.fresh.choices import Setting, decided
from sparkctl.recipes.exchange.fresh.images import ImageOffer
from sparkctl.recipes.exchange.fresh.lines import keys_of, text_of
from sparkctl.recipes.exchange.fresh.material import TOKENIZER, ModelMaterial
from sparkctl.vllm import flags
from tests.support.paths import FIXTURES

_CONFIG: Final = json.loads((FIXTURES / "configs" / "qwen3-0.6b" / "config.json").read_text())
_IMAGE: Final = ImageOffer("vllm/vllm-openai:v0.33.0", None, "asked")
TOKENIZERS: Final = (
    b'{"chat_template": "{% if tools %}<tool_call>{% endif %}<think>"}',
    b'{"chat_template": [{"name": "default", "template": "tools [TOOL_CALLS]"}, {"name": "rag"}], "x": 1}',
)


def of_config(data: bytes) -> None:
    """Make a recipe of a config.json."""
    try:
        config = read_json(data, BOUNDS)
    except UnreadableError:
        return
    if isinstance(config, dict):
        _made(config, None)


def of_tokenizer(data: bytes) -> None:
    """Make a recipe of a model with this tokenizer_config.json."""
    _made(_CONFIG, {TOKENIZER: data})


def _made(config: dict[str, Any], texts: dict[str, bytes] | None) -> None:
    facts = ModelFacts.model_construct(config=config)
    model = ModelMaterial("acme/Model", facts, Once(facts), "its files", texts=texts)
    lines, left = decided(model, Setting("mine", _IMAGE, flags.releases()[-1], None, None, gb10=True))
    read = document.load(text_of(["made"], lines, left), "made")
    assert read.root.plain() == keys_of(lines)
