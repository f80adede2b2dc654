"""Speed of the memory model: a folder of 200 shards, and a plan of 64 services."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Final

from sparkctl.memory.pool import Pool
from sparkctl.memory.weights.checkpoint import read_tensors
from sparkctl.planning.admission import Change, Need, Sizes, StartupCheck, Switch
from sparkctl.planning.plan import Wanted, make_plan

GIB: Final = 2**30
SHARDS: Final = 200
LAYERS: Final = 2
HIDDEN: Final = 2048
CONFIG: Final[dict[str, Any]] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "num_hidden_layers": SHARDS * LAYERS,
    "hidden_size": HIDDEN,
    "intermediate_size": 4 * HIDDEN,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "vocab_size": 32000,
    "max_position_embeddings": 32768,
}
SHAPES: Final = {
    "self_attn.q_proj": [HIDDEN, HIDDEN],
    "self_attn.k_proj": [512, HIDDEN],
    "self_attn.v_proj": [512, HIDDEN],
    "self_attn.o_proj": [HIDDEN, HIDDEN],
    "mlp.gate_proj": [4 * HIDDEN, HIDDEN],
    "mlp.up_proj": [4 * HIDDEN, HIDDEN],
    "mlp.down_proj": [HIDDEN, 4 * HIDDEN],
}


def make_folder(folder: Path) -> int:
    """Write a model of 200 shards, whose tensors are holes in the files; return its size in bytes."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    total = 0
    for shard in range(SHARDS):
        header: dict[str, object] = {}
        end = 0
        for layer in range(shard * LAYERS, (shard + 1) * LAYERS):
            for name, shape in SHAPES.items():
                size = 2 * shape[0] * shape[1]
                tensor = {"dtype": "BF16", "shape": shape, "data_offsets": [end, end + size]}
                header[f"model.layers.{layer}.{name}.weight"] = tensor
                end += size
        text = json.dumps(header).encode()
        with (folder / f"model-{shard + 1:05}-of-{SHARDS:05}.safetensors").open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            file.truncate(8 + len(text) + end)
        total += 8 + len(text) + end
    return total


def bytes_read(folder: Path) -> int:
    """Return how many bytes reading the folder's headers takes, as the kernel counts them."""
    before = _read_so_far()
    read_tensors(folder)
    return _read_so_far() - before


def _read_so_far() -> int:
    return int(Path("/proc/self/io").read_text().split()[1])


def planning_ms(available: int) -> float:
    """Return the milliseconds of a plan of 64 services on a pool with ``available`` GiB."""

    def need(change: Change) -> Need:
        cache = (change.context or 65536) * (change.sequences or 4) * GIB // 2**19 // (1 + len(change.switches))
        return Need(GIB // 2 + cache, GIB + cache, StartupCheck(0.01 + cache / GIB / 120, GIB // 8))

    switches = (Switch("args.kv-cache-dtype=fp8", "an 8-bit KV cache", 0.5),)
    sizes = Sizes(65536, 4, switches, need)
    whole = need(Change())
    services = [
        Wanted(f"s{index}", "r", "1", *whole[:2], priority=index % 3, check=whole.check, sizes=sizes)
        for index in range(64)
    ]
    start = time.perf_counter()
    make_plan(services, (), Pool(120 * GIB, available * GIB, 10 * GIB), replace=False)
    return (time.perf_counter() - start) * 1000
