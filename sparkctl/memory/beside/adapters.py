"""LoRA: slots for adapters on the GPU, of the largest permitted rank, for every module that may have an adapter.

Shapes from vLLM's wrappers (``lora/layers/*.py`` of 0.17.1 to 0.33.0, which agree): each slice of a module has
rank x (inputs + outputs) numbers. Every linear layer of the text model is wrapped (``lora/utils.py``
get_supported_lora_modules), the towers only with ``--enable-tower-connector-lora``. Full sharding divides by tensor
parallelism, which one GPU does not have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sparkctl.memory.beside.numbers import whole
from sparkctl.memory.items import LORA_SLOTS, Item, Where
from sparkctl.memory.weights.parameters import parts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from packaging.version import Version

_RANK: Final = 16
"""The default of max-lora-rank (vLLM config/lora.py)."""
_PACKED: Final = {
    "qkv_proj": {"q_proj", "k_proj", "v_proj"},
    "gate_up_proj": {"gate_proj", "up_proj"},
    "in_proj_qkvz": {"in_proj_qkv", "in_proj_z"},
    "in_proj_ba": {"in_proj_b", "in_proj_a"},
}
"""Modules that vLLM fuses: if a target is one part of them, all parts get slots (lora/utils.py)."""
_WIDE: Final = frozenset({"float32", "float"})


def items(args: Mapping[str, object], config: Mapping[str, Any], version: Version) -> Iterator[Item]:
    """Yield the memory of the slots, and with ``max-cpu-loras`` that of the adapters kept on the host.

    Raises:
        InputError: a number of the config that is missing, is none, or is impossible.
    """
    if args.get("enable-lora") is not True or not config:
        return
    width = 4 if args.get("lora-dtype", args.get("dtype")) in _WIDE else 2
    rank, slots = whole(args.get("max-lora-rank"), _RANK), whole(args.get("max-loras"), 1)
    one = rank * _numbers(args, config, version) * width
    formula = f"rank x (inputs + outputs) of each module x {width} bytes (vLLM lora/layers)"
    yield Item(LORA_SLOTS, slots * one, f"max-loras {slots} x {formula}", estimated=True, spread=slots * one // 8)
    if args.get("max-cpu-loras") is not None:
        kept = max(whole(args.get("max-cpu-loras"), slots), slots)
        source = f"max-cpu-loras {kept}, each of the largest rank: {formula}"
        size = kept * one
        yield Item("LoRA adapters on the host", size, source, where=Where.HOST, estimated=True)


def _numbers(args: Mapping[str, object], config: Mapping[str, Any], version: Version) -> int:
    """Return how many numbers an adapter of rank 1 has in all modules that may have one."""
    targets = args.get("lora-target-modules")
    wanted = {str(one) for one in targets} if isinstance(targets, list) else None
    shared = args.get("enable-moe-shared-loras") is True
    return sum(
        (part.shared_rank if shared and part.shared_rank else part.rank) * part.count
        for part in parts(config, version)
        if wanted is None or _is_target(part.name.rpartition(".")[2], wanted)
    )


def _is_target(module: str, wanted: set[str]) -> bool:
    return module in wanted or bool(_PACKED.get(module, set()) & wanted)
