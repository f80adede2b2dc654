"""The folders of jobs on a real disk: whatever a script puts there, no link is followed and nothing is replaced."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import InputError
from sparkctl.world.local.products import renaming
from sparkctl.world.local.products.folders import MOST_DEPTH, DiskProducts
from sparkctl.world.partial_folder import partial_of
from sparkctl.world.ports import ProductFile
from tests.support.paths import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

RUN = "0123456789ab"
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")


@pytest.fixture
def disk() -> DiskProducts:
    return DiskProducts()


@pytest.fixture
def partial(tmp_path: Path, disk: DiskProducts) -> Path:
    """Return the folder of an unfinished product, with a file, a folder and links out of it."""
    path = partial_of(tmp_path / "models" / "m", RUN)
    disk.make(path, disk.me)
    (tmp_path / "outside").write_text("of the operator", encoding="utf-8")
    (path / "model.safetensors").write_bytes(b"weights")
    (path / "model.safetensors").chmod(0o600)
    (path / "below").mkdir(0o700)
    (path / "below" / "tokenizer.json").write_text("{}", encoding="utf-8")
    return path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_a_folder_is_made_for_its_user_alone_with_those_above_it(tmp_path: Path, disk: DiskProducts) -> None:
    disk.make(tmp_path / "a" / "b", disk.me)
    assert mode(tmp_path / "a" / "b") == 0o700
    with pytest.raises(InputError, match=r"b is there already$"):
        disk.make(tmp_path / "a" / "b", disk.me)
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="cannot make the folder"):
        disk.make(tmp_path / "file" / "b", disk.me)


def test_what_lies_there_is_said_without_following_links(tmp_path: Path, disk: DiskProducts) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "file").write_text("", encoding="utf-8")
    os.mkfifo(tmp_path / "pipe")
    found = {name: disk.lies_there(tmp_path / name) for name in ("link", "file", "pipe", "none", ".")}
    assert found == {"link": "a link", "file": "a file", "pipe": "something else", "none": "", ".": "a folder"}


def test_everything_below_is_listed(partial: Path, disk: DiskProducts) -> None:
    (partial / "out").symlink_to("/etc")
    os.mkfifo(partial / "pipe")
    assert disk.files(partial) == [
        ProductFile("below", "folder", 0),
        ProductFile("below/tokenizer.json", "file", 2),
        ProductFile("model.safetensors", "file", 7),
        ProductFile("out", "link", 0),
        ProductFile("pipe", "other", 0),
    ]
    assert disk.files(partial / "none") == []


def test_a_product_is_handed_over_to_be_read_by_everybody(partial: Path, tmp_path: Path, disk: DiskProducts) -> None:
    (partial / "out").symlink_to(tmp_path / "outside")
    (tmp_path / "outside").chmod(0o600)
    disk.hand_over(partial, disk.me)
    assert [mode(path) for path in (partial, partial / "below", partial / "model.safetensors")] == [
        0o755,
        0o755,
        0o644,
    ]
    assert mode(tmp_path / "outside") == 0o600


@ROOT
def test_root_makes_a_folder_for_another_user_and_takes_it_back(tmp_path: Path, disk: DiskProducts) -> None:
    path = partial_of(tmp_path / "m", RUN)
    disk.make(path, (65534, 65534))
    (path / "w").write_bytes(b"")
    os.chown(path / "w", 65534, 65534)
    assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65534)
    disk.hand_over(path, disk.me)
    assert {one.stat().st_uid for one in (path, path / "w")} == {os.geteuid()}


def test_a_file_gets_another_name_and_a_link_does_not(partial: Path, disk: DiskProducts) -> None:
    disk.rename(partial, "config.json", "config.json.unfinished")  # there is none
    (partial / "config.json").write_text("{}", encoding="utf-8")
    disk.rename(partial, "config.json", "config.json.unfinished")
    assert [one.name for one in disk.files(partial) if one.name.startswith("config")] == ["config.json.unfinished"]
    (partial / "config.json").symlink_to("/etc/passwd")
    with pytest.raises(InputError, match=r"expected a file at .*config\.json, found a link"):
        disk.rename(partial, "config.json", "config.json.unfinished")


def test_a_checksum_is_of_the_file_itself(partial: Path, disk: DiskProducts) -> None:
    came: list[int] = []
    assert disk.sha256(partial / "model.safetensors", came.append) == hashlib.sha256(b"weights").hexdigest()
    assert came == [7]
    (partial / "link").symlink_to(partial / "model.safetensors")
    with pytest.raises(InputError, match="cannot read"):
        disk.sha256(partial / "link", came.append)


def test_a_product_gets_its_name_and_never_takes_one(partial: Path, tmp_path: Path, disk: DiskProducts) -> None:
    output = tmp_path / "models" / "m"
    output.mkdir()  # an empty folder, which rename(2) would replace
    with pytest.raises(InputError, match=r"m appeared while the job ran; what was made is whole, in ") as caught:
        disk.publish(partial, output)
    assert "run the job again" in (caught.value.hint or "")
    output.rmdir()
    disk.publish(partial, output)
    assert (output / "model.safetensors").read_bytes() == b"weights"
    assert disk.lies_there(partial) == ""


def test_a_rename_replaces_nothing_also_where_the_system_does_not_say_so(
    tmp_path: Path,
) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    with pytest.raises(FileExistsError):
        renaming.without_replacing(tmp_path / "old", tmp_path / "new", None)
    (tmp_path / "new").rmdir()
    renaming.without_replacing(tmp_path / "old", tmp_path / "new", None)
    assert (tmp_path / "new").is_dir()


def test_an_unfinished_product_is_removed_and_nothing_that_it_points_to(
    partial: Path, tmp_path: Path, disk: DiskProducts
) -> None:
    (partial / "out").symlink_to(tmp_path)
    (partial / "below").chmod(0)
    disk.remove(partial)
    assert disk.lies_there(partial) == ""
    assert (tmp_path / "outside").read_text(encoding="utf-8") == "of the operator"
    disk.remove(partial)  # none is no error


def test_only_what_is_named_as_unfinished_is_removed(tmp_path: Path, disk: DiskProducts) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / f"m.partial-{RUN}").symlink_to(tmp_path / "m")
    for path in (tmp_path / "m", tmp_path / f"m.partial-{RUN}"):
        with pytest.raises(InputError, match="is not removed: expected the folder of an unfinished product"):
            disk.remove(path)
    assert (tmp_path / "m").is_dir()


def test_unfinished_products_beside_an_output_are_found(partial: Path, tmp_path: Path, disk: DiskProducts) -> None:
    (tmp_path / "models" / "m2.partial-0123456789ab").mkdir()
    (tmp_path / "models" / "m.partial-0123456789ff").symlink_to(partial)
    assert disk.partials(tmp_path / "models" / "m") == [partial]
    assert disk.partials(tmp_path / "none" / "m") == []


def test_what_another_user_cannot_read_is_named(partial: Path, disk: DiskProducts) -> None:
    assert disk.unreadable(partial, disk.me) == []
    found = disk.unreadable(partial, (65533, 65533))
    assert partial / "model.safetensors" in found
    disk.hand_over(partial, disk.me)
    assert disk.unreadable(partial, (65533, 65533)) == []


def test_a_folder_is_removed_however_deep_it_is_and_listed_within_bounds(partial: Path, disk: DiskProducts) -> None:
    here = os.open(partial, os.O_RDONLY)
    try:
        for _ in range(1200):
            os.mkdir("d", dir_fd=here)
            inner = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = inner
    finally:
        os.close(here)

    deep = [one for one in disk.files(partial) if one.kind == "deep"]
    assert [one.name.count("/") for one in deep] == [MOST_DEPTH - 1]
    disk.remove(partial)
    assert not partial.exists()


def test_a_link_in_a_folder_that_is_removed_is_not_followed(partial: Path, disk: DiskProducts) -> None:
    outside = partial.parent.parent / "outside"
    (partial / "below" / "link").symlink_to(outside)
    (partial / "to-a-folder").symlink_to(partial.parent.parent)
    (partial / "below").chmod(0)
    disk.remove(partial)

    assert outside.read_text(encoding="utf-8") == "of the operator"
    assert not partial.exists()


@ROOT
def test_a_folder_that_is_closed_to_its_own_user_is_said(tmp_path: Path) -> None:
    (tmp_path / "made" / "closed").mkdir(parents=True)
    for path in (tmp_path / "made", tmp_path / "made" / "closed"):
        os.chown(path, 65534, 65534)
    (tmp_path / "made" / "closed").chmod(0)
    # What is imported is so before, as other users may not read where this package lies.
    program = "import os, pathlib, sys; from sparkctl.world.local.products.folders import DiskProducts; "
    program += "os.setuid(65534); print(DiskProducts().files(pathlib.Path(sys.argv[1]))[0].kind)"
    tmp_path.chmod(0o755)
    words = [sys.executable, "-c", program, "."]
    environ = {"PYTHONPATH": str(REPOSITORY)}
    made = tmp_path / "made"
    done = subprocess.run(words, cwd=made, env=environ, capture_output=True, text=True, check=True)
    assert done.stdout == "closed\n"
