"""Of a stack those that are there are shown, read and restarted; of the others it is said that they are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.box import Box

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def box(tmp_path: Path) -> Box:
    box = Box(tmp_path)
    box.apply("a; b start: manual; c").expect(0)
    return box


def test_status_shows_those_of_a_stack_that_are_there(box: Box) -> None:
    done = box.run("status", "box").expect(0)
    assert "sb: not deployed" in done.err
    assert "sa" in done.out
    assert "sc" in done.out
    assert [one["name"] for one in box.run("status", "box", "--json").expect(0).json] == ["sa", "sc"]
    box.run("down", "sc")
    rows = box.run("status", "box", "--json").expect(5).json
    assert [(one["name"], one["state"]) for one in rows] == [("sa", "ready"), ("sc", "dead")]  # paused is told


def test_logs_and_restart_take_those_of_a_stack_that_are_there(box: Box) -> None:
    done = box.run("logs", "box").expect(0)
    assert "==> sa <==" in done.out
    assert "==> sc <==" in done.out
    assert "sb: not deployed" in done.err
    box.changed()
    assert "sb: not deployed" in box.run("restart", "box").expect(0).err
    assert box.changed() == ["stop sa", "start sa", "stop sc", "start sc"]


def test_who_is_named_has_to_be_there_and_something_of_a_stack(box: Box) -> None:
    assert "no service sb is deployed" in box.run("status", "sa", "sb").expect(2).err
    assert "no service sb is deployed" in box.run("logs", "sa", "sb").expect(2).err
    box.stack("d; b start: manual", "other")
    for command in ("status", "logs", "restart"):
        assert "nothing of other is deployed" in box.run(command, "other").expect(2).err


def test_a_recipe_that_is_not_there_is_told_at_its_line_and_with_the_folders(box: Box) -> None:
    box.stack("a; x")
    for command in (["plan"], ["diff"], ["apply"], ["recipes", "lint"]):
        done = box.run(*command, "box").expect(2)
        told = done.err + done.out
        assert "box.yaml:3:16: no recipe 'rx'" in told
        assert f"looked for in {box.folder / 'recipes'}, " in told, "whoever gives a folder of their own"


def test_a_stack_that_is_a_list_is_told_as_that(box: Box) -> None:
    path = box.folder / "recipes" / "stacks" / "listed.yaml"
    path.write_text("- sa: {recipe: ra}\n")
    for name in ("listed", str(path)):
        for command in (["plan"], ["diff"], ["apply"], ["up"], ["recipes", "lint"]):
            done = box.run(*command, name).expect(2)
            assert "listed.yaml:1:1: expected a map, found a list" in done.err + done.out
