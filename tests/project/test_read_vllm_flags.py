"""The script that reads a released vLLM's flags out of its wheel, on a wheel of a few lines."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.paths import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SCRIPT = REPOSITORY / "scripts" / "read_vllm_flags.py"
ENVS = "environment_variables: dict[str, object] = {'VLLM_NEW': lambda: 1, 'VLLM_OLD': lambda: 2}\n"
CONFIG = """\
from typing import Literal
Backend = Literal["auto", "triton", "marlin", "naive"]
@config
class ModelConfig:
    model: str = "m"
    seed: int | None = None
    max_model_len: int = 1
    enforce_eager: bool = False
    backend: Backend = "auto"
    size: Literal[8, 128, 16] | None = None
    dtype: "str | Literal['a']" = "a"
    tags: list[Literal["x", "y"]] = []
    nested: LoadConfig = None
@config
class LoadConfig:
    pass
"""
ENGINE = """\
class EngineArgs:
    @staticmethod
    def add_cli_args(parser):
        model_kwargs = get_kwargs(ModelConfig)
        model_kwargs["backend"]["choices"].remove("naive")
        backend_kwargs = model_kwargs["backend"]
        group.add_argument("--model", **model_kwargs["model"])
        group.add_argument("--seed", **model_kwargs["seed"])
        group.add_argument("--max-model-len", **model_kwargs["max_model_len"])
        group.add_argument("--enforce-eager", **{**model_kwargs["enforce_eager"], "default": None})
        group.add_argument("--backend", "-b", **backend_kwargs)
        group.add_argument("--size", **model_kwargs["size"])
        group.add_argument("--dtype", **model_kwargs["dtype"])
        group.add_argument("--tags", **model_kwargs["tags"])
        group.add_argument("--nested", **model_kwargs["nested"])
"""
FRONTEND = """\
class BaseFrontendArgs:
    api_key: list[str] | None = None
class FrontendArgs(BaseFrontendArgs):
    port: int = 8000
def make_arg_parser(parser):
    parser.add_argument("model_tag", nargs="?")
    parser.add_argument("--headless", action="store_true")
    parser.add_argument("--level", type=str, choices=["b", "a"])
    return parser
"""

BACKENDS = ["auto", "marlin", "triton"]


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str], dict[str, Any]]:
    """Return what reads a wheel of a version into data that knows 0.1.0 and 0.3.0."""
    flags = {
        "--seed": {"in": ["0.1.0..0.3.0"], "type": "_optional_type"},
        "--gone": {"in": ["0.1.0"]},
        "--later": {"in": ["0.3.0"]},
        "--backend": {"in": ["0.1.0..0.3.0"], "choices": {"0.1.0": ["auto", "old"]}, "type": "str"},
    }
    versions = ["0.1.0", "0.3.0"]
    (tmp_path / "vllm-flags.json").write_text(json.dumps({"about": "a", "versions": versions, "flags": flags}))
    variables = {"VLLM_OLD": ["0.1.0..0.3.0"], "VLLM_GONE": ["0.1.0..0.3.0"]}
    (tmp_path / "vllm-env.json").write_text(json.dumps({"about": "e", "versions": versions, "variables": variables}))

    def run(version: str) -> dict[str, Any]:
        wheel = tmp_path / f"vllm-{version}-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("vllm/envs.py", ENVS)
            archive.writestr("vllm/config/model.py", CONFIG)
            archive.writestr("vllm/engine/arg_utils.py", ENGINE)
            archive.writestr("vllm/entrypoints/openai/cli_args.py", FRONTEND)
        done = subprocess.run(
            [sys.executable, SCRIPT, wheel, "--data", tmp_path], check=True, capture_output=True, text=True
        )
        both = [json.loads((tmp_path / name).read_text()) for name in ("vllm-flags.json", "vllm-env.json")]
        return {"flags": both[0], "env": both[1], "told": done.stdout.splitlines()}

    return run


def test_flags_kinds_and_choices_are_read_out_of_the_sources(read: Callable[[str], dict[str, Any]]) -> None:
    flags = read("0.4.0+cpu")["flags"]
    assert flags["versions"] == ["0.1.0", "0.3.0", "0.4.0"]
    new = {name: entry for name, entry in flags["flags"].items() if entry["in"] == ["0.4.0"]}
    assert new == {
        "-b": {"in": ["0.4.0"], "aliases": ["--backend"], "choices": {"0.4.0": BACKENDS}, "type": "str"},
        "-h": {"in": ["0.4.0"], "aliases": ["--help"]},
        "--help": {"in": ["0.4.0"], "aliases": ["-h"]},
        "model_tag": {"in": ["0.4.0"], "type": "str"},
        "--api-key": {"in": ["0.4.0"], "type": "_optional_type"},
        "--port": {"in": ["0.4.0"], "type": "int"},
        "--headless": {"in": ["0.4.0"]},
        "--level": {"in": ["0.4.0"], "choices": {"0.4.0": ["a", "b"]}, "type": "str"},
        "--model": {"in": ["0.4.0"], "type": "str"},
        "--max-model-len": {"in": ["0.4.0"], "type": "human_readable_int_or_auto"},
        "--enforce-eager": {"in": ["0.4.0"], "aliases": ["--no-enforce-eager"]},
        "--no-enforce-eager": {"in": ["0.4.0"], "aliases": ["--enforce-eager"]},
        "--size": {"in": ["0.4.0"], "choices": {"0.4.0": ["8", "16", "128", "None"]}, "type": "_optional_type"},
        "--dtype": {"in": ["0.4.0"], "type": "str"},
        "--tags": {"in": ["0.4.0"], "choices": {"0.4.0": ["x", "y"]}, "type": "str"},
        "--nested": {"in": ["0.4.0"], "type": "parse_dataclass"},
    }  # fmt: skip


def test_a_release_between_two_known_ones_splits_their_ranges(read: Callable[[str], dict[str, Any]]) -> None:
    result = read("0.2.0")
    flags, variables = result["flags"]["flags"], result["env"]["variables"]
    assert flags["--seed"]["in"] == ["0.1.0..0.3.0"]
    assert (flags["--gone"]["in"], flags["--later"]["in"]) == (["0.1.0"], ["0.3.0"])
    assert flags["--backend"]["choices"] == {
        "0.1.0": ["auto", "old"],
        "0.2.0": BACKENDS,
        "0.3.0": ["auto", "old"],
    }
    assert variables == {"VLLM_GONE": ["0.1.0", "0.3.0"], "VLLM_NEW": ["0.2.0"], "VLLM_OLD": ["0.1.0..0.3.0"]}
    assert "missing: VLLM_GONE" in result["told"]


def test_reading_a_release_again_changes_nothing(read: Callable[[str], dict[str, Any]]) -> None:
    first = read("0.2.0")
    again = read("0.2.0")
    assert (again["flags"], again["env"]) == (first["flags"], first["env"])
