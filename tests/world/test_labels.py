"""The labels of a service's container: what is written is read again, and what is not ours is unknown, never wrong."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.world import labels
from sparkctl.world.labels import (
    LABEL_CLAIM,
    LABEL_MODS,
    LABEL_SCHEMA,
    LABEL_SERVED_NAMES,
    LABEL_SERVICE,
    LABEL_URL,
    GroupRank,
    LaidOver,
    ReadySettings,
    RecordedMod,
    SecretDigests,
    ServiceLabels,
)

WHOLE = ServiceLabels(
    service="chat",
    recipe="e4b-nvfp4",
    laid_over=LaidOver("pair", 5, ("limits.context=65536", "env.A='a\nb'")),
    served_names=("house", "gpt-4o"),
    url="https://127.0.0.1:8003",
    certificate="/etc/tls/house.pem",
    group=GroupRank(0, ("a", "b"), "10.0.0.1", 29501),
    mods=(RecordedMod("fix", "/usr/lib/x.py", "0" * 32), RecordedMod("fix", "/usr/lib/y.py", "unpinned")),
    ready=ReadySettings(1200.0, probe=True, acceptance={"position-0": 0.4}, checks=("text",)),
    claim_bytes=24356139827,
    peak_bytes=32946074419,
    gpus=("GPU-0123",),
    gpu_claim_bytes=20356139827,
    gpu_peak_bytes=21946074419,
    image_id=f"sha256:{'ab' * 32}",
    secrets=SecretDigests("ab" * 16, {"VLLM_API_KEY": "cd" * 32}),
    digest="0123456789ab",
)
OPTIONAL = {"secrets", "image_id", "certificate", "group", "gpus", "gpu_claim_bytes", "gpu_peak_bytes"}
ALL = [name for name in WHOLE.to_labels() if name != LABEL_SCHEMA]

text = st.text(st.characters(exclude_categories=("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs")), min_size=1)
hexes = st.binary(min_size=1, max_size=32).map(bytes.hex)
records = st.builds(
    ServiceLabels,
    service=st.none() | st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,40}", fullmatch=True),
    recipe=st.none() | text,
    laid_over=st.none()
    | st.builds(
        LaidOver,
        st.just("") | text,
        st.integers(-(10**9), 10**9),
        st.lists(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"))).map(tuple),
    ),
    served_names=st.none() | st.lists(text, min_size=1, unique=True).map(tuple),
    url=st.none() | st.integers(1, 65535).map("http://127.0.0.1:{}".format) | st.just("http://[::1]:80"),
    certificate=st.none() | text.map("/{}".format),
    group=st.none()
    | st.builds(GroupRank, st.just(0), st.lists(text, min_size=2, unique=True).map(tuple), text, st.integers(1, 65535)),
    mods=st.none()
    | st.lists(
        st.builds(
            RecordedMod,
            text,
            text.map("/{}".format),
            st.just("unpinned") | st.binary(min_size=16, max_size=16).map(bytes.hex),
        )
    ).map(tuple),
    ready=st.none()
    | st.builds(
        ReadySettings,
        st.floats(0, 10**9),
        st.booleans(),
        st.dictionaries(text, st.floats(0, 1)),
        st.lists(text).map(tuple),
    ),
    claim_bytes=st.none() | st.integers(1, 10**15),
    peak_bytes=st.none() | st.integers(1, 10**15),
    pinned_bytes=st.integers(0, 10**15),
    gpus=st.none() | st.lists(text, min_size=1, unique=True).map(tuple),
    gpu_claim_bytes=st.none() | st.integers(1, 10**15),
    gpu_peak_bytes=st.none() | st.integers(1, 10**15),
    image_id=st.none() | hexes.map("sha256:{}".format),
    secrets=st.none()
    | st.builds(SecretDigests, hexes, st.dictionaries(st.from_regex(r"[A-Z_]{1,9}", fullmatch=True), hexes)),
    digest=st.none() | st.from_regex(r"[0-9a-f]{12}", fullmatch=True),
)


@given(records)
def test_what_is_written_is_read_again(record: ServiceLabels) -> None:
    read = labels.read(record.to_labels())
    assert read == record
    unknown = [one.name for one in fields(record) if one.name != "damaged" and getattr(record, one.name) is None]
    assert len(read.damaged) == len([name for name in unknown if name not in OPTIONAL])


def test_a_whole_record_has_nothing_damaged() -> None:
    assert labels.read(WHOLE.to_labels()) == WHOLE
    assert labels.read(WHOLE.to_labels()).damaged == ()
    assert all(value.isprintable() for value in WHOLE.to_labels().values())


@pytest.mark.parametrize("text", ["", "0", "a lot", "1e9"])
def test_buffers_of_the_host_that_cannot_be_read_are_none_and_named(text: str) -> None:
    written = replace(WHOLE, pinned_bytes=4 * 2**30).to_labels()
    assert written["sparkctl.pinned"] == "4294967296"
    read = labels.read({**written, "sparkctl.pinned": text})
    assert read.pinned_bytes == 0
    assert [line.partition(":")[0] for line in read.damaged] == ["sparkctl.pinned"]


def test_a_worker_of_a_group_has_no_address_and_misses_none() -> None:
    record = replace(WHOLE, url=None, group=GroupRank(1, ("a", "b"), "10.0.0.1", 29501))
    read = labels.read(record.to_labels())
    assert read == record
    assert read.damaged == ()
    assert read.group is not None
    assert (read.group.host, read.group.is_worker) == ("b", True)
    assert labels.read({**WHOLE.to_labels(), labels.LABEL_GROUP: '{"rank":0}'}).damaged


def test_nothing_laid_over_is_short_to_read() -> None:
    assert ServiceLabels(laid_over=LaidOver()).to_labels()["sparkctl.laid-over"] == "{}"


@pytest.mark.parametrize("label", ALL)
def test_a_missing_label_is_unknown_and_named(label: str) -> None:
    given = WHOLE.to_labels()
    del given[label]
    read = labels.read(given)
    lost = [one.name for one in fields(read) if one.compare and getattr(read, one.name) is None]
    assert len(lost) == 1
    assert replace(WHOLE, **{lost[0]: None}) == read
    assert read.damaged == (() if lost[0] in OPTIONAL else (f"{label} is missing",))


HOSTILE = {
    "empty": "",
    "a space": " ",
    "a huge number": "9" * 5000,
    "beyond a pebibyte": "9" * 17,
    "digits of another script": "٣٤",
    "zero": "0",
    "negative": "-1",
    "an exponent": "1e999",
    "control characters": "\x1b[2J\x07",
    "half of JSON": '[{"mod":',
    "null": "null",
    "not a number": "NaN",
    "deep": "[" * 100_000,
    "a megabyte": "[" + '"a",' * 262144 + '"b"]',
    "a lone surrogate": '["\\ud800"]',
    "a control character in JSON": '["\\u001b[2J"]',
    "another shape": '{"mod": {"a": [1, {"b": null}]}}',
}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_damaged_label_is_unknown_and_its_excerpt_moves_no_cursor(hostile: str) -> None:
    damaged = set()
    for label in ALL:
        read = labels.read(WHOLE.to_labels() | {label: HOSTILE[hostile]})
        if not read.damaged:
            # Few are a value of some label: a recipe may have any printable name.
            assert read.to_labels()[label] == HOSTILE[hostile], label
            continue
        damaged.add(label)
        (line,) = read.damaged
        assert line.startswith(f"{label}: expected ")
        assert line.isprintable(), label
        assert len(line) < 300, label
        assert sum(getattr(read, one.name) is None for one in fields(read) if one.compare) == 1, label
    assert damaged


@pytest.mark.parametrize(
    ("label", "value"),
    [
        (LABEL_SERVED_NAMES, "[]"),
        (LABEL_SERVED_NAMES, '["a","a"]'),
        (LABEL_SERVED_NAMES, '[""]'),
        (LABEL_URL, "http://127.0.0.1:0"),
        (LABEL_URL, "http://127.0.0.1:65536"),
        (LABEL_URL, "http://user@127.0.0.1:80"),
        (LABEL_URL, "file:///etc/passwd"),
        (LABEL_URL, "http://127.0.0.1:80\n"),
        (LABEL_CLAIM, "0"),
        (LABEL_CLAIM, "012"),
        (LABEL_CLAIM, "1_000"),
        (LABEL_MODS, '[{"mod":"a","target":"b","md5":"unpinned"}]'),
        (LABEL_MODS, '[{"mod":"a","target":"/b","md5":"unpinned","more":1}]'),
        (LABEL_MODS, '{"mod":"a","target":"/b","md5":"unpinned"}'),
        (LABEL_SERVICE, "-a"),
        ("sparkctl.laid-over", '{"priority":1e400}'),
        ("sparkctl.laid-over", '{"overrides":"limits.context=1"}'),
        ("sparkctl.laid-over", '{"overrides":["a=\\u0000"]}'),
        ("sparkctl.ready", '{"timeout":Infinity,"probe":true,"acceptance":{},"checks":[]}'),
        ("sparkctl.ready", '{"timeout":1,"probe":1,"acceptance":{},"checks":[]}'),
        ("sparkctl.secrets", '{"salt":"zz","digests":{}}'),
    ],
)
def test_what_no_sparkctl_writes_is_damaged(label: str, value: str) -> None:
    (line,) = labels.read(WHOLE.to_labels() | {label: value}).damaged
    assert line.startswith(label)


@given(st.dictionaries(st.sampled_from([*ALL, LABEL_SCHEMA]), st.text() | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=4,
).map(json.dumps)))  # fmt: skip
def test_no_labels_are_an_error(hostile: dict[str, str]) -> None:
    read = labels.read(hostile)
    assert all(line.isprintable() for line in read.damaged)
    assert labels.read(read.to_labels()) == read


@pytest.mark.parametrize("schema", ["2", "0", "one", "\x1b"])
def test_labels_of_another_schema_are_unknown_but_the_service(schema: str) -> None:
    read = labels.read(WHOLE.to_labels() | {LABEL_SCHEMA: schema})
    assert read == ServiceLabels(service="chat")
    assert "another sparkctl" in read.damaged[0]
    assert len(read.damaged) == 1


def test_repeated_keys_of_json_are_read_without_an_error() -> None:
    twice = '[{"mod":"a","target":"/b","md5":"unpinned","md5":"' + "0" * 32 + '"}]'
    read = labels.read(WHOLE.to_labels() | {LABEL_MODS: twice})
    assert read.mods in {None, (RecordedMod("a", "/b", "0" * 32),)}


@pytest.mark.parametrize("label", ["sparkctl.service", "sparkctl.throwaway"])
def test_containers_of_sparkctl_are_known_by_any_of_their_labels(label: str) -> None:
    assert labels.is_ours({label: "1"})


def test_a_container_of_an_image_with_a_label_like_ours_is_not_ours() -> None:
    assert not labels.is_ours({"sparkctl.testbed.inputs": "1", "com.docker.compose.project": "x"})
