"""A two-layer Llama of 300 KB with random weights, written without torch: the same bytes for the same seed."""

from __future__ import annotations

import json
import random
import struct
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HIDDEN = 64
INTERMEDIATE = 128
LAYERS = 2
HEADS = 4
KV_HEADS = 2
HEAD_DIM = 32
VOCABULARY = 300
SPREAD = 0.02  # the standard deviation that Llamas are initialised with
HEAD_SPREAD = 4.0  # so wide that one token stands out even when sampled: what is drafted by looking back is accepted

SPECIAL_TOKENS = ("<s>", "</s>", "<pad>")
CORPUS = (
    "the quick brown fox jumps over the lazy dog and then the dog runs after the fox, "
    "while the other animals of the forest are watching them from under the trees"
)
CHAT_TEMPLATE = "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}assistant:"

Pair = tuple[str, str]


def write(folder: Path, seed: int = 0) -> None:
    """Write everything that vLLM wants in a checkpoint folder."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "config.json", config())
    _write_json(folder / "generation_config.json", {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2})
    _write_json(folder / "tokenizer.json", tokenizer())
    _write_json(folder / "tokenizer_config.json", tokenizer_config())
    (folder / "model.safetensors").write_bytes(safetensors(random.Random(seed)))  # noqa: S311 (repeatable, not secret)


def config() -> dict[str, object]:
    """Give the shape, as transformers names it."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "bfloat16",
        "hidden_size": HIDDEN,
        "intermediate_size": INTERMEDIATE,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD_DIM,
        "max_position_embeddings": 4096,
        "vocab_size": VOCABULARY,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-06,
        "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": False,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 2,
    }


def tokenizer_config() -> dict[str, object]:
    """Say how transformers is to read the tokenizer, and what a chat looks like to the model."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "pad_token": "<pad>",
        "model_max_length": 4096,
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }


def tokenizer() -> dict[str, object]:
    """Make a byte-level BPE: special tokens, the 256 bytes, and merges learnt from one sentence."""
    entries, merges = vocabulary()
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": number, "content": text, **flags} for number, text in enumerate(SPECIAL_TOKENS)],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": {text: number for number, text in enumerate(entries)},
            "merges": [list(pair) for pair in merges],
        },
    }


def vocabulary() -> tuple[list[str], list[Pair]]:
    """List the tokens by their numbers, and the pairs that make the longer ones."""
    letters = sorted(_byte_letters().values())
    merges = _learn_merges(VOCABULARY - len(SPECIAL_TOKENS) - len(letters))
    return [*SPECIAL_TOKENS, *letters, *("".join(pair) for pair in merges)], merges


def tensors() -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name the weights and their shapes, as transformers stores a Llama."""
    yield "model.embed_tokens.weight", (VOCABULARY, HIDDEN)
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}"
        yield f"{prefix}.input_layernorm.weight", (HIDDEN,)
        yield f"{prefix}.self_attn.q_proj.weight", (HEADS * HEAD_DIM, HIDDEN)
        yield f"{prefix}.self_attn.k_proj.weight", (KV_HEADS * HEAD_DIM, HIDDEN)
        yield f"{prefix}.self_attn.v_proj.weight", (KV_HEADS * HEAD_DIM, HIDDEN)
        yield f"{prefix}.self_attn.o_proj.weight", (HIDDEN, HEADS * HEAD_DIM)
        yield f"{prefix}.post_attention_layernorm.weight", (HIDDEN,)
        yield f"{prefix}.mlp.gate_proj.weight", (INTERMEDIATE, HIDDEN)
        yield f"{prefix}.mlp.up_proj.weight", (INTERMEDIATE, HIDDEN)
        yield f"{prefix}.mlp.down_proj.weight", (HIDDEN, INTERMEDIATE)
    yield "model.norm.weight", (HIDDEN,)
    yield "lm_head.weight", (VOCABULARY, HIDDEN)


def safetensors(source: random.Random) -> bytes:
    """Put together the file: the header's length in 8 bytes, the header as JSON, one tensor after the other."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    values = bytearray()
    for name, shape in tensors():
        start = len(values)
        values += _weight(name, shape, source)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [start, len(values)]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the values begin on a multiple of 8 bytes
    return struct.pack("<Q", len(text)) + text + bytes(values)


def _weight(name: str, shape: tuple[int, ...], source: random.Random) -> bytes:
    """Draw one tensor; norms change nothing, and the head never prefers a token that is not plain text."""
    if len(shape) == 1:
        return _bfloat16([1.0] * shape[0])
    rows, columns = shape
    if name != "lm_head.weight":
        return _bfloat16([source.gauss(0.0, SPREAD) for _ in range(rows * columns)])
    spreads = [HEAD_SPREAD if _is_plain(token) else 0.0 for token in vocabulary()[0]]
    return _bfloat16([source.gauss(0.0, spread) for spread in spreads for _ in range(columns)])


def _is_plain(token: str) -> bool:
    """Tell whether a token is printable ASCII, a space before it or not: then a greedy answer can be read."""
    text = token.replace(_byte_letters()[ord(" ")], " ")
    return token not in SPECIAL_TOKENS and text.isascii() and text.isprintable()


def _bfloat16(values: list[float]) -> bytes:
    """Keep the upper half of each float32; the rest is cut off."""
    wide = struct.pack(f"<{len(values)}f", *values)
    narrow = bytearray(2 * len(values))
    narrow[0::2] = wide[2::4]
    narrow[1::2] = wide[3::4]
    return bytes(narrow)


def _byte_letters() -> dict[int, str]:
    """Give the printable letter that byte-level tokenizers write for each byte, as GPT-2 chose them."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {byte: chr(256 + n) for n, byte in enumerate(others)}


def _learn_merges(wanted: int) -> list[Pair]:
    """Join the most frequent neighbours of the corpus, again and again; ties go by the alphabet."""
    space = _byte_letters()[ord(" ")]
    words = [list(word) for word in CORPUS.replace(" ", f" {space}").split(" ")]
    merges: list[Pair] = []
    while len(merges) < wanted:
        counts = Counter(pair for word in words for pair in pairwise(word))
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        merges.append(best)
        words = [_join(word, best) for word in words]
    return merges


def _join(word: list[str], pair: Pair) -> list[str]:
    """Make each occurrence of the pair in a word one piece."""
    joined: list[str] = []
    for piece in word:
        if joined and (joined[-1], piece) == pair:
            joined[-1] += piece
        else:
            joined.append(piece)
    return joined


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
