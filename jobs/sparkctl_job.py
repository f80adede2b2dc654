"""What scripts of jobs have in common: sparkctl lays it beside each script that names it, as /job/sparkctl_job.py.

A script says `from sparkctl_job import Job, run, say`. It needs nothing but Python's own library. docs/jobs.md says
what it offers, in "A script of your own".
"""

from __future__ import annotations

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
    from collections.abc import Callable, Iterator, Mapping

WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".h5", ".msgpack", ".onnx")
NOT_COPIED = (*WEIGHTS, ".index.json", ".md", ".png", ".jpg", ".pdf", ".incomplete")
"""Of the source's files these are its weights, their index, and what is about the source and not about the product."""
CONFIG = "config.json"
UNFINISHED = "config.json.unfinished"
SCALES = (".weight_scale", ".weight_scale_inv")
"""How the names of scales end that a quantized layer has beside its weights."""
FUSED = 3
"""The dimensions of experts that are one tensor."""
PHASES = sys.stdout
"""Where phases are printed; `run` keeps it for them alone."""


class JobError(Exception):
    """What can be said in a line, and needs no traceback: exit code 2."""


@dataclass(frozen=True)
class Job:
    """What the script was asked for: where the source is, where the product goes, and the parameters (`with:`)."""

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
    print(json.dumps({"phase": phase, "resident_bytes": resident, **more}), file=PHASES, flush=True)


def versions() -> dict[str, str]:
    """Return all packages that are installed, with their versions."""
    return {each.metadata["Name"]: each.version for each in distributions()}


def refuse_unusable(job: Job) -> None:
    """Refuse a source that cannot be quantized: it is no model, is not in safetensors, or is quantized already."""
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


def tensors(folder: Path) -> Iterator[tuple[str, str, list[int]]]:
    """Yield file, name and shape of each tensor of a folder, from the headers of its files alone."""
    for path, header in headers(folder):
        for name, tensor in header.items():
            yield path.name, name, tensor["shape"]


def headers(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the files of weights of a folder, each with its tensors by name: dtype, shape and data_offsets."""
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        yield path, header


def index(folder: Path) -> None:
    """Write where each tensor is, if a folder has several files of weights and nothing that says it yet."""
    path = folder / "model.safetensors.index.json"
    found = list(headers(folder))
    if len(found) > 1 and not path.exists():
        where = {name: file.name for file, header in found for name in header}
        ends = [tensor["data_offsets"] for _, header in found for tensor in header.values()]
        size = {"total_size": sum(end - start for start, end in ends)}
        path.write_text(json.dumps({"metadata": size, "weight_map": where}, indent=2) + "\n", encoding="utf-8")


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


def made_by_tool(written: Path) -> dict[str, Any]:
    """Return the `quantization_config` of the config.json that a tool wrote, as what to change in the source's."""
    declared = json.loads(written.read_text(encoding="utf-8")).get("quantization_config")
    if not declared:
        raise JobError("the tool wrote no quantization_config: nothing was quantized; look at ignore")
    return {"quantization_config": declared}


def finish(job: Job, changes: Mapping[str, Any]) -> int:
    """Add to the weights what else a model has; config.json is last, under another name. Return the layers quantized.

    The source's files are copied as they are, and its config.json gets `changes` alone: what transformers writes anew,
    other releases of it do not read (`per_layer_config`, the rope type `axial`, since 5.15).
    """
    for path in sorted(job.source.iterdir()):
        if (
            path.is_file()
            and path.name != CONFIG
            and not path.name.startswith(".")
            and not path.name.endswith(NOT_COPIED)
        ):
            shutil.copyfile(path, job.product / path.name)
    index(job.product)
    whole = job.config | dict(changes)
    layers = sum(name.endswith(SCALES) for _, name, _ in tensors(job.product))
    (job.product / UNFINISHED).write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    for path in job.product.iterdir():
        path.chmod(0o644)  # safetensors 0.8.0 writes 0600, and the server is another user
    return layers


def run(work: Callable[[Job], None]) -> int:
    """Do the work that the command line describes; return the exit code.

    What is printed meanwhile goes to standard error, and standard output has the phases alone. A JobError is a line
    there, and the exit code 2.
    """
    global PHASES  # noqa: PLW0603 (tools print to standard output, which is kept for the phases)
    PHASES = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        work(asked(sys.argv[1:]))
    except JobError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def asked(words: list[str]) -> Job:
    """Return what the words of the command line ask for: one, an object of JSON."""
    try:
        given = json.loads(words[0])
        return Job(Path(given.get("input") or "/input"), Path(given["output"]), given.get("with") or {})
    except (IndexError, ValueError, KeyError, TypeError, AttributeError):
        usage = '{"input": FOLDER, "output": FOLDER, "with": {…}}'
        raise JobError(f"expected one word, {usage}, found {words}") from None
