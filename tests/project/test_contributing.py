"""What CONTRIBUTING.md says of the house is so: its folders, and the names that lead to an engine of one's own."""

from __future__ import annotations

import re

import pytest

from sparkctl.base.errors import InputError
from sparkctl.operations.context import real_world
from sparkctl.world.engine import ENGINE_NAMES
from sparkctl.world.opening import ENGINES
from tests.support.fakes import FakeReport
from tests.support.parsed import PACKAGE
from tests.support.paths import REPOSITORY

TEXT = (REPOSITORY / "CONTRIBUTING.md").read_text()
LINE = re.compile(r"^( {6}| {8})(\w+)/ +(\S.*)$", re.MULTILINE)


def test_the_tree_has_a_line_for_every_room_and_every_folder_in_it() -> None:
    told, room = [], ""
    for indent, name, _ in LINE.findall(TEXT):
        room = name if len(indent) == 6 else room
        told.append(name if name == room and len(indent) == 6 else f"{room}/{name}")
    there = [*PACKAGE.glob("*"), *PACKAGE.glob("*/*")]
    folders = [path for path in there if path.is_dir() and any(path.glob("*.py"))]
    assert sorted(told) == sorted(str(path.relative_to(PACKAGE)) for path in folders)


def test_every_file_that_is_named_with_its_folder_is_there() -> None:
    roots = [REPOSITORY, PACKAGE, *PACKAGE.glob("*")]
    named = set(re.findall(r"`([a-z_][\w/]*/\w[\w-]*\.(?:py|yaml|md))`", TEXT))
    missing = {name for name in named if not any((root / name).is_file() for root in roots)}
    assert missing == {"cli/FOLDER/NAME.py", "recipes/jobs/NAME.yaml", "jobs/NAME.py", "jobs/NAME.yaml"} & named


def test_an_engine_has_one_list_of_names() -> None:
    assert tuple(ENGINES) == ENGINE_NAMES
    with pytest.raises(InputError) as error:
        real_world(engine="podman", report=FakeReport(), tell=lambda _: None)
    assert error.value.message == "the engine (or SPARKCTL_ENGINE) is 'podman', expected docker or sim"
