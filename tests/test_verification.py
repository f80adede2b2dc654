"""verify-mods: three places, and what each mismatch means."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sparkctl.container import LABEL_SERVICE
from sparkctl.errors import ModError
from sparkctl.mods import MountedMod
from sparkctl.ports import Container
from sparkctl.sources import State
from sparkctl.verification import check_container, check_image, verify
from tests.fake_world import FakeSpark
from tests.fakes import FakeEngine

if TYPE_CHECKING:
    from pathlib import Path

ROOT = "/usr/local/lib/python3.12/dist-packages"
TARGET = f"{ROOT}/vllm/a.py"
GOOD, COVERED = b"FIXED = True\n", b"BROKEN = True\n"


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.fixture
def mod(tmp_path: Path) -> MountedMod:
    source = tmp_path / "a.py"
    source.write_bytes(GOOD)
    return MountedMod("fix", "a.py", source, tmp_path / "staged", TARGET, md5(GOOD), replaces=md5(COVERED), root=ROOT)


@pytest.fixture
def engine() -> FakeEngine:
    """Return an engine on which the service `one` runs with the mod in its place."""
    running = Container(
        "id-0", "one", "image", "sha", "running", {LABEL_SERVICE: "one"}, mounts=(("/staged", TARGET, True),)
    )
    image = {TARGET: COVERED, f"{ROOT}/vllm/__init__.py": b""}
    return FakeEngine(images={"image": image}, there={"id-0": running}, files={("one", TARGET): GOOD})


def places(engine: FakeEngine, mod: MountedMod) -> tuple[list[State], str, bool, list[str]]:
    (verdict,) = verify(engine, "one", "image", [mod])
    states = [verdict.host.state, verdict.image.state, verdict.container.state]
    return states, verdict.word, verdict.holds, verdict.reasons


def test_all_three_places_hold(engine: FakeEngine, mod: MountedMod) -> None:
    assert places(engine, mod) == ([State.OK, State.OK, State.OK], "ok", True, [])


def test_an_image_that_moved_is_named_with_what_it_has(engine: FakeEngine, mod: MountedMod) -> None:
    engine.images["image"][TARGET] = b"NEWER = True\n"
    states, word, holds, reasons = places(engine, mod)
    assert (states[1], word, holds) == (State.CHANGED, "changed", False)
    why = (
        f"the image has moved: {TARGET} in image has md5 {md5(b'NEWER = True' + bytes([10]))}, and mod fix covers "
        f"{md5(COVERED)}: does it contain the fix? then drop the mod, else make the mod anew"
    )
    assert reasons == [why]
    with pytest.raises(ModError, match="the image has moved"):
        check_image(engine, "image", [mod])


def test_a_container_started_without_the_mod_is_named(engine: FakeEngine, mod: MountedMod) -> None:
    engine.there["id-0"] = engine.there["id-0"]._replace(mounts=())
    engine.files["one", TARGET] = COVERED
    states, word, holds, reasons = places(engine, mod)
    assert (states[2], word, holds) == (State.MISSING, "missing", False)
    assert reasons[0].startswith(f"this container was started without the mod: one has md5 {md5(COVERED)} at {TARGET}")
    with pytest.raises(ModError, match="this container was started without the mod"):
        check_container(engine, "one", [mod])


def test_another_file_in_the_container_is_changed(engine: FakeEngine, mod: MountedMod) -> None:
    engine.files["one", TARGET] = b"OTHER = True\n"
    assert places(engine, mod)[1] == "changed"


def test_a_writable_mount_does_not_hold(engine: FakeEngine, mod: MountedMod) -> None:
    engine.there["id-0"] = engine.there["id-0"]._replace(mounts=(("/staged", TARGET, False),))
    _, word, holds, reasons = places(engine, mod)
    assert (word, holds) == ("changed", False)
    assert "is mounted writable" in reasons[0]


def test_a_source_that_changed_does_not_hold_although_the_container_does(engine: FakeEngine, mod: MountedMod) -> None:
    assert mod.original is not None
    mod.original.write_bytes(b"EDITED = True\n")
    states, word, holds, _ = places(engine, mod)
    assert (states, word, holds) == ([State.CHANGED, State.OK, State.OK], "changed", False)


def test_an_image_that_is_not_here_is_unknown_which_only_a_running_service_minds(
    engine: FakeEngine, mod: MountedMod
) -> None:
    engine.images.clear()
    assert places(engine, mod)[1:3] == ("unknown", False)
    engine.there.clear()
    states, word, holds, _ = places(engine, mod)
    assert (states[2], word, holds) == (State.NOT_RUNNING, "unknown", True)


def test_an_image_without_the_file_to_replace_is_refused(engine: FakeEngine, mod: MountedMod) -> None:
    del engine.images["image"][TARGET]
    with pytest.raises(ModError, match=re.escape(f"image has no {TARGET} that mod fix could cover")):
        check_image(engine, "image", [mod])


def test_a_new_file_must_not_be_there_yet(engine: FakeEngine, mod: MountedMod) -> None:
    new = replace(mod, replaces="absent")
    with pytest.raises(ModError, match=r"the image has moved: image has a .* of its own now"):
        check_image(engine, "image", [new])
    del engine.images["image"][TARGET]
    check_image(engine, "image", [new])


def test_another_layout_of_the_image_is_refused(engine: FakeEngine, mod: MountedMod) -> None:
    del engine.images["image"][f"{ROOT}/vllm/__init__.py"]
    with pytest.raises(ModError, match=re.escape(f"image has no Python package vllm under {ROOT}")):
        check_image(engine, "image", [mod])


def test_without_replaces_the_image_is_not_compared(engine: FakeEngine, mod: MountedMod) -> None:
    assert places(engine, replace(mod, replaces=None))[0][1] is State.NOT_COMPARED


def test_unpinned_is_worse_than_unknown(engine: FakeEngine, mod: MountedMod) -> None:
    engine.images.clear()
    engine.there.clear()
    assert places(engine, replace(mod, md5="unpinned"))[1:3] == ("unpinned", False)


def test_the_command_prints_a_table_a_line_for_each_that_is_lost_and_exits_6(tmp_path: Path) -> None:
    spark = FakeSpark(tmp_path)
    spark.engine.images.clear()
    done = spark.run("verify-mods").expect(6)
    header, *rows = done.out.splitlines()
    assert header.split() == ["service", "mod", "file", "host", "image", "container", "verdict"]
    assert {row.split()[0] for row in rows} == {"26b-a4b-fp8-mtp", "26b-a4b-nvfp4", "huihui-26b-a4b-fp8-mtp"}
    assert all(row.endswith("unpinned") for row in rows)
    assert done.err.splitlines()[-1] == "error: 3 of 3 files do not hold"
    (first, *_) = spark.run("verify-mods", "--json").expect(6).json
    assert list(first) == ["service", "mod", "file", "host", "image", "container", "md5", "verdict"]


def test_no_mods_hold(tmp_path: Path) -> None:
    assert FakeSpark(tmp_path).run("verify-mods", "e4b-nvfp4").expect(0).err == "no mods to verify\n"


def test_a_container_without_a_recipe_is_checked_by_its_own_label(tmp_path: Path) -> None:
    spark = FakeSpark(tmp_path)
    label = f'[{{"md5":"{md5(GOOD)}","mod":"fix","target":"{TARGET}"}}]'
    labels = {LABEL_SERVICE: "gone", "sparkctl.mods": label}
    mounts = (("/staged", TARGET, True),)
    spark.engine.there["id-0"] = Container("id-0", "gone", "image", "sha", "running", labels, mounts=mounts)
    spark.engine.images["image"] = {TARGET: COVERED}
    spark.engine.files["gone", TARGET] = GOOD
    (row,) = spark.run("verify-mods", "gone", "--json").expect(0).json
    assert (row["host"], row["container"], row["verdict"]) == ("not compared", "ok", "ok")
    spark.engine.files["gone", TARGET] = COVERED
    assert "verdict" in spark.run("verify-mods", "gone").expect(6).out
