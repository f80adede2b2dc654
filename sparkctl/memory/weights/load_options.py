"""The flags that decide which weights are built, and how wide they are."""

from __future__ import annotations

from typing import Final, NamedTuple

from packaging.version import Version

QUERY_ALONE: Final = Version("0.30.0.dev0")
"""Since this version, Gemma 4's layers that read another's cache have no keys and values (vLLM 0.30.0 gemma4.py)."""


class LoadOptions(NamedTuple):
    """The flags that the loaded weights depend on.

    ``quantization`` is the ``--quantization`` flag, None where the checkpoint's own ``quantization_config`` decides.
    ``dtype`` is ``--dtype``; auto is the configuration's. ``drafting_mtp``: the model's own drafting layers are loaded.
    ``batched_tokens`` is max-num-batched-tokens. ``moe_backend`` is the kernels' of the experts.
    """

    vllm: Version
    quantization: str | None = None
    dtype: str = "auto"
    language_model_only: bool = False
    batched_tokens: int = 2048
    drafting_mtp: bool = False
    moe_backend: str = "auto"

    @property
    def experts_by_marlin(self) -> bool:
        """Whether the operator chose Marlin's kernels for the experts; by default a GB10 uses them for MXFP4 alone."""
        return self.moe_backend == "marlin"
