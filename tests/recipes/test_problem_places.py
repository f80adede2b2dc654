"""A problem is shown at the line of its key, whatever characters the key, the file's name and the message have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.fake_world import FakeSpark

if TYPE_CHECKING:
    from pathlib import Path


def test_what_a_model_cannot_do_is_told_at_the_line_that_asks_for_it(tmp_path: Path) -> None:
    path = tmp_path / "limits.sequences: a name" / "mine.yaml"
    path.parent.mkdir()
    path.write_text("extends: 26b-a4b-fp8\nlimits:\n  sequences: 2\n  context: 300000\n  batched-tokens: 1024\n")
    assert FakeSpark(tmp_path).run("plan", str(path)).expect(2).err == (
        f"error: {path}:4:12: limits.context: 300000 is more than the model's longest context, 262144 tokens\n"
        "  4 |   context: 300000\n"
        "    |            ^\n"
        "  set it to 262144 or less\n"
        f"{path}:5:19: limits.batched-tokens: 1024 is less than the model's largest item, 2496 tokens\n"
        "  5 |   batched-tokens: 1024\n"
        "    |                   ^\n"
        "  set it to 2496 or more, or limits.multimodal to {image: 0, video: 0}\n"
    )


def test_a_mount_that_is_not_there_is_told_at_its_own_line(tmp_path: Path) -> None:
    """The message names the list alone, and has colons of its own; the path knows which of its items it is."""
    path, there = tmp_path / "mine.yaml", tmp_path / "there"
    there.touch()
    mounts = f"container:\n  mounts:\n    - {there}:/a\n    - {tmp_path}/gone:/b\n"
    path.write_text(f"extends: 26b-a4b-fp8\n{mounts}")
    told = FakeSpark(tmp_path).run("plan", str(path)).err
    assert f"{path}:5:7: container.mounts: {tmp_path}/gone " in told


def test_a_key_with_a_colon_is_refused_at_its_own_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text('extends: 26b-a4b-fp8\nargs:\n  max-loras: 1\n  "max-loras: x": 1\nenv:\n  "A:B": 1\n')
    assert FakeSpark(tmp_path).run("plan", str(path)).expect(2).err == (
        f"error: {path}:4:3: args: expected a flag's name, such as kv-cache-dtype, found 'max-loras: x'\n"
        '  4 |   "max-loras: x": 1\n'
        "    |   ^\n"
        f"{path}:6:3: env: expected the name of a variable, found 'A:B'\n"
        '  6 |   "A:B": 1\n'
        "    |   ^\n"
    )
