"""The data on flags: what they do, what is known to hurt on a GB10, which defaults changed; each with its source."""

from __future__ import annotations

import re
from typing import Any

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from sparkctl.vllm import flags
from sparkctl.vllm.known import defaults, pains, words
from sparkctl.vllm.known.planned import PlannedServer
from sparkctl.world.docker_run.options import OPTIONS

SERVER = PlannedServer(Version("0.20.2"), "vllm/vllm-openai:v0.20.2", {}, {}, {})
SOURCE = re.compile(r"[\w.-]+/[\w.-]+(#\d+| [\w./-]+)|vLLM 0\.\d+\.\d+ [\w./-]+|seen on vLLM .+")
"""A project's issue or pull request or file, a file of a release, or what this project has seen."""


def test_each_sentence_is_about_something_that_exists() -> None:
    names = flags.names()
    assert [name for name in words.sentences("flags") if f"--{name}" not in names] == []
    odd = [name for name in words.sentences("variables") if name.startswith("VLLM_") and flags.lifetime(name) is None]
    assert odd == []
    options = {option.long for option in OPTIONS} | {"image"}
    assert [name for name in words.sentences("docker") if name not in options] == []


def test_each_sentence_is_one_and_ends_as_one() -> None:
    every = [text for kind in ("flags", "variables", "docker") for text in words.sentences(kind).values()]
    assert [text for text in every if not re.fullmatch(r"[A-Z].*\.", text)] == []
    assert len(every) == len(set(every))


def test_a_part_of_a_flag_is_explained_by_the_flag() -> None:
    assert words.of_flag("compilation-config.cudagraph_mode") == words.of_flag("compilation-config")
    assert words.of_flag("nobody-knows") is None
    assert words.of_variable("VLLM_API_KEY") is not None
    assert words.of_option("shm-size") is not None


def test_each_pain_is_about_something_that_exists_and_has_a_public_source() -> None:
    every = pains.every()
    assert len({pain.id for pain in every}) == len(every)
    for pain in every:
        there = {
            "flag": f"--{pain.name}" in flags.names(),
            "variable": flags.lifetime(pain.name) is not None,
            "docker": any(option.long == pain.name for option in OPTIONS),
            "release": not pain.name,
        }
        assert there[pain.kind], pain.id
        assert all(SOURCE.fullmatch(one) for one in pain.source.split("; ")), pain.id
        assert all(f"--{flag}" in flags.names() for flag in (*pain.beside, *pain.without)), pain.id
        SpecifierSet(pain.versions)
        re.compile(pain.value)


def test_a_pain_holds_for_its_value_release_model_and_neighbours() -> None:
    def ids(**given: Any) -> set[str]:  # noqa: ANN401  (any field of the server's)
        return {pain.id for pain in pains.of(SERVER._replace(**given))}

    fraction = {"gpu-memory-utilization": "0.80"}
    assert "sized-by-fraction" in ids(flags=fraction)
    assert "sized-by-fraction" not in ids(flags={**fraction, "kv-cache-memory-bytes": "1"})
    assert "graphs-taken-off" not in ids(flags=fraction, version=Version("0.19.1"))
    assert "graphs-taken-off" in ids(flags=fraction)
    drafts = {"speculative-config": '{"method":"mtp","num_speculative_tokens":4}'}
    mended = {"flags": drafts, "model_type": "gemma4", "version": Version("0.26.0")}
    assert "gemma4-mtp-025" in ids(**{**mended, "version": Version("0.25.1")})
    assert "gemma4-mtp-025" not in ids(**mended)
    assert "gemma4-mtp-025" not in ids(flags=drafts, version=Version("0.25.1"), model_type="qwen3")
    assert "gemma4-draft-depth" in ids(**mended)
    assert "gemma4-draft-depth" not in ids(
        **{**mended, "flags": {"speculative-config": '{"num_speculative_tokens":1}'}}
    )
    assert "gemma4-mtp-025" in ids(flags=drafts, version=Version("0.25.1"), model_type="gemma4_text")
    assert "gpt-oss-marlin" in ids(flags={"moe-backend": "marlin"}, model_type="gpt_oss")
    assert "gpt-oss-marlin" not in ids(flags={"moe-backend": "marlin"}, model_type="gpt")
    preview = {"flags": drafts, "model_type": "gemma4", "image": "vllm/vllm-openai:gemma4-0505-cu130"}
    assert "gemma4-mtp-preview" in ids(**preview)
    assert "gemma4-mtp-absent" not in ids(**preview)
    assert "gemma4-mtp-absent" in ids(flags=drafts, model_type="gemma4")
    assert "restarted-by-docker" in ids(options={"restart": ("always",)})
    assert "variable-without-effect" in ids(variables={"VLLM_NVFP4_GEMM_BACKEND": "marlin"}, version=Version("0.24.0"))


def test_what_is_known_of_a_flag_is_found_by_its_name() -> None:
    assert {pain.id for pain in pains.about("flag", "enforce-eager")} == {"eager"}
    assert pains.about("flag", "seed") == ()


def test_a_changed_default_matters_where_nothing_decides_it() -> None:
    given = {"gpu-memory-utilization": "0.5"}
    old = SERVER._replace(version=Version("0.19.1"), flags=given)
    new = old._replace(version=Version("0.26.0"))
    told = "\n".join(defaults.between(old, new))
    assert "VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS: 1 where it was 0; an estimate" in told
    assert "0 where it was 1; no longer: an estimate" in "\n".join(defaults.between(new, old))
    assert "gpu-memory-utilization" not in told
    assert "gpu-memory-utilization: 0.92 where it was 0.9" in "\n".join(
        defaults.between(old._replace(flags={}), new._replace(flags={}))
    )
    sized = {**given, "kv-cache-memory-bytes": "1"}
    assert "estimate" not in "\n".join(defaults.between(old._replace(flags=sized), new._replace(flags=sized)))
    windows = frozenset({"windows"})
    assert "two batches" in "".join(defaults.between(old._replace(types=windows), new._replace(types=windows)))
    assert defaults.between(new, new) == []


@pytest.mark.parametrize("one", defaults.every(), ids=lambda one: one.name)
def test_each_changed_default_has_a_source(one: defaults.ChangedDefault) -> None:
    assert SOURCE.fullmatch(one.source)
    assert flags.lifetime(one.name) is not None or flags.lifetime(f"--{one.name}") is not None


def test_a_default_that_the_table_alone_knows_is_told_too() -> None:
    old, new = SERVER._replace(version=Version("0.21.0")), SERVER._replace(version=Version("0.33.0"))
    told = defaults.between(old, new)
    assert "VLLM_USE_V2_MODEL_RUNNER: what vLLM works out at its start where it was 0" in told
    set_by_hand = {"VLLM_USE_V2_MODEL_RUNNER": "0"}
    assert not any(
        line.startswith("VLLM_USE_V2") for line in defaults.between(old, new._replace(variables=set_by_hand))
    )
    assert not any("ROCM" in line or "ALLREDUCE" in line for line in told)


def test_the_default_of_a_flag_is_that_of_its_release() -> None:
    shares = [
        defaults.of("--gpu-memory-utilization", Version(text)) for text in ("0.17.1", "0.19.1", "0.20.2", "0.33.0")
    ]
    assert shares == ["0.9", "0.9", "0.92", "0.92"]
    assert defaults.of("--nobody-knows", Version("0.33.0")) is None
    assert defaults.of("VLLM_RPC_TIMEOUT", Version("0.10.0")) is None


@pytest.mark.parametrize("one", defaults.every(), ids=lambda one: one.name)
def test_what_follows_of_a_default_agrees_with_the_releases(one: defaults.ChangedDefault) -> None:
    name = one.name if one.name.isupper() else f"--{one.name}"
    known = {defaults.of(name, release) for release in flags.releases()} - {None, "None"}
    assert not known or known == {one.before, one.after}
    for release in flags.releases():
        if known and defaults.of(name, release) is not None:
            assert defaults.of(name, release) == (one.after if release >= one.since else one.before)


def test_the_life_of_a_flag_and_what_is_announced_of_a_variable() -> None:
    assert flags.lifetime("--linear-backend") == (Version("0.22.1"), Version("0.33.0"))
    assert flags.lifetime("VLLM_NVFP4_GEMM_BACKEND") == (Version("0.17.1"), Version("0.23.0"))
    assert flags.lifetime("--nobody-knows") is None
    notice = flags.deprecation("VLLM_USE_FLASHINFER_MOE_FP4")
    assert notice is not None
    assert (str(notice.since), notice.use) == ("0.22.1", ("--moe-backend",))
    assert flags.deprecation("VLLM_API_KEY") is None
