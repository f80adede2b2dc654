"""The script that reads the defaults of released vLLMs out of their wheels, on wheels of a few lines."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

from tests.support.paths import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = """\
NAME = "b"
@config
class Model:
    seed: int = {seed}
    share: float = Field(default=0.9, gt=0)
    tags: list[str] = field(default_factory=list)
    name: str = NAME
    worked_out: int = compute()
    eager: bool = False
"""
ENGINE = """\
class EngineArgs:
    @staticmethod
    def add_cli_args(parser):
        model_kwargs = get_kwargs(Model)
        seed_kwargs = model_kwargs["seed"]
        group.add_argument("--seed", "-s", **seed_kwargs)
        group.add_argument("--share", **model_kwargs["share"])
        group.add_argument("--tags", **model_kwargs["tags"])
        group.add_argument("--name", **model_kwargs["name"])
        group.add_argument("--worked-out", **model_kwargs["worked_out"])
        group.add_argument("--eager", **{**model_kwargs["eager"], "default": None})
        group.add_argument("--own", default=EngineArgs.other)
    other: int = 3
"""
FRONTEND = "class FrontendArgs:\n    port: int = 8000\n"
ENVS = """\
environment_variables = {
    "A": lambda: bool(int(os.environ.get("A", "1"))),
    "B": lambda: os.getenv("B"),
    "C": env_with_choices("C", None, ["x"]),
    "D": lambda: os.getenv("D", os.getenv("E", "e")),
}
"""


def wheel(folder: Path, release: str, seed: int) -> None:
    """Make a wheel with only these sources."""
    with zipfile.ZipFile(folder / f"vllm-{release}-py3-none-any.whl", "w") as archive:
        archive.writestr("vllm/config/model.py", CONFIG.replace("{seed}", str(seed)))
        archive.writestr("vllm/engine/arg_utils.py", ENGINE)
        archive.writestr("vllm/entrypoints/openai/cli_args.py", FRONTEND)
        archive.writestr("vllm/envs.py", ENVS)


def test_a_default_stands_at_the_first_release_that_has_it(tmp_path: Path) -> None:
    for release, seed in (("0.1.0", 1), ("0.2.0", 1), ("0.3.0", 2)):
        wheel(tmp_path, release, seed)
    script = [sys.executable, REPOSITORY / "scripts" / "read_vllm_defaults.py", tmp_path, "--data", tmp_path]
    subprocess.run(script, check=True)
    made = json.loads((tmp_path / "vllm-defaults.json").read_text())
    assert made["versions"] == ["0.1.0", "0.2.0", "0.3.0"]
    assert made["flags"] == {
        "--eager": {"0.1.0": "None"},
        "--name": {"0.1.0": "'b'"},
        "--own": {"0.1.0": "3"},
        "--port": {"0.1.0": "8000"},
        "--seed": {"0.1.0": "1", "0.3.0": "2"},
        "--share": {"0.1.0": "0.9"},
        "--tags": {"0.1.0": "[]"},
    }
    assert made["variables"] == {"A": {"0.1.0": "1"}, "C": {"0.1.0": "None"}}
