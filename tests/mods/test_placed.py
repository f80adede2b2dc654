"""Mods: what a manifest may say, what a file on this host must be, what is staged, and pinning."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from sparkctl.base import document
from sparkctl.base.errors import InputError, ModError, ProblemsError
from sparkctl.base.validation import validate
from sparkctl.mods import on_disk
from sparkctl.mods.checksum import md5_of
from sparkctl.mods.manifest import Mod, ModFile
from sparkctl.mods.on_disk import LARGEST_BYTES, FileState
from sparkctl.mods.placed import (
    NOWHERE,
    MountedMod,
    as_recorded,
    from_record,
    misfits,
    recorded,
    refuse_overlaps,
)
from sparkctl.world.local.disk import DiskFiles
from tests.support.fake_world import FakeSpark
from tests.support.fakes import FakeFiles
from tests.support.paths import REPOSITORY

ROOT = REPOSITORY
TARGET = "/usr/local/lib/python3.12/dist-packages/vllm/model_executor/models/gemma4_mtp.py"
GOOD = b"FIXED = True\n"
MD5 = hashlib.md5(GOOD, usedforsecurity=False).hexdigest()


def manifest(text: str) -> Mod:
    return validate(document.load(text, "mods/fix/mod.yaml"), Mod)


def file(**changes: str) -> str:
    fields = {"module": "vllm.a", "source": "fix.py", "md5": f'"{MD5}"'} | changes
    return "files:\n  - {" + ", ".join(f"{key}: {value}" for key, value in fields.items() if value) + "}\n"


def placed(source: Path, **changes: object) -> MountedMod:
    staged = source.parent / "staged" / MD5 / "fix.py"
    fields = {"mod": "fix", "name": "fix.py", "original": source, "source": staged, "target": TARGET, "md5": MD5}
    return MountedMod(**(fields | changes))  # type: ignore[arg-type]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "fix.py"
    path.write_bytes(GOOD)
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (file(md5='"0123"'), "expected 32 hexadecimal digits or unpinned, found '0123' (4 characters)"),
        (file(md5=f'"{"A" * 32}"'), f"expected an md5 in lower case, found {'A' * 32}"),
        (file(path="/a/b.py"), "expected either module or path, found both"),
        (file(module=""), "expected either module or path, found neither"),
        (file(module="", path="a/b.py"), "expected an absolute path of a file in the container, found 'a/b.py'"),
        (file(module="", path="/a/../b.py"), "expected an absolute path"),
        (file(module="vllm/a"), "expected a module's dotted name, found 'vllm/a'"),
        (file(source="../fix.py"), "expected a file's name in the mod's folder, without a path, found '../fix.py'"),
        (file() + file().removeprefix("files:\n"), "two files over vllm.a"),
        (
            file() + file(module="vllm.b", source="{model: fix.py}").removeprefix("files:\n"),
            "two different files are named fix.py",
        ),
        (
            file() + file(module="vllm.b", md5="unpinned").removeprefix("files:\n"),
            "two different files are named fix.py",
        ),
        ("files: []\n", "a mod has at least one file"),
        (file() + 'applies-to: {vllm: "newest"}\n', "expected versions as PEP 440 has them, found 'newest'"),
        (file(replaces='{md5: "unpinned"}'), "a file that is replaced has a checksum, or none is declared"),
    ],
)
def test_a_manifest_that_means_nothing_is_refused_at_its_line(text: str, message: str) -> None:
    with pytest.raises(ProblemsError) as error:
        manifest(text)
    assert message in error.value.message
    assert re.match(r"mods/fix/mod\.yaml:\d+:\d+: ", error.value.message)


def test_the_manifest_of_the_documentation_is_valid() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "mods.md").read_text(), re.DOTALL)
    assert manifest(example).files[0].target("/root") == "/root/vllm/model_executor/models/gemma4_mtp.py"


def test_the_shipped_manifests_are_unpinned_and_invent_no_checksum() -> None:
    for path in (ROOT / "mods").glob("*/mod.yaml"):
        for declared in validate(document.read(path), Mod).files:
            assert (declared.md5, declared.replaces) == ("unpinned", None)
        assert [other.name for other in path.parent.iterdir()] == ["mod.yaml"]


def test_a_file_that_is_what_the_manifest_says_is_read_once_and_whole(source: Path) -> None:
    assert on_disk.verified(placed(source)) == GOOD


def test_another_file_is_refused_with_both_checksums(source: Path) -> None:
    source.write_bytes(b"OTHER = True\n")
    found = hashlib.md5(b"OTHER = True\n", usedforsecurity=False).hexdigest()
    with pytest.raises(ModError) as error:
        on_disk.verified(placed(source))
    assert error.value.message == f"mod fix: {source}: expected md5 {MD5}, found {found}"
    assert error.value.hint == "restore it, or accept it: sparkctl mods pin fix"


def test_other_line_ends_are_recognised(source: Path) -> None:
    source.write_bytes(GOOD.replace(b"\n", b"\r\n"))
    assert on_disk.check_source(placed(source)).why.endswith("; with other line ends it would match")


def test_a_sha256_that_does_not_agree_is_refused(source: Path) -> None:
    assert on_disk.check_source(placed(source, sha256="0" * 64)).state is FileState.CHANGED


def test_an_unpinned_file_is_refused_with_the_command_that_pins_it(source: Path) -> None:
    with pytest.raises(ModError) as error:
        on_disk.verified(placed(source, md5="unpinned"))
    assert error.value.message == "mod fix: fix.py is unpinned: no checksum of it is known to sparkctl"
    assert "sparkctl mods pin fix --file FILE" in (error.value.hint or "")


def test_what_is_no_file_of_the_folder_is_refused_without_waiting(tmp_path: Path) -> None:
    outside = tmp_path / "outside.py"
    outside.write_bytes(GOOD)
    folder = tmp_path / "mod"
    folder.mkdir()
    (folder / "link").symlink_to(outside)
    (folder / "inner").symlink_to(folder / "real")
    (folder / "real").write_bytes(GOOD)
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    with (folder / "large").open("wb") as large:
        large.truncate(LARGEST_BYTES + 1)
    expected = {
        "link": f"is a link that leaves its folder: {outside}",
        "folder": "is a folder",
        "pipe": "is no regular file",
        "large": "is larger than 64 MiB",
        "nothing": "is not there",
    }
    for name, message in expected.items():
        with pytest.raises(InputError) as error:
            on_disk.read_source(folder / name)
        assert error.value.message == message
    with pytest.raises(InputError):
        on_disk.read_source(folder / "loop")
    assert on_disk.read_source(folder / "inner") == GOOD


def test_a_file_of_the_hub_cache_is_a_link_into_its_blobs_and_no_further(tmp_path: Path) -> None:
    snapshot, blobs = tmp_path / "hub" / "snapshots" / "r", tmp_path / "hub" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    (blobs / "abc").write_bytes(GOOD)
    (tmp_path / "outside").write_bytes(GOOD)
    (snapshot / "fix.py").symlink_to("../../blobs/abc")
    (snapshot / "out.py").symlink_to("../../../outside")
    assert on_disk.check_source(placed(snapshot / "fix.py")).state is FileState.OK
    with pytest.raises(InputError, match="is a link that leaves its folder"):
        on_disk.read_source(snapshot / "out.py")


def test_lint_says_a_mod_that_is_for_another_image_or_cannot_be_used(spark: FakeSpark) -> None:
    for folder in ("recipes", "mods/fix"):
        (spark.folder / folder).mkdir(parents=True)
    (spark.folder / "recipes" / "mine.yaml").write_text("extends: e4b-nvfp4\nmods: [fix]\n")
    written = spark.folder / "mods" / "fix" / "mod.yaml"
    written.write_text(file() + "applies-to: {image: other}\n")
    done = spark.run("recipes", "lint", "mine").expect(0)
    assert "mine.yaml:2:" in done.err
    assert "mod fix is made for the image other, and the recipe has " in done.err
    written.write_text("files: []\n")
    assert "a mod has at least one file" in spark.run("recipes", "lint", "mine").expect(2).err


def test_the_staged_copy_is_read_only_and_a_spoilt_one_is_made_anew(source: Path) -> None:
    mod = placed(source)
    on_disk.stage(DiskFiles(), [mod])
    assert (mod.source.read_bytes(), stat.S_IMODE(mod.source.stat().st_mode)) == (GOOD, 0o444)
    mod.source.chmod(0o644)
    mod.source.write_bytes(b"spoilt")
    on_disk.stage(DiskFiles(), [mod])
    assert mod.source.read_bytes() == GOOD
    before = mod.source.stat().st_ino
    on_disk.stage(DiskFiles(), [mod])
    assert mod.source.stat().st_ino == before


def test_a_good_copy_of_the_same_path_on_this_machine_says_nothing_of_another_host(source: Path) -> None:
    class OfAnotherHost(FakeFiles):
        def content(self, path: Path) -> bytes | None:
            return self.written[path][0] if path in self.written else None

    mod, there = placed(source), OfAnotherHost()
    on_disk.stage(DiskFiles(), [mod])
    on_disk.stage(there, [mod])
    assert there.written == {mod.source: (GOOD, 0o444)}


def test_a_file_that_changed_is_never_staged(source: Path) -> None:
    source.write_bytes(b"OTHER = True\n")
    mod = placed(source)
    with pytest.raises(ModError):
        on_disk.stage(DiskFiles(), [mod])
    assert not mod.source.exists()


def test_two_mods_over_one_file_are_refused(source: Path) -> None:
    with pytest.raises(InputError, match=f"mods fix and other both lie over {TARGET}"):
        refuse_overlaps([placed(source), placed(source, mod="other")])


def test_one_mod_with_two_files_over_one_is_refused(source: Path) -> None:
    with pytest.raises(InputError) as error:
        refuse_overlaps([placed(source), placed(source, name="other.py")])
    assert error.value.message == f"mod fix has two files over {TARGET}"
    assert error.value.hint == "keep one of them in its mod.yaml"


@given(st.text())
def test_any_text_as_a_checksum_is_taken_whole_or_refused(text: str) -> None:
    fields = {"path": "/a", "source": "a", "md5": text}
    if text == "unpinned" or re.fullmatch("[0-9a-f]{32}", text):
        assert ModFile.model_validate(fields).md5 == text
    else:
        with pytest.raises(ValueError, match="md5"):
            ModFile.model_validate(fields)


@given(st.binary(max_size=200))
def test_only_the_very_bytes_of_the_checksum_are_accepted(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fix.py"
        path.write_bytes(content)
        expected = FileState.OK if content == GOOD else FileState.CHANGED
        assert on_disk.check_source(placed(path)).state is expected
        assert on_disk.check_source(placed(path, md5=md5_of(content))).content == content


def test_a_disk_that_takes_no_copy_leaves_nothing(source: Path) -> None:
    mod = placed(source)
    mod.source.mkdir(parents=True)
    with pytest.raises(InputError, match="cannot write"):
        on_disk.stage(DiskFiles(), [mod])
    assert list(mod.source.parent.iterdir()) == [mod.source]


@given(
    st.lists(st.tuples(st.text(min_size=1), st.text(min_size=1), st.text("0123456789abcdef", min_size=32)), max_size=3)
)
def test_a_record_names_what_it_was_made_of(given_mods: list[tuple[str, str, str]]) -> None:
    made = [placed(Path("/m/fix.py"), mod=name, target=target, md5=md5) for name, target, md5 in given_mods]
    found = from_record(recorded(made))
    assert [(one.mod, one.target, one.md5) for one in found] == given_mods


def test_a_recorded_mod_is_what_its_container_was_started_with_and_its_source_is_todays() -> None:
    then, now = "0" * 32, "1" * 32
    kept, pinned_anew = placed(Path("/m/a.py"), target="/a.py"), placed(Path("/m/b.py"), target="/b.py", md5=now)
    gone = placed(Path("/m/c.py"), target="/c.py")
    record = recorded([kept, replace(pinned_anew, md5=then), gone])
    found = as_recorded(record, [pinned_anew, kept, placed(Path("/m/d.py"), target="/d.py")])
    assert found[0] == kept
    assert (found[1].md5, found[1].original, found[1].source.parent.name) == (then, pinned_anew.original, then)
    assert (found[2].md5, found[2].source) == (gone.md5, NOWHERE)
    assert len(found) == 3


def test_a_mod_for_another_image_or_vllm_is_said() -> None:
    mod = manifest(file() + 'applies-to: {image: "a:1", vllm: ">=0.20.2rc1.dev0,<0.21"}\n')
    assert misfits("fix", mod, "a:1", Version("0.20.2rc1.dev49")) == []
    assert misfits("fix", mod, "b:2", Version("0.21")) == [
        "mod fix is made for the image a:1, and the recipe has b:2",
        "mod fix is made for vLLM >=0.20.2rc1.dev0,<0.21, and the recipe has 0.21",
    ]


@pytest.fixture
def spark(tmp_path: Path) -> FakeSpark:
    return FakeSpark(tmp_path)


def test_pin_keeps_the_operators_copy_with_both_checksums(spark: FakeSpark, source: Path) -> None:
    done = spark.run("mods", "pin", "gemma4-mtp-fix-only", "--file", str(source)).expect(0)
    assert done.err == f"gemma4-mtp-fix-only: gemma4_mtp.py is pinned to md5 {MD5}\n"
    own = spark.folder / "config" / "mods" / "gemma4-mtp-fix-only"
    assert (own / "gemma4_mtp.py").read_bytes() == GOOD
    assert hashlib.sha256(GOOD).hexdigest() in (own / "pins.yaml").read_text()
    assert f"{MD5} (yours)" in spark.run("mods").expect(0).out
    unpinned = "unpinned: gemma4_mtp.py of mod gemma4-mtp-fix-only"
    assert unpinned not in spark.run("render", "26b-a4b-fp8-mtp").expect(0).err


def test_pin_takes_a_file_of_the_hub_cache_which_is_a_link(spark: FakeSpark, source: Path) -> None:
    snapshot = source.parent / "snapshots" / "r" / "gemma4_patched.py"
    snapshot.parent.mkdir(parents=True)
    snapshot.symlink_to(source)
    spark.run("mods", "pin", "gemma4-nvfp4-moe", "--file", str(snapshot)).expect(0)
    copy = spark.folder / "config" / "mods" / "gemma4-nvfp4-moe" / "gemma4_patched.py"
    assert (copy.is_symlink(), copy.read_bytes()) == (False, GOOD)


def test_pinning_anew_accepts_the_new_file_and_no_other(spark: FakeSpark, source: Path) -> None:
    pin = ("mods", "pin", "gemma4-mtp-fix-only")
    spark.run(*pin, "--file", str(source)).expect(0)
    source.write_bytes(b"NEWER = True\n")
    spark.run(*pin, "--file", str(source)).expect(0)
    done = spark.run("mods").expect(0)
    assert md5_of(b"NEWER = True\n") in done.out
    assert MD5 not in done.out
    own = spark.folder / "config" / "mods" / "gemma4-mtp-fix-only"
    (own / "gemma4_mtp.py").write_bytes(GOOD)
    spark.run(*pin).expect(0)
    assert MD5 in spark.run("mods").expect(0).out


def test_pin_that_cannot_be_written_leaves_nothing(spark: FakeSpark, source: Path) -> None:
    (spark.folder / "config").write_text("a file where the folder has to be")
    done = spark.run("mods", "pin", "gemma4-mtp-fix-only", "--file", str(source)).expect(2)
    assert done.err.startswith(f"error: cannot write {spark.folder}/config/mods/gemma4-mtp-fix-only/pins.yaml: ")
    assert (spark.folder / "config").is_file()


def test_pin_refuses_what_is_no_file(spark: FakeSpark) -> None:
    pipe = spark.folder / "pipe"
    os.mkfifo(pipe)
    for path, what in [(pipe, "is no regular file"), (spark.folder, "is a folder"), (spark.folder / "no", "not there")]:
        assert what in spark.run("mods", "pin", "gemma4-mtp-fix-only", "--file", str(path)).expect(2).err
    assert not (spark.folder / "config").exists()


def test_pins_that_are_no_checksums_are_refused_at_their_line(spark: FakeSpark) -> None:
    own = spark.folder / "config" / "mods" / "gemma4-mtp-fix-only"
    own.mkdir(parents=True)
    (own / "pins.yaml").write_text("files:\n  gemma4_mtp.py: {md5: unpinned, sha256: x}\n")
    assert re.search(r"pins\.yaml:2:\d+: ", spark.run("mods").expect(2).err)


def test_pin_without_the_file_says_what_to_name(spark: FakeSpark) -> None:
    done = spark.run("mods", "pin", "gemma4-mtp-fix-only").expect(2)
    assert "gemma4_mtp.py is not there" in done.err
    assert "→ name your copy: sparkctl mods pin gemma4-mtp-fix-only --file FILE" in done.err
    done = spark.run("mods", "pin", "gemma4-nvfp4-moe").expect(2)
    assert "gemma4_patched.py comes from the folder of a checkpoint" in done.err
    assert not (spark.folder / "config").exists()


def test_an_unpinned_mod_renders_and_says_so_and_up_refuses(spark: FakeSpark) -> None:
    spark.models.cache |= {"RedHatAI/gemma-4-26B-A4B-it-FP8-Dynamic", "google/gemma-4-26B-A4B-it-assistant"}
    assert "unpinned: gemma4_mtp.py" in spark.run("render", "26b-a4b-fp8-mtp").expect(0).err
    spark.run("plan", "26b-a4b-fp8-mtp").expect(0)
    done = spark.run("up", "26b-a4b-fp8-mtp").expect(6)
    assert "sparkctl mods pin gemma4-mtp-fix-only --file FILE" in done.err
    assert spark.engine.calls == []
