"""Quantize a model with modelopt, in a job's container: `script.py JSON` with `input`, `output` and `with`.

jobs/modelopt.yaml describes the parameters; docs/jobs.md what a script has to keep to.
"""

from __future__ import annotations

import copy
import fnmatch
import re
import sys
from typing import TYPE_CHECKING, Any

from sparkctl_job import (
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
    versions,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ALGORITHMS = ("NVFP4_DEFAULT_CFG", "W4A16_NVFP4_CFG", "FP8_DEFAULT_CFG")


def work(job: Job) -> None:
    """Load the model, quantize its layers, save it: all of it is in memory."""
    refuse_unusable(job)
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
    layers = finish(job, made_by_tool(written))
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
