"""What a script changed, as values: which of it is an overlay's file, which is refused and why, and the manifest."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.base import document
from sparkctl.base.validation import validate
from sparkctl.mods.bake.judge import (
    MOST_PATHS,
    BakedFile,
    FileChange,
    Judged,
    Origin,
    ScriptFolders,
    Sorted,
    copied_whole,
    covered,
    file_names,
    in_words,
    judge,
    lines,
    manifest,
    module_of,
    package_root,
    sort_paths,
)
from sparkctl.mods.manifest import Mod
from sparkctl.vllm import releases
from sparkctl.world.workbench import PathChange, PathEntry

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = "/usr/local/lib/python3.12/dist-packages"
MODEL = f"{ROOT}/vllm/model_executor/models/gemma4.py"
PLACE = ScriptFolders("/vllm-workspace", "/workspace/mods/fix")
ORIGIN = Origin("fix", "0" * 32, "image:1", "sha256:abc", "0.20.2")
NOTHING = Sorted((), (), ())


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def file(content: bytes | None, mode: int = 0o644) -> PathEntry:
    return PathEntry("file", mode, len(content or b""), content)


def sorted_paths(*paths: str, place: ScriptFolders = PLACE) -> Sorted:
    return sort_paths([PathChange(path, "changed") for path in paths], place)


def judged(path: str, before: PathEntry | None, after: PathEntry | None) -> Judged:
    return judge([FileChange(path, before, after)], NOTHING)


def why(path: str, before: PathEntry | None, after: PathEntry | None) -> str:
    """Return the reason of the one refusal."""
    found = judged(path, before, after)
    assert found.files == ()
    (refused,) = found.refused
    assert refused.path == path
    return refused.why


# --- paths -----------------------------------------------------------------------------------------------------------


def test_a_folder_that_only_holds_changes_is_no_change() -> None:
    found = sorted_paths("/usr", "/usr/local", f"{ROOT}/vllm", f"{ROOT}/vllm/envs.py")
    assert found == Sorted((f"{ROOT}/vllm/envs.py",), (), ())


@pytest.mark.parametrize(
    "path",
    [
        f"{ROOT}/vllm/__pycache__/envs.cpython-312.pyc",
        "/usr/lib/python3.12/__pycache__/ast.cpython-312.pyc",
        "/root/.cache/pip/http/a",
        "/root/.triton/cache/x",
        "/home/user/.cache",
        "/var/log/dpkg.log",
        "/workspace/mods/fix/run.sh",
        "/workspace/mods/fix",
        "/workspace",
        "/etc/resolv.conf",
        f"{MODEL}.orig",
    ],
)
def test_caches_and_the_mods_own_folder_are_ignored_and_told(path: str) -> None:
    found = sorted_paths(path)
    assert (found.look, found.refused) == ((), ())
    assert [one.path for one in found.ignored] == [path]


@pytest.mark.parametrize("folder", ["tmp", "var/tmp", "var/cache/apt"])
def test_what_is_temporary_is_ignored(folder: str) -> None:
    assert sorted_paths(f"/{folder}/x").ignored[0].why == "temporary"


@pytest.mark.parametrize("path", ["/etc/ld.so.conf", "/usr/bin/git", "/root/.bashrc", "/opt/x.py", "/workspace/other"])
def test_what_lies_elsewhere_is_refused_unread(path: str) -> None:
    found = sorted_paths(path)
    assert (found.look, found.ignored) == ((), ())
    assert found.refused[0].why == "lies outside the Python packages and the working folder"


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/vllm-workspace/unsloth.jinja", PLACE),
        ("/unsloth.jinja", ScriptFolders("/", "/workspace/mods/fix")),
        ("/opt/vllm/vllm/envs.py", ScriptFolders("/", "/workspace/mods/fix", ("/opt/vllm",))),
        ("/opt/venv/lib/python3.12/site-packages/vllm/envs.py", PLACE),
    ],
)
def test_the_working_folder_and_other_package_roots_count(path: str, place: ScriptFolders) -> None:
    assert sorted_paths(path, place=place).look == (path,)


def test_below_a_working_folder_of_the_whole_root_nothing_else_counts() -> None:
    assert sorted_paths("/etc/passwd", place=ScriptFolders("/", "/workspace/mods/fix")).look == ()


def test_an_installation_is_refused_without_reading_its_files() -> None:
    found = sorted_paths(*(f"{ROOT}/pkg/{number}.py" for number in range(MOST_PATHS + 1)))
    assert found.look == ()
    (line,) = in_words(found.refused)
    assert f"and {MOST_PATHS - 2} more: is one of more than {MOST_PATHS} changes" in line


def test_a_deleted_folder_is_a_change_also_where_something_lies_in_it() -> None:
    changes = [PathChange(f"{ROOT}/vllm/lora", "deleted"), PathChange(f"{ROOT}/vllm/lora/a.py", "added")]
    assert sort_paths(changes, PLACE).look == (f"{ROOT}/vllm/lora", f"{ROOT}/vllm/lora/a.py")


# --- changes ---------------------------------------------------------------------------------------------------------


def test_a_rewritten_file_covers_the_one_of_the_image() -> None:
    found = judged(MODEL, file(b"OLD"), file(b"NEW"))
    assert found == Judged((BakedFile(MODEL, b"NEW", b"OLD"),), (), ())


def test_a_new_file_covers_nothing_and_may_be_empty() -> None:
    assert judged(MODEL, None, file(b"")).files == (BakedFile(MODEL, b"", None),)


def test_a_file_that_was_only_touched_is_none() -> None:
    found = judged(MODEL, file(b"SAME"), file(b"SAME"))
    assert (found.files, found.refused) == ((), ())
    assert found.ignored[0].why == "the same content as before"


@pytest.mark.parametrize(
    ("path", "before", "after", "reason"),
    [
        (MODEL, file(b"OLD"), None, "was deleted (file)"),
        (f"{ROOT}/vllm/lora", PathEntry("folder", 0o755, 0), None, "was deleted (folder)"),
        (MODEL, None, PathEntry("link", 0o777, 0, link="/x.py"), "is a symbolic link to /x.py"),
        (MODEL, file(b"OLD"), PathEntry("link", 0o777, 0, link="/x.py"), "is a symbolic link to /x.py"),
        (MODEL, PathEntry("link", 0o777, 0, link="/x.py"), file(b"NEW"), "was a link in the image and is a file now"),
        (MODEL, file(b"OLD"), PathEntry("folder", 0o755, 0), "was a file in the image and is a folder now"),
        (MODEL, None, PathEntry("other", 0o644, 0), "is a device, a pipe or a socket"),
        (f"{ROOT}/vllm/_C.abi3.so", file(b"\x7fELF1"), file(b"\x7fELF2"), "is compiled"),
        (f"{ROOT}/vllm/x.so.2", None, file(b""), "is compiled"),
        (f"{ROOT}/vllm/tool", None, file(b"\x7fELF\x02"), "is compiled"),
        (f"{ROOT}/vllm/envs.pyc", None, file(b"x"), "is compiled"),
        (f"{ROOT}/six-1.17.0.dist-info/METADATA", None, file(b"Name: six"), "belongs to an installation of six-1.17.0"),
        (f"{ROOT}/six-1.16.dist-info", PathEntry("folder", 0o755, 0), None, "belongs to an installation of six-1.16"),
        (f"{MODEL}.rej", None, file(b"--- a"), "is what a patch did not apply"),
        (MODEL, file(b"OLD"), file(None), "is larger than 64 MiB"),
        (MODEL, file(None), file(b"NEW"), "is larger than 64 MiB"),
        (f"{ROOT}/vllm/serve.sh", file(b"a"), file(b"b", 0o755), "was made executable"),
        (f"{ROOT}/vllm/serve.sh", file(b"a"), file(b"a", 0o755), "was made executable"),
        (MODEL, file(b"a"), file(b"b", 0o4644), "is setuid"),
        (MODEL, file(b"a"), file(b"a", 0o600), "was made unreadable for others"),
    ],
)
def test_what_no_overlay_can_do_is_refused(
    path: str, before: PathEntry | None, after: PathEntry | None, reason: str
) -> None:
    assert why(path, before, after).startswith(reason)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, PathEntry("folder", 0o755, 0)),
        (PathEntry("folder", 0o755, 0), PathEntry("folder", 0o700, 0)),
        (None, None),
    ],
)
def test_empty_folders_and_what_has_gone_again_do_not_count(before: PathEntry | None, after: PathEntry | None) -> None:
    found = judged(f"{ROOT}/vllm/empty", before, after)
    assert (found.files, found.refused, len(found.ignored)) == ((), (), 1)


def test_a_python_file_may_be_executable_as_checkouts_have_them() -> None:
    assert len(judged(MODEL, file(b"a"), file(b"b", 0o755)).files) == 1


# --- the manifest ----------------------------------------------------------------------------------------------------


def loaded(files: Sequence[BakedFile], roots: Sequence[str] = (ROOT,)) -> tuple[Mod, dict[str, bytes]]:
    folder = manifest(files, ORIGIN, roots)
    return validate(document.load(folder.pop("mod.yaml").decode(), "mod.yaml"), Mod), folder


def test_the_manifest_is_a_mod_with_both_checksums() -> None:
    mod, folder = loaded([BakedFile(MODEL, b"NEW", b"OLD"), BakedFile("/w/t.jinja", b"{{ x }}", None)])
    assert mod.model_dump(by_alias=True, exclude_none=True) == {
        "description": f"baked from fix (run.sh with md5 {'0' * 32}) in sha256:abc",
        "applies-to": {"image": "image:1", "vllm": "==0.20.2"},
        "files": (
            {
                "module": "vllm.model_executor.models.gemma4",
                "source": "gemma4.py",
                "md5": md5(b"NEW"),
                "sha256": hashlib.sha256(b"NEW").hexdigest(),
                "replaces": {"md5": md5(b"OLD")},
            },
            {
                "path": "/w/t.jinja",
                "source": "t.jinja",
                "md5": md5(b"{{ x }}"),
                "sha256": hashlib.sha256(b"{{ x }}").hexdigest(),
                "replaces": "absent",
            },
        ),
    }
    assert folder == {"gemma4.py": b"NEW", "t.jinja": b"{{ x }}"}


def test_an_unknown_version_is_left_out() -> None:
    folder = manifest([BakedFile(MODEL, b"", None)], ORIGIN._replace(vllm=None), ())
    assert validate(document.load(folder["mod.yaml"].decode(), "m"), Mod).applies_to.vllm is None


@pytest.mark.parametrize(
    ("path", "module"),
    [
        (MODEL, "vllm.model_executor.models.gemma4"),
        (f"{ROOT}/six.py", "six"),
        (f"{ROOT}/vllm/__init__.py", None),
        (f"{ROOT}/vllm/a-b.py", None),
        (f"{ROOT}/vllm/configs/x.json", None),
        ("/opt/venv/lib/python3.12/site-packages/vllm/envs.py", None),
    ],
)
def test_a_module_is_one_under_the_templates_root(path: str, module: str | None) -> None:
    assert module_of(path, [ROOT]) == module


def test_files_of_one_name_keep_their_folders_in_it() -> None:
    names = file_names([f"{ROOT}/vllm/a/__init__.py", f"{ROOT}/vllm/b/__init__.py", f"{ROOT}/vllm/c.py", "/w/mod.yaml"])
    assert list(names.values()) == ["vllm.a.__init__.py", "vllm.b.__init__.py", "c.py", "_mod.yaml"]


def test_what_is_covered_is_named_by_its_release() -> None:
    below, contents = next(iter(releases.table().files.items()))
    checksum, of = next(iter(contents.items()))
    assert covered(f"{ROOT}/{below}", checksum) == f"{checksum} (vLLM {releases.span(of)})"
    assert covered(f"{ROOT}/{below}", "0" * 32) == "0" * 32
    assert covered(f"{ROOT}/{below}", None) == "new"


def test_the_lines_of_a_file_are_counted_as_a_diff_does() -> None:
    assert str(lines(BakedFile(MODEL, b"a\nB\nc\nc\n", b"a\nb\nc\n"))) == "+2 -1"
    assert lines(BakedFile(MODEL, b"a\nb", None)) == (2, 0)


def test_a_whole_copy_that_takes_lines_back_is_found() -> None:
    older, newer = b"a\n", b"a\nb\n"
    copied = BakedFile(MODEL, older, newer)
    assert copied_whole([copied], [b"run.sh", older]) == [copied]
    assert copied_whole([copied], [b"a patch"]) == []
    assert copied_whole([BakedFile(MODEL, newer, older), BakedFile(MODEL, older, None)], [older, newer]) == []


PARTS = st.text(alphabet="ab._", min_size=1, max_size=4).filter(lambda part: part not in {".", ".."})


@given(st.lists(st.lists(PARTS, min_size=1, max_size=4), unique_by=tuple, min_size=1, max_size=12))
def test_whatever_the_paths_the_mod_is_valid_and_every_file_is_in_it(paths: list[list[str]]) -> None:
    files = [BakedFile("/".join(["", *parts]), "/".join(parts).encode(), None) for parts in paths]
    mod, folder = loaded(files, ["/a", "/b"])
    targets = {(file.target("/a"), md5(folder[file.name])) for file in mod.files}
    targets |= {(file.target("/b"), md5(folder[file.name])) for file in mod.files}
    assert {(file.target, md5(file.content)) for file in files} <= targets
    assert len(folder) == len(files)


def test_the_package_root_is_the_folder_of_packages() -> None:
    assert package_root(MODEL) == ROOT
    assert package_root("/usr/lib/python3/dist-packages") is None
    assert package_root("/etc/passwd") is None
