"""Tiny models of other kinds than a Llama that writes: one that embeds, one that ranks; random, without torch."""

from __future__ import annotations

import json
import random
import struct
from typing import TYPE_CHECKING, Final

from tests.testbed import tiny_model

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

Shapes = dict[str, tuple[int, ...]]

SPREAD: Final = 0.3
"""Wider than the tiny Llama's: vectors of two texts must differ by more than rounding."""
_WIDTH: Final = tiny_model.HIDDEN
_INNER: Final = tiny_model.INTERMEDIATE
_WORDS: Final = tiny_model.VOCABULARY
_POSITIONS: Final = 4096


def write_embedder(folder: Path, seed: int = 0) -> None:
    """Write a Qwen3 of two layers, the architecture of Qwen3-Embedding."""
    config = tiny_model.config() | {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "tie_word_embeddings": True,
    }
    shapes = {name: shape for name, shape in tiny_model.tensors() if not name.startswith("lm_head")}
    for layer in range(tiny_model.LAYERS):
        for name in ("q_norm", "k_norm"):
            shapes[f"model.layers.{layer}.self_attn.{name}.weight"] = (tiny_model.HEAD_DIM,)
    _write(folder, config, shapes, seed)


def write_ranker(folder: Path, seed: int = 0) -> None:
    """Write a BERT of two layers that gives a pair of texts one score, as rerankers do."""
    _write(
        folder,
        ranker_config(),
        dict(_bert("bert.")) | {"classifier.weight": (1, _WIDTH), "classifier.bias": (1,)},
        seed,
    )


def ranker_config() -> dict[str, object]:
    """Give the shape of the ranker, as transformers names it."""
    return {
        "architectures": ["BertForSequenceClassification"],
        "model_type": "bert",
        "dtype": "float32",
        "hidden_size": _WIDTH,
        "intermediate_size": _INNER,
        "num_hidden_layers": tiny_model.LAYERS,
        "num_attention_heads": _WIDTH // tiny_model.HEAD_DIM,
        "max_position_embeddings": _POSITIONS,
        "type_vocab_size": 2,
        "vocab_size": _WORDS,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "position_embedding_type": "absolute",
        "pad_token_id": 2,
        "id2label": {"0": "LABEL_0"},
        "label2id": {"LABEL_0": 0},
        "num_labels": 1,
    }


def _bert(prefix: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name the weights of a BERT and their shapes, as transformers stores them."""
    for name, rows in (("word", _WORDS), ("position", _POSITIONS), ("token_type", 2)):
        yield f"{prefix}embeddings.{name}_embeddings.weight", (rows, _WIDTH)
    yield from _norm(f"{prefix}embeddings.LayerNorm")
    for layer in range(tiny_model.LAYERS):
        block = f"{prefix}encoder.layer.{layer}"
        for name in ("query", "key", "value"):
            yield from _linear(f"{block}.attention.self.{name}", _WIDTH, _WIDTH)
        yield from _linear(f"{block}.attention.output.dense", _WIDTH, _WIDTH)
        yield from _norm(f"{block}.attention.output.LayerNorm")
        yield from _linear(f"{block}.intermediate.dense", _INNER, _WIDTH)
        yield from _linear(f"{block}.output.dense", _WIDTH, _INNER)
        yield from _norm(f"{block}.output.LayerNorm")
    yield from _linear(f"{prefix}pooler.dense", _WIDTH, _WIDTH)


def _linear(name: str, rows: int, columns: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (rows, columns)
    yield f"{name}.bias", (rows,)


def _norm(name: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (_WIDTH,)
    yield f"{name}.bias", (_WIDTH,)


def _write(folder: Path, config: Mapping[str, object], shapes: Shapes, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"config.json": config, "tokenizer.json": tiny_model.tokenizer()}
    texts["tokenizer_config.json"] = tiny_model.tokenizer_config()
    for name, value in texts.items():
        (folder / name).write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    (folder / "model.safetensors").write_bytes(_safetensors(shapes, random.Random(seed)))  # noqa: S311 (repeatable)


def _safetensors(shapes: Shapes, source: random.Random) -> bytes:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    values = bytearray()
    for name, shape in shapes.items():
        start = len(values)
        values += _floats(name, shape, source)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, len(values)]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + bytes(values)


def _floats(name: str, shape: tuple[int, ...], source: random.Random) -> bytes:
    """Draw one tensor; norms change nothing, and biases are nothing."""
    count = shape[0] * (shape[1] if len(shape) > 1 else 1)
    if len(shape) == 1:
        return struct.pack(f"<{count}f", *[0.0 if name.endswith("bias") else 1.0] * count)
    return struct.pack(f"<{count}f", *(source.gauss(0.0, SPREAD) for _ in range(count)))
