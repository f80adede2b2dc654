"""What tests of jobs get: the real tools' images on the first engine, and the tiny Gemma 4 models of the testbed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.engine_fixtures import not_here

LLMCOMPRESSOR = "sparkctl-test/llmcompressor:0.14.0.1"
MODELOPT = "sparkctl-test/modelopt:0.47.0"
LM_EVAL = "sparkctl-test/lm-eval:0.4.13"
HOW = "run tests/testbed/testbed jobs, then `eval` what tests/testbed/testbed env prints"


@pytest.fixture(scope="session")
def tiny_gemma4(first_host: str) -> Path:
    """Return the folder with `e4b`, `26b` and `e4b-taught`, where the images of jobs are on the first engine too."""
    folder = os.environ.get("SPARKCTL_TEST_TINY", "")
    if not folder:
        not_here("jobs", f"SPARKCTL_TEST_TINY names no folder; {HOW}")
    for image in (LLMCOMPRESSOR, MODELOPT, LM_EVAL):
        asked = ["docker", "--host", first_host, "image", "inspect", image]
        if subprocess.run(asked, capture_output=True, check=False).returncode != 0:
            not_here("jobs", f"the engine has no {image}; {HOW}")
    return Path(folder)
