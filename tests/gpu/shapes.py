"""Models without weights: true safetensors headers over holes of the file system, read by vLLM's own loader.

A hole takes no disk and reads as zeros. A model of zeros writes one token for ever, and takes the memory, the time to
load and the time to compile of the real one. Names and shapes of the tensors are those that vLLM's loaders ask for
(``model_executor/models/qwen3.py`` and ``gemma4.py``, vLLM 0.20.2); the configs are those of tests/fixtures/configs.
"""

from __future__ import annotations

import json
import math
import struct
from typing import TYPE_CHECKING, Any, Final

from tests.support.paths import FIXTURES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    Config = Mapping[str, Any]
    Tensors = Iterator[tuple[str, tuple[int, ...]]]

SHARD_BYTES: Final = 5 * 10**9
"""The most that one file holds: what transformers writes, so that a start reads several."""
_NUMBER_BYTES: Final = 2
"""Of one number in bfloat16."""
_FIRST: Final = ("!!", "<bos>", "<eos>", "<unk>")
"""The first tokens. A model of zeros writes token 0, which therefore has to be text."""
_CHAT: Final = "{% for message in messages %}{{ message['content'] }}\n{% endfor %}"


def write(folder: Path, config_name: str) -> None:
    """Write everything that vLLM wants of a model, from a config of tests/fixtures/configs."""
    config = write_checkpoint(folder, config_name)
    _write_json(folder / "generation_config.json", {"bos_token_id": 1, "eos_token_id": 2})
    _write_json(folder / "tokenizer.json", tokenizer(config["vocab_size"]))
    _write_json(folder / "tokenizer_config.json", _tokenizer_config(config))


def write_checkpoint(folder: Path, config_name: str) -> Config:
    """Write config.json and the weights, which is what decides the memory; return the config."""
    config: dict[str, Any] = json.loads((FIXTURES / "configs" / config_name / "config.json").read_text())
    config |= {"bos_token_id": 1, "eos_token_id": 2}
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "config.json", config)
    _write_weights(folder, tensors(config))
    return config


def tensors(config: Config) -> Tensors:
    """Name the weights of a text model and their shapes, as its checkpoint has them.

    Raises:
        ValueError: nobody has written down the tensors of this kind of model.
    """
    known = {"qwen3": _qwen3, "gemma4_text": _gemma4}
    kind = config["model_type"]
    if kind not in known:
        message = f"the tensors of {kind} are not known here; known are {', '.join(known)}"
        raise ValueError(message)
    return known[kind](config)


def _qwen3(config: Config) -> Tensors:
    hidden, width = config["hidden_size"], config["head_dim"]
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    yield "model.embed_tokens.weight", (config["vocab_size"], hidden)
    for number in range(config["num_hidden_layers"]):
        layer = f"model.layers.{number}"
        for norm in ("input_layernorm", "post_attention_layernorm"):
            yield f"{layer}.{norm}.weight", (hidden,)
        yield from _attention(layer, hidden, width, heads, {"k": kv_heads, "v": kv_heads})
        yield from _gated(f"{layer}.mlp", hidden, config["intermediate_size"])
    yield "model.norm.weight", (hidden,)
    if not config["tie_word_embeddings"]:
        yield "lm_head.weight", (config["vocab_size"], hidden)


def _gemma4(config: Config) -> Tensors:
    hidden, layers = config["hidden_size"], config["num_hidden_layers"]
    beside = config["hidden_size_per_layer_input"]
    yield "model.embed_tokens.weight", (config["vocab_size"], hidden)
    if beside:
        yield "model.embed_tokens_per_layer.weight", (config["vocab_size_per_layer_input"], layers * beside)
        yield "model.per_layer_model_projection.weight", (layers * beside, hidden)
        yield "model.per_layer_projection_norm.weight", (beside,)
    for number in range(layers):
        yield from _gemma4_layer(config, number)
    yield "model.norm.weight", (hidden,)


def _gemma4_layer(config: Config, number: int) -> Tensors:
    layer, hidden, beside = f"model.layers.{number}", config["hidden_size"], config["hidden_size_per_layer_input"]
    full = config["layer_types"][number] == "full_attention"
    width = config["global_head_dim"] if full else config["head_dim"]
    kv_heads = (config["num_global_key_value_heads"] if full else None) or config["num_key_value_heads"]
    for norm in ("input", "post_attention", "pre_feedforward", "post_feedforward"):
        yield f"{layer}.{norm}_layernorm.weight", (hidden,)
    yield f"{layer}.layer_scalar", (1,)
    # Where keys serve as values, the checkpoint has the keys alone.
    shared = full and config["attention_k_eq_v"]
    yield from _attention(
        layer, hidden, width, config["num_attention_heads"], {"k": kv_heads} | ({} if shared else {"v": kv_heads})
    )
    wide = config["use_double_wide_mlp"] and number >= config["num_hidden_layers"] - config["num_kv_shared_layers"]
    yield from _gated(f"{layer}.mlp", hidden, config["intermediate_size"] * (2 if wide else 1))
    if beside:
        yield f"{layer}.per_layer_input_gate.weight", (beside, hidden)
        yield f"{layer}.per_layer_projection.weight", (hidden, beside)
        yield f"{layer}.post_per_layer_input_norm.weight", (hidden,)
    if config["enable_moe_block"]:
        yield from _gemma4_experts(config, layer)


def _gemma4_experts(config: Config, layer: str) -> Tensors:
    hidden, experts, width = config["hidden_size"], config["num_experts"], config["moe_intermediate_size"]
    for norm in ("pre_feedforward_layernorm_2", "post_feedforward_layernorm_1", "post_feedforward_layernorm_2"):
        yield f"{layer}.{norm}.weight", (hidden,)
    yield f"{layer}.router.scale", (hidden,)
    yield f"{layer}.router.per_expert_scale", (experts,)
    yield f"{layer}.router.proj.weight", (experts, hidden)
    yield f"{layer}.experts.gate_up_proj", (experts, 2 * width, hidden)
    yield f"{layer}.experts.down_proj", (experts, hidden, width)


def _attention(layer: str, hidden: int, width: int, heads: int, others: Mapping[str, int]) -> Tensors:
    """Name an attention's projections and norms; ``others`` are the heads of keys and of values."""
    for norm in ("q_norm", "k_norm"):
        yield f"{layer}.self_attn.{norm}.weight", (width,)
    for name, count in {"q": heads, **others}.items():
        yield f"{layer}.self_attn.{name}_proj.weight", (count * width, hidden)
    yield f"{layer}.self_attn.o_proj.weight", (hidden, heads * width)


def _gated(prefix: str, hidden: int, width: int) -> Tensors:
    yield f"{prefix}.gate_proj.weight", (width, hidden)
    yield f"{prefix}.up_proj.weight", (width, hidden)
    yield f"{prefix}.down_proj.weight", (hidden, width)


def _write_weights(folder: Path, found: Tensors) -> None:
    shards: list[list[tuple[str, tuple[int, ...]]]] = [[]]
    filled = total = 0
    for name, shape in found:
        size = _NUMBER_BYTES * math.prod(shape)
        if filled and filled + size > SHARD_BYTES:
            shards.append([])
            filled = 0
        shards[-1].append((name, shape))
        filled, total = filled + size, total + size
    index: dict[str, str] = {}
    for number, shard in enumerate(shards, 1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        _write_shard(folder / file, shard)
        index |= {name: file for name, _ in shard}
    _write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": index})


def _write_shard(path: Path, shard: list[tuple[str, tuple[int, ...]]]) -> None:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shard:
        start, end = end, end + _NUMBER_BYTES * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)


def tokenizer(size: int) -> dict[str, object]:
    """Make a byte-level BPE of ``size`` tokens without merges: it reads every text, a token for each byte."""
    letters = [letter for letter in _byte_letters() if letter not in _FIRST]
    vocabulary = {token: number for number, token in enumerate((*_FIRST, *letters))}
    vocabulary |= {f"_{number}": number for number in range(len(vocabulary), size)}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": vocabulary[token], "content": token, **flags} for token in ("<bos>", "<eos>")],
        "normalizer": None,
        "pre_tokenizer": level,
        "post_processor": None,
        "decoder": level,
        "model": {"type": "BPE", "unk_token": "<unk>", "vocab": vocabulary, "merges": []},
    }


def _byte_letters() -> list[str]:
    """Return the printable letters that byte-level tokenizers write for the 256 bytes, as GPT-2 chose them."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    return [chr(letter) for letter in (*plain, *range(256, 256 + 256 - len(plain)))]


def _tokenizer_config(config: Config) -> dict[str, object]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<bos>",
        "eos_token": "<eos>",
        "model_max_length": config["max_position_embeddings"],
        "chat_template": _CHAT,
    }


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False))
