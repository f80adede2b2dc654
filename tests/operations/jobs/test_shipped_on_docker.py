"""The shipped jobs with the real tools, on tiny models of the same shapes: made, judged, and the same a second time.

S4, S6 and S9 are the systems that the seeds of this project quantized: E4B to NVFP4A16, the 26B to NVFP4 and to FP8.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.support.engine_fixtures import FIRST
from tests.support.job_fixtures import LLMCOMPRESSOR, MODELOPT
from tests.support.thorough import EVERYTHING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.docker_spark import Spark

pytestmark = [pytest.mark.docker, pytest.mark.jobs, FIRST, pytest.mark.timeout(900)]

TEXT = """\
extends: {job}
image: {image}
input: {{repo: null, facts: null, path: {source}}}
output: {output}
gpus: none
serves: null
# Less than the factor says of so small a model: the tool itself is all that counts.
memory: {{peak: 2 GiB, source: this test}}
"""


class Shipped(NamedTuple):
    """A shipped job, the image with its tool, the tiny model of its model's shape, and its layers (test_scripts)."""

    job: str
    image: str
    model: str
    layers: int
    overrides: tuple[str, ...] = ()


EVERY = (
    Shipped("quantize-e4b-nvfp4a16", LLMCOMPRESSOR, "e4b", 4 * 9 + 1),
    Shipped("quantize-26b-fp8", LLMCOMPRESSOR, "26b", 2 * (7 + 12) - 1),
    Shipped("quantize-26b-fp8", LLMCOMPRESSOR, "26b", 2 * (7 + 12) - 1, ("with.way=model-free",)),
    Shipped("quantize-fp8-free", LLMCOMPRESSOR, "e4b", 4 * 9 + 1),
    Shipped("quantize-26b-nvfp4", MODELOPT, "26b", 2 * (7 + 12) - 1),
    Shipped("quantize-huihui-26b-fp8", LLMCOMPRESSOR, "26b", 2 * (7 + 12) - 1),
)
SHIPPED = EVERY if EVERYTHING else EVERY[:1]
"""Ten seconds of CPU each, and twenty for the last: all of them are tried where all is."""


@pytest.mark.parametrize("shipped", SHIPPED, ids=lambda one: " ".join([one.job, *one.overrides]))
def test_a_shipped_job_makes_what_it_says(
    shipped: Shipped, docker_spark: Spark, tiny_gemma4: Path, tmp_path: Path
) -> None:
    spark, output = docker_spark, tmp_path / "made"
    name = f"{spark.prefix}-made"
    given = {"image": shipped.image, "source": tiny_gemma4 / shipped.model, "output": output}
    spark.write(f"recipes/jobs/{name}.yaml", TEXT.format(job=shipped.job, **given))
    sets = [word for override in shipped.overrides for word in ("--set", override)]
    spark.run("job", "run", name, *sets).expect(0)
    told = json.loads((output / "sparkctl-job.json").read_text())
    layers = f"{shipped.layers} of {shipped.layers} linear layers that are to be quantized are"
    assert told["checks"]["layers"] == layers
    assert set(told["checks"]) == {"whole", "declared", "layers", "kept", "tensors", "config", "bytes"}
    assert json.loads((output / "config.json").read_text())["quantization_config"]
    again = spark.run("job", "run", name, *sets).expect(0)
    assert "already made" in again.out
    assert spark.state(f"sparkctl-job-{name}") == ""
