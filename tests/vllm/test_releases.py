"""Which release a file is from, and what that says of a mod over it."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from sparkctl.mods.in_image import Fit, covered
from sparkctl.mods.placed import MountedMod
from sparkctl.vllm import releases
from tests.support.paths import REPOSITORY

ROOT = "/opt/venv/lib/python3.12/site-packages"
GEMMA4 = "vllm/model_executor/models/gemma4.py"
MTP = "vllm/model_executor/models/gemma4_mtp.py"
SCRIPT = REPOSITORY / "scripts" / "known_files.py"


def of(release: str, file: str = GEMMA4) -> str:
    (md5,) = releases.checksums(file, f"=={release}")
    return md5


def mod(
    *replaces: str, file: str = GEMMA4, md5: str = "f" * 32, fixed_in: str | None = None, meant: str = ""
) -> MountedMod:
    return MountedMod(
        "fix", "x.py", None, Path("staged"), f"{ROOT}/{file}", md5, replaces=replaces, meant=meant, fixed_in=fixed_in
    )


def test_every_release_that_could_be_in_an_image_is_known() -> None:
    table = releases.table()
    assert table.releases[0] == "0.19.0"
    assert {"0.19.1", "0.20.2", "0.22.1", "0.33.0"} <= set(table.releases)
    assert {GEMMA4, MTP, "vllm/model_executor/models/gemma4_mm.py"} <= set(table.files)
    assert any("nvfp4" in file for file in table.files)
    assert any("marlin" in file for file in table.files)
    # A release has a file once, with one content.
    for file, contents in table.files.items():
        listed = [release for releases in contents.values() for release in releases]
        assert len(listed) == len(set(listed)), file


def test_a_file_is_named_by_its_releases() -> None:
    assert releases.releases(GEMMA4, of("0.20.2")) == ("0.20.0", "0.20.1", "0.20.2")
    assert releases.span(("0.20.0", "0.20.1", "0.20.2")) == "0.20.0 to 0.20.2"
    assert releases.span(("0.19.0",)) == "0.19.0"
    assert releases.span(("0.19.0", "0.20.0")) == "0.19.0, 0.20.0"
    assert releases.releases(GEMMA4, "0" * 32) == ()
    assert releases.checksums(MTP, "<0.21") == frozenset()  # the file came with 0.21.0


@given(st.sampled_from(["/a/dist-packages", "/opt/v/lib/python3.12/site-packages"]), st.sampled_from([GEMMA4, "x.py"]))
def test_what_is_below_a_root_is_found_again(root: str, file: str) -> None:
    assert releases.below_root(f"{root}/{file}") == file
    assert releases.below_root(f"/somewhere/{file}") == ""


def test_a_newer_release_is_named() -> None:
    newer = of("0.22.1")
    fit, why = covered(mod(of("0.20.2"), meant="that of vLLM 0.20.0 to 0.20.2"), "image:1", newer)
    assert fit is Fit.MOVED
    assert why == (
        f"the image has moved: {ROOT}/{GEMMA4} in image:1 is that of vLLM 0.22.0 to 0.22.1 (md5 {newer}), and mod fix "
        "covers that of vLLM 0.20.0 to 0.20.2: if it contains the fix, drop the mod, else make mod fix anew for 0.22.1"
    )


def test_a_release_that_has_the_fix_says_to_drop_the_mod() -> None:
    fit, why = covered(mod(of("0.20.2"), fixed_in=">=0.22"), "image:1", of("0.22.1"))
    assert (fit, why.rpartition(": ")[2]) == (Fit.MOVED, "drop the mod")
    assert "0.22.0 already contains the fix" in why
    fit, why = covered(mod(of("0.20.2"), md5=of("0.21.0")), "image:1", of("0.22.1"))
    assert "0.22.0 already contains the fix: drop the mod" in why, "the mod's file is that of an older release"
    assert "the mod's own file" in covered(mod(md5=of("0.22.1")), "image:1", of("0.22.1"))[1]


def test_a_file_of_no_release_is_said_to_be_none() -> None:
    why = covered(mod(of("0.20.2")), "image:1", "0" * 32)[1]
    assert "a file of no known release (0.19.0 to 0.33.0)" in why
    assert "make mod fix anew from the image's file" in why
    assert "no known release" not in covered(mod(of("0.20.2"), file="vllm/other.py"), "image:1", "0" * 32)[1]


def test_without_a_declaration_only_a_known_fix_speaks() -> None:
    assert covered(mod(), "image:1", of("0.22.1")) == (Fit.NOT_DECLARED, "")
    assert covered(mod(fixed_in=">=0.22"), "image:1", of("0.22.1"))[0] is Fit.MOVED
    assert covered(mod(fixed_in=">=0.23"), "image:1", of("0.22.1"))[0] is Fit.NOT_DECLARED


@pytest.mark.parametrize(("replaces", "fit"), [((), Fit.NOTHING_THERE), (("absent",), Fit.AS_MEANT)])
def test_no_file_is_as_meant_only_for_a_new_one(replaces: tuple[str, ...], fit: Fit) -> None:
    assert covered(mod(*replaces), "image:1", None)[0] is fit


def test_the_script_reads_wheels_and_groups_releases_by_content(tmp_path: Path) -> None:
    for release, text in (("0.19.1", "a"), ("0.20.0", "b"), ("0.20.1", "b")):
        with zipfile.ZipFile(tmp_path / f"vllm-{release}-cp38-abi3-manylinux_2_28_aarch64.whl", "w") as wheel:
            wheel.writestr(GEMMA4, text)
            wheel.writestr("vllm/of_no_interest.py", text)
    words = [sys.executable, str(SCRIPT), "--wheels", str(tmp_path), "--table", str(tmp_path / "table.json")]
    subprocess.run(words, check=True)
    subprocess.run([*words, "--check"], check=True)
    written = json.loads((tmp_path / "table.json").read_text())
    assert written["releases"] == ["0.19.1", "0.20.0", "0.20.1"]
    assert list(written["files"]) == [GEMMA4]
    assert list(written["files"][GEMMA4].values()) == [["0.19.1"], ["0.20.0", "0.20.1"]]


NUMBERS = st.lists(st.integers(0, 2), min_size=1, max_size=3).map(lambda parts: ".".join(map(str, parts)))
VERSIONS = st.builds("".join, st.tuples(NUMBERS, st.sampled_from(["", "rc1", ".dev0", "rc1.dev0", ".post1", "+x"])))
BOUNDS = st.builds("".join, st.tuples(st.sampled_from([">=", "<=", "<", "< ", ">", "==", "!=", "~="]), VERSIONS))


@given(VERSIONS, st.lists(BOUNDS, min_size=1, max_size=2).map(",".join))
def test_a_range_is_what_pep_440_has(version: str, versions: str) -> None:
    try:
        expected = SpecifierSet(versions).contains(version, prereleases=True)
    except InvalidSpecifier:
        assert not releases.is_range(versions)
    else:
        assert releases.is_range(versions)
        assert releases.within(Version(version), versions) is expected


@pytest.mark.parametrize("text", ["0.19", ">=0.19,", ">= 0.19 <0.20", ">=x", ">=0.19.*", "newer"])
def test_what_is_no_range_is_refused(text: str) -> None:
    assert releases.is_range(text) is _is_one(text)


def _is_one(text: str) -> bool:
    try:
        SpecifierSet(text)
    except InvalidSpecifier:
        return False
    return True
