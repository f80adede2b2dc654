"""A script that is killed at any moment leaves no model: in the tools' places are some that write alike, and wait."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.jobs.scripts import FOLDER
from tests.support.fake_hub import safetensors

if TYPE_CHECKING:
    from pathlib import Path

TOOLS = {
    "transformers/__init__.py": """\
import json, os, shutil, sys
from pathlib import Path


def moment(name):
    print(f"moment {name}", file=sys.stderr, flush=True)
    if os.environ["WAIT_AT"] == name:
        sys.stdin.read()


class LlamaForCausalLM:
    @classmethod
    def from_pretrained(cls, folder, dtype):
        moment("load")
        return cls()

    def save_pretrained(self, folder, max_shard_size):
        config = Path(folder, "config.json")
        with open(config, "w") as file:
            json.dump({"model_type": "llama", "written": "anew"}, file)
        moment("config")
        shutil.copyfile(os.environ["WEIGHTS"], Path(folder, "model.safetensors"))
        moment("weights")
        whole = json.loads(config.read_text())
        with open(config, "w") as file:
            json.dump(whole | {"quantization_config": {"quant_method": "compressed-tensors"}}, file)
        moment("saved")


class AutoTokenizer:
    chat_template = None

    @classmethod
    def from_pretrained(cls, folder):
        return cls()
""",
    "llmcompressor/__init__.py": """\
from transformers import moment


def oneshot(model, recipe):
    print("a line of the tool's own")
    moment("quantize")


def model_free_ptq():
    pass
""",
    "llmcompressor/modifiers/__init__.py": "",
    "llmcompressor/modifiers/quantization.py": "QuantizationModifier = dict\n",
    "llmcompressor/utils.py": """\
from contextlib import contextmanager


@contextmanager
def load_context(which):
    yield
""",
    "compressed_tensors/__init__.py": "",
    "compressed_tensors/quantization.py": """\
from types import SimpleNamespace


def is_preset_scheme(name):
    return name in {"FP8_DYNAMIC", "NVFP4"}


def preset_name_to_scheme(name, targets):
    return SimpleNamespace(input_activations=SimpleNamespace(dynamic="local" if name == "NVFP4" else True))
""",
}
CONFIG = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "rope": {"theta": 1e-06}}
MADE = {"model.q_proj.weight": ("F8_E4M3", [16, 16], 256), "model.q_proj.weight_scale": ("BF16", [16, 1], 32)}
MOMENTS = ("load", "quantize", "config", "weights", "saved")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Write the tools, a source, and what is to be made of it."""
    for name, text in TOOLS.items():
        path = tmp_path / "tools" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    source = tmp_path / "input"
    source.mkdir()
    (source / "config.json").write_text(json.dumps(CONFIG))
    (source / "model.safetensors").write_bytes(safetensors({"model.q_proj.weight": ("BF16", [16, 16], 512)}))
    (source / "tokenizer.json").write_text("the source's own")
    (source / "README.md").write_text("of the source")
    (tmp_path / "made.safetensors").write_bytes(safetensors(MADE))
    (tmp_path / "output").mkdir()
    (tmp_path / "tmp").mkdir()
    return tmp_path


def started(place: Path, wait_at: str, **values: object) -> subprocess.Popen[str]:
    given = {
        "input": str(place / "input"),
        "output": str(place / "output"),
        "with": {"scheme": "FP8_DYNAMIC", "ignore": [], **values},
    }
    environment = {
        "PYTHONPATH": str(place / "tools"),
        "TMPDIR": str(place / "tmp"),
        "WEIGHTS": str(place / "made.safetensors"),
        "WAIT_AT": wait_at,
    }
    return subprocess.Popen(
        [sys.executable, FOLDER / "llm-compressor.py", json.dumps(given)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


@pytest.mark.a_part(2)
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_kill_leaves_no_config_beside_weights(place: Path, moment: str) -> None:
    with started(place, moment) as process:
        assert process.stderr is not None
        while f"moment {moment}" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGKILL)
    shutil.rmtree(place / "tmp")  # it was the container's
    left = {path.name for path in (place / "output").iterdir() if path.exists()}
    assert left == ({"model.safetensors"} if moment in {"weights", "saved"} else set())


def test_a_job_that_ends_has_written_its_config_last_and_under_another_name(place: Path) -> None:
    with started(place, "never") as process:
        out, err = process.communicate("")
    assert process.returncode == 0, err
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["phase"] for line in lines] == ["import", "load", "quantize", "save", "done"]
    assert lines[-1]["layers"] == 1
    assert lines[-1]["resident_bytes"] > 10**6
    assert "pytest" in lines[0]["versions"]
    assert "a line of the tool's own" in err
    output = place / "output"
    made = {path.name for path in output.iterdir()}
    assert made == {"config.json.unfinished", "model.safetensors", "tokenizer.json"}
    declared = {"quantization_config": {"quant_method": "compressed-tensors"}}
    assert json.loads((output / "config.json.unfinished").read_text()) == CONFIG | declared
    assert (output / "tokenizer.json").read_text() == "the source's own"
    assert {path.stat().st_mode & 0o777 for path in output.iterdir()} == {0o644}


MESSAGES = {"texts": [{"messages": [{"role": "user", "content": "what is two and two"}]}]}


@pytest.mark.a_part(3)
@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"scheme": "FP3"}, "llm-compressor has no scheme 'FP3'"),
        (
            {"scheme": "NVFP4", "way": "model-free"},
            "scheme NVFP4 has scales of activations, and way model-free runs no text: use way oneshot",
        ),
        (
            {"scheme": "NVFP4"},
            "scheme NVFP4 has scales of activations: give texts to find them with (calibration: texts)",
        ),
        (
            {"scheme": "NVFP4", "calibration": MESSAGES},
            "a text with `messages` needs the tokenizer's chat template, and the source has none",
        ),
    ],
)
def test_what_a_scheme_wants_is_said_in_one_line(place: Path, values: dict[str, object], says: str) -> None:
    with started(place, "never", **values) as process:
        _, err = process.communicate("")
    assert (process.returncode, err) == (2, f"error: {says}\n")
    assert list((place / "output").iterdir()) == []
