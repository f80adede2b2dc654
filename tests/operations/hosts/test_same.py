"""Hosts that have the same of a service, and hosts that do not: the difference names host and file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.operations.hosts.same import HeldFile, HeldModel, HostHolds, absent, differences, file_words, same_image
from sparkctl.world.engine import Image

if TYPE_CHECKING:
    from collections.abc import Mapping

PARTS = {"entrypoint": "e", "command": "c", "environment": "v", "user": "", "workdir": "w"}
PULLED = Image("sha256:1", ("vllm/vllm-openai@sha256:aa",), 1, {}, ("l1", "l2"), "arm64", PARTS)
BUILT = PULLED._replace(id="sha256:2", digests=())
SHARD = "model-00001-of-00002.safetensors"
FILES = {"config.json": HeldFile(700, ("git-sha1:1", "sha256:2")), SHARD: HeldFile(5_000_000_000, ("sha256:33",))}
MODEL = HeldModel("google/gemma", "a" * 40, FILES)
A = HostHolds("a", "e4b", "vllm/vllm-openai:v1", PULLED, "0.32.0", {"model": MODEL}, {"moe, experts.py": "5" * 32})
B = A._replace(host="b")


def files(name: str, file: HeldFile | None) -> Mapping[str, HeldFile]:
    rest = {each: held for each, held in FILES.items() if each != name}
    return rest if file is None else {**rest, name: file}


def told(other: HostHolds) -> list[str]:
    return [str(one) for one in differences([A, other])]


def with_model(**changed: object) -> HostHolds:
    return B._replace(models={"model": MODEL._replace(**changed)})


def test_hosts_that_have_the_same_differ_in_nothing() -> None:
    assert told(B) == []
    assert told(B._replace(image=PULLED._replace(id="sha256:other"))) == [], "another store, another id"
    assert absent([A, B]) == ()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (PULLED, PULLED._replace(layers=()), True),  # the digest decides
        (PULLED, BUILT, True),  # carried over: no registry's digest, the same layers
        (PULLED, PULLED._replace(digests=("vllm/vllm-openai@sha256:list",)), True),  # named by a list of images
        (BUILT, BUILT._replace(architecture="amd64"), False),
        (BUILT, BUILT._replace(parts={**PARTS, "environment": "x"}), False),
        (PULLED, PULLED._replace(digests=("vllm/vllm-openai@sha256:bb",), layers=()), False),
        (BUILT, BUILT._replace(layers=()), None),
    ],
)
def test_an_image_is_the_same_by_digest_else_by_layers_never_by_id_h9(
    one: Image, other: Image, same: bool | None
) -> None:
    assert same_image(one, other) is same
    assert same_image(other, one) is same


def test_another_image_is_told_by_what_tells_most() -> None:
    other = PULLED._replace(digests=("vllm/vllm-openai@sha256:bb",), layers=("l1", "l3"))
    assert told(B._replace(image=other)) == ["e4b: image: sha256:bb on b, sha256:aa on a"]
    built = A._replace(image=BUILT)
    layers = BUILT._replace(layers=("l1", "l3", "l4"))
    assert [str(one) for one in differences([built, B._replace(image=layers)])] == [
        "e4b: image: 3 layers, another one from number 2 on on b, 2 layers on a"
    ]
    changed = BUILT._replace(parts={**PARTS, "command": "x", "user": "root"})
    assert [str(one) for one in differences([built, B._replace(image=changed)])] == [
        "e4b: image: the same layers with another command, user on b, its own command, user on a"
    ]
    assert told(B._replace(image=BUILT._replace(architecture="amd64"))) == [
        "e4b: image: for amd64 on b, for arm64 on a"
    ]
    assert told(B._replace(image=None)) == ["e4b: image: not there on b, vllm/vllm-openai:v1 on a"]
    assert told(B._replace(vllm="0.31.1")) == ["e4b: vLLM: 0.31.1 on b, 0.32.0 on a"]


def test_a_file_that_differs_is_named_with_its_host_h9() -> None:
    corrupt = HeldFile(5_000_000_000, ("sha256:44",))
    assert told(with_model(files=files(SHARD, corrupt))) == [
        f"e4b: model's {SHARD}: sha256:44 on b, sha256:33 on a",
    ]
    half = HeldFile(4_000_000_000, ())
    assert told(with_model(files=files(SHARD, half))) == [
        f"e4b: model's {SHARD}: 3.7 GiB (4,000,000,000 bytes) on b, 4.7 GiB (5,000,000,000 bytes) on a"
    ]
    assert told(with_model(files=files(SHARD, None))) == [
        f"e4b: model's {SHARD}: not there on b, 4.7 GiB (5,000,000,000 bytes) on a"
    ]
    assert told(with_model(files=files("extra.json", HeldFile(1)))) == [
        "e4b: model's extra.json: 1 B (1 bytes) on b, not there on a"
    ]
    assert told(with_model(commit="b" * 40)) == [f"e4b: model's revision: {'b' * 40} on b, {'a' * 40} on a"]


def test_sums_of_two_kinds_say_nothing_of_each_other() -> None:
    assert file_words(HeldFile(1, ("sha256:1",)), HeldFile(1, ("git-sha1:1",))) is None
    both = HeldFile(1, ("git-sha1:1", "sha256:1"))
    assert file_words(both, HeldFile(1, ("git-sha1:2",))) == ("git-sha1:1", "git-sha1:2")


def test_many_files_that_differ_are_counted() -> None:
    many = {f"{number}.safetensors": HeldFile(1) for number in range(9)}
    one = A._replace(models={"model": MODEL._replace(files=many)})
    other = B._replace(models={"model": MODEL._replace(files={name: HeldFile(2) for name in many})})
    found = differences([one, other])
    assert len(found) == 6
    assert found[-1].found == "4 further ones differ"


def test_what_is_missing_on_a_host_is_said_whoever_has_it() -> None:
    nothing = HeldModel("google/gemma", problem="google/gemma is not in the cache /hub")
    lacking = B._replace(image=None, models={"model": nothing})
    assert [(one.host, one.what, one.found) for one in absent([lacking])] == [
        ("b", "image", "vllm/vllm-openai:v1 is not there"),
        ("b", "model", "google/gemma is not in the cache /hub"),
    ]
    assert told(lacking)[1] == "e4b: model: google/gemma is not in the cache /hub on b, there on a"


def test_a_mod_and_a_draft_are_compared() -> None:
    assert told(B._replace(mods={"moe, experts.py": "6" * 32})) == [
        f"e4b: mod moe, experts.py: md5 {'6' * 32} on b, md5 {'5' * 32} on a"
    ]
    assert told(B._replace(mods={})) == [f"e4b: mod moe, experts.py: not there on b, md5 {'5' * 32} on a"]
    assert told(B._replace(models={"model": MODEL, "draft": HeldModel("x/y")})) == [
        "e4b: draft: x/y on b, not there on a"
    ]
    assert told(B._replace(models={"model": HeldModel("x/y")})) == ["e4b: model: x/y on b, google/gemma on a"]


_FILES = st.dictionaries(
    st.sampled_from("abc"),
    st.builds(HeldFile, st.integers(0, 3), st.sampled_from([(), ("sha256:1",), ("sha256:2", "git-sha1:3")])),
    min_size=1,
)


@given(_FILES, _FILES)
def test_a_difference_has_two_sides(one: dict[str, HeldFile], other: dict[str, HeldFile]) -> None:
    left = A._replace(models={"model": MODEL._replace(files=one)})
    right = B._replace(models={"model": MODEL._replace(files=other)})
    there, back = differences([left, right]), differences([right, left])
    assert [(one.what, one.found, one.expected) for one in there] == [(o.what, o.expected, o.found) for o in back]
    assert differences([left, left._replace(host="c")]) == ()
