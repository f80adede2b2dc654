"""The shipped jobs, run for real by the real tools on tiny models of the same shapes: their products pass the checks.

A run of every day tries one of them, a thorough one all: each takes some seconds of importing.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.engine_fixtures import FIRST
from tests.support.job_fixtures import LLMCOMPRESSOR, MODELOPT
from tests.support.thorough import THOROUGH

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.docker_spark import Spark

pytestmark = [pytest.mark.docker, pytest.mark.jobs, FIRST, pytest.mark.timeout(900)]
JOBS = [
    ("quantize-26b-fp8", LLMCOMPRESSOR, "26b", 37),
    ("quantize-e4b-nvfp4a16", LLMCOMPRESSOR, "e4b", 37),
    ("quantize-26b-nvfp4", MODELOPT, "26b", 37),
    ("quantize-huihui-26b-fp8", LLMCOMPRESSOR, "26b", 37),
    ("quantize-fp8-free", LLMCOMPRESSOR, "26b", 37),
]
"""The job, its image, its tiny model, and how many layers are quantized by the model's own headers."""


@pytest.mark.parametrize(("job", "image", "model", "layers"), JOBS if THOROUGH else JOBS[:1])
def test_a_shipped_job_makes_a_product_that_passes_its_checks(
    job: str, image: str, model: str, layers: int, docker_spark: Spark, tiny_gemma4: Path, tmp_path: Path
) -> None:
    own = f"{docker_spark.prefix}-{job}"
    output = tmp_path / "made"
    lines = [f"extends: {job}", f"image: {image}", f"input: {{path: {tiny_gemma4 / model}}}"]
    docker_spark.write(f"recipes/jobs/{own}.yaml", "\n".join([*lines, f"output: {output}", "gpus: none", ""]))
    docker_spark.run("job", "run", own, timeout=900).expect(0)
    made = json.loads((output / "sparkctl-job.json").read_bytes())
    assert made["checks"]["layers"] == f"{layers} of {layers} linear layers that are to be quantized are"
    assert set(made["checks"]) == {"whole", "declared", "layers", "kept", "tensors", "config", "bytes"}
    assert made["image"]["packages"]["torch"].startswith("2.13.0")
    assert made["peak_bytes"] > 2**28
    assert f"already made: {output}" in docker_spark.run("job", "run", own).expect(0).out
