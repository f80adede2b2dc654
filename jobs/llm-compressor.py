"""Quantize a model with llm-compressor, in a job's container: `script.py JSON` with `input`, `output` and `with`.

jobs/llm-compressor.yaml describes the parameters; docs/jobs.md what a script has to keep to.
"""

from __future__ import annotations

import fnmatch
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparkctl_job import (
    CONFIG,
    FUSED,
    Job,
    JobError,
    calibration,
    config_elsewhere,
    finish,
    ignored,
    made_by_tool,
    model_class,
    refuse_unusable,
    run,
    say,
    tensors,
    versions,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

MODEL_FREE_KEEPS = ("re:.*norm.*", "re:.*embed_tokens.*")
"""What the way `model-free`, which knows names and no layers, would take for linear layers."""


def work(job: Job) -> None:
    """Quantize in the way that was asked for."""
    refuse_unusable(job)
    way = job.values.get("way", "oneshot")
    if way not in WAYS:
        raise JobError(f"there is no way {way!r}: it is one of {', '.join(WAYS)}")
    WAYS[way](job)


def scheme_of(job: Job) -> tuple[str, bool]:
    """Return the scheme's name, and whether it has scales of activations that are found by calibration."""
    from compressed_tensors.quantization import is_preset_scheme, preset_name_to_scheme

    name = str(job.values.get("scheme", "")).upper()
    if not is_preset_scheme(name):
        raise JobError(f"llm-compressor has no scheme {name!r}")
    activations = preset_name_to_scheme(name, []).input_activations
    return name, activations is not None and activations.dynamic is not True


def kept(ignore: list[str]) -> list[str]:
    """Return what is not quantized as llm-compressor reads it: a plain name is there the whole name of a module."""
    found = []
    for pattern in ignore:
        if pattern.startswith("re:"):
            found.append(pattern)
        elif any(sign in pattern for sign in "*?["):
            found.append(f"re:{fnmatch.translate(pattern)}")
        else:
            found += [pattern, rf"re:.*\.{re.escape(pattern)}$"]
    return found


def oneshot_way(job: Job) -> None:
    """Load the model, quantize its layers, save it: all of it is in memory."""
    say("import", versions=versions())
    from llmcompressor import oneshot
    from llmcompressor.modifiers.quantization import QuantizationModifier
    from llmcompressor.utils import load_context
    from transformers import AutoTokenizer

    scheme, calibrated = scheme_of(job)
    say("load")
    which = model_class(job)
    more: dict[str, Any] = {}
    if calibrated:
        tokenizer = AutoTokenizer.from_pretrained(job.source)
        more = calibrated_with(job, scheme, calibration(job, tokenizer), tokenizer)
    with load_context(which):
        model = which.from_pretrained(job.source, dtype="auto")
    say("quantize")
    oneshot(
        model=model, recipe=QuantizationModifier(targets="Linear", scheme=scheme, ignore=kept(ignored(job))), **more
    )
    say("save")
    with config_elsewhere(job.product) as written:
        model.save_pretrained(job.product, max_shard_size=job.values.get("shard", "5GB"))
    layers = finish(job, made_by_tool(written))
    say("done", layers=layers)


def calibrated_with(job: Job, scheme: str, rows: list[dict[str, list[int]]], tokenizer: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return what `oneshot` gets beside the model when it calibrates."""
    if not rows:
        raise JobError(f"scheme {scheme} has scales of activations: give texts to find them with (calibration: texts)")
    from datasets import Dataset

    return {
        "dataset": Dataset.from_list(rows),
        "num_calibration_samples": len(rows),
        "max_seq_length": max(len(row["input_ids"]) for row in rows),
        "processor": tokenizer,  # or oneshot makes a processor, for which it wants torchvision
        "moe_calibrate_all_experts": job.values.get("moe_calibrate_all_experts", True),
        "pipeline": pipeline(job),
    }


def pipeline(job: Job) -> str:
    """Return how the model is run to calibrate it: as a whole where layers read another's keys and values.

    Layer by layer these are lost: `KeyError: 'sliding_attention'` in Gemma4TextAttention.forward.
    """
    chosen: str = job.values.get("pipeline", "auto")
    if chosen != "auto":
        return chosen
    text = job.config.get("text_config") or job.config
    return "basic" if text.get("num_kv_shared_layers") else "independent"


def model_free_way(job: Job) -> None:
    """Quantize a file of the source after the other, without the model: what the largest of them takes is in memory."""
    say("import", versions=versions())
    from llmcompressor import model_free_ptq

    scheme, calibrated = scheme_of(job)
    if calibrated:
        raise JobError(f"scheme {scheme} has scales of activations, and way model-free runs no text: use way oneshot")
    refuse_what_model_free_cannot(job, scheme)
    say("load")
    staged = Path(tempfile.mkdtemp()) / "source"
    staged.mkdir()
    for path in job.source.iterdir():
        # What else lies there, as weights in another format, would be copied along.
        if path.name == CONFIG or path.name.endswith((".safetensors", ".safetensors.index.json")):
            (staged / path.name).symlink_to(path)
    say("quantize")
    with config_elsewhere(job.product) as written:
        model_free_ptq(
            staged,
            job.product,
            scheme=scheme,
            ignore=[*kept(ignored(job)), *MODEL_FREE_KEEPS],
            max_workers=job.values.get("workers", 1),
        )
    say("save")
    layers = finish(job, made_by_tool(written))
    say("done", layers=layers)


def refuse_what_model_free_cannot(job: Job, scheme: str) -> None:
    """Say before it begins what fails in the middle of it."""
    there = list(tensors(job.source))
    shapes = {name: shape for _, name, shape in there}
    if "FP4" in scheme:
        missing = without_values(job, shapes) or parted(there)
        if missing:
            raise JobError(f"scheme {scheme} scales q, k and v together, gate and up too: {missing}: use way oneshot")
    fused = next((name for name, shape in shapes.items() if len(shape) == FUSED and "experts" in name), None)
    if scheme == "FP8_BLOCK" and fused:
        raise JobError(f"way model-free cannot cut the experts of {fused} into blocks: use way oneshot")


def without_values(job: Job, names: Iterable[str]) -> str | None:
    """Return which layer that is not kept has a query and no value (Gemma 4 26B-A4B, and E4B saved by transformers)."""
    there = set(names)
    expressions = [re.compile(pattern[3:]) for pattern in kept(ignored(job)) if pattern.startswith("re:")]
    layers = [name.removesuffix("q_proj.weight") for name in there if name.endswith("self_attn.q_proj.weight")]
    found = [
        layer
        for layer in sorted(layers)
        if f"{layer}v_proj.weight" not in there and not any(one.match(f"{layer}q_proj") for one in expressions)
    ]
    return f"{found[0]}v_proj is not in the source (of {len(found)} layers)" if found else None


def parted(there: list[tuple[str, str, list[int]]]) -> str | None:
    """Return what one file has of a layer without the rest, other than at the file's end.

    llm-compressor fails there: «Matched … twice before completing set» (entrypoints/model_free/helpers.py). A model in
    one file has no such place.
    """
    for file in sorted({file for file, _, _ in there}):
        for parts in TOGETHER:
            groups: dict[str, set[str]] = {}
            for _, name, _ in [one for one in there if one[0] == file]:
                layer, _, part = name.removesuffix(".weight").rpartition(".")
                if part in parts and layer.endswith(("attn", "attention", "mlp")):
                    groups.setdefault(layer, set()).add(part)
            in_order = sorted(groups, key=lambda layer: [(len(word), word) for word in layer.split(".")])
            for layer in in_order[:-1]:
                if len(groups[layer]) < len(parts):
                    return f"{file} has only {', '.join(sorted(groups[layer]))} of {layer}"
    return None


TOGETHER = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
WAYS = {"oneshot": oneshot_way, "model-free": model_free_way}

if __name__ == "__main__":
    sys.exit(run(work))
