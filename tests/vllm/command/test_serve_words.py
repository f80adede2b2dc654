"""The words behind ``vllm serve`` as its parser reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from sparkctl.recipes.command import flag_words
from sparkctl.vllm import flags
from sparkctl.vllm.command import words as serve_words

NEW = Version("0.32.0")


def flags_of(text: str, version: Version = NEW) -> dict[str, object]:
    read = serve_words.read(text.split(), version)
    return {flag.name: serve_words.plain_value(flag.name, flag.value) for flag in read.flags}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("--max-model-len 128k", {"max-model-len": 128_000}),
        ("--max_model_len=128K", {"max-model-len": 131_072}),
        (f"--max-model-len {'9' * 400}k", {"max-model-len": f"{'9' * 400}k"}),
        ("--max-model-len -1", {"max-model-len": -1}),
        ("--max-model-len auto", {"max-model-len": "auto"}),
        ("--kv-cache-memory 4800M", {"kv-cache-memory-bytes": 4800 * 2**20}),
        ("--kv-cache-memory-bytes 4.8g", {"kv-cache-memory-bytes": 4_800_000_000}),
        ("-tp 2 -pp=1 -q fp8", {"tensor-parallel-size": 2, "pipeline-parallel-size": 1, "quantization": "fp8"}),
        ("-O3", {"optimization-level": 3}),
        ("-cc.mode 3", {"compilation-config.mode": 3}),
        ("--speculative-config.num_speculative_tokens 2", {"speculative-config.num_speculative_tokens": 2}),
        ("--enable-chunked-prefil --trust-remote-code", {"enable-chunked-prefill": True, "trust-remote-code": True}),
        ("--no-enable-prefix-caching", {"enable-prefix-caching": False}),
        ("--no_enable_prefix_caching", {"enable-prefix-caching": False}),
        ("--headless --port 1", {"headless": True, "port": 1}),
        ("--served-model-name a b --port 1", {"served-model-name": ["a", "b"], "port": 1}),
        ("--served-model-name=a", {"served-model-name": "a"}),
        ('--limit-mm-per-prompt {"image":2}', {"limit-mm-per-prompt": {"image": 2}}),
        ("--gpu-memory-utilization 0.805", {"gpu-memory-utilization": 0.805}),
        ("--gpu-memory-utilization 0.80", {"gpu-memory-utilization": "0.80"}),
        ("--seed 007 --dtype true", {"seed": "007", "dtype": "true"}),
        ("--of-a-fork x y --of-another", {"of-a-fork": ["x", "y"], "of-another": True}),
        ("--config serve.yaml", {"config": "serve.yaml"}),
        ("--kv-transfer-config {broken", {"kv-transfer-config": "{broken"}),
    ],
)  # fmt: skip
def test_a_flag_has_its_long_name_and_its_value(text: str, expected: dict[str, object]) -> None:
    assert flags_of(text) == expected


def test_the_model_is_the_word_that_no_flag_takes() -> None:
    words = ["--trust-remote-code", "org/model", "--port", "8000", "more"]
    assert [words[at] for at in serve_words.read(words, NEW).positional] == ["org/model", "more"]


def test_a_beginning_of_a_name_is_that_of_the_release() -> None:
    assert "enable-log-requests" in flags_of("--disable-log-requests", Version("0.33.0"))
    assert flags_of("--disable-log-requests", Version("0.33.0"))["enable-log-requests"] is False


VALUES = st.one_of(
    st.integers(0, 10**12).map(str),
    st.floats(0, 1, allow_nan=False).map(str),
    st.text("abcXYZ019._/-", min_size=1, max_size=12).filter(lambda text: not text.startswith("-")),
)


@given(st.sampled_from(sorted(name for name in flags.flags_of(NEW) if name.startswith("--"))), VALUES)
def test_what_a_recipe_renders_is_read_as_what_was_written(name: str, value: str) -> None:
    (first,) = serve_words.read([name, value], NEW).flags
    plain = serve_words.plain_value(first.name, first.value)
    (again, *_) = serve_words.read(flag_words(first.name, plain), NEW).flags
    assert again.name == first.name
    assert serve_words.plain_value(again.name, again.value) == plain


@given(st.lists(st.text(max_size=8), max_size=8))
def test_any_words_are_read_and_each_of_them_once(words: list[str]) -> None:
    read = serve_words.read(words, NEW)
    taken = [at for flag in read.flags for at in range(flag.start, flag.end)]
    assert sorted([*taken, *read.positional]) == list(range(len(words)))
