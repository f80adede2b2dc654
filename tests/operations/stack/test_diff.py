"""What a stack declares, what was applied and what runs are held against each other, and nothing is touched."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sparkctl.operations.stack.resolved import kept, resolved
from sparkctl.world.engine import ImportedFile
from tests.support.box import Box
from tests.support.fake_world import IMAGE
from tests.support.fakes import FakeReport

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.planning.box.generation import KeptGeneration
    from tests.support.command_line import Done

TARGET = "/usr/local/lib/python3.12/dist-packages/vllm/m.py"
FIRST, SECOND = "first-value-of-it", "second-value-of-it"
FIXED = b"x = 1\n"
MOD = """\
description: a mod
applies-to: {{image: "{image}", vllm: ">=0.1"}}
files:
  - {{path: {target}, source: m.py, md5: {md5}}}
"""


@pytest.fixture
def box(tmp_path: Path) -> Box:
    found = Box(tmp_path)
    found.apply("a; b").expect(0)
    return found


def differs(box: Box, *more: str) -> Done:
    return box.run("diff", *more).expect(9)


def test_what_is_as_declared_and_applied_does_not_differ(box: Box) -> None:
    box.changed()
    done = box.run("diff").expect(0)
    assert done.out == ""
    assert "held against generation 1 (box, 1970-01-01 00:00 UTC, by " in done.err
    assert "no service differs" in done.err
    assert box.changed() == []


def test_without_a_stack_and_with_nothing_applied_there_is_nothing_to_hold_against(tmp_path: Path) -> None:
    empty = Box(tmp_path)
    assert "nothing was applied yet" in empty.run("diff").expect(2).err
    empty.stack("a")
    done = empty.run("diff", "box").expect(9)
    assert done.out.startswith("sa: added\n")


def test_a_changed_file_is_named_flag_by_flag(box: Box) -> None:
    box.stack("a set: {limits.context: 8192, env.X: '1'}, priority: 3; c")
    done = differs(box)
    assert "sa: changed\n    --max-model-len: 16384 before, 8192 now\n" in done.out
    assert "    priority: 0 before, 3 now\n" in done.out
    assert "--env X: not set before" in done.out
    assert "sc: added\n    recipe rc" in done.out
    assert "sb: removed\n    not declared any more, and its container is there still (apply --prune" in done.out
    assert "3 of 3 services differ" in done.err


def test_what_happened_to_what_runs_is_drift_with_its_reason(box: Box) -> None:
    box.run("up", "sa", "--set", "limits.context=4096", "--replace").expect(0)
    there = box.container("sb")
    box.spark.engine.there[there.id] = there._replace(state="exited", exit_code=0)
    done = differs(box)
    assert "sa: drifted\n    it was started by hand with other settings: limits.context=4096\n" in done.out
    assert "    --max-model-len: 4096 runs, 16384 wanted\n" in done.out
    assert "sb: drifted\n    it does not run: it ended with 0, by itself or stopped with other tools" in done.out
    box.spark.engine.there[there.id] = there._replace(state="exited", exit_code=137, oom_killed=True)
    assert "it does not run: the kernel killed it for memory" in differs(box).out
    del box.spark.engine.there[there.id]
    assert "it has no container, and no `sparkctl down` paused it" in differs(box).out


def test_a_tag_that_moved_and_an_image_that_is_gone_are_drift_and_no_change(box: Box) -> None:
    box.spark.engine.tagged[IMAGE] = "sha256:another"
    done = differs(box)
    assert f"sa: drifted\n    the tag {IMAGE} names another image now: vllm/vllm-op before, another now" in done.out
    assert "changed" not in done.out
    box.spark.engine.images.clear()
    assert f"the image {IMAGE} is not on this engine any more" in differs(box).out


def test_a_secret_of_another_value_is_named_and_not_shown(box: Box) -> None:
    box.spark.environ["HF_TOKEN"] = FIRST
    box.apply("a set: {secrets: [HF_TOKEN]}; b").expect(0)
    box.run("diff").expect(0)
    box.spark.environ["HF_TOKEN"] = SECOND
    done = differs(box)
    assert "changed: secret HF_TOKEN" in done.out
    assert "value-of-it" not in done.out + done.err
    box.stack("a; b")
    assert "secret HF_TOKEN: not wanted any more" in differs(box).out


def test_what_no_stack_declares_and_what_another_has_is_named(box: Box) -> None:
    box.stack("d", "other")
    box.run("up", "other", "rc").expect(0)
    done = differs(box)
    assert "rc: undeclared\n    runs, from the recipe rc, of no stack" in done.out
    assert "sd: undeclared\n    runs, from the recipe rd, of the stack other" in done.out


def test_a_file_that_is_gone_leaves_what_was_applied_of_it(box: Box) -> None:
    (box.folder / "recipes/stacks/box.yaml").unlink()
    done = box.run("diff").expect(0)
    assert "recipes/stacks/box.yaml is not there any more" in done.err


def test_mods_that_are_lost_are_found_when_the_containers_are_asked(tmp_path: Path) -> None:
    box = Box(tmp_path)
    mod = tmp_path / "mods/fix"
    mod.mkdir(parents=True)
    (mod / "m.py").write_bytes(FIXED)
    md5 = hashlib.md5(FIXED, usedforsecurity=False).hexdigest()
    (mod / "mod.yaml").write_text(MOD.format(image=IMAGE, target=TARGET, md5=md5))
    box.recipe("c", 9003, "mods: [fix]\n")
    box.spark.engine.images[IMAGE][TARGET] = b"x = 0\n"
    box.apply("c").expect(0)
    box.run("diff", "--mods").expect(0)
    box.spark.engine.seen[TARGET] = ImportedFile("0" * 32, None, TARGET)
    box.run("diff").expect(0)
    assert "sc: drifted\n    mod lost: " in box.run("diff", "--mods").expect(9).out


def test_a_command_is_made_again_only_where_something_that_it_is_made_of_has_changed(box: Box) -> None:
    world = box.spark.world(FakeReport())
    applied = box.generations.applied()
    assert applied is not None
    marked = replace(applied, services=tuple(replace(one, words=("marked",)) for one in applied.services))

    def words(before: KeptGeneration) -> list[tuple[str, ...]]:
        return [one.words for one in kept(world, resolved(world, "box", touch=False), 0, 0.0, "", before).services]

    assert words(marked) == [("marked",), ("marked",)]
    box.stack("a set: {env.X: '1'}; b")
    first, second = words(marked)
    assert (first[:2], second) == (("docker", "run"), ("marked",))
    box.recipe("b", 9002, "x-note: nothing of this is in the command\n")
    assert all(one[:2] == ("docker", "run") for one in words(marked)), "the text is kept, too"
    other = replace(marked, services=tuple(replace(one, inputs="") for one in marked.services))
    assert ("marked",) not in words(other)


def test_the_program_interface_has_every_service_and_the_same_verdict(box: Box) -> None:
    assert box.run("diff", "--json").expect(0).json["same"] is True
    box.stack("a; b; c")
    row = box.run("diff", "box", "--json").expect(9).json
    assert [(one["name"], one["kinds"]) for one in row["services"]] == [("sa", []), ("sb", []), ("sc", ["added"])]
    assert (row["same"], row["generation"], row["stack"]) == (False, 1, "box")


def test_a_recipe_that_is_gone_is_named_at_its_line_of_the_stack(box: Box) -> None:
    box.stack("a; gone")
    err = box.run("diff").expect(2).err
    assert re.search(r"box\.yaml:\d+:\d+: no recipe 'rgone'", err), err


def test_a_generation_that_cannot_be_read_is_left_out_with_a_word(box: Box) -> None:
    box.spark.store.kept = [one._replace(text="{") for one in box.spark.store.kept]
    assert "generation 1 cannot be read" in box.run("diff", "box").expect(9).err
