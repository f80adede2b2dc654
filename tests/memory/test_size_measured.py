"""What `sparkctl size` says, against what real vLLMs logged; the figures are in tests/golden/size/measured.yaml."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from sparkctl.base.units import GIB
from tests.support.fake_world import FakeSpark
from tests.support.paths import TESTS

if TYPE_CHECKING:
    from pathlib import Path

HERE = TESTS
CASES = [
    case for name in ("measured", "gb10") for case in yaml.safe_load((HERE / f"golden/size/{name}.yaml").read_text())
]
"""gb10.yaml: starts that others logged; a figure of a case that is ``outside`` is not held, and the reason is there."""
FIGURES = {
    "tokens": lambda size: size["kv_cache"]["tokens"],
    "num_blocks": lambda size: size["kv_cache"]["num_blocks"],
    "max_concurrency": lambda size: size["kv_cache"]["max_concurrency"],
    "bytes_per_request": lambda size: size["kv_cache"]["bytes_per_request"] / GIB,
    "loaded": lambda size: size["weights"]["bytes"] / GIB,
}


def _arguments(case: dict[str, Any]) -> list[str]:
    configs = HERE / "fixtures/configs"
    folder = configs / case["model"]
    words = ["size", str(folder) if folder.is_dir() else case["model"], "--json"]
    for name, value in case["options"].items():
        given = str(configs / value) if name == "draft" else str(value)
        words += [f"--{name}"] if value is True else [f"--{name}", given]
    return words


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_size_says_what_a_real_vllm_logged(case: dict[str, Any], tmp_path: Path) -> None:
    done = FakeSpark(tmp_path).run(*_arguments(case))
    assert done.code == 0, done.err
    size = json.loads(done.out)
    expected = {name: case[name] for name in FIGURES if name in case and name not in case.get("outside", {})}
    assert expected or "outside" in case, "a case without a figure cannot fail"
    for name, figure in expected.items():
        exact = pytest.approx(figure["is"], rel=figure.get("within", 0), abs=0)
        assert FIGURES[name](size) == exact, name
