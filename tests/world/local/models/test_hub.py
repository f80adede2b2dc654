"""What cannot be asked of the hub is refused before anything is sent."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import InputError
from sparkctl.world.local.models.hub import HuggingFaceHub
from tests.support.fake_hub import COMMIT, hub, safetensors

if TYPE_CHECKING:
    from pathlib import Path

CLOSED = "http://127.0.0.1:9"
"""The discard port, where nobody listens."""


@pytest.mark.parametrize("repo", ["./nosuch", "a--b/x", "nosuch/x.", "a" * 300, "a\udcff/b", ""])
def test_a_name_that_no_repository_has_is_an_input_error(tmp_path: Path, repo: str) -> None:
    closed = HuggingFaceHub(CLOSED, bars=False)
    with pytest.raises(InputError, match="cannot be the name of a repository"):
        closed.described(repo, None)
    with pytest.raises(InputError, match="cannot be the name of a repository"):
        closed.download(repo, None, folder=None, cache=tmp_path)


@pytest.mark.parametrize("endpoint", ["nonsense", "ftp://a", "http://", "http://[", "http://a:99999"])
def test_an_address_that_is_none_is_an_input_error_that_does_not_show_it(tmp_path: Path, endpoint: str) -> None:
    closed = HuggingFaceHub(endpoint, bars=False)
    with pytest.raises(InputError, match="HF_ENDPOINT is no address of a hub") as caught:
        closed.described("a/b", None)
    assert endpoint not in caught.value.message.replace("http:// or https://", "")
    with pytest.raises(InputError, match="HF_ENDPOINT is no address of a hub"):
        closed.download("a/b", None, folder=None, cache=tmp_path)


def test_a_hub_that_nobody_runs_is_an_input_error() -> None:
    with pytest.raises(InputError, match="cannot read a/b: "):
        HuggingFaceHub(CLOSED).described("a/b", None)


SHARDS = {
    "config.json": b"{}",
    "model.safetensors.index.json": b'{"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}',
    "one.safetensors": safetensors({"a": ("BF16", [8, 8], 128)}),
    "two.safetensors": safetensors({"b": ("F8_E4M3", [4], 4), "n" * 120_000: ("F32", [1], 4)}),
    "stray.safetensors": safetensors({"c": ("F32", [1], 4)}),
}


def test_of_the_weights_the_headers_of_the_index_alone_are_read() -> None:
    with hub({"a/b": SHARDS}) as address:
        found = HuggingFaceHub(address).described("a/b", None)
    assert (found.commit, found.config) == (COMMIT, b"{}")
    assert found.tensors[:2] == (("a", "BF16", (8, 8), 128), ("b", "F8_E4M3", (4,), 4))
    assert [name[:1] for name, *_ in found.tensors] == ["a", "b", "n"]


def test_small_files_are_read_where_they_are_and_of_a_long_one_its_beginning() -> None:
    files = {**SHARDS, "chat_template.jinja": b"{{ x }}", "tokenizer_config.json": b"x" * (2**20 + 5)}
    with hub({"a/b": files}) as address:
        found = HuggingFaceHub(address).texts(
            "a/b", None, ["chat_template.jinja", "none.json", "tokenizer_config.json"]
        )
    assert list(found) == ["chat_template.jinja", "tokenizer_config.json"]
    assert (found["chat_template.jinja"], len(found["tokenizer_config.json"])) == (b"{{ x }}", 2**20)


def test_what_modelopt_says_beside_the_config_belongs_to_it() -> None:
    files = {"config.json": b'{"a": 1}', "hf_quant_config.json": b'{"quantization": {"quant_algo": "FP8"}}'}
    with hub({"a/b": files}) as address:
        found = HuggingFaceHub(address).described("a/b", None)
    assert json.loads(found.config) == {"a": 1, "quantization_config": {"quantization": {"quant_algo": "FP8"}}}


@pytest.mark.a_part(2)
@pytest.mark.parametrize("how", ["silent", "gone"])
@pytest.mark.parametrize("where", ["api", "config.json", "two.safetensors"])
def test_a_hub_that_falls_silent_or_goes_away_is_told_once_and_soon(
    where: str, how: str, capfd: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    with hub({"a/b": SHARDS}, fault=(where, how)) as address, pytest.raises(InputError) as caught:
        HuggingFaceHub(address, patience=0.2).described("a/b", None)
    assert time.monotonic() - began < 1.5
    assert caught.value.message.startswith("cannot read a/b: ")
    assert "\n" not in caught.value.message
    assert how == "gone" or "the hub has not answered for 0.2 s" in caught.value.message
    assert capfd.readouterr() == ("", "")


@pytest.mark.a_part(3)
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"config.json": None}, "has no config.json"),
        ({"two.safetensors": None}, "names two.safetensors, which is not there"),
        ({"one.safetensors": b"version https://git-lfs.github.com/spec/v1"}, "one.safetensors of a/b on the hub is no"),
        ({"one.safetensors": b"\2\0\0\0\0\0\0\0[]"}, "expected a map, found list"),
        ({"one.safetensors": b'\x08\0\0\0\0\0\0\0{"a": 1}'}, "expected dtype, shape and data_offsets of tensor a"),
        ({"model.safetensors.index.json": b"<html>"}, "expected JSON"),
        (
            {"model.safetensors.index.json": None, "model-00002-of-00002.safetensors": SHARDS["one.safetensors"]},
            "a/b on the hub has no model-00001-of-00002.safetensors",
        ),
    ],
)
def test_what_is_not_what_it_claims_is_an_input_error(change: dict[str, bytes | None], said: str) -> None:
    files = {name: content for name, content in (SHARDS | change).items() if content is not None}
    with hub({"a/b": files}) as address, pytest.raises(InputError) as caught:
        HuggingFaceHub(address).described("a/b", None)
    assert said in caught.value.message


def test_a_revision_or_a_repository_that_is_not_there_and_a_gated_one_are_told_apart() -> None:
    with hub({"a/b": SHARDS}, frozenset({"a/b"})) as address:
        with pytest.raises(InputError, match="a/b is gated"):
            HuggingFaceHub(address).described("a/b", None)
        with pytest.raises(InputError, match="the hub has no repository a/c"):
            HuggingFaceHub(address).described("a/c", None)
