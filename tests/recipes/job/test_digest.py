"""The digests of jobs: what decides a product changes them, and nothing else does."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from sparkctl.recipes.job.digest import input_digest, job_digest
from tests.support.job_shop import JobShop

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("override", "decides"),
    [
        ("with.scheme=NVFP4A16", True),
        ("with.ignore=[]", True),
        ("gpus=none", True),
        ("with.way=oneshot", False),  # its default
        ("output=~/elsewhere", False),
        ("description=other", False),
        ("timeout=1h", False),
        ("checks=[whole]", False),
        ("memory={peak: 1 GiB, source: me}", False),
    ],
)
def test_what_decides_the_product_decides_the_digest(tmp_path: Path, override: str, decides: bool) -> None:
    shop = JobShop(tmp_path)
    first, second = (job_digest(shop.job(*sets), "image", "input") for sets in ((), (override,)))
    assert (first != second) is decides
    assert len(first) == 12


def test_another_script_image_or_input_is_another_product(tmp_path: Path) -> None:
    shop = JobShop(tmp_path)
    digests = {job_digest(shop.job(), image, read) for image in "ab" for read in "cd"}
    assert len(digests) == 4
    shop.write("jobs/quantize.py", "print('{}')  # changed\n")
    assert job_digest(shop.job(), "a", "c") not in digests


def test_the_library_counts_where_the_script_names_it_and_nowhere_else(tmp_path: Path) -> None:
    shop = JobShop(tmp_path)
    assert shop.job().script.library is None
    shop.write("jobs/quantize.py", "from sparkctl_job import run\n")
    job = shop.job()
    library = job.script.library
    assert library is not None
    assert library.path.parent.name == "jobs"
    assert library.md5 == hashlib.md5(library.path.read_bytes(), usedforsecurity=False).hexdigest()
    other = job._replace(script=job.script._replace(library=library._replace(md5="0" * 32)))
    assert job_digest(job, "a", "c") != job_digest(other, "a", "c")


def _model(folder: Path, *, large: int = 3 * 2**20) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(bytes(large))
    return folder


def test_the_digest_of_a_model_is_that_of_its_files_wherever_they_are(tmp_path: Path) -> None:
    one, other = _model(tmp_path / "one"), _model(tmp_path / "other")
    os.utime(other / "config.json", (1, 1))
    (other / ".cache").mkdir()
    (other / ".cache" / "lock").write_text("of the download")
    assert input_digest(one) == input_digest(other)


@pytest.mark.parametrize("at", [0, 2**20, 3 * 2**20 - 1])
def test_other_weights_or_another_config_are_another_model(tmp_path: Path, at: int) -> None:
    one, other = _model(tmp_path / "one"), _model(tmp_path / "other")
    with (other / "model.safetensors").open("r+b") as file:
        file.seek(max(0, at - 40_000))
        file.write(b"\1" * min(at + 1, 60_000))  # a fine-tune differs in every layer
        file.truncate(3 * 2**20)
    assert input_digest(one) != input_digest(other)
    again = _model(tmp_path / "again")
    (again / "config.json").write_text("{ }")
    assert input_digest(one) != input_digest(again)


def test_a_folder_that_is_none_has_no_files(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert input_digest(empty) != input_digest(_model(tmp_path / "one"))
