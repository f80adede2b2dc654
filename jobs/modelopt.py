"""Quantize a model with modelopt, in a job's container: `script.py JSON` with `input`, `output` and `with`.

jobs/modelopt.yaml describes the parameters; docs/jobs.md what a script has to keep to.
"""

from __future__ import annotations

import copy
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
    from collections.abc import Callable, Iterator


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

ALGORITHMS = ("NVFP4_DEFAULT_CFG", "W4A16_NVFP4_CFG", "FP8_DEFAULT_CFG")
FUSED = 3
"""Experts that are one tensor have three dimensions."""


def work(job: Job) -> None:
    """Load the model, quantize its layers, save it: all of it is in memory."""
    say("import", versions=versions())
    import torch
    from modelopt.torch import quantization
    from modelopt.torch.export import export_hf_checkpoint
    from modelopt.torch.quantization.config import need_calibration
    from transformers import AutoTokenizer

    name = job.values.get("algorithm", "")
    if name not in ALGORITHMS:
        raise JobError(f"there is no algorithm {name!r}: it is one of {', '.join(ALGORITHMS)}")
    config = copy.deepcopy(getattr(quantization, name))
    rows = []
    if need_calibration(config):
        rows = calibration(job, AutoTokenizer.from_pretrained(job.source))
        if not rows:
            raise JobError(f"{name} has scales of activations: give texts to find them with (calibration: texts)")
    say("load")
    # Not `auto`: NVML knows no memory of a GB10, so half of the model would be put aside, and the export fails then
    # with «Expected all tensors to be on the same device» (TensorRT-LLM#15021).
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = model_class(job).from_pretrained(job.source, dtype="auto", device_map=device)
    config["quant_cfg"] += switched_off(model, config["quant_cfg"], ignored(job))
    say("quantize")
    quantization.quantize(model, config, forward_loop(rows, device) if rows else None)
    say("save")
    with config_elsewhere(job.product) as written, torch.inference_mode():
        export_hf_checkpoint(model, export_dir=job.product, max_shard_size=job.values.get("shard", "5GB"))
    layers = finish(job, written)
    say("done", layers=layers)


def forward_loop(rows: list[dict[str, list[int]]], device: str) -> Callable[[Any], None]:
    """Return what runs the texts through a model, one after the other; modelopt observes what passes."""
    import torch

    def loop(model: Any) -> None:  # noqa: ANN401 (a model of transformers)
        with torch.inference_mode():
            for at, row in enumerate(rows, 1):
                model(**{name: torch.tensor([numbers], device=device) for name, numbers in row.items()})
                print(f"Calibrating: {at}/{len(rows)}", file=sys.stderr)

    return loop


def switched_off(model: Any, config: list[dict[str, Any]], ignore: list[str]) -> list[dict[str, Any]]:  # noqa: ANN401
    """Return the entries of modelopt's list that keep what ``ignore`` names; JobError where both cannot agree.

    ModelOpt has a list of its own of what is kept. It has images' towers and not sounds'; what it keeps and ``ignore``
    does not name would be missed in the product by who judges it by ``ignore``.
    """
    own = [entry["quantizer_name"] for entry in config if entry.get("enable") is False and "parent_class" not in entry]
    patterns = [name for name in own if name != "*"]
    found = []
    for module, layers in linear_layers(model):
        named = [layer for layer in layers if is_named(layer, ignore)]
        if named and len(named) < len(layers):
            raise JobError(
                f"modelopt cannot keep some layers of {module} alone, as {named[0]}: ignore all of them or none"
            )
        if named:
            found.append({"quantizer_name": f"{module}.*", "enable": False})
        elif any(fnmatch.fnmatch(f"{module}.weight_quantizer", pattern) for pattern in patterns):
            raise JobError(f"modelopt keeps {module} by itself: name it in ignore, or the product seems to lack it")
    return found


def linear_layers(model: Any) -> Iterator[tuple[str, list[str]]]:  # noqa: ANN401 (a model of transformers)
    """Yield the modules with linear layers, and their names in a checkpoint: experts that are one tensor one by one."""
    import torch

    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            yield name, [name]
            continue
        fused = [weight for _, weight in module.named_parameters(recurse=False) if weight.ndim == FUSED]
        if fused and name.endswith("experts"):
            parts = ("gate_proj", "up_proj", "down_proj")
            yield name, [f"{name}.{number}.{part}" for number in range(len(fused[0])) for part in parts]


def is_named(layer: str, patterns: list[str]) -> bool:
    """Return whether a pattern names a layer: its name or the end of it, a glob, or `re:` and an expression."""
    return any(
        re.match(pattern[3:], layer) is not None
        if pattern.startswith("re:")
        else layer == pattern or layer.endswith(f".{pattern}") or fnmatch.fnmatchcase(layer, pattern)
        for pattern in patterns
    )


if __name__ == "__main__":
    sys.exit(run(work))
