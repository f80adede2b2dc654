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
    ``batched_tokens`` is max-num-batched-tokens.
    """

    vllm: Version
    quantization: str | None = None
    dtype: str = "auto"
    language_model_only: bool = False
    batched_tokens: int = 2048
    drafting_mtp: bool = False
