"""Starts that others logged: the format, what contradicts itself, which is the nearest, and what a plan takes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from packaging.version import Version
from pydantic import ValidationError

from sparkctl.base.units import GIB
from sparkctl.memory.items import Item, When, Where
from sparkctl.planning import reference
from sparkctl.planning.known_starts import KnownStart, KnownStarts
from sparkctl.planning.reference import applied, beside, nearest
from sparkctl.recipes.sizing.memory_key import relevant_flags
from tests.support.fake_world import FakeSpark
from tests.support.paths import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.planning.reference import Reference

MODEL = "google/gemma-4-26B-A4B-it"
LOGGED = {
    "model": MODEL,
    "vllm": "0.20.0",
    "total": "100 GiB",
    "flags": {"gpu-memory-utilization": 0.8, "max-model-len": 8192, "max-num-batched-tokens": 4096},
    "logged": {"loaded": "48 GiB", "kv-cache": "28 GiB", "graphs": "0.5 GiB", "graphs-estimated": "1 GiB"},
    "source": "somebody/results, a.log",
}
FLAGS = {"max-num-batched-tokens": "2048", "max-num-seqs": "8", "kv-cache-memory-bytes": "1"}
ITEMS = (
    Item("weights", 50 * GIB, "computed"),
    Item("KV cache", 9 * GIB, "computed"),
    Item("activations", GIB, "a formula", estimated=True),
    Item("CUDA context", GIB, "a figure", estimated=True),
    Item("host processes", 3 * GIB, "a figure", where=Where.HOST, estimated=True),
    Item("while it starts", 8 * GIB, "a figure", When.START, Where.HOST, estimated=True),
)


def start(**changes: Any) -> KnownStart:  # noqa: ANN401  (any field)
    return KnownStart.model_validate(LOGGED | changes)


def near(*starts: KnownStart, flags: dict[str, str] | None = None, vllm: str = "0.20.2") -> Reference | None:
    written = [(one, dict(relevant_flags(one.flags))) for one in starts]
    return nearest(written, MODEL, FLAGS if flags is None else flags, Version(vllm), "")


def test_weights_and_what_is_beside_are_taken_of_a_start_that_is_alike() -> None:
    found = near(start())
    assert found is not None
    assert found.weights == 48 * GIB
    assert found.beside == round(3.5 * GIB)  # 80 asked, less 48, less 28, less 1 for graphs that took 0.5
    items = {item.name: item for item in applied(ITEMS, found)}
    assert {name: item.bytes / GIB for name, item in items.items()} == {
        "weights": 48,
        "KV cache": 9,
        "beside weights and cache": 3.5,
        "host processes": 3,
        "while it starts": 8,
    }
    assert items["weights"].source == "as logged on a GB10 (reference): somebody/results, a.log"
    assert items["beside weights and cache"].spread > GIB  # one sample of another machine


def test_no_logged_start_makes_an_item_less_than_a_share_of_its_estimate() -> None:
    lean = start(logged=LOGGED["logged"] | {"kv-cache": "31 GiB"})
    (found,) = [item for item in applied(ITEMS, near(lean)) if item.name == "beside weights and cache"]  # type: ignore[arg-type]
    assert (beside(lean), found.bytes) == (GIB // 2, round(1.5 * GIB))


@pytest.mark.parametrize(
    ("changes", "flags", "vllm"),
    [
        ({}, {"max-num-batched-tokens": "65536"}, "0.20.2"),
        ({"flags": LOGGED["flags"] | {"max-num-batched-tokens": 65536}}, {}, "0.20.2"),
        ({}, {"max-num-seqs": "1024"}, "0.20.2"),
        ({}, {"enforce-eager": "true"}, "0.20.2"),
        ({}, {}, "0.33.0"),
        ({"vllm": "0.1.dev16581+gdda4668b5"}, {}, "0.20.2"),
        ({"flags": LOGGED["flags"] | {"load-format": "fastsafetensors"}}, {"load-format": "fastsafetensors"}, "0.20.2"),
        ({"unsaid": ["kv-transfer-config"]}, {}, "0.20.2"),
        ({"total": None}, {}, "0.20.2"),
    ],
)
def test_of_a_start_that_is_less_alike_the_weights_alone_are_taken(
    changes: dict[str, Any], flags: dict[str, str], vllm: str
) -> None:
    found = near(start(**changes), flags=FLAGS | flags, vllm=vllm)
    assert found is not None
    assert (found.weights, found.beside) == (48 * GIB, None)


@pytest.mark.parametrize(
    ("changes", "flags"),
    [
        ({"model": "google/gemma-4-31B-it"}, {}),
        ({}, {"quantization": "fp8"}),
        ({}, {"language-model-only": "true"}),
        ({}, {"speculative-config": '{"method":"mtp","num_speculative_tokens":1}'}),
        ({"flags": {"tensor-parallel-size": 2}}, {}),
        ({"unsaid": ["speculative-config"]}, {}),
        ({"logged": {"kv-cache": "1 GiB"}}, {}),
    ],
)
def test_of_a_start_that_loaded_something_else_nothing_is_taken(changes: dict[str, Any], flags: dict[str, str]) -> None:
    assert near(start(**changes), flags=FLAGS | flags) is None


def test_what_a_checkpoint_is_anyway_may_be_said_or_not_and_drafted_tokens_load_nothing() -> None:
    assert near(start(), flags=FLAGS | {"quantization": "modelopt"}) is not None
    drafting = {"method": "mtp", "num_speculative_tokens": 3}
    assert near(start(flags={"speculative-config": drafting}), flags={"speculative-config": '{"method":"mtp"}'})


def test_the_nearest_says_most_and_is_of_the_nearest_release() -> None:
    weights, old, new = (
        start(source="weights", total=None, vllm="0.20.2"),
        start(source="old", vllm="0.19.0"),
        start(source="new", vllm="0.20.1"),
    )
    found = near(weights, old, new)
    assert found is not None
    assert found.start.source == "new"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"logged": {"loaded": "101 GiB"}}, "101.0 GiB is more than the machine has (100.0 GiB)"),
        (
            {"logged": {"loaded": "60 GiB", "kv-cache": "30 GiB"}},
            "loaded and KV cache add up to 90.0 GiB, where 0.8 of the machine is 80.0 GiB",
        ),
        (
            {"flags": {"kv-cache-memory-bytes": GIB}, "logged": {"kv-cache": 2 * GIB}},
            "2,147,483,648 bytes, where the flag kv-cache-memory-bytes says 1,073,741,824",
        ),
        (
            {"vllm": "0.26.0", "logged": {"kv-tokens": 80000, "max-concurrency": 2.0}},
            "80,000 tokens, where 2 times a context of 8,192 is 16,384",
        ),
        ({"logged": {"loaded": "9 GiB", "gpu": "8 GiB"}}, "8.0 GiB held on the GPU is less than what was loaded (9.0"),
        ({"logged": {"gpu": "9 GiB", "gpu-peak": "8 GiB"}}, "8.0 GiB is less than what it held when it was ready"),
        ({"model": "/models/secret"}, "expected a repository, OWNER/NAME, found '/models/secret'"),
        ({"image": "registry.home/vllm:1"}, "expected an image's id, sha256:"),
    ],
)
def test_a_start_that_contradicts_itself_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        start(**changes)
    assert message in str(caught.value)


def test_before_0_20_2_the_logged_tokens_are_no_concurrency_times_the_context() -> None:
    assert start(logged={"kv-tokens": 177440, "max-concurrency": 35.75}).release == Version("0.20.0")


def test_every_shipped_start_has_a_source_and_says_something(tmp_path: Path) -> None:
    files = sorted((REPOSITORY / "recipes" / "measured").glob("*.yaml"))
    assert len(files) >= 3
    done = FakeSpark(tmp_path).run("recipes", "lint", *map(str, files)).expect(0)
    assert f"checked {len(files)}, errors 0, warnings 0" in done.err + done.out


def test_a_mistake_in_a_file_is_told_at_its_line(tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(
        "starts:\n  - model: a/b\n    source: x\n    logged: {gpu: 9 GiB, gpu-peak: 8 GiB}\n    flagz: {}\n"
    )
    done = FakeSpark(tmp_path).run("recipes", "lint", str(file)).expect(2)
    assert f"{file}:5:5: unknown key 'flagz'" in done.err
    file.write_text("starts:\n  - model: a/b\n    source: x\n    logged: {gpu: 9 GiB, gpu-peak: 8 GiB}\n")
    done = FakeSpark(tmp_path).run("recipes", "lint", str(file)).expect(2)
    assert f"{file}:4:" in done.err
    assert "is less than what it held when it was ready" in done.err


def test_the_next_plan_goes_by_the_nearest_start_before_this_host_has_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "recipes" / "measured"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(
        "starts:\n  - model: coolthor/Gemma-4-E4B-it-NVFP4A16\n    vllm: '0.19.0'\n    source: somebody, a.log\n"
        "    logged: {loaded: 10.5 GiB}\n"
    )
    spark = FakeSpark(tmp_path)
    (planned,) = spark.run("plan", "e4b-nvfp4", "--json").expect(0).json["services"]
    assert planned["known"] == reference.KNOWN == "as logged on a GB10 (reference)"
    described = spark.run("plan", "e4b-nvfp4", "--host", "gb10-119", "--json").expect(0).json["services"]
    assert described[0]["known"] == reference.KNOWN
    assert "10.5 GiB" in spark.run("plan", "e4b-nvfp4").expect(0).out
    before = spark.run("render", "e4b-nvfp4").expect(0).out
    spark.run("up", "e4b-nvfp4").expect(0)
    spark.run("down", "e4b-nvfp4").expect(0)
    assert spark.run("render", "e4b-nvfp4").expect(0).out == before
    (planned,) = spark.run("plan", "e4b-nvfp4", "--json").expect(0).json["services"]
    assert planned["known"].startswith("measured here on ")


def test_a_file_that_cannot_be_used_stops_no_plan(tmp_path: Path) -> None:
    folder = tmp_path / "recipes" / "measured"
    folder.mkdir(parents=True)
    (folder / "bad.yaml").write_text("starts: [{model: coolthor/Gemma-4-E4B-it-NVFP4A16}]\n")
    done = FakeSpark(tmp_path).run("plan", "e4b-nvfp4").expect(0)
    assert "warning: the measured starts of bad are not used: " in done.err


def test_the_format_takes_no_names_that_are_not_public() -> None:
    fields = set(KnownStart.model_fields) | set(KnownStarts.model_fields)
    assert not fields & {"service", "recipe", "host", "path", "user", "url", "key"}
