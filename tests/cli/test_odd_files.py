"""Odd files and names in place of what a command reads: a message and an exit code, soon, never a traceback."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.fuzz.__main__ import at_home
from tests.fuzz.runs import tried
from tests.fuzz.targets import command

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KINDS = ("pipe", "device", "loop", "empty", "folder", "bytes", "gone", "long", "no UTF-8", "unreadable")
COMMANDS = (
    "render ODD.yaml",
    "plan ODD.yaml",
    "size ODD",
    "size ODD.yaml",
    "recipes lint ODD.yaml",
    "bench a --prompts ODD",
    "bench --compare ODD.json ODD.json",
    "mods pin gemma4-mtp-fix-only --file ODD",
    "--recipes ODD recipes",
    "--profile ODD.yaml ps",
    "render e4b-nvfp4 --set model.path=ODD",
    "render e4b-nvfp4 --set cache=ODD",
    "report a --output ODD",
)


_MAKE: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "loop": lambda path: path.symlink_to(path.name),
    "folder": lambda path: path.mkdir(),
    "unreadable": lambda path: path.symlink_to("/proc/self/mem"),  # even root cannot read its beginning
    "empty": lambda path: path.touch(),
    "bytes": lambda path: path.write_bytes(bytes(range(256))),
}
_NAMES = {"long": "a" * 300, "no UTF-8": "\udcff"}


def odd(folder: Path, kind: str, suffix: str) -> str:
    """Make something odd and return its path."""
    path = folder / (_NAMES.get(kind, "odd") + suffix)
    if kind in _MAKE:
        _MAKE[kind](path)
    return str(path)


@pytest.mark.a_part(4)
@pytest.mark.parametrize("kind", KINDS)
def test_odd_files_are_a_message(tmp_path: Path, kind: str) -> None:
    places = {suffix: odd(tmp_path, kind, suffix) for suffix in (".yaml", ".json", "")}

    def read(line: bytes) -> object:
        words = line.decode().split()
        for suffix, place in places.items():
            words = [word.replace(f"ODD{suffix}", place) for word in words]
        return command(*words)

    with pytest.MonkeyPatch.context() as patch:
        for name, value in at_home(str(tmp_path)).items():
            patch.setenv(name, value)
        assert [(one.data, one.what) for one in tried(read, [line.encode() for line in COMMANDS])] == []
