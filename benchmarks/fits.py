"""What `fits` costs over a catalog of 300 recipes, beside a pair of services, so that not all of them fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

RECIPES: Final = 300
BESIDE: Final = "executor"
OF: Final = ("e4b-nvfp4", "26b-a4b-fp8", "e4b-bf16", "26b-a4b-nvfp4", "e2b-nvfp4", "huihui-26b-a4b-fp8-mtp")
CONTEXTS: Final = 16


def write(folder: Path) -> None:
    """Write the recipes, each with a context and a port of its own."""
    (folder / "recipes").mkdir(parents=True, exist_ok=True)
    for number in range(RECIPES):
        limits = f"limits: {{context: {4096 * (1 + number % CONTEXTS)}}}\n"
        text = f"extends: {OF[number % len(OF)]}\nserve: {{name: r{number}, port: {20000 + number}}}\n{limits}"
        (folder / "recipes" / f"r{number}.yaml").write_text(text)
