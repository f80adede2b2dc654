"""What a stand-in for ``vllm serve`` is told: the flags of its command, and the faults that were ordered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_BARE: Final = (
    *("enable-", "disable-", "no-", "trust-", "enforce-", "skip-", "language-model-only", "async-scheduling"),
    "headless",
)


def parse_arguments(words: Sequence[str]) -> dict[str, str]:
    """Return the flags by name (dashes, no ``--``); a bare flag is ``true``, the positional model is ``model``."""
    flags: dict[str, str] = {}
    rest = [word for at, word in enumerate(words) if at > 1 or word not in {"vllm", "serve"}]
    while rest:
        word = rest.pop(0)
        name, equals, value = word.lstrip("-").partition("=")
        name = name.replace("_", "-")
        if not word.startswith("-"):
            name, value = "model", word
        elif not equals:
            bare = name.startswith(_BARE) or not rest or rest[0].startswith("--")
            value = "true" if bare else rest.pop(0)
        while name == "served-model-name" and rest and not rest[0].startswith("-"):
            value += f" {rest.pop(0)}"
        flags[name] = value
    return flags


def parse_number(text: str) -> int:
    """Return the number as vLLM reads it: ``128k`` is 128000, ``128K`` is 131072 (utils/argparse_utils.py)."""
    power = "kmgt".find(text[-1].lower()) + 1
    return int(float(text[:-1]) * (1024 if text[-1].isupper() else 1000) ** power) if power else int(text)


def parse_faults(text: str) -> dict[str, Any]:
    """Return the ordered faults: a JSON object, or names with commas, ``name`` or ``name=value``."""
    if text.lstrip().startswith("{"):
        return dict(json.loads(text))
    parts = [part.strip().partition("=") for part in text.split(",") if part.strip()]
    return {name: value if equals else True for name, equals, value in parts}
