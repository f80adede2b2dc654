"""What the file names of a model's weights say: ``model-00002-of-00006.safetensors`` is one of six files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

INDEX: Final = "model.safetensors.index.json"
SEPARATE_QUANTIZATION: Final = "hf_quant_config.json"
"""The file in which ModelOpt up to 0.29 describes its quantization; vLLM reads it if config.json says nothing (vLLM
0.32.0 ``transformers_utils/config.py``)."""
_NUMBERED: Final = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.safetensors")


def loaded(names: Iterable[str]) -> set[str]:
    """Return the safetensors files that vLLM loads if the model has no index.

    Mistral's own format stands beside the one that is loaded, with the same weights.
    """
    weights = {name for name in names if name.endswith(".safetensors")}
    return {name for name in weights if not name.startswith("consolidated")} or weights


def counted(names: Iterable[str]) -> set[str]:
    """Return all file names that these names imply: all six for ``model-00002-of-00006.safetensors``.

    A count that no folder of a model can have (over 99,999) cannot be written in such a name.
    """
    numbered = {(match[1], match[3]) for name in names if (match := _NUMBERED.fullmatch(name))}
    return {f"{stem}-{at:05d}-of-{total}.safetensors" for stem, total in numbered for at in range(1, int(total) + 1)}
