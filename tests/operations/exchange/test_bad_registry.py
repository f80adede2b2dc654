"""A registry that means harm, or is broken: what can be read is imported, and the rest is told."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sparkctl.operations.exchange import importing
from tests.support.paths import EXCHANGE

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = (EXCHANGE / "eugr.yaml").read_text()
BOMB = 'recipe_version: "1"\nx0: &x0 [lol, lol]\n' + "".join(
    f"x{i + 1}: &x{i + 1} [{', '.join([f'*x{i}'] * 9)}]\n" for i in range(30)
)


def test_one_bad_file_is_no_end_of_the_others(tmp_path: Path) -> None:
    """Bombs, circles, tabs and bytes are refusals with their places; marks and line ends of other systems are read."""
    files = {
        "good.yaml": RECIPE,
        "windows.yaml": "\ufeff" + RECIPE.replace("\n", "\r\n"),
        "bomb.yaml": f"{BOMB}command: x\n",
        "tabs.yaml": 'recipe_version: "1"\ncommand: x\nenv:\n\tA: 1\n',
        "deep.yaml": 'recipe_version: "1"\ncommand: ' + "[" * 2000,
        "circle.yaml": 'recipe_version: "2"\ninclude: circle\nmodel: m\n',
        "outside.yaml": 'recipe_version: "2"\ninclude: ../../secret\nmodel: m\n',
        "unclosed.yaml": RECIPE.replace("{drafts}}}'", "{drafts}}}"),
        "large.yaml": 'recipe_version: "1"\ncommand: |\n' + "  vllm serve m\n" * 80_000,
    }
    registry = tmp_path / "registry"
    registry.mkdir()
    for name, text in files.items():
        (registry / name).write_bytes(text.encode())
    (tmp_path / "secret.yaml").write_text(RECIPE.replace("org/Example-7B", "org/secret"))
    (registry / "link.yaml").symlink_to(tmp_path / "secret.yaml")
    os.mkfifo(registry / "pipe.yaml")
    found = importing.read(str(registry))
    refused = {one.file: one.made.refused.message for one in found.recipes if one.made.refused is not None}
    assert sorted(one.file for one in found.usable) == ["good.yaml", "windows.yaml"]
    assert sorted(refused) == sorted(set(files) - {"good.yaml", "windows.yaml"})
    assert "aliases written out" in refused["bomb.yaml"]
    assert "a tab" in refused["tabs.yaml"]
    assert "in a circle" in refused["circle.yaml"]
    assert "no name of a recipe" in refused["outside.yaml"]
    assert "1024 KiB" in refused["large.yaml"]
    assert dict(found.refused)["link.yaml"] == "a link that leaves the folder"
    assert "pipe.yaml" in dict(found.refused)
    assert not any("secret" in one.text for one in found.usable)


def test_nothing_of_a_registry_is_executed(tmp_path: Path) -> None:
    """Traps in commands, in variables and in mods: no file appears."""
    trap = tmp_path / "trap"
    mod = tmp_path / "registry/mods/fix-example"
    mod.mkdir(parents=True)
    (mod / "run.sh").write_text(f"touch {trap}\n")
    evil = f"$(touch {trap}) `touch {trap}`"
    text = RECIPE.replace("vllm serve org", f"touch {trap}; eval 'touch {trap}'; vllm serve org")
    text = text.replace('VLLM_EXAMPLE: "1"', f'VLLM_EXAMPLE: "{evil}"')
    (tmp_path / "registry/one.yaml").write_text(text)
    (recipe,) = importing.read(str(tmp_path / "registry")).usable
    assert not trap.exists()
    told = [f"{left.what}: {left.why}" for left in recipe.made.leftovers]
    assert any("touch" in one and "a command beside the server's" in one for one in told)
    assert any("VLLM_EXAMPLE" in one and "run a command for its value" in one for one in told)
