"""Benchmarks: streams to completions, statistics to the digit, and the command over a world of fakes."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl import benching, measuring
from sparkctl.adapters.store import SqliteStore
from sparkctl.adapters.streaming import AsyncStreams
from sparkctl.cli.bench_sweep import values
from sparkctl.errors import InputError
from sparkctl.roofline import GB10_BYTES_PER_SECOND, roofline
from sparkctl.streams import Completion, Raw, completion
from tests.fake_world import FakeSpark

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

FIXTURES = Path(__file__).parent / "fixtures"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
REFUSED = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nno!"
USAGE = {"prompt_tokens": 5, "completion_tokens": 3}


def event(value: object) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def text(word: str = " a") -> bytes:
    return event({"choices": [{"index": 0, "text": word}]})


def raw(*pieces: tuple[float, bytes], error: str = "") -> Raw:
    return Raw(1.0, 9.0, ((1.0, HEAD), *pieces), error)


WHOLE = raw(
    (2.0, text()), (3.0, text("")), (5.0, text()), (6.0, event({"choices": [], "usage": USAGE}) + b"data: [DONE]\n\n")
)


# --- one stream ------------------------------------------------------------------------------------------------------


def test_tokens_are_the_servers_count_and_times_those_of_the_chunks() -> None:
    found = completion(WHOLE)
    assert found == Completion(1.0, 9.0, 3, 5, (2.0, 3.0, 5.0), counted=True)
    assert (found.seconds, found.first_s, found.per_second) == (8.0, 1.0, 3 / 8)


def test_a_real_servers_stream() -> None:
    body = (FIXTURES / "vllm-0.32-cpu" / "stream.sse").read_bytes()
    found = completion(raw((2.0, body)))
    assert (found.tokens, found.prompt_tokens, found.counted, found.problem) == (8, 18, True, "")
    assert len(found.times_s) == 8, "the first event has the role and no token"


@pytest.mark.parametrize(
    ("pieces", "tokens", "counted"),
    [
        ((text() + event({"choices": [], "usage": USAGE}) * 2 + b"data: [DONE]\n\n",), 3, True),
        ((text(), text() + b"data: [DONE]\n\n"), 2, False),
        ((event({"choices": [{"delta": {"reasoning_content": "hm"}}]}) + b"data: [DONE]\n\n",), 1, False),
        ((event({"choices": [{"delta": {"reasoning": "hm"}}]}) + b"data: [DONE]\n\n",), 1, False),
        ((event({"choices": [{"text": "a"}], "usage": [1], "error": None}) + b"data: [DONE]\n\n",), 1, False),
        ((b": a comment\n\n" + text() + b"data: not json\n\n" + b"data: [DONE]\n\n",), 1, False),
    ],
    ids=["usage twice", "no usage", "reasoning_content", "reasoning", "odd usage", "comments and nonsense"],
)
def test_streams_that_are_odd_and_good(pieces: tuple[bytes, ...], tokens: int, *, counted: bool) -> None:
    found = completion(raw(*((2.0 + number, piece) for number, piece in enumerate(pieces))))
    assert (found.tokens, found.counted, found.problem) == (tokens, counted, "")


@pytest.mark.parametrize(
    ("stream", "problem"),
    [
        (raw((2.0, text())), "the stream ended before [DONE]"),
        (raw((2.0, text()), error="connection reset by peer"), "connection reset by peer"),
        (raw((2.0, b"data: [DONE]\n\n")), "the stream had no tokens"),
        (raw((2.0, event({"error": {"message": "engine dead"}}))), "the server broke off: {'message': 'engine dead'}"),
        (Raw(1, 2, (), "Connection refused"), "Connection refused"),
        (
            Raw(1, 2, ((1.5, b"HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nno!"),)),
            "the server answered 400: no!",
        ),
        (Raw(1, 2, ((1.5, b"\x16\x03 TLS \r\n\r\n"),)), "no HTTP: "),
    ],
)
def test_a_stream_that_does_not_count_says_why(stream: Raw, problem: str) -> None:
    assert completion(stream).problem.startswith(problem)


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_any_bytes_are_read_without_an_error(pieces: list[bytes]) -> None:
    completion(raw(*((2.0, piece) for piece in pieces)))
    completion(Raw(1, 2, tuple((2.0, piece) for piece in pieces)))


@given(st.integers(1, len(WHOLE.pieces[1][1]) - 1))
def test_it_does_not_matter_where_the_network_cuts(cut: int) -> None:
    (head, (at, first), *rest) = WHOLE.pieces
    pieces = (head, (at, first[:cut]), (at, first[cut:]), *rest)
    assert completion(WHOLE._replace(pieces=pieces)) == completion(WHOLE)


# --- statistics ------------------------------------------------------------------------------------------------------


def done(started: float, seconds: float, tokens: int, *, first: float = 1.0) -> Completion:
    step = (seconds - first) / max(1, tokens - 1)
    times = tuple(started + first + number * step for number in range(tokens))
    return Completion(started, started + seconds, tokens, 5, times, counted=True)


def test_the_statistics_of_a_level_to_the_digit() -> None:
    found = benching.level(2, [[done(0, 10, 100), done(0, 20, 100)], [done(100, 10, 100), done(100, 10, 100)]])
    assert (found.requests, found.tokens) == (4, 400)
    assert found.per_request == pytest.approx((10 + 5 + 10 + 10) / 4)
    assert found.together == pytest.approx((200 / 20 + 200 / 10) / 2)
    assert found.first_s == 1.0
    assert found.between_s["p50"] == pytest.approx(9 / 99)
    assert found.between_s["p99"] == pytest.approx(19 / 99)
    assert found.tokens_per_chunk == 1.0


def test_what_failed_is_a_problem_and_no_number() -> None:
    bad = Completion(0, 1, problem="connection reset by peer")
    found = benching.level(2, [[done(0, 10, 100), bad], [bad, bad]])
    assert (found.requests, found.per_request, found.problems) == (1, 10.0, ("connection reset by peer",))
    assert benching.level(1, [[bad]]).requests == 0


@given(st.lists(st.floats(0, 1e6), min_size=1), st.sampled_from(benching.PERCENTILES))
def test_a_percentile_is_one_of_the_values_and_enough_do_not_exceed_it(numbers: list[float], share: int) -> None:
    found = benching.percentile(numbers, share)
    assert found in numbers
    assert sum(number <= found for number in numbers) >= share / 100 * len(numbers)


def test_the_servers_counters_are_compared() -> None:
    assert benching.disagreement(1000, 1009) == ""
    assert benching.disagreement(1000, 1500).endswith("others were served meanwhile")
    assert benching.disagreement(1000, 0).endswith("its counters began anew, or lag")
    assert "was not there" in benching.disagreement(1000, None)


def test_the_roofline_counts_what_a_token_reads() -> None:
    components = {"linear": 10, "experts": 128, "embedding": 6, "per-layer embedding": 1000, "vision": 50, "norm": 1}
    limit = roofline(components, 64, 4, tied=True)
    assert limit is not None
    assert limit.bytes_per_token == 10 + 8 + 6 + 1
    assert limit.tokens_per_second == GB10_BYTES_PER_SECOND / 25
    untied = roofline(components, 64, 4, tied=False)
    assert untied is not None
    assert untied.bytes_per_token == 10 + 8 + 3 + 1
    assert roofline({}, 0, 0, tied=True) is None


# --- over a network, and kept ----------------------------------------------------------------------------------------


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200 if self.headers.get("Authorization") == "Bearer key" else 401)
        self.send_header("Connection", "close")
        self.end_headers()
        for _ in range(body["max_tokens"]):
            self.wfile.write(text())
        usage = {"prompt_tokens": 1, "completion_tokens": body["max_tokens"]}
        self.wfile.write(event({"choices": [], "usage": usage}) + b"data: [DONE]\n\n")

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1/completions"
    server.shutdown()
    thread.join()
    server.server_close()


def test_many_at_once_over_real_http(url: str) -> None:
    bodies = [{"max_tokens": number} for number in range(1, 9)]
    found = [completion(one) for one in AsyncStreams().run(url, bodies, key="key", timeout_s=20)]
    assert [(one.tokens, one.problem) for one in found] == [(number, "") for number in range(1, 9)]
    (refused,) = (completion(one) for one in AsyncStreams().run(url, bodies[:1], timeout_s=20))
    assert refused.problem.startswith("the server answered 401")
    (absent,) = (completion(one) for one in AsyncStreams().run("http://127.0.0.1:9/x", [{}], timeout_s=5))
    assert absent.problem


def test_results_are_kept_and_a_store_of_before_is_migrated(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    assert store.benches() == []
    store.add_bench(BENCH)
    assert store.benches("e4b-nvfp4") == [BENCH]
    assert store.benches("other") == []
    assert store.measurements() == []


# --- the command -----------------------------------------------------------------------------------------------------

BENCH = benching.Bench(
    service="e4b-nvfp4",
    recipe="e4b-nvfp4",
    model="a/b",
    image="image:1",
    vllm="0.20.2",
    at=1.8e9,
    max_tokens=500,
    rounds=3,
    levels=(benching.level(1, [[done(0, 10, 400)]]),),
)


@dataclass
class FakeStreams:
    """A server that writes at a known rate on a clock of its own; ``bad`` is why every request fails."""

    rate: float = 50.0
    bad: str = ""
    asked: list[list[Mapping[str, object]]] = field(default_factory=list)
    now: float = 0.0

    def run(
        self, url: str, bodies: Sequence[Mapping[str, object]], *, key: str | None = None, timeout_s: float
    ) -> list[Raw]:
        self.asked.append(list(bodies))
        start, tokens = self.now, int(str(bodies[0]["max_tokens"]))
        if self.bad:
            return [Raw(start, start, (), self.bad) for _ in bodies]
        self.now = start + tokens / self.rate
        chunks = [(start + (number + 1) / self.rate, text()) for number in range(tokens)]
        usage = event({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": tokens}})
        pieces = ((start, HEAD), *chunks, (self.now, usage + b"data: [DONE]\n\n"))
        return [Raw(start, self.now, pieces) for _ in bodies]


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
    assert len(set(used)) == len(measuring.prompts()) == 10, "no prompt is asked twice before all were"
    header, one, three, expected, limit = shown.out.splitlines()
    assert header.split()[:2] == ["at", "once"]
    assert "50.0 ± 0.0" in one
    assert "150.0 ± 0.0" in three
    assert expected == "+0% beside the 49.9 tok/s of ai-muninn, DGX Spark part 10: three rounds of 500 tokens"
    assert "that 273 GB/s allow (estimated)" in limit
    assert "the server's own counter of tokens was not there" in shown.err
    assert spark.store.benches("e4b-nvfp4")[0].single == pytest.approx(50.0)


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
        (["e4b-nvfp4", "--prompts", "/nowhere"], "cannot read the prompts"),
    ):
        assert words in spark.run("bench", *arguments).expect(2).err


def test_a_server_that_does_not_answer_is_no_result(spark: FakeSpark) -> None:
    spark.streams = FakeStreams(bad="connection reset by peer")
    failed = spark.run("bench", "e4b-nvfp4").expect(5)
    assert "e4b-nvfp4 does not answer: connection reset by peer" in failed.err
    assert spark.store.benches() == []


def test_a_sweep_starts_each_value_and_puts_back_what_ran(spark: FakeSpark) -> None:
    done = spark.run("bench", "e4b-nvfp4", "--sweep", "limits.sequences=1..2", "--rounds", "1").expect(0)
    starts = [call for call in spark.engine.calls if call == "start e4b-nvfp4"]
    assert len(starts) == 4, "the first, two values, and what ran before"
    rows = done.out.splitlines()
    assert [row.split()[0] for row in rows] == ["limits.sequences", "1", "2"]
    (container,) = spark.engine.there.values()
    assert container.command[container.command.index("--max-num-seqs") + 1] == "4"


def test_a_sweep_that_fails_or_is_stopped_puts_back_what_ran(spark: FakeSpark) -> None:
    assert isinstance(spark.streams, FakeStreams)
    spark.streams.bad = "gone"
    spark.run("bench", "e4b-nvfp4", "--sweep", "limits.sequences=1,2").expect(5)
    (container,) = spark.engine.there.values()
    assert container.command[container.command.index("--max-num-seqs") + 1] == "4"
    before = len(spark.engine.calls)
    refused = spark.run("bench", "e4b-nvfp4", "--sweep", "limits.context=4096,99999999").expect(2)
    assert "limits.context" in refused.err
    assert spark.engine.calls[before:] == [], "every value is checked before anything is stopped"


@pytest.mark.parametrize("spec", ["x", "x=", "=1..2", "x=2..1", "x=1,,2", "x=1..99"])
def test_a_sweep_that_is_none(spec: str) -> None:
    with pytest.raises(InputError, match="expected PATH=A"):
        values(spec)
    assert values("a.b=1..3") == ("a.b", ["1", "2", "3"])


def test_the_very_container_comes_back_with_what_was_laid_over_it(spark: FakeSpark) -> None:
    spark.run("down", "e4b-nvfp4").expect(0)
    spark.http.serving["127.0.0.1:8055"] = "quick"
    own = ("--set", "serve.port=8055", "--set", "serve.name=quick", "--set", "limits.sequences=3")
    spark.run("up", "e4b-nvfp4", *own).expect(0)
    ((identity, before),) = spark.engine.there.items()
    spark.run("bench", "e4b-nvfp4", "--sweep", "limits.context=4096,8192", "--rounds", "1").expect(0)
    assert isinstance(spark.streams, FakeStreams)
    assert {str(bodies[0]["model"]) for bodies in spark.streams.asked} == {"quick"}
    assert list(spark.engine.there) == [identity]
    after = spark.engine.there[identity]
    assert (after.name, after.state, after.command) == ("e4b-nvfp4", "running", before.command)


def test_what_did_not_run_before_does_not_run_afterwards(spark: FakeSpark) -> None:
    spark.run("down", "e4b-nvfp4").expect(0)
    spark.run("bench", "e4b-nvfp4", "--sweep", "limits.sequences=1,2", "--rounds", "1").expect(0)
    assert spark.engine.there == {}
    assert len(spark.store.benches("e4b-nvfp4")) == 2
