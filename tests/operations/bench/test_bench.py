"""Benchmarks: statistics to the digit, the roofline, and the command over a world of fakes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.memory.pace import roofline
from sparkctl.operations.bench import llama_benchy, result, rounds
from sparkctl.operations.bench.saved import bench_record, benches
from sparkctl.operations.records import Records
from sparkctl.vllm.streams import Completion
from sparkctl.world.local.store import SqliteStore
from sparkctl.world.web import Reply
from tests.support.bench_streams import FakeStreams, done
from tests.support.fake_world import SERVED, FakeSpark
from tests.support.fakes import FakeHttp
from tests.support.paths import FIXTURES, REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENT = REPOSITORY / "docs" / "bench.md"


def test_the_statistics_of_a_level_to_the_digit() -> None:
    found = result.level(2, [[done(0, 10, 100), done(0, 20, 100)], [done(100, 10, 100), done(100, 10, 100)]])
    assert (found.requests, found.tokens) == (4, 400)
    assert found.per_request == pytest.approx((10 + 5 + 10 + 10) / 4)
    assert found.together == pytest.approx((200 / 20 + 200 / 10) / 2)
    assert found.first_s == 1.0
    assert found.between_s["p50"] == pytest.approx(9 / 99)
    assert found.between_s["p99"] == pytest.approx(19 / 99)
    assert found.tokens_per_chunk == 1.0


def test_chunks_that_were_read_in_bunches_are_told_from_slow_ones() -> None:
    steady = done(0, 10, 100)
    late = replace(steady, times_s=tuple(4.0 + 2 * (number // 33) for number in range(100)))
    stalled = replace(steady, times_s=(*steady.times_s[:50], *(at + 3 for at in steady.times_s[50:])), ended_s=13)
    assert [result.bunched(result.level(1, [[one]])) for one in (steady, late, stalled)] == [False, True, False]


def test_what_failed_is_a_problem_and_no_number() -> None:
    bad = Completion(0, 1, problem="connection reset by peer")
    found = result.level(2, [[done(0, 10, 100), bad], [bad, bad]])
    assert (found.requests, found.per_request, found.problems) == (1, 10.0, ("connection reset by peer",))
    assert result.level(1, [[bad]]).requests == 0


@given(st.lists(st.floats(0, 1e6), min_size=1), st.sampled_from(result.PERCENTILES))
def test_a_percentile_is_one_of_the_values_and_enough_do_not_exceed_it(numbers: list[float], share: int) -> None:
    found = result.percentile(numbers, share)
    assert found in numbers
    assert sum(number <= found for number in numbers) >= share / 100 * len(numbers)


def test_the_servers_counters_are_compared() -> None:
    assert result.disagreement(1000, 1009) == ""
    assert result.disagreement(1000, 1500).endswith("others were served meanwhile")
    assert result.disagreement(1000, 0).endswith("its counters began anew, or lag")
    assert "was not there" in result.disagreement(1000, None)


def test_the_roofline_counts_what_a_token_reads() -> None:
    components = {"linear": 10, "experts": 128, "embedding": 6, "per-layer embedding": 1000, "vision": 50, "norm": 1}
    assert roofline.weights_read(components, 64, 4, tied=True) == 10 + 8 + 6 + 1
    assert roofline.weights_read(components, 64, 4, tied=False) == 10 + 8 + 3 + 1
    assert roofline.weights_read(components, 0, 0, tied=True) == 10 + 128 + 6 + 1, "experts that are not known: all"
    assert roofline.weights_read({"draft": 5}, 0, 0, tied=True) is None
    assert roofline.tokens_per_second(273, 273e9) == 1e9


CONFIG = {
    "model_type": "gemma4_text",
    "num_hidden_layers": 4,
    "hidden_size": 64,
    "vocab_size": 100,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
    "num_attention_heads": 2,
    "head_dim": 8,
    "num_key_value_heads": 1,
    "global_head_dim": 16,
    "sliding_window": 10,
    "intermediate_size": 64,
}


def test_the_cache_that_a_token_reads_is_each_layers_window_or_context() -> None:
    sliding, full = 2 * 8, 2 * 16  # a byte for each number of a key and a value
    own, shared = (roofline.read_shape({**CONFIG, "num_kv_shared_layers": count}) for count in (0, 2))
    assert roofline.cache_read(own, "fp8", 100) == 2 * 10 * sliding + 2 * 100 * full
    assert roofline.cache_read(own, "auto", 5) == 2 * 5 * 2 * (sliding + full)
    assert roofline.cache_read(shared, "fp8", 100) == 2 * 10 * sliding + 2 * 100 * full, "as it would read its own"


def test_a_state_is_read_and_written_whole_whatever_the_context() -> None:
    config = json.loads((FIXTURES / "configs" / "mamba-2.8b" / "config.json").read_text())
    state = roofline.cache_read(roofline.read_shape(config), "auto", 1)
    assert state == roofline.cache_read(roofline.read_shape(config), "auto", 100_000) > 0


def test_results_are_kept_in_their_order(tmp_path: Path) -> None:
    records = Records(SqliteStore(tmp_path))
    assert benches(records) == []
    records.add(bench_record(BENCH))
    assert benches(records, "e4b-nvfp4") == [BENCH]
    assert benches(records, "other") == []
    records.add(bench_record(replace(BENCH, at=BENCH.at - 1e6, image="later:1")))
    assert benches(records, "e4b-nvfp4")[-1].image == "later:1", "a clock that was set back makes no other one the last"
    assert records.measurements() == []


# --- the command -----------------------------------------------------------------------------------------------------

BENCH = result.Bench(
    service="e4b-nvfp4",
    recipe="e4b-nvfp4",
    model="a/b",
    image="image:1",
    vllm="0.20.2",
    at=1.8e9,
    max_tokens=500,
    rounds=3,
    levels=(result.level(1, [[done(0, 10, 400)]]),),
)


@pytest.fixture
def spark(tmp_path: Path) -> FakeSpark:
    spark = FakeSpark(tmp_path, streams=FakeStreams())
    spark.run("up", "e4b-nvfp4").expect(0)
    return spark


def test_the_protocol_of_the_seeds_is_the_default(spark: FakeSpark) -> None:
    shown = spark.run("bench", "e4b-nvfp4").expect(0)
    streams = spark.streams
    assert isinstance(streams, FakeStreams)
    assert [len(bodies) for bodies in streams.asked] == [1, 1, 1, 1, 3, 3, 3]
    body = streams.asked[0][0]
    assert (body["max_tokens"], body["temperature"], body["ignore_eos"]) == (500, 0, True)
    used = [str(body["prompt"]) for bodies in streams.asked[1:] for body in bodies]
    assert len(set(used)) == len(rounds.prompts()) == 10, "no prompt is asked twice before all were"
    header, one, three, expected, limit = shown.out.splitlines()
    assert header.split()[:2] == ["at", "once"]
    assert "50.0 ± 0.0" in one
    assert "150.0 ± 0.0" in three
    assert expected == "+0% beside the 49.9 tok/s of ai-muninn, DGX Spark part 10: three rounds of 500 tokens"
    assert "that 273 GB/s allow (estimated)" in limit
    assert "the server's own counter of tokens was not there" in shown.err
    assert benches(Records(spark.store), "e4b-nvfp4")[0].single == pytest.approx(50.0)


def test_history_compare_markdown_svg_and_a_saved_file(spark: FakeSpark, tmp_path: Path) -> None:
    saved, plot = tmp_path / "one.json", tmp_path / "one.svg"
    done = spark.run("bench", "e4b-nvfp4", "--markdown", "--save", str(saved), "--svg", str(plot)).expect(0)
    assert "| 1 | 50.0 ± 0.0 | 50.0 ± 0.0 |" in done.out
    assert plot.read_text().startswith("<svg ")
    assert isinstance(spark.streams, FakeStreams)
    spark.streams.rate = 60.0
    spark.run("bench", "e4b-nvfp4", "--concurrency", "1", "--rounds", "1").expect(0)
    history = spark.run("bench", "history", "e4b-nvfp4").expect(0).out.splitlines()
    assert [line.split()[-2] for line in history[1:]] == ["50.0", "60.0"]
    assert "-17%" in spark.run("bench", "--compare", "e4b-nvfp4", str(saved)).expect(0).out
    both = spark.run("bench", "--compare", "e4b-nvfp4", str(saved), "--json").expect(0).json
    assert [one["levels"][0]["concurrency"] for one in both] == [1, 1]


def test_options_and_what_they_refuse(spark: FakeSpark, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("one two\n\n")
    options = ("--tokens", "7", "--rounds", "1", "--concurrency", "2", "--prompts", str(prompts))
    row = spark.run("bench", "e4b-nvfp4", *options, "--input-tokens", "6", "--json").expect(0).json
    assert isinstance(spark.streams, FakeStreams)
    assert spark.streams.asked[-1][0]["prompt"] == "one two one two one two"
    assert (row["max_tokens"], row["levels"][0]["tokens"]) == (7, 14)
    for arguments, words in (
        (["nobody"], "no service nobody is deployed"),
        (["e4b-nvfp4", "--concurrency", "x"], "expected counts from 1 to 1024"),
        (["a", "b"], "expected one service, found 2"),
        (["--compare", "a", "b"], "nothing of a was measured yet"),
        (["--compare", "a"], "--compare wants two"),
        (["history"], "expected the name of one service"),
        (["e4b-nvfp4", "--prompts", "/nowhere"], "cannot read /nowhere"),
        (["e4b-nvfp4", "--prompts", "/dev/zero"], "cannot read /dev/zero: it is no regular file"),
    ):
        assert words in spark.run("bench", *arguments).expect(2).err


def test_a_server_that_does_not_answer_is_no_result(spark: FakeSpark) -> None:
    spark.streams = FakeStreams(bad="connection reset by peer")
    failed = spark.run("bench", "e4b-nvfp4").expect(5)
    assert "e4b-nvfp4 does not answer: connection reset by peer" in failed.err
    assert benches(Records(spark.store)) == []


def test_a_service_that_is_not_its_recipe_and_more_requests_than_it_runs_are_told(spark: FakeSpark) -> None:
    spark.run("up", "e4b-nvfp4", "--replace", "--set", "limits.sequences=3").expect(0)
    told = spark.run("bench", "e4b-nvfp4", "--rounds", "1", "--concurrency", "1,8").expect(0).err
    assert "it runs with limits.sequences=3 laid over recipe e4b-nvfp4: the expected speed is the recipe's" in told
    assert "8 at once, of which the server runs 3: the others wait" in told
    assert benches(Records(spark.store), "e4b-nvfp4")[0].flags["max-num-seqs"] == "3"


def test_no_request_finds_what_another_left_in_the_prefix_cache(spark: FakeSpark) -> None:
    spark.run("bench", "e4b-nvfp4").expect(0)
    spark.run("bench", "e4b-nvfp4").expect(0)
    assert isinstance(spark.streams, FakeStreams)
    salts = [body["cache_salt"] for bodies in spark.streams.asked for body in bodies]
    assert len(salts) == len(set(salts)) == 2 * 13
    text = "vllm:prefix_cache_queries_total {}\nvllm:prefix_cache_hits_total {}\nvllm:generation_tokens_total {}\n"
    spark.http.metrics_in_turn = [text.format(100, 0, 0), text.format(300, 50, 500)]
    told = spark.run("bench", "e4b-nvfp4", "--rounds", "1", "--concurrency", "1").expect(0).err
    assert told.count("warning") == 1
    assert "25% of the prompts' tokens came from the prefix cache" in told


class Tokenizing(FakeHttp):
    """A server that says its tokens: one for each word, which is its length."""

    def post(self, url: str, body: object, *, key: str | None = None, timeout_s: float = 60.0) -> Reply:
        assert isinstance(body, dict)
        if not url.endswith("/tokenize"):
            return super().post(url, body, key=key, timeout_s=timeout_s)
        return Reply(200, json.dumps({"tokens": [len(word) for word in body["prompt"].split()]}))


def test_prompts_are_as_many_tokens_long_as_asked_and_begin_each_in_its_own_way(tmp_path: Path) -> None:
    spark = FakeSpark(tmp_path, http=Tokenizing(serving=dict(SERVED)), streams=FakeStreams())
    spark.run("up", "e4b-nvfp4").expect(0)
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a bb\nccc\n")
    spark.run("bench", "e4b-nvfp4", "--prompts", str(prompts), "--input-tokens", "5", "--rounds", "1").expect(0)
    assert isinstance(spark.streams, FakeStreams)
    asked = [body["prompt"] for bodies in spark.streams.asked for body in bodies]
    assert asked[:2] == [(1, 2, 3, 1, 2), (3, 1, 2, 3, 1)]


@pytest.mark.parametrize(
    "arguments",
    [
        ("e4b-nvfp4", "--sweep", "limits.sequences=1,2", "--svg", "x.svg"),
        ("e4b-nvfp4", "--sweep", "limits.sequences=1,2", "--compare"),
        ("a", "b", "--compare", "--markdown"),
        ("history", "e4b-nvfp4", "--save", "x.json"),
        ("e4b-nvfp4", "--json", "--markdown"),
        ("e4b-nvfp4", "--json", "--format", "llama-benchy"),
    ],
)
def test_no_option_is_ignored(spark: FakeSpark, arguments: tuple[str, ...]) -> None:
    assert "do not go together" in spark.run("bench", *arguments).expect(2).err


def test_the_format_of_llama_benchy(spark: FakeSpark) -> None:
    options = ("--tokens", "101", "--rounds", "2", "--concurrency", "1,3", "--format", "llama-benchy")
    report = spark.run("bench", "e4b-nvfp4", *options).expect(0).json
    required = {"version", "timestamp", "latency_mode", "latency_ms", "model", "prefix_caching_enabled"}
    assert set(report) == required | {"max_concurrency", "prompt_source", "benchmarks"}
    one, three = report["benchmarks"]
    assert (one["concurrency"], one["prompt_size"], one["response_size"], one["context_size"]) == (1, 5, 101, 0)
    assert one["tg_throughput"]["mean"] == pytest.approx(50)
    assert one["tg_throughput"]["values"] == pytest.approx([50, 50])
    assert one["e2e_ttft"]["mean"] == pytest.approx(20)
    assert (one["pp_throughput"], one["est_ppt"]) == (None, None), "nothing is estimated"
    assert (one["tg_req_throughput"], three["tg_req_throughput"]["std"]) == (None, pytest.approx(0, abs=1e-9))
    assert three["tg_throughput"]["mean"] == pytest.approx(150)
    assert len(three["tg_req_throughput"]["values"]) == 6


def test_what_cannot_be_known_is_null_in_the_format_of_llama_benchy() -> None:
    request = result.TimedRequest(0, 1, None, 0.0, 1.0, 1.0)
    bench = replace(BENCH, levels=(replace(BENCH.levels[0], each=(request,)), replace(BENCH.levels[0], each=())))
    runs = llama_benchy.report(bench, "1")["benchmarks"]
    assert isinstance(runs, list)
    (only,) = runs
    assert (only["tg_throughput"], only["pp_throughput"], only["prompt_size"]) == (None, None, 0)


def test_a_plot_has_room_for_every_level() -> None:
    levels = tuple(replace(BENCH.levels[0], concurrency=number) for number in range(1, 9))
    plot = result.svg(replace(BENCH, levels=levels))
    width = int(plot.split('width="')[1].split('"')[0])
    assert all(int(part.split('"')[0]) + 60 <= width for part in plot.split('<rect x="')[1:])
    assert plot.count("<rect") == 2 * 8
    assert "light: all requests together" in plot


ROWS = [line.strip("| ").split(" | ") for line in DOCUMENT.read_text().splitlines() if line.endswith(" % |")]


@pytest.mark.parametrize(("name", "gigabytes", "most", "measured", "share"), ROWS, ids=[row[0] for row in ROWS])
def test_the_documented_rooflines_are_those_and_no_source_measured_more(
    tmp_path: Path, name: str, gigabytes: str, most: str, measured: str, share: str
) -> None:
    others = {"127.0.0.1:8888": "gemma-4", "127.0.0.1:8000": "bg-digitalservices/Gemma-4-E2B-NVFP4A16"}
    spark = FakeSpark(tmp_path, http=FakeHttp(serving=SERVED | others), streams=FakeStreams())
    spark.models.cache.add("bg-digitalservices/Gemma-4-E2B-NVFP4A16")
    spark.run("up", name, "--set", "mods=[]").expect(0)
    shown = spark.run("bench", name, "--rounds", "1", "--concurrency", "1", "--json").expect(0).json
    found = (f"{273 / shown['roofline']:.2f}", f"{shown['roofline']:.1f}", f"{shown['expected']:.1f}")
    assert found == (gigabytes, most, measured)
    assert f"{shown['expected'] / shown['roofline']:.0%}".replace("%", " %") == share
    assert shown["expected"] < shown["roofline"]
