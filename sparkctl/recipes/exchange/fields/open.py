"""Settings that a source leaves to vLLM: written out if sparkctl's own default differs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from packaging.version import Version

    from sparkctl.recipes.exchange.fields.draft import Draft

_SEQUENCES: Final = 256
_BATCHED_TOKENS: Final = 2048
"""An API server's default on a GB10. ``get_batch_defaults`` goes by the device's memory (vLLM 0.17.1 to 0.33.0
engine/arg_utils.py). NVML does not report it on a GB10, and it counts as 0; 0.33.0 knows the GB10, with the same
value."""
_DOUBLED: Final = "throughput"
_WHY: Final = "open in the source: what vLLM takes on a GB10 (engine/arg_utils.py, get_batch_defaults)"


def write_out(draft: Draft, version: Version) -> None:
    """Write out the limits that the source leaves to vLLM; ``version`` is its release.

    If vLLM uses 2048 batched tokens, as a recipe without this limit does, nothing is written: both then use more for a
    model whose largest item, or whose whole text, has to fit (vLLM 0.27.1 engine/arg_utils.py).
    """
    del version  # the figures are the same in every release that is known
    doubled = 2 if draft.values.get(("args", "performance-mode")) == _DOUBLED else 1
    batched = draft.values.get(("limits", "batched-tokens"))
    if ("limits", "sequences") not in draft.values:
        most = batched if isinstance(batched, int) else _BATCHED_TOKENS * doubled
        draft.put(("limits", "sequences"), min(_SEQUENCES * doubled, most), comment=_WHY)
    if batched is None:
        context = draft.values.get(("limits", "context"))
        taken = _BATCHED_TOKENS * doubled
        whole = draft.values.get(("args", "enable-chunked-prefill")) is False
        if whole and isinstance(context, int):
            taken = max(taken, context)
        if taken != _BATCHED_TOKENS:
            draft.put(("limits", "batched-tokens"), taken, comment=_WHY)
