"""``sparkctl mods add``, ``list`` and ``show``: a manifest from a file and an image, over a world of fakes."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from sparkctl.base import document
from sparkctl.base.validation import validate
from sparkctl.mods.manifest import Mod
from tests.support.fake_world import FakeSpark

if TYPE_CHECKING:
    from pathlib import Path

ROOT = "/opt/venv/lib/python3.12/site-packages"
MODULE = "vllm.model_executor.models.gemma4"
TARGET = f"{ROOT}/vllm/model_executor/models/gemma4.py"
FIXED, COVERED = b"FIXED = True\n", b"BROKEN = True\n"


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.fixture
def spark(tmp_path: Path) -> FakeSpark:
    spark = FakeSpark(tmp_path)
    package = f"{ROOT}/vllm"
    models = f"{package}/model_executor/models/__init__.py"
    spark.engine.images["image:1"] = {f"{package}/__init__.py": b"", models: b"", TARGET: COVERED}
    spark.engine.vllm = "0.22.1+cu130"
    (tmp_path / "gemma4.py").write_bytes(FIXED)
    return spark


def add(spark: FakeSpark, *more: str, code: int = 0, file: str = "gemma4.py") -> str:
    arguments = ["--file", str(spark.folder / file), "--image", "image:1", *more]
    return spark.run("mods", "add", "fix", *arguments).expect(code).err


def made(spark: FakeSpark) -> Mod:
    return validate(document.read(spark.folder / "mods" / "fix" / "mod.yaml"), Mod)


def test_both_checksums_the_image_and_its_vllm_are_filled_in(spark: FakeSpark) -> None:
    told = add(spark, "--module", MODULE)
    assert f"fix: covers {TARGET} (md5 {md5(COVERED)})" in told
    mod = made(spark)
    (file,) = mod.files
    assert (file.module, file.md5, file.sha256) == (MODULE, md5(FIXED), hashlib.sha256(FIXED).hexdigest())
    assert file.replaces is not None
    assert getattr(file.replaces, "md5", None) == md5(COVERED)
    assert (mod.applies_to.image, mod.applies_to.vllm) == ("image:1", "==0.22.1")
    assert (spark.folder / "mods" / "fix" / "gemma4.py").read_bytes() == FIXED
    assert f"{md5(FIXED)}" in spark.run("mods", "list").expect(0).out
    assert md5(COVERED) in spark.run("mods", "show", "fix").expect(0).out


def test_a_new_file_replaces_none(spark: FakeSpark) -> None:
    assert "covers nothing: it is a new file" in add(spark, "--path", f"{ROOT}/vllm/new.py")
    assert made(spark).files[0].replaces == "absent"


def test_doubtful_files_are_taken_and_said(spark: FakeSpark) -> None:
    (spark.folder / "gemma4.py").write_bytes(b"def broken(:\r\n")
    told = add(spark, "--module", MODULE)
    assert "has the line ends of Windows" in told
    assert "does not parse as Python" in told


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        ((), 2, "expected either --module or --path"),
        (("--module", MODULE, "--path", "/x.py"), 2, "expected either --module or --path"),
        (("--module", "vllm.nowhere.x"), 2, "has no package vllm.nowhere under"),
        (("--module", "torch.x"), 2, "its Python finds no torch"),
        (("--module", "not a module"), 2, "expected a module's dotted name"),
        (("--path", "opt/x"), 2, "expected an absolute path of a file in the container"),
        (("--module", MODULE, "--image", "nosuch:1"), 4, "the image nosuch:1 is not on this host"),
    ],
)
def test_what_cannot_be_a_mod_is_refused_and_leaves_nothing(
    spark: FakeSpark, more: tuple[str, ...], code: int, words: str
) -> None:
    assert words in add(spark, *more, code=code)
    assert not (spark.folder / "mods").exists()


def test_a_source_that_is_no_file(spark: FakeSpark) -> None:
    (spark.folder / "folder.py").mkdir()
    (spark.folder / "huge.py").write_bytes(b"")
    with (spark.folder / "huge.py").open("r+b") as file:
        file.truncate(2 * 1024**3)
    for name, words in (
        ("nothing.py", "is not there"),
        ("folder.py", "is a folder"),
        ("huge.py", "is larger than 64 MiB"),
    ):
        assert words in add(spark, "--module", MODULE, code=2, file=name)
    assert (
        "is no regular file"
        in spark.run("mods", "add", "fix", "--file", "/dev/null", "--module", MODULE, "--image", "image:1")
        .expect(2)
        .err
    )


def test_a_mod_of_that_name_is_kept_unless_forced(spark: FakeSpark) -> None:
    add(spark, "--module", MODULE)
    (spark.folder / "gemma4.py").write_bytes(b"OTHER = True\n")
    assert "there is a mod fix already" in add(spark, "--module", MODULE, code=2)
    assert made(spark).files[0].md5 == md5(FIXED)
    add(spark, "--module", MODULE, "--force")
    assert made(spark).files[0].md5 == md5(b"OTHER = True\n")


def test_show_has_every_file_of_a_mod(spark: FakeSpark) -> None:
    files = "".join(f"  - {{path: /opt/{name}.py, source: {name}.py, md5: {md5(name.encode())}}}\n" for name in "ab")
    (spark.folder / "mods" / "two").mkdir(parents=True)
    (spark.folder / "mods" / "two" / "mod.yaml").write_text(f"files:\n{files}")
    shown = spark.run("mods", "show", "two").expect(0).out
    assert all(f"over /opt/{name}.py" in shown and md5(name.encode()) in shown for name in "ab")
