"""verify-mods: three places, and what each mismatch means."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import EngineError, ModError
from sparkctl.mods.images import Images
from sparkctl.mods.on_disk import FileState
from sparkctl.mods.placed import MountedMod, from_record, recorded
from sparkctl.mods.verdicts import Meant, check_container, check_image, verify
from sparkctl.operations import deployed
from sparkctl.world.engine import Container, ImportedFile
from sparkctl.world.labels import LABEL_RECIPE, LABEL_SERVICE, RecordedMod, ServiceLabels
from tests.support.fake_engine import FakeEngine
from tests.support.fake_world import IMAGE, FakeSpark
from tests.support.fakes import FakeClock, FakeFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
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
    return MountedMod(
        "fix",
        "a.py",
        source,
        tmp_path / "staged",
        TARGET,
        md5(GOOD),
        replaces=(md5(COVERED),),
        meant=f"md5 {md5(COVERED)}",
        root=ROOT,
    )


@pytest.fixture
def engine() -> FakeEngine:
    """Return an engine on which the service `one` runs with the mod in its place."""
    running = Container(
        "id-0", "one", "image", "sha", "running", {LABEL_SERVICE: "one"}, mounts=(("/staged", TARGET, True),)
    )
    image = {TARGET: COVERED, f"{ROOT}/vllm/__init__.py": b""}
    return FakeEngine(images={"image": image}, there={"id-0": running}, files={("one", TARGET): GOOD})


class FailingEngine(FakeEngine):
    """An engine that cannot read; ``loses`` is what is gone when it is asked again."""

    def __init__(self, like: FakeEngine, loses: str = "") -> None:
        super().__init__(images=like.images, there=like.there, files=like.files)
        self.loses = loses

    def read_file(self, container: str, path: str) -> bytes | None:
        if self.loses == "container":
            self.there[container] = self.there[container]._replace(state="exited")
        if self.loses == "engine":
            self.silent = True
        raise EngineError(f"cannot read {path}: its image has neither cat nor python3", hint="use another image")

    def imported(self, container: str, files: Sequence[tuple[str, str | None]]) -> dict[str, ImportedFile] | None:
        return {path: ImportedFile(str(self.read_file(container, path))) for path, _ in files}

    def read_image_files(self, reference: str, paths: Sequence[str]) -> dict[str, bytes | None]:
        if self.loses == "image":
            self.images.clear()
        if self.loses in {"container", "engine"}:
            return super().read_image_files(reference, paths)
        raise EngineError(f"cannot read {paths[0]} in the image: it is a folder")

    def container(self, name: str) -> Container | None:
        if getattr(self, "silent", False):
            raise EngineError("the engine does not answer")
        return super().container(name)


def places(engine: FakeEngine, mod: MountedMod) -> tuple[list[FileState], str, bool, list[str]]:
    (verdict,) = verify(engine, Images(engine, FakeFiles()), Meant("one", "image", [mod], deployed.find(engine, "one")))
    states = [verdict.host.state, verdict.image.state, verdict.container.state]
    return states, verdict.word, verdict.holds, verdict.reasons


def test_all_three_places_hold(engine: FakeEngine, mod: MountedMod) -> None:
    assert places(engine, mod) == ([FileState.OK, FileState.OK, FileState.OK], "ok", True, [])


def test_an_image_that_moved_is_named_with_what_it_has(engine: FakeEngine, mod: MountedMod) -> None:
    engine.images["image"][TARGET] = b"NEWER = True\n"
    states, word, holds, reasons = places(engine, mod)
    assert (states[1], word, holds) == (FileState.CHANGED, "changed", False)
    why = (
        f"the image has moved: {TARGET} in image has md5 {md5(b'NEWER = True' + bytes([10]))}, and mod fix covers "
        f"md5 {md5(COVERED)}: if it contains the fix, drop the mod, else make mod fix anew from the image's file"
    )
    assert reasons == [why]
    with pytest.raises(ModError, match="the image has moved"):
        check_image(Images(engine, FakeFiles()), "image", [mod])


def test_a_container_started_without_the_mod_is_named(engine: FakeEngine, mod: MountedMod) -> None:
    engine.there["id-0"] = engine.there["id-0"]._replace(mounts=())
    engine.files["one", TARGET] = COVERED
    states, word, holds, reasons = places(engine, mod)
    assert (states[2], word, holds) == (FileState.MISSING, "missing", False)
    assert reasons[0].startswith(f"this container was started without the mod: one has md5 {md5(COVERED)} at {TARGET}")
    with pytest.raises(ModError, match="this container was started without the mod"):
        check_container(engine, "one", deployed.find(engine, "one"), [mod])


def test_a_copy_that_changed_under_the_container_is_named_with_both_checksums(
    engine: FakeEngine, mod: MountedMod
) -> None:
    mounts = ((str(mod.source), TARGET, True),)
    engine.there["id-0"] = engine.there["id-0"]._replace(mounts=mounts)
    engine.files["one", TARGET] = b"OTHER"
    states, word, holds, reasons = places(engine, mod)
    assert (states[2], word, holds) == (FileState.CHANGED, "changed", False)
    found = f"one has md5 {md5(b'OTHER')} at {TARGET}, and mod fix is {md5(GOOD)}"
    why = f"the mounted copy {mod.source} has changed since it was verified: {found}: sparkctl up --replace one"
    assert reasons == [why]


def test_a_container_started_before_the_mod_was_pinned_anew_is_named(engine: FakeEngine, mod: MountedMod) -> None:
    engine.files["one", TARGET] = b"OLDER"
    assert places(engine, mod)[3][0].startswith("this container was started with another file for the mod, /staged: ")


def test_a_file_that_is_right_without_a_mount_is_not_the_mod(engine: FakeEngine, mod: MountedMod) -> None:
    engine.there["id-0"] = engine.there["id-0"]._replace(mounts=())
    assert places(engine, mod)[:3] == ([FileState.OK, FileState.OK, FileState.MISSING], "missing", False)


def test_a_mount_without_its_file_is_named(engine: FakeEngine, mod: MountedMod) -> None:
    engine.files.clear()
    states, word, _, reasons = places(engine, mod)
    assert (states[2], word) == (FileState.MISSING, "missing")
    assert reasons[0].startswith(f"the mod's mount is gone from this container: one has no {TARGET}, and mod fix is ")


def test_an_unpinned_mod_in_a_container_does_not_hold(engine: FakeEngine, mod: MountedMod) -> None:
    states, word, holds, reasons = places(engine, replace(mod, md5="unpinned"))
    assert (states[2], word, holds) == (FileState.UNPINNED, "unpinned", False)
    assert reasons[-1].startswith(f"nothing says whether this is the mod: one has md5 {md5(GOOD)} at {TARGET}")


def test_a_container_of_the_same_name_that_is_somebody_elses_is_not_looked_into(
    engine: FakeEngine, mod: MountedMod
) -> None:
    engine.there["id-0"] = engine.there["id-0"]._replace(labels={})
    assert places(FailingEngine(engine, "container"), mod)[0][2] is FileState.NOT_RUNNING


def test_a_container_that_cannot_be_read_does_not_hold_and_the_others_are_still_checked(
    engine: FakeEngine, mod: MountedMod
) -> None:
    states, word, holds, reasons = places(FailingEngine(engine), mod)
    assert (states, word, holds) == ([FileState.OK, FileState.UNKNOWN, FileState.UNKNOWN], "unknown", False)
    assert reasons == [
        f"mod fix in image: cannot read {TARGET} in the image: it is a folder",
        f"mod fix in one: cannot read {TARGET}: its image has neither cat nor python3: use another image",
    ]


def test_a_container_that_stops_during_the_check_does_not_hold(engine: FakeEngine, mod: MountedMod) -> None:
    states, _, holds, reasons = places(FailingEngine(engine, "container"), mod)
    assert (states[2], holds) == (FileState.UNKNOWN, False)
    assert reasons == ["one stopped while its mods were read: sparkctl logs one"]


def test_an_image_that_is_removed_during_the_check_is_unknown(engine: FakeEngine, mod: MountedMod) -> None:
    engine.there.clear()
    states, word, holds, reasons = places(FailingEngine(engine, "image"), mod)
    assert (states[1], word, holds) == (FileState.UNKNOWN, "unknown", True)
    assert reasons == [f"image is not on this host: what mod fix covers at {TARGET} is unknown until a pull"]


def test_an_engine_that_falls_silent_is_an_error_and_no_verdict(engine: FakeEngine, mod: MountedMod) -> None:
    with pytest.raises(EngineError, match="the engine does not answer"):
        places(FailingEngine(engine, "engine"), mod)


@pytest.mark.parametrize("there", [True, False])
def test_a_container_that_is_gone_cannot_pass_the_check(engine: FakeEngine, mod: MountedMod, *, there: bool) -> None:
    engine.there["id-0"] = engine.there["id-0"]._replace(state="exited")
    if not there:
        engine.there.clear()
    with pytest.raises(ModError, match="one stopped before its mods could be checked"):
        check_container(engine, "one", deployed.find(engine, "one"), [mod])
    check_container(engine, "one", None, [])


def test_a_new_file_that_is_known_by_its_label_is_not_missed_in_the_image(engine: FakeEngine, mod: MountedMod) -> None:
    engine.images["image"].clear()
    (known,) = from_record(recorded([mod]))
    assert places(engine, known) == ([FileState.NOT_COMPARED, FileState.NOT_COMPARED, FileState.OK], "ok", True, [])


def test_a_writable_mount_does_not_hold(engine: FakeEngine, mod: MountedMod) -> None:
    engine.there["id-0"] = engine.there["id-0"]._replace(mounts=(("/staged", TARGET, False),))
    _, word, holds, reasons = places(engine, mod)
    assert (word, holds) == ("changed", False)
    assert "is mounted writable" in reasons[0]


def test_a_source_that_changed_does_not_hold_although_the_container_does(engine: FakeEngine, mod: MountedMod) -> None:
    assert mod.original is not None
    mod.original.write_bytes(b"EDITED = True\n")
    states, word, holds, _ = places(engine, mod)
    assert (states, word, holds) == ([FileState.CHANGED, FileState.OK, FileState.OK], "changed", False)


def test_an_image_that_is_not_here_is_unknown_which_only_a_running_service_minds(
    engine: FakeEngine, mod: MountedMod
) -> None:
    engine.images.clear()
    assert places(engine, mod)[1:3] == ("unknown", False)
    engine.there.clear()
    states, word, holds, _ = places(engine, mod)
    assert (states[2], word, holds) == (FileState.NOT_RUNNING, "unknown", True)


def test_an_image_without_the_file_to_replace_is_refused(engine: FakeEngine, mod: MountedMod) -> None:
    del engine.images["image"][TARGET]
    with pytest.raises(ModError, match=re.escape(f"image has no {TARGET} that mod fix could cover")):
        check_image(Images(engine, FakeFiles()), "image", [mod])


def test_a_new_file_must_not_be_there_yet(engine: FakeEngine, mod: MountedMod) -> None:
    new = replace(mod, replaces=("absent",))
    with pytest.raises(ModError, match=r"the image has moved: .* in image has md5 .*, and mod fix expects none"):
        check_image(Images(engine, FakeFiles()), "image", [new])
    del engine.images["image"][TARGET]
    check_image(Images(engine, FakeFiles()), "image", [new])


def test_another_layout_of_the_image_is_refused(engine: FakeEngine, mod: MountedMod) -> None:
    del engine.images["image"][f"{ROOT}/vllm/__init__.py"]
    with pytest.raises(ModError, match=re.escape(f"image has no Python package vllm under {ROOT}")):
        check_image(Images(engine, FakeFiles()), "image", [mod])


def test_without_replaces_the_image_is_not_compared(engine: FakeEngine, mod: MountedMod) -> None:
    assert places(engine, replace(mod, replaces=()))[0][1] is FileState.NOT_COMPARED


def test_unpinned_is_worse_than_unknown(engine: FakeEngine, mod: MountedMod) -> None:
    engine.images.clear()
    engine.there.clear()
    assert places(engine, replace(mod, md5="unpinned"))[1:3] == ("unpinned", False)


def test_the_command_prints_a_table_a_line_for_each_that_is_lost_and_exits_6(tmp_path: Path) -> None:
    spark = FakeSpark(tmp_path)
    spark.engine.images.clear()
    done = spark.run("verify-mods", "--all").expect(6)
    header, *rows = done.out.splitlines()
    assert header.split() == ["service", "mod", "file", "host", "image", "container", "verdict"]
    assert {row.split()[0] for row in rows} == {"26b-a4b-fp8-mtp", "26b-a4b-nvfp4", "huihui-26b-a4b-fp8-mtp"}
    assert all(row.endswith("unpinned") for row in rows)
    assert done.err.splitlines()[-1] == "error: 3 of 3 files do not hold"
    (first, *_) = spark.run("verify-mods", "--all", "--json").expect(6).json
    assert list(first) == ["service", "mod", "file", "host", "image", "container", "md5", "verdict"]


def test_no_mods_hold(tmp_path: Path) -> None:
    assert FakeSpark(tmp_path).run("verify-mods", "e4b-nvfp4").expect(0).err == (
        "no mods to verify: nothing that is judged has any\n"
    )


def test_without_names_what_runs_is_judged_and_the_rest_is_a_warning(tmp_path: Path) -> None:
    done = FakeSpark(tmp_path).run("verify-mods").expect(0)
    assert done.out == ""
    assert (
        "warning: 26b-a4b-nvfp4 does not run, and could not be started as it is: "
        "sparkctl verify-mods 26b-a4b-nvfp4 says why"
    ) in done.err


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


MANIFEST = """applies-to: {{vllm: "<0.1"}}
files: [{{path: {target}, source: fix.py, md5: "{md5}"}}]
"""


@pytest.fixture
def spark(tmp_path: Path) -> FakeSpark:
    """Return a Spark with a recipe `mine` that has a mod of its own, and a stack that renames it."""
    spark = FakeSpark(tmp_path)
    (tmp_path / "mods" / "fix").mkdir(parents=True)
    (tmp_path / "mods" / "fix" / "fix.py").write_bytes(GOOD)
    (tmp_path / "mods" / "fix" / "mod.yaml").write_text(MANIFEST.format(target=TARGET, md5=md5(GOOD)))
    (tmp_path / "recipes" / "stacks").mkdir(parents=True)
    (tmp_path / "recipes" / "mine.yaml").write_text("extends: e4b-nvfp4\nmods: [fix]\n")
    (tmp_path / "recipes" / "stacks" / "pair.yaml").write_text("services:\n  renamed: {recipe: mine}\n")
    spark.engine.images[IMAGE] = {TARGET: COVERED}
    return spark


def test_a_member_of_a_stack_is_verified_under_its_own_name(spark: FakeSpark) -> None:
    (row,) = spark.run("verify-mods", "pair", "--json").expect(0).json
    assert row == {
        "service": "renamed",
        "mod": "fix",
        "file": "fix.py",
        "host": "ok",
        "image": "not compared",
        "container": "not running",
        "md5": md5(GOOD),
        "verdict": "ok",
    }


def test_what_is_named_twice_is_verified_once(spark: FakeSpark) -> None:
    assert len(spark.run("verify-mods", "mine", "mine", "--json").expect(0).json) == 1


def test_a_mod_for_another_vllm_is_said_and_holds(spark: FakeSpark) -> None:
    done = spark.run("verify-mods", "mine").expect(0)
    assert "mods/fix" not in done.out
    assert "mod fix is made for vLLM <0.1, and the recipe has " in done.err
    assert re.search(r"recipes/mine\.yaml:2:\d+: mod fix is made for", done.err)
    assert "mod fix is made for vLLM <0.1" in spark.run("render", "mine").expect(0).err
    assert "mod fix is made for vLLM <0.1" in spark.run("plan", "mine").expect(0).err


def test_an_image_that_is_not_here_is_a_warning_for_a_recipe_and_not_ok_for_a_service(spark: FakeSpark) -> None:
    spark.engine.images.clear()
    done = spark.run("verify-mods", "mine").expect(0)
    assert f"warning: {IMAGE} is not on this host: what mod fix covers at {TARGET} is unknown" in done.err
    labels = {LABEL_SERVICE: "mine"}
    mounts = (("/staged", TARGET, True),)
    spark.engine.there["id-0"] = Container("id-0", "mine", IMAGE, "sha", "running", labels, mounts=mounts)
    spark.engine.files["mine", TARGET] = GOOD
    done = spark.run("verify-mods", "mine").expect(6)
    assert done.out.splitlines()[1].split()[-1] == "unknown"
    assert done.err.splitlines()[-1] == "error: 1 of 1 files do not hold"


def test_a_recipe_that_cannot_be_used_does_not_hide_what_runs(spark: FakeSpark) -> None:
    (spark.folder / "recipes" / "mine.yaml").write_text("modle: 1\n")
    text = f'[{{"md5":"{md5(GOOD)}","mod":"fix","target":"{TARGET}"}}]'
    labels = {LABEL_SERVICE: "mine", LABEL_RECIPE: "mine", "sparkctl.mods": text}
    spark.engine.there["id-0"] = Container("id-0", "mine", IMAGE, "sha", "running", labels)
    spark.engine.files["mine", TARGET] = COVERED
    done = spark.run("verify-mods", "--json").expect(6)
    assert ("mine", "missing") in [(row["service"], row["verdict"]) for row in done.json]
    assert "warning: mine is verified by its labels alone: " in done.err
    assert "unknown key 'modle'" in spark.run("verify-mods", "mine").expect(6).err


def test_a_name_that_is_nothing_is_refused(spark: FakeSpark) -> None:
    done = spark.run("verify-mods", "nothing").expect(2)
    assert "error: no service nothing is deployed, and no recipe has this name" in done.err


def outside(spark: FakeSpark, name: str, *command: str) -> None:
    """Start a container by hand, of the recipe's image, without the mod."""
    image = f"sha256:{IMAGE}"
    spark.engine.there[f"id-{name}"] = Container(f"id-{name}", name, IMAGE, image, "running", {}, command=command)
    spark.engine.files[name, TARGET] = COVERED


def test_a_container_that_took_a_services_place_by_hand_does_not_hold(spark: FakeSpark) -> None:
    outside(spark, "mine")
    done = spark.run("verify-mods", "mine").expect(6)
    assert f"mine, which sparkctl did not start, runs {IMAGE} without mod fix at {TARGET}" in done.err
    assert "stop it, then: sparkctl up mine" in done.err
    assert len(done.out.splitlines()) == 2


def test_one_that_serves_the_same_model_does_not_hold_either(spark: FakeSpark) -> None:
    outside(spark, "other", "--model", "coolthor/Gemma-4-E4B-it-NVFP4A16")
    rows = spark.run("verify-mods", "mine", "--json").expect(6).json
    assert [(row["service"], row["verdict"]) for row in rows] == [("mine", "ok"), ("other", "missing")]


def test_one_of_the_same_image_for_something_else_is_named_and_no_fault(spark: FakeSpark) -> None:
    outside(spark, "other", "--model", "somebody/else")
    done = spark.run("verify-mods", "mine").expect(0)
    assert "other, which sparkctl did not start" in done.err
    assert "not sparkctl's" in done.out


def test_a_mod_that_is_not_what_python_imports_does_not_hold(engine: FakeEngine, mod: MountedMod) -> None:
    copy = "/opt/first/vllm/a.py"
    engine.seen[TARGET] = ImportedFile(md5(GOOD), "vllm.a", copy, read_only=True)
    states, word, holds, reasons = places(engine, mod)
    assert (states[2], word, holds) == (FileState.SHADOWED, "shadowed", False)
    assert f"one imports vllm.a from {copy}, and mod fix lies over {TARGET}" in reasons[0]
    engine.seen[TARGET] = ImportedFile(md5(GOOD), "vllm.a", TARGET, shadow="/x/a.cpython-312.pyc", read_only=True)
    assert "one runs the compiled /x/a.cpython-312.pyc, made from another file" in places(engine, mod)[3][0]
    engine.seen[TARGET] = ImportedFile(md5(GOOD), "vllm.a", TARGET, read_only=False)
    assert "is mounted writable" in places(engine, mod)[3][0]


def test_a_container_without_python_cannot_prove_what_it_imports(engine: FakeEngine, mod: MountedMod) -> None:
    engine.python = False
    states, _, holds, reasons = places(engine, mod)
    assert (states[2], holds) == (FileState.UNKNOWN, False)
    assert "one has no Python that could be asked whether it imports" in reasons[0]
    assert places(engine, replace(mod, root=None))[:3] == ([FileState.OK, FileState.OK, FileState.OK], "ok", True)


def test_an_image_of_another_vllm_is_said(engine: FakeEngine, mod: MountedMod) -> None:
    engine.vllm = "0.22.1+cu130"
    _, word, holds, reasons = places(engine, replace(mod, made_for="<0.21"))
    assert (word, holds) == ("ok", True)
    assert reasons == ["mod fix is made for vLLM <0.21, and image reports 0.22.1+cu130"]
    assert places(engine, replace(mod, made_for=">=0.22"))[3] == []


class Changing(FakeClock):
    """Time in which things happen; after the last of them the operator has seen enough."""

    def __init__(self, *happens: Callable[[], object]) -> None:
        super().__init__()
        self.happens = list(happens)

    def sleep(self, seconds: float) -> None:
        if not self.happens:
            raise KeyboardInterrupt
        self.happens.pop(0)()


def test_watch_reports_a_change_once(spark: FakeSpark) -> None:
    source = spark.folder / "mods" / "fix" / "fix.py"
    spark.clock = Changing(
        lambda: None, lambda: source.write_bytes(b"OTHER\n"), lambda: None, lambda: source.write_bytes(GOOD)
    )
    done = spark.run("verify-mods", "mine", "--watch").expect(130)
    header, row, lost, back = done.out.splitlines()
    assert (header.split()[0], row.split()[-1]) == ("service", "ok")
    assert "mine  fix  fix.py: ok → changed: mod fix: " in lost
    assert back.endswith("mine  fix  fix.py: changed → ok")
    spark.clock = Changing(lambda: source.write_bytes(b"OTHER\n"), lambda: None)
    lines = spark.run("verify-mods", "mine", "--watch", "--json").expect(130).out.splitlines()
    changes = [json.loads(line) for line in lines]
    assert [(one["was"], one["verdict"]) for one in changes] == [(None, "ok"), ("ok", "changed")]
    assert "expected md5" in changes[1]["reasons"][0]


def test_watch_wants_a_time_that_makes_sense(spark: FakeSpark) -> None:
    assert "expected at least 1s" in spark.run("verify-mods", "--watch", "--every", "0s").expect(2).err
    assert "not a duration" in spark.run("verify-mods", "--watch", "--every", "often").expect(2).err


def drafting(drafts: int, *accepted: int) -> str:
    """Return a server's /metrics with so many drafts of as many tokens as there are positions."""
    name = "vllm:spec_decode_num"
    lines = [f"{name}_drafts_total {drafts}.0", f"{name}_draft_tokens_total {drafts * len(accepted)}.0"]
    lines.append(f"{name}_accepted_tokens_total {sum(accepted)}.0")
    lines += [f'{name}_accepted_tokens_per_pos_total{{position="{i}"}} {n}.0' for i, n in enumerate(accepted)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("text", "content", "code", "words"),
    [
        (drafting(100, 66, 43, 29), GOOD, 0, "mine: mods hold, acceptance 66 % 43 % 29 %"),
        (drafting(1000, 2), COVERED, 6, "mine: mods lost, acceptance 0.2 %"),
        (drafting(1000, 2), GOOD, 0, "mine drafts in vain although its mods hold"),
        (drafting(10, 6), GOOD, 0, "mine: mods hold, too few drafts for an acceptance (10 tokens)"),
    ],
)
def test_what_drafts_says_what_its_mods_are_for(
    spark: FakeSpark, text: str, content: bytes, code: int, words: str
) -> None:
    fix = RecordedMod("fix", TARGET, md5(GOOD))
    labels = ServiceLabels("mine", "mine", url="http://127.0.0.1:8003", mods=(fix,)).to_labels()
    running = Container("id-0", "mine", IMAGE, "sha", "running", labels, mounts=(("/staged", TARGET, True),))
    spark.engine.there["id-0"] = running
    spark.engine.files["mine", TARGET] = content
    spark.http.metrics["127.0.0.1:8003"] = text
    done = spark.run("verify-mods", "mine").expect(code)
    assert words in done.out + done.err
