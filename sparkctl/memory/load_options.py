"""What of the flags decides which weights are built, and how wide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from packaging.version import Version


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """The flags that the loaded weights depend on.

    ``quantization`` is the ``--quantization`` flag, None where the checkpoint's own ``quantization_config`` decides.
    ``dtype`` is ``--dtype``; auto is the configuration's. ``drafting_mtp``: the model's own drafting layers are loaded.
    ``max_model_len`` is in tokens, None for the model's longest context.
    """

    vllm: Version
    quantization: str | None = None
    dtype: str = "auto"
    language_model_only: bool = False
    max_model_len: int | None = None
    drafting_mtp: bool = False
