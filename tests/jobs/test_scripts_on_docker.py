"""The scripts with the real tools, in a container as a job's, on tiny models of Gemma 4's two shapes.

S4, S6 and S9 are the systems that the seeds of this project quantized: E4B to NVFP4A16, the 26B to NVFP4 and to FP8.
"""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.jobs.scripts import FOLDER
from tests.support import gemma4
from tests.support.engine_fixtures import FIRST
from tests.support.fake_world import FakeSpark
from tests.support.job_fixtures import LLMCOMPRESSOR, MODELOPT
from tests.support.thorough import EVERYTHING, only_everything

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.docker, pytest.mark.jobs, FIRST]

KEPT = [*gemma4.IGNORED]
MESSAGES = [{"role": "user", "content": "what is two and two"}, {"role": "assistant", "content": "four"}]
TEXTS = {"texts": ["the quick brown fox jumps over the lazy dog", {"messages": MESSAGES}]}
PHASES = ["import", "load", "quantize", "save", "done"]


class Made(NamedTuple):
    """A run of a script: its image, the model, its parameters, and how many layers it is to quantize.

    E4B: 4 layers of 9 linear ones and one above them; transformers drops keys and values of the 2 layers that read
    another's. 26B: 2 layers of 7 and of 4 x 3 in experts, less the values of the full one.
    """

    image: str
    model: str
    values: dict[str, Any]
    layers: int

    @property
    def script(self) -> str:
        return "modelopt" if self.image == MODELOPT else "llm-compressor"


RUNS = {
    "S6": Made(MODELOPT, "26b", {"algorithm": "NVFP4_DEFAULT_CFG", "calibration": TEXTS}, 2 * (7 + 12) - 1),
}
MORE = {
    "S4": Made(LLMCOMPRESSOR, "e4b", {"way": "model-free", "scheme": "NVFP4A16"}, 4 * 9 + 1),
    "S9, a file after the other": Made(
        LLMCOMPRESSOR, "26b", {"way": "model-free", "scheme": "FP8_DYNAMIC"}, 2 * (7 + 12) - 1
    ),
    "S9": Made(LLMCOMPRESSOR, "26b", {"way": "oneshot", "scheme": "FP8_DYNAMIC"}, 2 * (7 + 12) - 1),
    "W8A8": Made(LLMCOMPRESSOR, "e4b", {"way": "oneshot", "scheme": "W8A8"}, 33),
    "W4A16": Made(LLMCOMPRESSOR, "e4b", {"way": "oneshot", "scheme": "W4A16"}, 33),
    "NVFP4, where layers read another's keys": Made(
        LLMCOMPRESSOR, "e4b", {"way": "oneshot", "scheme": "NVFP4", "calibration": TEXTS}, 33
    ),
    "NVFP4 of experts": Made(LLMCOMPRESSOR, "26b", {"way": "oneshot", "scheme": "NVFP4", "calibration": TEXTS}, 37),
    "S4, the whole model": Made(LLMCOMPRESSOR, "e4b", {"way": "oneshot", "scheme": "NVFP4A16"}, 37 - 2 * 2),
    "modelopt's W4A16": Made(MODELOPT, "e4b", {"algorithm": "W4A16_NVFP4_CFG"}, 33),
    "modelopt's FP8": Made(MODELOPT, "e4b", {"algorithm": "FP8_DEFAULT_CFG", "calibration": TEXTS}, 33),
}
"""What else the tools can: ten seconds of CPU each, so it is tried where all is."""
if EVERYTHING:
    RUNS |= MORE


class Runs:
    """Runs scripts on the engine as a job does."""

    def __init__(self, host: str, models: Path, product: Path) -> None:
        self.host, self.models, self.product = host, models, product
        product.mkdir()
        product.chmod(0o777)  # the container's user is nobody here

    def start(self, made: Made, name: str) -> subprocess.Popen[str]:
        given = {"input": "/input", "output": "/output", "with": {"ignore": KEPT, **made.values}}
        command = ["docker", "--host", self.host, "run", "--rm", f"--name={name}"]
        command += ["--network=none", "--read-only", "--tmpfs=/tmp:exec", "--user=65534:65534", "--cap-drop=ALL"]
        command += ["--env=HOME=/tmp", "--env=USER=job", "--env=HF_HUB_OFFLINE=1"]
        command += [f"--mount=type=bind,source={FOLDER / made.script}.py,target=/job/script.py,readonly"]
        command += [f"--mount=type=bind,source={FOLDER}/sparkctl_job.py,target=/job/sparkctl_job.py,readonly"]
        command += [f"--mount=type=bind,source={self.models / made.model},target=/input,readonly"]
        command += [f"--mount=type=bind,source={self.product},target=/output"]
        command += [made.image, "python3", "/job/script.py", json.dumps(given)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def left(self) -> set[str]:
        """Return what is in the product's folder and can be read there."""
        return {path.name for path in self.product.iterdir() if path.exists()}


@pytest.fixture
def runs(docker_host: str, tiny_gemma4: Path, tmp_path: Path) -> Runs:
    return Runs(docker_host, tiny_gemma4, tmp_path / "product")


@pytest.mark.parametrize("made", RUNS.values(), ids=RUNS)
def test_a_product_is_what_was_asked_for(made: Made, runs: Runs, prefix: str, tmp_path: Path) -> None:
    out, err = runs.start(made, prefix).communicate()
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["phase"] for line in lines] == PHASES, err
    assert lines[-1]["layers"] == made.layers
    assert lines[0]["versions"]["torch"].startswith("2.13.0")
    assert lines[-1]["resident_bytes"] > 2**28
    assert "config.json" not in runs.left()
    assert {"tokenizer.json", "chat_template.jinja", "generation_config.json"} <= runs.left()
    (runs.product / "config.json.unfinished").rename(runs.product / "config.json")
    source = str(runs.models / made.model)
    kept = [word for pattern in KEPT for word in ("--kept", pattern)]
    FakeSpark(tmp_path).run("verify-model", str(runs.product), "--source", source, *kept).expect(0)


@only_everything  # test_killed_scripts.py kills at more moments, in a hundredth of the time
@pytest.mark.parametrize("phase", PHASES[:-1])
def test_a_killed_run_leaves_no_config(phase: str, runs: Runs, prefix: str) -> None:
    with runs.start(MORE["S4, the whole model"], prefix) as process:
        assert process.stdout is not None
        while json.loads(process.stdout.readline())["phase"] != phase:
            pass
        subprocess.run(["docker", "--host", runs.host, "kill", prefix], check=True, capture_output=True)
        process.communicate()
    assert process.returncode == 137
    assert "config.json" not in runs.left()
