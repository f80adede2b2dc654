"""A shipped recipe written for another tool and imported again: the same server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.operations.exchange import importing
from tests.support.fake_world import FakeSpark

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("tool", ["sparkrun", "llama-swap", "compose", "docker-run", "systemd"])
def test_what_is_written_for_another_tool_comes_back(tmp_path: Path, tool: str) -> None:
    """The image, the limits, the flags, the name and the port are the recipe's own."""
    file = tmp_path / {"docker-run": "one.sh", "systemd": "one.service"}.get(tool, "one.yaml")
    file.write_text(FakeSpark(tmp_path).run("export", "e4b-nvfp4", "--as", tool).expect(0).out)
    (recipe,) = importing.read(str(file)).usable
    keys = recipe.made.keys
    assert keys["limits"] == {"context": 16384, "sequences": 4, "batched-tokens": 2048}
    assert keys["args"] == {"kv-cache-dtype": "fp8", "quantization": "compressed-tensors"}
    assert keys["image"] == "vllm/vllm-openai:gemma4-cu130"
    assert isinstance(keys["serve"], dict)
    assert (keys["serve"]["name"], keys["serve"]["port"]) == ("gemma-4-e4b", 8003)
