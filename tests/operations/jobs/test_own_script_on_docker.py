"""The script and the job that docs/jobs.md shows: they run as they stand there, with torch, on the real engine."""

from __future__ import annotations

import json
import re
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from tests.support.engine_fixtures import FIRST
from tests.support.job_fixtures import LLMCOMPRESSOR
from tests.support.paths import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.docker_spark import Spark

pytestmark = [pytest.mark.docker, pytest.mark.jobs, FIRST, pytest.mark.timeout(300)]
PAGE = (REPOSITORY / "docs" / "jobs.md").read_text()


def shown(file: str) -> str:
    """Return the text of a file that the page shows: the first indented block after its name."""
    found = re.search(rf"`{re.escape(file)}`.*\n\n((?:    .*\n|\n)+)", PAGE)
    assert found is not None
    return dedent(found[1]).strip() + "\n"


def test_the_script_that_the_page_shows_runs(docker_spark: Spark, tiny_gemma4: Path, tmp_path: Path) -> None:
    output, name = tmp_path / "made", f"{docker_spark.prefix}-to-float16"
    docker_spark.write("cast.py", shown("cast.py"))
    job = docker_spark.write(f"{name}.yaml", shown("to-float16.yaml"))
    values = {"image": LLMCOMPRESSOR, "input.path": tiny_gemma4 / "e4b", "output": output}
    sets = [word for key, value in values.items() for word in ("--set", f"{key}={value}")]
    rendered = docker_spark.run("job", "render", str(job), *sets).expect(0).out
    assert "target=/job/sparkctl_job.py" in rendered
    docker_spark.run("job", "run", str(job), *sets).expect(0)
    assert json.loads((output / "config.json").read_bytes())["dtype"] == "float16"
    header = (output / "model.safetensors").read_bytes()[:4096]
    assert b'"F16"' in header
    assert b'"BF16"' not in header
    assert (output / "tokenizer.json").exists()
    made = json.loads((output / "sparkctl-job.json").read_bytes())
    assert set(made["checks"]) == {"whole", "tensors"}
    assert made["script"]["name"] == "cast"
    assert len(made["script"]["library"]) == 32

    wrong = [*sets, "--set", "with.dtype=fp4", "--set", f"output={tmp_path / 'other'}"]
    assert (
        "with: expected dtype, float16 or bfloat16" in docker_spark.run("job", "run", str(job), *wrong).expect(10).err
    )
