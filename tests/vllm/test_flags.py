"""Which release a version counts as, and what each release has."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from sparkctl.recipes import values
from sparkctl.vllm import flags

OLD, NEW = Version("0.19.1"), Version("0.29.0")


@pytest.mark.parametrize(
    ("text", "asked", "version", "note"),
    [
        ("0.19", "0.19.1", "0.19.1", None),
        ("0.20.2", "0.20.2", "0.20.2", None),
        ("0.20.2+cu130", "0.20.2", "0.20.2", None),
        ("0.20.2rc1.dev49", "0.20.2rc1.dev49", "0.19.1", "is between two releases whose flags are known"),
        ("0.21", "0.21.0", "0.21.0", None),
        ("0.22.0", "0.22.0", "0.21.0", "is between two releases whose flags are known"),
        ("0.16.0", "0.16.0", "0.17.1", "is older than 0.17.1, the oldest release whose flags are known"),
        ("9.0", "9.0", "0.33.0", "is newer than 0.33.0, the newest release whose flags are known"),
    ],
)
def test_a_version_counts_as_the_known_release_before_it(text: str, asked: str, version: str, note: str | None) -> None:
    told = None if note is None else f"vLLM {asked} {note}; it counts as {version}"
    assert flags.known(text) == (Version(asked), Version(version), told)


@given(st.tuples(st.integers(0, 1), st.integers(0, 40), st.integers(0, 4)))
def test_any_version_counts_as_a_known_release_that_is_not_later(parts: tuple[int, int, int]) -> None:
    resolved = flags.known(".".join(map(str, parts)))
    assert resolved.version in flags.releases()
    assert resolved.version <= resolved.asked or resolved.version == flags.releases()[0]
    assert (resolved.note is None) == (resolved.asked == resolved.version)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("kv-cache-dtype", "fp8", None),
        ("kv-cache-dtype", "fp88", "vLLM 0.19.1: --kv-cache-dtype has no 'fp88'; the nearest that it has is fp8"),
        ("kv-cache-dtyp", "fp8", "vLLM 0.19.1 has no --kv-cache-dtyp; the nearest that it has is --kv-cache-dtype"),
        ("task", "embed", "vLLM 0.19.1 has no --task; runner and convert (vllm-project/vllm#21470)"),
        ("kernel-confg", None, "vLLM 0.19.1 has no --kernel-confg; the nearest that it has is --kernel-config"),
        ("watermark", 1, "vLLM 0.19.1 has no --watermark (it exists from 0.24.0)"),
        ("swap-space", 4, "vLLM 0.19.1 has no --swap-space (it existed until 0.17.1)"),
        ("enforce-eager", True, None),
        ("enforce-eager", False, None),
        ("enforce-eager", "yes", "vLLM 0.19.1: --enforce-eager is a switch: expected true or false, found 'yes'"),
        ("headless", False, "vLLM 0.19.1: --headless has no --no- form; leave it out"),
        ("max-logprobs", "many", "vLLM 0.19.1: --max-logprobs takes a number, found 'many'"),
        ("max-logprobs", 3.5, "vLLM 0.19.1: --max-logprobs takes a number, found 3.5"),
        ("max-logprobs", "5", None),
        ("tool-call-parser", True, "vLLM 0.19.1: --tool-call-parser takes a value, found true"),
        ("runner", True, "vLLM 0.19.1: --runner takes a value, found true; it has auto, draft, generate, pooling"),
        ("compilation-config.mode", 3, None),
        ("compilation-confg.mode", 3, "vLLM 0.19.1 has no --compilation-confg"),
        ("enable-prefix-caching", None, None),
    ],
)
def test_a_flag_is_checked_against_the_release(name: str, value: str | float | None, told: str | None) -> None:
    found = flags.check_flag(name, value, OLD)
    assert found == told or (told is not None and found is not None and found.startswith(f"{told}; the nearest"))


def test_the_linear_backend_is_the_variable_and_later_the_flag() -> None:
    backends = {"moe": "marlin", "linear": "flashinfer_cutlass", "attention": "TRITON_ATTN"}
    words = {"--moe-backend": "marlin", "--attention-backend": "TRITON_ATTN"}
    variable = {"VLLM_NVFP4_GEMM_BACKEND": "flashinfer-cutlass"}
    assert flags.backend_words(backends, OLD) == (words, variable)
    assert flags.backend_words(backends, Version("0.20.2")) == (words, variable)
    later = {"--linear-backend": "flashinfer_cutlass"}
    assert flags.backend_words(backends, Version("0.22.1")) == (words | later, {})
    assert flags.backend_words({"linear": "flashinfer-cutlass"}, NEW) == (later, {})
    assert flags.backend_words({}, NEW) == ({}, {})


def test_what_a_release_does_not_have_is_found_at_the_key_that_asks_for_it() -> None:
    found = flags.doubts({"kv-cache-dtyp": "fp8"}, ["VLLM_NO_SUCH"], {"moe": "none-such"}, OLD)
    assert [finding.path for finding in found] == [
        ("args", "kv-cache-dtyp"),
        ("env", "VLLM_NO_SUCH"),
        ("backend", "moe"),
    ]
    assert not flags.doubts({"kv-cache-dtype": "fp8"}, ["HF_HOME"], {"moe": "marlin"}, OLD)


def test_the_variable_is_read_until_0_23_and_silently_ignored_from_0_24() -> None:
    name = "VLLM_NVFP4_GEMM_BACKEND"
    assert name in flags.variables_of(Version("0.23.0"))
    assert name not in flags.variables_of(Version("0.24.0"))


def test_the_flags_of_a_release_are_its_own() -> None:
    assert "--linear-backend" not in flags.flags_of(OLD)
    assert flags.flags_of(NEW)["--linear-backend"].choices
    assert flags.flags_of(OLD)["-q"].aliases == ("--quantization",)
    assert flags.flags_of(OLD)["--moe-backend"].choices[0] == "aiter"
    assert "batched_triton" not in flags.flags_of(OLD)["--moe-backend"].choices


def test_every_owned_flag_is_a_flag_and_so_are_all_its_names() -> None:
    owned = values.OWNED_FLAGS.keys() | values.SECRET_FLAGS
    for release in flags.releases():
        for name, flag in flags.flags_of(release).items():
            if name.removeprefix("--") in owned:
                aliases = {alias[2:] for alias in flag.aliases if alias.startswith("--")}
                assert aliases <= owned, f"{name} of {release}"
    every = {name[2:] for release in flags.releases() for name in flags.flags_of(release)}
    assert owned <= every


def test_what_took_a_flags_place_has_a_public_source() -> None:
    path = Path(flags.__file__).parent / "data" / "replaced-flags.json"
    for name, entry in json.loads(path.read_text())["flags"].items():
        assert name.startswith("--")
        assert all(re.fullmatch(r"[\w-]+/[\w-]+#\d+", source) for source in entry["source"].split("; ")), name
        told = flags.check_flag(name[2:], None, Version("0.32.0"))
        assert told is not None
        assert entry["instead"] in told
