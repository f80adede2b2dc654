"""Quantize a model with llm-compressor, in a job's container: `script.py JSON` with `input`, `output` and `with`.

jobs/llm-compressor.yaml describes the parameters; docs/jobs.md what a script has to keep to.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import resource
import shutil
import struct
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


# --- the same in each script ---

WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".h5", ".msgpack", ".onnx")
NOT_COPIED = (*WEIGHTS, ".index.json", ".md", ".png", ".jpg", ".pdf", ".incomplete")
"""Of the source's files these are its weights, their index, and what is about the source and not about the product."""
CONFIG = "config.json"
UNFINISHED = "config.json.unfinished"
SCALES = (".weight_scale", ".weight_scale_inv")
REPORTED = sys.stdout


class JobError(Exception):
    """What can be said in a line, and needs no traceback: exit code 2."""


@dataclass(frozen=True)
class Job:
    """What the script was asked for: where the source is, where the product goes, and how."""

    source: Path
    product: Path
    values: dict[str, Any]

    @property
    def config(self) -> dict[str, Any]:
        """The source's config.json."""
        found: dict[str, Any] = json.loads((self.source / CONFIG).read_text(encoding="utf-8"))
        return found


def say(phase: str, **more: object) -> None:
    """Report a phase as a line of JSON, with the most memory that the process has held so far."""
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"phase": phase, "resident_bytes": resident, **more}), file=REPORTED, flush=True)


def versions() -> dict[str, str]:
    """Return all packages that are installed, with their versions."""
    return {each.metadata["Name"]: each.version for each in distributions()}


def the_source(job: Job) -> None:
    """Refuse what no tool can make anything of."""
    if not (job.source / CONFIG).is_file():
        raise JobError(f"{job.source} has no {CONFIG}: it is no model, or only half of one")
    if not any(job.source.glob("*.safetensors")):
        raise JobError(f"{job.source} has no *.safetensors: give the model as safetensors")
    method = (job.config.get("quantization_config") or {}).get("quant_method")
    if method:
        raise JobError(f"the source is quantized already ({method}): give the model that it was made from")


def ignored(job: Job) -> list[str]:
    """Return what is to be kept as it is."""
    patterns: list[str] = job.values.get("ignore", [])
    for pattern in patterns:
        try:
            re.compile(pattern.removeprefix("re:") if pattern.startswith("re:") else "")
        except re.error as error:
            raise JobError(f"ignore: {pattern} is no regular expression: {error}") from None
    return patterns


def model_class(job: Job) -> Any:  # noqa: ANN401 (a class of transformers)
    """Return the class that the source's config.json names."""
    import transformers

    (name, *_) = job.config.get("architectures") or ["AutoModelForCausalLM"]
    found = getattr(transformers, name, None)
    if found is None:
        raise JobError(f"transformers {transformers.__version__} has no {name}, which {CONFIG} names")
    return found


def calibration(job: Job, tokenizer: Any) -> list[dict[str, list[int]]]:  # noqa: ANN401 (any tokenizer of transformers)
    """Return the texts to calibrate with, as token numbers: each at most `length` tokens, `samples` of them at most."""
    wanted = job.values.get("calibration") or {}
    texts = wanted.get("texts") or []
    if isinstance(texts, str):
        texts = lines_of(job.source / texts)
    rows = []
    for text in texts[: wanted.get("samples", 512)]:
        if not isinstance(text, str) and not tokenizer.chat_template:
            raise JobError("a text with `messages` needs the tokenizer's chat template, and the source has none")
        words = text if isinstance(text, str) else tokenizer.apply_chat_template(text["messages"], tokenize=False)
        # A chat template writes the first token itself.
        row = tokenizer(
            words, add_special_tokens=isinstance(text, str), truncation=True, max_length=wanted.get("length", 2048)
        )
        rows.append({"input_ids": row["input_ids"], "attention_mask": row["attention_mask"]})
    return rows


def lines_of(path: Path) -> list[Any]:
    """Read a file of the source's folder: a text a line, or with .jsonl an object with `text` or `messages` a line."""
    if not path.is_file():
        raise JobError(f"there is no {path} with texts to calibrate with")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise JobError(f"{path}: expected texts in UTF-8: byte {error.start} is none") from None
    rows: list[Any] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        rows.append(line if path.suffix != ".jsonl" else text_of(line, f"{path}:{number}"))
    return rows


def text_of(line: str, where: str) -> Any:  # noqa: ANN401 (a text, or an object with messages)
    """Read a line of a .jsonl file."""
    try:
        row = json.loads(line)
    except ValueError as error:
        raise JobError(f"{where}: expected an object of JSON: {error}") from None
    if isinstance(row, dict) and isinstance(row.get("text"), str):
        return row["text"]
    if isinstance(row, dict) and isinstance(row.get("messages"), list):
        return row
    raise JobError(f"{where}: expected an object with `text` or `messages`")


def heads(folder: Path) -> Iterator[tuple[str, str, list[int]]]:
    """Yield file, name and shape of each tensor of a folder, from the headers of its files alone."""
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
        for name, tensor in header.items():
            if name != "__metadata__":
                yield path.name, name, tensor["shape"]


@contextmanager
def config_elsewhere(product: Path) -> Iterator[Path]:
    """Lead what the tool writes as config.json out of the product's folder; yield where it is then.

    The tools write it before, between and after the weights. A folder with whole weights and a config.json is a model
    for whoever finds it, also when the job was killed and nobody has checked what is in it. A link to a file of the
    container's own leads nowhere as soon as the container has ended.
    """
    link, kept = product / CONFIG, Path(tempfile.mkdtemp()) / CONFIG
    link.symlink_to(kept)
    try:
        yield kept
    finally:
        link.unlink(missing_ok=True)


def finish(job: Job, written: Path) -> int:
    """Add to the weights what else a model has; config.json is last, under another name. Return the layers quantized.

    The source's files are copied as they are, and its config.json gets `quantization_config` alone: what transformers
    writes anew, other releases of it do not read (`per_layer_config`, the rope type `axial`, since 5.15).
    """
    for path in sorted(job.source.iterdir()):
        if (
            path.is_file()
            and path.name != CONFIG
            and not path.name.startswith(".")
            and not path.name.endswith(NOT_COPIED)
        ):
            shutil.copyfile(path, job.product / path.name)
    declared = json.loads(written.read_text(encoding="utf-8")).get("quantization_config")
    if not declared:
        raise JobError("the tool wrote no quantization_config: nothing was quantized; look at ignore")
    whole = job.config | {"quantization_config": declared}
    layers = sum(name.endswith(SCALES) for _, name, _ in heads(job.product))
    (job.product / UNFINISHED).write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    for path in job.product.iterdir():
        path.chmod(0o644)  # safetensors 0.8.0 writes 0600, and the server is another user
    return layers


def run(work: Callable[[Job], None]) -> int:
    """Do the work that the command line describes; return the exit code."""
    global REPORTED  # noqa: PLW0603 (tools print to standard output, which is kept for the phases)
    REPORTED = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    asked = json.loads(sys.argv[1])
    job = Job(Path(asked["input"]), Path(asked["output"]), asked.get("with") or {})
    try:
        the_source(job)
        work(job)
    except JobError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


# --- this script ---

MODEL_FREE_KEEPS = ("re:.*norm.*", "re:.*embed_tokens.*")
"""What the way `model-free`, which knows names and no layers, would take for linear layers."""


def work(job: Job) -> None:
    """Quantize in the way that was asked for."""
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
    layers = finish(job, written)
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
    layers = finish(job, written)
    say("done", layers=layers)


def refuse_what_model_free_cannot(job: Job, scheme: str) -> None:
    """Say before it begins what fails in the middle of it."""
    tensors = list(heads(job.source))
    shapes = {name: shape for _, name, shape in tensors}
    if "FP4" in scheme:
        missing = without_values(job, shapes) or parted(tensors)
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


def parted(tensors: list[tuple[str, str, list[int]]]) -> str | None:
    """Return what one file has of a layer without the rest, other than at the file's end.

    llm-compressor fails there: «Matched … twice before completing set» (entrypoints/model_free/helpers.py). A model in
    one file has no such place.
    """
    for file in sorted({file for file, _, _ in tensors}):
        for parts in TOGETHER:
            groups: dict[str, set[str]] = {}
            for _, name, _ in [one for one in tensors if one[0] == file]:
                layer, _, part = name.removesuffix(".weight").rpartition(".")
                if part in parts and layer.endswith(("attn", "attention", "mlp")):
                    groups.setdefault(layer, set()).add(part)
            in_order = sorted(groups, key=lambda layer: [(len(word), word) for word in layer.split(".")])
            for layer in in_order[:-1]:
                if len(groups[layer]) < len(parts):
                    return f"{file} has only {', '.join(sorted(groups[layer]))} of {layer}"
    return None


TOGETHER = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
FUSED = 3
"""Experts that are one tensor have three dimensions."""
WAYS = {"oneshot": oneshot_way, "model-free": model_free_way}

if __name__ == "__main__":
    sys.exit(run(work))
