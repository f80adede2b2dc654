"""What the scripts declare of their memory against what `python benchmarks/jobs.py` measured: within 15 %."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from sparkctl.memory.job.peak import JobInputSize, peak, rule_for
from sparkctl.recipes.job.script_files import declaration
from tests.jobs.scripts import FOLDER

MIB = 2**20


class Measured(NamedTuple):
    """A run on two busy cores without a GPU: the weights, their largest file, and the most resident memory, in MiB."""

    script: str
    values: dict[str, Any]
    experts: bool
    weights: int
    largest: int
    resident: int


FREE, WHOLE = {"way": "model-free", "workers": 1}, {"way": "oneshot"}
COMPRESSOR, MODELOPT = "llm-compressor", "modelopt"
TEXTS = {"calibration": {"texts": ["a text"]}}
RUNS = {
    "model-free FP8_DYNAMIC, experts": Measured(COMPRESSOR, FREE | {"scheme": "FP8_DYNAMIC"}, True, 1013, 219, 886),
    "model-free NVFP4A16 of one file": Measured(COMPRESSOR, FREE | {"scheme": "NVFP4A16"}, False, 873, 873, 1923),
    "oneshot FP8_DYNAMIC, experts": Measured(COMPRESSOR, WHOLE | {"scheme": "FP8_DYNAMIC"}, True, 1013, 219, 2474),
    "oneshot FP8_DYNAMIC": Measured(COMPRESSOR, WHOLE | {"scheme": "FP8_DYNAMIC"}, False, 873, 273, 1584),
    "oneshot NVFP4A16": Measured(COMPRESSOR, WHOLE | {"scheme": "NVFP4A16"}, False, 873, 273, 1818),
    "oneshot W8A8": Measured(COMPRESSOR, WHOLE | {"scheme": "W8A8"}, False, 873, 273, 1741),
    "modelopt NVFP4, experts": Measured(MODELOPT, TEXTS | {"algorithm": "NVFP4_DEFAULT_CFG"}, True, 1013, 219, 1983),
}


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_a_prediction_is_within_15_percent_of_what_was_measured(run: Measured) -> None:
    declared, _ = declaration(FOLDER / f"{run.script}.yaml")
    assert declared is not None
    rule = rule_for(declared.memory, run.values, experts=run.experts, gpus=False)
    assert rule is not None
    size = JobInputSize(run.weights * MIB, run.largest * MIB, run.experts, "a random model")
    assert peak(rule, size).bytes == pytest.approx(run.resident * MIB, rel=0.15)
