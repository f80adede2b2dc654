"""The file of a lock: read as it was written, the same each time, and refused at its line where it is damaged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.base import document
from sparkctl.base.errors import InputError, ProblemsError
from sparkctl.planning.box.lock_differences import LockDifference, differences
from sparkctl.planning.box.lock_file import (
    LockedFile,
    LockedHost,
    LockedImage,
    LockedModel,
    LockedModFile,
    LockedProduct,
    LockedService,
    StackLock,
    checked,
    read,
    text_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HOST = LockedHost(gpus=("gb10",), processor="aarch64")
DIGEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64
COMMIT = "c" * 40
SERVICE = LockedService(
    recipe="e4b",
    image=LockedImage(reference="vllm/vllm-openai:v0.20.2", digest=DIGEST),
    vllm="0.20.2",
    model=LockedModel(
        repo="a/b",
        revision=COMMIT,
        files={
            "config.json": LockedFile(bytes=2, sum="git-sha1:" + "d" * 40),
            "model.safetensors": LockedFile(bytes=50 * 2**30, sum=DIGEST),
        },
    ),
    mods={"fix": {"a.py": LockedModFile(md5="e" * 32, sha256="f" * 64)}},
)
LOCK = StackLock(version=1, stack="executor", host=HOST, services={"one": SERVICE})

# --- strategies ---
names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40)
hexes = st.sampled_from("0123456789abcdef")


def digits(count: int) -> st.SearchStrategy[str]:
    return st.text(hexes, min_size=count, max_size=count)


digests = digits(64).map("sha256:{}".format)
sums = digests | digits(40).map("git-sha1:{}".format)
files = st.builds(LockedFile, bytes=st.integers(0, 2**53), sum=st.none() | sums)
models = st.builds(
    LockedModel,
    repo=names,
    path=st.none() | names,
    revision=st.none() | digits(40),
    made=st.none() | st.builds(LockedProduct, job=names, digest=names),
    files=st.dictionaries(names, files, max_size=3),
)
mod_files = st.builds(LockedModFile, md5=digits(32), sha256=st.none() | digits(64))
services = st.builds(
    LockedService,
    recipe=names,
    image=st.builds(LockedImage, reference=names, digest=st.none() | digests, id=st.none() | digests),
    vllm=st.sampled_from([None, "0.20.2", "0.32", "0.20.2rc1.dev49+g9b4e83934"]),
    model=models,
    draft=st.none() | models,
    mods=st.dictionaries(names, st.dictionaries(names, mod_files, max_size=2), max_size=2),
)
hosts = st.builds(LockedHost, gpus=st.lists(names, max_size=2).map(tuple), processor=names, simulated=st.booleans())


def _lock(stack: str, host: LockedHost, of: dict[str, LockedService]) -> StackLock:
    return StackLock(version=1, stack=stack, host=host, services=of)


locks = st.builds(_lock, names, hosts, st.dictionaries(names, services, max_size=2))


@given(locks)
def test_what_was_written_is_read_and_differs_in_nothing(lock: StackLock) -> None:
    content = text_of(lock)
    again = checked(document.load(content, "a.lock"), lock.stack, lock.host)
    assert again == lock
    assert differences(lock.services, again.services) == []
    assert text_of(again) == content


@given(locks)
def test_the_order_in_which_it_was_put_together_does_not_show(lock: StackLock) -> None:
    turned = dict(reversed(lock.services.items()))
    assert text_of(lock.model_copy(update={"services": turned})) == text_of(lock)


def test_a_lock_reads_well() -> None:
    text = text_of(LOCK).decode()
    assert text.startswith(
        "# What was behind the names of the stack executor when `sparkctl lock` wrote this: commit it\n"
    )
    assert (
        text.partition("\nservices:\n")[2]
        == f"""\
  one:
    image: {{digest: "{DIGEST}", reference: "vllm/vllm-openai:v0.20.2"}}
    model:
      files:
        config.json: {{bytes: 2, sum: "git-sha1:{"d" * 40}"}}
        model.safetensors: {{bytes: 53687091200, sum: "{DIGEST}"}}
      repo: "a/b"
      revision: "{COMMIT}"
    mods:
      fix:
        a.py: {{md5: "{"e" * 32}", sha256: "{"f" * 64}"}}
    recipe: "e4b"
    vllm: "0.20.2"
"""
    )


def test_a_lock_that_nobody_could_read_is_not_written() -> None:
    many = {f"model-{number:05}.safetensors": LockedFile(bytes=1, sum=DIGEST) for number in range(10_000)}
    large = SERVICE.model_copy(update={"model": SERVICE.model.model_copy(update={"files": many})})
    with pytest.raises(InputError, match=r"the lock of executor would have 1,\d{3},\d{3} bytes; 1,048,576 are read at"):
        text_of(LOCK.model_copy(update={"services": {"one": large}}))


# --- what is refused, and where ---------------------------------------------------------------------------------------


def damaged(change: Callable[[str], str], folder: Path) -> list[str]:
    """Return what is said of a lock that was changed, a line each, without the folder."""
    path = folder / "executor.lock"
    path.write_text(change(text_of(LOCK).decode()))
    with pytest.raises(ProblemsError) as refused:
        read(path, "executor", HOST)
    return str(refused.value).replace(f"{folder}/", "").splitlines()


@pytest.mark.parametrize(
    ("change", "told", "hint"),
    [
        (
            lambda text: text.replace("schema: 1", "schema: 2"),
            "executor.lock:3:9: a lock of schema 2, and this sparkctl reads 1",
            "update sparkctl",
        ),
        (
            lambda text: text.replace("schema: 1", "schema: 0"),
            "executor.lock:3:9: a lock of schema 0, and this sparkctl reads 1",
            "write it anew: sparkctl lock executor",
        ),
        (
            lambda text: text.replace("schema: 1", "schema: one"),
            "executor.lock:3:9: schema: expected a whole number, found the text 'one'",
            "",
        ),
        (
            lambda text: text.replace("schema: 1\n", ""),
            "executor.lock:3:1: schema is missing: this is no lock, or only a part of one",
            "write it anew: sparkctl lock executor",
        ),
        (
            lambda text: text.replace('stack: "executor"', 'stack: "other"'),
            "executor.lock:4:8: this is the lock of the stack other, not of executor",
            "write one for it: sparkctl lock executor",
        ),
        (
            lambda text: text.replace('gpus: ["gb10"]', 'gpus: ["h200", "h200"]'),
            "executor.lock:5:8: locked on another kind of host: GPUs h200, h200, and here it is GPUs gb10",
            "a lock holds for its kind of host; for this one: sparkctl lock executor",
        ),
        (
            lambda text: text.replace("aarch64", "x86_64"),
            "executor.lock:5:24: locked on another kind of host: a processor x86_64, and here it is a processor aarch",
            "a lock holds for its kind of host; for this one: sparkctl lock executor",
        ),
        (
            lambda text: text.replace('"aarch64"', '"aarch64", simulated: true'),
            "executor.lock:5:46: locked on another kind of host: a simulated Spark, and here it is a real one",
            "a lock holds for its kind of host; for this one: sparkctl lock executor",
        ),
        (
            lambda text: text.replace("a" * 64, "a" * 63, 1),
            "executor.lock:8:21: services.one.image.digest: expected sha256: and 64 hexadecimal digits, found",
            "",
        ),
        (lambda text: text.replace("bytes: 2,", "bytes: -2,"), "files.config.json.bytes: expected at least 0", ""),
        (lambda text: text.replace("vllm: ", "vlm: "), "executor.lock:19:5: unknown key 'vlm' in services.one", ""),
        (lambda text: text.replace('vllm: "0.20.2"', 'vllm: "new"'), "vllm: expected a version as PEP 440 has it", ""),
        (lambda text: text[: len(text) // 2], "executor.lock:", ""),
        (lambda text: text.replace("services:", "services: ["), "executor.lock:", ""),
        (lambda _: "", "executor.lock:1:1: the file is empty", ""),
        (lambda _: "- a\n- b\n", "executor.lock:1:1: ", ""),
        (lambda _: "<<<<<<< HEAD\nschema: 1\n", "executor.lock:", ""),
    ],
)
def test_what_is_wrong_with_a_lock_is_told_at_its_line(
    tmp_path: Path, change: Callable[[str], str], told: str, hint: str
) -> None:
    lines = damaged(change, tmp_path)
    assert told in lines[0]
    assert any(line.strip() == hint for line in lines) or not hint


@pytest.mark.parametrize("kind", ["folder", "none"])
def test_a_lock_that_is_no_file_is_named(tmp_path: Path, kind: str) -> None:
    if kind == "folder":
        (tmp_path / "executor.lock").mkdir()
    with pytest.raises(ProblemsError, match=f"cannot read {tmp_path}/executor.lock"):
        read(tmp_path / "executor.lock", "executor", HOST)


# --- differences ------------------------------------------------------------------------------------------------------


def told(changed: LockedService) -> list[str]:
    return [str(one) for one in differences({"one": SERVICE}, {"one": changed})]


def with_model(**changes: object) -> LockedService:
    return SERVICE.model_copy(update={"model": SERVICE.model.model_copy(update=changes)})


def test_each_thing_that_differs_is_a_line() -> None:
    image = SERVICE.image
    assert told(SERVICE) == []
    assert told(SERVICE.model_copy(update={"recipe": "e2b"})) == ["one: recipe: locked e4b, found e2b"]
    moved = SERVICE.model_copy(update={"image": image.model_copy(update={"digest": OTHER})})
    assert told(moved) == [f"one: image: locked {DIGEST}, found {OTHER}"]
    local = SERVICE.model_copy(update={"image": image.model_copy(update={"digest": None, "id": OTHER})})
    assert told(local) == [f"one: image: locked {DIGEST}, found an image that no registry has, {OTHER}"]
    named = SERVICE.model_copy(update={"image": image.model_copy(update={"reference": "x:2"})})
    assert told(named) == ["one: image: locked vllm/vllm-openai:v0.20.2, found x:2"]
    assert told(SERVICE.model_copy(update={"vllm": "0.32"})) == ["one: vLLM: locked 0.20.2, found 0.32"]
    assert told(with_model(revision="f" * 40, files={})) == [
        f"one: model's revision: locked {COMMIT}, found {'f' * 40}"
    ]
    assert told(with_model(path="~/b")) == ["one: model's path: locked nothing, found ~/b"]
    mod = {"fix": {"a.py": LockedModFile(md5="0" * 32)}}
    assert told(SERVICE.model_copy(update={"mods": mod})) == [
        f"one: mod fix, a.py: locked md5 {'e' * 32}, found md5 {'0' * 32}"
    ]
    assert told(SERVICE.model_copy(update={"mods": {}})) == [
        f"one: mod fix, a.py: locked md5 {'e' * 32}, found nothing"
    ]
    assert told(SERVICE.model_copy(update={"draft": SERVICE.model})) == ["one: draft: locked nothing, found a/b"]


def test_what_is_not_known_is_no_difference() -> None:
    assert told(SERVICE.model_copy(update={"vllm": None})) == []
    assert told(with_model(revision=None)) == []
    assert told(with_model(revision=None, files={})) == []
    unsummed = {name: file.model_copy(update={"sum": None}) for name, file in SERVICE.model.files.items()}
    assert told(with_model(revision=None, files=unsummed)) == []
    mod = {"fix": {"a.py": LockedModFile(md5="e" * 32)}}
    assert told(SERVICE.model_copy(update={"mods": mod})) == []


def test_files_are_compared_by_size_and_sum_and_the_many_are_counted() -> None:
    config = SERVICE.model.files["config.json"]
    other = {**SERVICE.model.files, "config.json": config.model_copy(update={"sum": "git-sha1:" + "0" * 40})}
    assert told(with_model(files=other)) == [
        f"one: model's config.json: locked git-sha1:{'d' * 40}, found git-sha1:{'0' * 40}"
    ]
    longer = {**SERVICE.model.files, "config.json": config.model_copy(update={"bytes": 3})}
    assert told(with_model(files=longer)) == ["one: model's config.json: locked 2 B (2 bytes), found 3 B (3 bytes)"]
    by_content = {**SERVICE.model.files, "config.json": config.model_copy(update={"sum": OTHER})}
    assert told(with_model(files=by_content)) == []  # git's name of a blob and a sha256 say nothing of each other
    more = {**SERVICE.model.files, **{f"{number}.json": config for number in range(9)}}
    lines = told(with_model(files=more))
    assert lines[0] == "one: model's 0.json: locked nothing, found a file"
    assert (len(lines), lines[-1]) == (6, "one: model's files: locked 2 files, found 4 further ones that differ")


def test_services_that_came_and_went_are_named() -> None:
    assert differences({"one": SERVICE}, {"two": SERVICE}) == [
        LockDifference("one", "the stack", "a service", "nothing"),
        LockDifference("two", "the stack", "nothing", "a service"),
    ]
