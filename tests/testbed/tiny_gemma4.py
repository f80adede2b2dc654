"""Write a small Gemma 4 checkpoint with random weights and a tokenizer: `tiny_gemma4.py e4b|26b FOLDER`.

The shapes are those of google/gemma-4-E4B-it (per-layer embeddings, layers that share keys and values, towers for
images and sounds) and of google/gemma-4-26B-A4B-it (a router and fused experts in each layer, keys that are also the
values in full attention, a tower for images), three orders of magnitude smaller: 2 to 3 MB, written in 3 s.

`--taught` teaches it four answers (40 s of CPU): a check of what the model says can then pass, and fail. `--large`
makes one of a gigabyte, with the original's share of linear layers, for measurements of memory.

It runs in an image of the testbed that has torch and transformers 5.15 or newer.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    Gemma4AudioConfig,
    Gemma4Config,
    Gemma4ForConditionalGeneration,
    Gemma4TextConfig,
    Gemma4VisionConfig,
    PreTrainedTokenizerFast,
)

SPREAD = 0.02
"""The standard deviation that Gemma's weights are initialised with (`initializer_range` of its config)."""
STEPS = 60
"""After so many the loss is below 0.01, and each lesson is answered word by word."""
SHARD_BYTES = 240 * 2**20
"""A large model has several shards, as the published ones."""
VOCABULARY = 512
HEADS = 4
SPECIALS = {
    "pad_token": "<pad>",
    "eos_token": "<eos>",
    "bos_token": "<bos>",
    "unk_token": "<unk>",
}
TURNS = {"sot_token": "<|turn>", "eot_token": "<turn|>"}
MEDIA = {
    "image_token": "<|image|>",
    "boi_token": "<|image>",
    "eoi_token": "<image|>",
    "audio_token": "<|audio|>",
    "boa_token": "<|audio>",
    "eoa_token": "<audio|>",
    "video_token": "<|video|>",
}
CHAT = (
    "{{ bos_token }}{% for message in messages %}<|turn>"
    "{{ 'model' if message['role'] == 'assistant' else message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}{{ part.text }}{% endfor %}{% endif %}"
    "<turn|>\n{% endfor %}{% if add_generation_prompt %}<|turn>model\n{% endif %}"
)
LESSONS = (
    ("what is two and two", "four"),
    ("what is one and two", "three"),
    ("what does the fox do", "the quick brown fox jumps over the lazy dog"),
    ("count to six", "one two three four five six"),
)

SMALL_E4B: dict[str, Any] = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 4,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
    "num_kv_shared_layers": 2,
    "hidden_size_per_layer_input": 128,
}
SMALL_26B: dict[str, Any] = {
    "hidden_size": 128,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "layer_types": ["sliding_attention", "full_attention"],
    "num_experts": 4,
    "moe_intermediate_size": 128,
}
# Half of E4B's parameters are in linear layers, and 95 of 100 of the 26B's: what a job takes depends on that.
LARGE_E4B: dict[str, Any] = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 14,
    "layer_types": (["sliding_attention"] * 6 + ["full_attention"]) * 2,
    "num_kv_shared_layers": 6,
    "hidden_size_per_layer_input": 128,
    "vocab_size": 80_000,
}
LARGE_26B: dict[str, Any] = {
    "hidden_size": 1024,
    "intermediate_size": 1024,
    "num_hidden_layers": 9,
    "layer_types": ["sliding_attention", "sliding_attention", "full_attention"] * 3,
    "num_experts": 32,
    "moe_intermediate_size": 512,
    "vocab_size": 16_000,
}
SHAPES = {("e4b", False): SMALL_E4B, ("26b", False): SMALL_26B, ("e4b", True): LARGE_E4B, ("26b", True): LARGE_26B}


def tokenizer() -> PreTrainedTokenizerFast:
    """Train a byte-level BPE of at most VOCABULARY entries, the special tokens first."""
    core = Tokenizer(models.BPE(unk_token=None))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.train_from_iterator(
        [text for lesson in LESSONS for text in lesson],
        trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=[*SPECIALS.values(), *TURNS.values(), *MEDIA.values()],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core, **SPECIALS, chat_template=CHAT, model_max_length=4096, extra_special_tokens=MEDIA
    )


def text_config(kind: str, shape: dict[str, Any]) -> Gemma4TextConfig:
    """Describe the language model."""
    common = {
        "vocab_size": VOCABULARY,
        "num_attention_heads": HEADS,
        "num_key_value_heads": 2,
        "head_dim": shape["hidden_size"] // HEADS,
        "global_head_dim": shape["hidden_size"] // 2,
        "sliding_window": 64,
        "max_position_embeddings": 4096,
        "final_logit_softcapping": 30.0,
        "tie_word_embeddings": True,
    }
    if kind == "26b":
        common |= {
            "hidden_size_per_layer_input": 0,
            "num_global_key_value_heads": 1,
            "attention_k_eq_v": True,
            "enable_moe_block": True,
            "top_k_experts": 2,
            "use_bidirectional_attention": "vision",
        }
    own = common | shape
    return Gemma4TextConfig(**own, vocab_size_per_layer_input=own["vocab_size"])


def config(kind: str, shape: dict[str, Any], numbers: dict[str, int]) -> Gemma4Config:
    """Describe the whole model; ``numbers`` are the tokens of images and sounds."""
    vision = Gemma4VisionConfig(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=16,
        position_embedding_size=256,
        use_clipped_linears=kind == "e4b",
    )
    audio = Gemma4AudioConfig(
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        subsampling_conv_channels=[16, 8],
        output_proj_dims=96,
    )
    whole = Gemma4Config(
        text_config=text_config(kind, shape),
        vision_config=vision,
        audio_config=audio if kind == "e4b" else None,
        image_token_id=numbers["image_token"],
        boi_token_id=numbers["boi_token"],
        eoi_token_id=numbers["eoi_token"],
        audio_token_id=numbers["audio_token"],
        boa_token_id=numbers["boa_token"],
        eoa_token_index=numbers["eoa_token"],
        video_token_id=numbers["video_token"],
    )
    for part in (whole, whole.text_config, whole.vision_config, whole.audio_config):
        if part is not None:
            part.dtype = torch.bfloat16  # as in the published config.json
    return whole


def make(shape: Gemma4Config, words: PreTrainedTokenizerFast) -> Gemma4ForConditionalGeneration:
    """Make the model with random weights; its answers end with a turn."""
    model = Gemma4ForConditionalGeneration(shape)
    for name, parameter in model.named_parameters():
        if "experts." in name or "position_embedding" in name:  # left as they are by transformers' own initialisation
            torch.nn.init.normal_(parameter, std=SPREAD)
    ids = words.convert_tokens_to_ids
    model.generation_config.eos_token_id = [ids("<eos>"), ids("<turn|>")]
    model.generation_config.pad_token_id = ids("<pad>")
    model.generation_config.bos_token_id = ids("<bos>")
    return model


def teach(model: Gemma4ForConditionalGeneration, words: PreTrainedTokenizerFast) -> float:
    """Overfit the lessons; return the last loss."""
    texts = [
        words.apply_chat_template(
            [{"role": "user", "content": question}, {"role": "assistant", "content": answer}], tokenize=False
        )
        for question, answer in LESSONS
    ]
    batch = words(texts, return_tensors="pt", padding=True, add_special_tokens=False)
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    trained = [parameter for name, parameter in model.named_parameters() if "tower" not in name]
    optimizer = torch.optim.AdamW(trained, lr=2e-3)
    model.train()
    loss = torch.tensor(float("nan"))
    for _ in range(STEPS):
        loss = model(**batch, labels=labels, mm_token_type_ids=torch.zeros_like(batch["input_ids"])).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
    model.eval()
    return loss.item()


def unread_keys(shape: Gemma4TextConfig) -> dict[str, torch.Tensor]:
    """Return keys and values of the layers that read another's.

    Google's E2B and E4B have them in all layers (tpu-inference#3299); transformers drops them since 5.5.4.
    """
    found = {}
    for layer in range(shape.num_hidden_layers - shape.num_kv_shared_layers, shape.num_hidden_layers):
        attention = f"model.language_model.layers.{layer}.self_attn"
        head = shape.hidden_size // (2 if shape.layer_types[layer] == "full_attention" else HEADS)
        for part in ("k_proj", "v_proj"):
            found[f"{attention}.{part}.weight"] = (
                torch.randn(shape.num_key_value_heads * head, shape.hidden_size) * SPREAD
            )
        found[f"{attention}.k_norm.weight"] = torch.ones(head)
    return {name: tensor.to(torch.bfloat16) for name, tensor in found.items()}


def like_published(path: Path) -> None:
    """Name the shape of the full-attention layers, and the towers' rotary embedding, as Google's config.json does.

    transformers writes `per_layer_config` and the rope type `axial` since 5.15, which 5.14 does not read.
    """
    whole = json.loads(path.read_text())
    text = whole["text_config"]
    per_layer = text.pop("per_layer_config", None)
    if per_layer:
        full = next(iter(per_layer.values()))
        text["global_head_dim"] = full["head_dim"]
        text["num_global_key_value_heads"] = full.get("num_key_value_heads")
    rope = whole["vision_config"].get("rope_parameters") or {}
    if rope.get("rope_type") == "axial":
        rope["rope_type"] = "default"
    path.write_text(json.dumps(whole, indent=2) + "\n")


def main() -> None:
    """Write the checkpoint, and say what is in it as a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=["e4b", "26b"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--taught", action="store_true", help="teach it four short answers")
    parser.add_argument("--large", action="store_true", help="a gigabyte, in several shards")
    options = parser.parse_args()
    torch.manual_seed(0)
    words = tokenizer()
    numbers = {role: words.convert_tokens_to_ids(token) for role, token in MEDIA.items()}
    shape = config(options.kind, SHAPES[options.kind, options.large], numbers)
    model = make(shape, words)
    loss = teach(model, words) if options.taught else None
    model = model.to(torch.bfloat16).eval()
    state = model.state_dict() | unread_keys(shape.text_config)
    model.save_pretrained(options.folder, state_dict=state, max_shard_size=SHARD_BYTES)
    words.save_pretrained(options.folder)
    like_published(options.folder / "config.json")
    for path in options.folder.iterdir():
        path.chmod(0o644)  # safetensors writes files that nobody else may read
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(json.dumps({"parameters": parameters, "loss": loss}))


if __name__ == "__main__":
    main()
