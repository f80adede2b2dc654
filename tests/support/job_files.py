"""Jobs for the tests: their files, a container that one runs in, and models whose weights are holes of the disk."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sparkctl.world.engine import Container
from sparkctl.world.job_labels import JobLabels
from sparkctl.world.labels import ServiceLabels
from tests.support.fake_hub import safetensors

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sparkctl.memory.facts import ModelFacts
    from tests.support.fake_engine import FakeEngine

SCRIPT: dict[str, Any] = {
    "description": "Quantizes",
    "parameters": {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "way": {"type": "string", "default": "oneshot"},
            "scheme": {"type": "string"},
            "ignore": {"type": "array", "items": {"type": "string"}, "default": []},
        },
    },
    "memory": [
        {"when": {"way": "model-free"}, "base": "0.5 GiB", "shard": 1.5, "source": "estimate: measured on the CPU"},
        {"when": {"way": "oneshot"}, "experts": True, "base": "0.5 GiB", "input": 1.85, "source": "the same"},
        {"when": {"scheme": "NVFP4A16"}, "base": "0.5 GiB", "input": 1.5, "source": "the same, without experts"},
    ],
}
CONFIG = {"model_type": "llama", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}
TENSORS = {
    "model.layers.0.self_attn.q_proj.weight": ("BF16", [16, 16], 512),
    "model.embed_tokens.weight": ("BF16", [16, 16], 512),
    "lm_head.weight": ("BF16", [16, 16], 512),
}
"""A model of three matrices, which `write_source` writes."""
JOB: dict[str, Any] = {
    "image": "python:3.12-slim",
    "script": "quantize",
    "with": {"scheme": "FP8_DYNAMIC"},
    "input": {"repo": "google/gemma-4-26B-A4B-it", "facts": "gemma-4-26b-a4b"},
    "output": "~/models/made",
    "lighter": {"words": "one file at a time", "set": {"with.way": "model-free"}},
}


def write_job(root: Path, name: str, **changes: object) -> None:
    """Write a job and its script into a catalog's folder; a change of None leaves a key out."""
    job = {key: value for key, value in {**JOB, **changes}.items() if value is not None}
    for path, content in (
        (root / "recipes" / "jobs" / f"{name}.yaml", json.dumps(job)),
        (root / "jobs" / "quantize.yaml", json.dumps(SCRIPT)),
        (root / "jobs" / "quantize.py", "print()\n"),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def write_source(folder: Path) -> None:
    """Write the model of three matrices, which everybody can read."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "model.safetensors").write_bytes(safetensors(TENSORS))
    folder.chmod(0o755)
    for path in folder.iterdir():
        path.chmod(0o644)


def write_model(folder: Path, facts: ModelFacts, shards: int = 1) -> None:
    """Write a model of these headers into so many files; its weights are holes, which take no room."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(facts.config))
    index: dict[str, str] = {}
    for number in range(shards):
        name = f"model-{number + 1:05}-of-{shards:05}.safetensors"
        header: dict[str, object] = {}
        end = 0
        for tensor in facts.tensors[number::shards]:
            header[tensor.name] = {
                "dtype": tensor.dtype,
                "shape": list(tensor.shape),
                "data_offsets": [end, end + tensor.bytes],
            }
            end += tensor.bytes
            index[tensor.name] = name
        text = json.dumps(header).encode()
        with (folder / name).open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            file.truncate(8 + len(text) + end)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))


def run_job(
    engine: FakeEngine, name: str, *, claim: int | None, gpus: Sequence[str] = (), on_gpus: int = 0
) -> Container:
    """Let a job run on the engine: ``claim`` bytes in all, ``on_gpus`` of them on each of ``gpus``."""
    record = JobLabels(name, "1", "0" * 12, "/models/a", "/models/b.partial-1", "/models/b")
    own: dict[str, Any] = {"gpus": tuple(gpus), "gpu_claim_bytes": on_gpus, "gpu_peak_bytes": on_gpus} if gpus else {}
    claimed = {} if claim is None else ServiceLabels(claim_bytes=claim, peak_bytes=claim, **own).to_labels()
    image = "python:3.12-slim"
    made = Container(
        f"id-of-{name}",
        f"sparkctl-job-{name}",
        image,
        "sha256:1",
        "running",
        labels={**claimed, **record.to_labels()},
    )
    engine.there[made.id] = made
    return made
