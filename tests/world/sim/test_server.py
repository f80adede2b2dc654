"""The stand-in for `vllm serve`: its surface against what a real vLLM printed and answered."""

from __future__ import annotations

import atexit
import json
import re
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.base.lazy import LazyModule
from sparkctl.world.sim.flags import parse_arguments, parse_faults, parse_number
from tests.support.paths import FIXTURES
from tests.support.plain_http import NO_TLS
from tests.support.thorough import THOROUGH, only_thorough, part
from tests.testbed.images import copy_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    import anthropic
    import openai

else:  # seconds of CPU for every worker that only collects
    anthropic = LazyModule("anthropic")
    openai = LazyModule("openai")

REFUSED = json.loads((FIXTURES / "vllm-0.32-cpu" / "refused-requests.json").read_text())
ASKED = REFUSED if THOROUGH else REFUSED[::4]
TOO_LONG = FIXTURES / "vllm-0.20.2-h200" / "failures" / "f12-max-len-gt-derived.log"
MIB = 1024**2
MTP = '{"method":"mtp","num_speculative_tokens":4}'
# vLLM's own lines in its own order (regular expressions of a start's log, vLLM 0.20.2).
LINES = (
    r"version (\S+)$",
    r"non-default args: (\{.*\})",
    r"Starting to load model /models/tiny\.\.\.",
    r"Checkpoint size: ([\d.]+) GiB\. Available RAM: ([\d.]+) GiB",
    r"Loading safetensors checkpoint shards: +0% Completed \| 0/4",
    r"Loading safetensors checkpoint shards: 100% Completed \| 4/4",
    r"Model loading took ([\d.]+) GiB memory and ([\d.]+) seconds",
    r"Dynamo bytecode transform time: ([\d.]+) s",
    r"torch\.compile took ([\d.]+) s in total",
    r"Initial free memory ([\d.]+) GiB, reserved ([\d.]+) GiB memory for KV Cache",
    r"GPU KV cache size: ([\d,]+) tokens",
    r"Maximum concurrency for ([\d,]+) tokens per request: ([\d.]+)x",
    r"Capturing CUDA graphs \(mixed prefill-decode, PIECEWISE\): +0% \| 0/8",
    r"Graph capturing finished in (\d+) secs, took ([\d.]+) GiB",
    r"Starting vLLM server on http://127\.0\.0\.1:\d+",
    r"Application startup complete\.",
)


class Standin:
    """A running server and its log."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process = process
        self.url = url
        self.log: list[str] = []

    def read_until(self, text: str) -> None:
        """Read the log up to the line that has ``text``."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.log.append(line.rstrip("\n"))
            if text in line:
                return
        pytest.fail(f"{text!r} never came: {self.log}")

    def get(self, path: str, key: str | None = None) -> httpx.Response:
        """GET a path."""
        return httpx.get(self.url + path, headers=_headers(key), trust_env=False, verify=NO_TLS)

    def post(self, path: str, body: object, key: str | None = None) -> httpx.Response:
        """POST JSON to a path."""
        return httpx.post(self.url + path, json=body, headers=_headers(key), trust_env=False, verify=NO_TLS)


def _headers(key: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


@cache
def copied_server() -> Path:
    """Return a folder that Python runs as the server; it keeps what Python compiles of it at the first start."""
    folder = Path(mkdtemp(prefix="sparkctl-test-server-"))
    atexit.register(shutil.rmtree, folder)
    copy_server(folder)
    return folder


@contextmanager
def standin(
    *flags: str, faults: str = "load_s=0", env: dict[str, str] | None = None, model: str = "/models/tiny"
) -> Iterator[Standin]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ("serve", model, "--host", "127.0.0.1", "--port", str(port), *flags)
    # -I and -S: as in an image, with nothing but these files and the standard library.
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", copied_server(), *words],
        env={"SPARKCTL_SIM_FAULTS": faults, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        try:
            yield Standin(process, f"http://127.0.0.1:{port}")
        finally:
            process.kill()


def test_the_log_has_vllms_lines_in_vllms_order() -> None:
    with standin("--kv-cache-memory-bytes", "1G", "--gpu-memory-utilization", "0.2", "--max-model-len", "16k") as seen:
        seen.read_until("startup complete")

    wanted = list(LINES)
    for line in seen.log:
        if wanted and re.search(wanted[0], line):
            wanted.pop(0)
    assert wanted == []
    assert "GPU KV cache size: 65,536 tokens" in "\n".join(seen.log)
    assert "Maximum concurrency for 16,000 tokens per request: 4.10x" in "\n".join(seen.log)


@only_thorough
def test_an_eager_start_neither_compiles_nor_captures() -> None:
    with standin("--enforce-eager") as seen:
        seen.read_until("startup complete")

    assert not re.search(r"torch\.compile|Capturing", "\n".join(seen.log))


def test_the_port_refuses_until_the_server_is_ready_and_is_held_all_the_time() -> None:
    with standin(faults="load_s=30") as seen:
        seen.read_until("Initializing a V1 LLM engine")
        with pytest.raises(httpx.ConnectError):
            seen.get("/health")
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", int(seen.url.rpartition(":")[2])))


def test_what_a_client_asks_is_answered_as_vllm_does() -> None:
    with standin("--served-model-name", "tiny", "--max-model-len", "1024") as seen:
        seen.read_until("startup complete")

        assert (seen.get("/health").status_code, seen.get("/health").text) == (200, "")
        assert seen.get("/version").json() == {"version": "0.20.2"}
        assert seen.get("/nothing").status_code == 404
        model = seen.get("/v1/models").json()["data"][0]
        assert (model["id"], model["root"], model["max_model_len"]) == ("tiny", "/models/tiny", 1024)
        asked = {"model": "tiny", "prompt": "1 2 3", "max_tokens": 4}
        answer = seen.post("/v1/completions", asked).json()
        assert answer["choices"][0]["text"] == "Simulated text: 1 2"
        assert answer["usage"]["completion_tokens"] == 4
        assert seen.post("/v1/completions", asked).json()["choices"] == answer["choices"]


@pytest.fixture(scope="module")
def tiny() -> Iterator[Standin]:
    with standin("--served-model-name", "tiny", "--max-model-len", "1024") as seen:
        seen.read_until("startup complete")
        yield seen


@pytest.mark.parametrize(
    "real",
    ASKED,
    ids=lambda one: f"{one['method']} {one['path']} {str(one['body'])[:60]}",
)
def test_a_request_is_refused_as_a_real_vllm_refused_it(tiny: Standin, real: dict[str, Any]) -> None:
    body = real["body"]
    content = None if body is None else body if isinstance(body, str) else json.dumps(body)
    said = httpx.request(real["method"], tiny.url + real["path"], content=content, trust_env=False, verify=NO_TLS)

    assert (said.status_code, said.json()) == (real["status"], real["answer"])


def test_an_answer_ends_with_the_context(tiny: Standin) -> None:
    asked = {"prompt": "1 2 3", "max_tokens": 1024}
    whole = tiny.post("/v1/completions", asked).json()
    stream = tiny.post("/v1/completions", asked | {"stream": True, "stream_options": {"include_usage": True}}).text

    assert whole["usage"] == {"prompt_tokens": 3, "completion_tokens": 1021, "total_tokens": 1024}
    assert whole["choices"][0]["finish_reason"] == "length"
    *events, usage = [json.loads(event.removeprefix("data: ")) for event in stream.split("\n\n")[:-2]]
    assert usage["usage"] == whole["usage"]
    assert "".join(event["choices"][0]["text"] for event in events) == whole["choices"][0]["text"]
    assert [event["choices"][0]["finish_reason"] for event in events[-2:]] == [None, "length"]


@pytest.mark.parametrize("streamed", part([False, True], 0))
def test_an_answer_of_any_length_takes_no_more_memory_than_a_short_one(*, streamed: bool) -> None:
    with standin("--max-model-len", "200000000") as seen:
        seen.read_until("startup complete")
        process = psutil.Process(seen.process.pid)
        seen.post("/v1/completions", {"prompt": "1", "max_tokens": 4})
        before = process.memory_info().rss
        asked = {"prompt": "1", "max_tokens": 99_999_999, "stream": streamed}
        with httpx.stream("POST", seen.url + "/v1/completions", json=asked, trust_env=False, verify=NO_TLS) as answer:
            came = 0
            for piece in answer.iter_raw():
                came += len(piece)
                if came > 4 * MIB:
                    break
        grown = process.memory_info().rss - before

        assert answer.status_code == 200
        assert grown < 2 * MIB
        assert seen.get("/health").status_code == 200


def test_a_body_that_is_too_large_is_refused_before_it_is_read(tiny: Standin) -> None:
    head = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n"
    with socket.create_connection(("127.0.0.1", int(tiny.url.rpartition(":")[2]))) as line:
        line.sendall(head)
        assert b" 413 " in line.recv(100)


def test_a_context_longer_than_the_models_is_refused_in_vllms_words(tmp_path: Path) -> None:
    config = {"max_position_embeddings": 4096, "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (real,) = [line for line in TOO_LONG.read_text().splitlines() if "User-specified max_model_len" in line]
    wanted = real.partition("Value error, ")[2].partition(" [type=")[0]

    with standin("--model", str(tmp_path), "--max-model-len", "8192") as seen:
        seen.read_until("User-specified max_model_len")
        assert seen.process.wait(5) == 1
    assert wanted in seen.log[-1]
    with standin("--model", str(tmp_path)) as seen:
        seen.read_until("Using max model len 4096")
    allowed = {"VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1"}
    with standin("--model", str(tmp_path), "--max-model-len", "8192", env=allowed) as seen:
        seen.read_until("Using max model len 8192")


def test_chat_answers_json_when_asked_for_it_and_streams() -> None:
    body = {"messages": [{"role": "user", "content": "Answer in JSON"}]}
    with standin() as seen:
        seen.read_until("startup complete")
        answer = seen.post("/v1/chat/completions", body).json()
        stream = seen.post("/v1/chat/completions", body | {"stream": True}).text.split("\n\n")

    assert json.loads(answer["choices"][0]["message"]["content"]) == {"simulated": True}
    assert stream[-2:] == ["data: [DONE]", ""]
    deltas = [json.loads(event.removeprefix("data: "))["choices"][0]["delta"]["content"] for event in stream[:-2]]
    assert "".join(deltas) == answer["choices"][0]["message"]["content"]


@pytest.mark.parametrize("flags", part([("--api-key", "k"), ()], 1))
def test_a_key_is_wanted_from_the_flag_or_the_variable_and_never_printed(flags: tuple[str, ...]) -> None:
    with standin(*flags, env={} if flags else {"VLLM_API_KEY": "k"}) as seen:
        seen.read_until("startup complete")

        assert seen.get("/health").status_code == 200
        assert seen.get("/v1/models").status_code == 401
        assert seen.get("/v1/models", key="wrong").json() == {"error": "Unauthorized"}
        assert seen.get("/v1/models", key="k").status_code == 200
    assert "'k'" not in "\n".join(seen.log)


def test_metrics_count_drafts_and_what_was_accepted_of_them() -> None:
    with standin("--speculative-config", MTP) as seen:
        seen.read_until("startup complete")
        seen.post("/v1/completions", {"prompt": "1", "max_tokens": 100})
        found = dict(re.findall(r"^vllm:(\S+) (\S+)$", seen.get("/metrics").text, flags=re.MULTILINE))

    labels = 'engine="0",model_name="/models/tiny"'
    assert float(found[f"generation_tokens_total{{{labels}}}"]) == 100
    drafts = float(found[f"spec_decode_num_drafts_total{{{labels}}}"])
    assert float(found[f"spec_decode_num_draft_tokens_total{{{labels}}}"]) == 4 * drafts
    name = "spec_decode_num_accepted_tokens_per_pos_total"
    first, *_, last = (float(found[f'{name}{{{labels},position="{position}"}}']) for position in range(4))
    assert first / drafts == pytest.approx(0.69, abs=0.02)
    assert last < first / 2


def test_without_speculative_decoding_metrics_count_no_drafts() -> None:
    with standin() as seen:
        seen.read_until("startup complete")
        assert "spec_decode" not in seen.get("/metrics").text


def test_sigterm_ends_it_with_code_0_while_loading_and_while_serving() -> None:
    for faults, line in (("load_s=30", "Initializing a V1 LLM engine"), ("load_s=0", "startup complete")):
        with standin(faults=faults) as seen:
            seen.read_until(line)
            seen.process.terminate()
            assert seen.process.wait(5) == 0


def test_a_dead_engine_answers_503_for_a_moment_and_the_server_exits_with_code_0() -> None:
    with standin(faults="load_s=0,engine_dead,after_s=0") as seen:
        seen.read_until("EngineDeadError")
        assert seen.get("/health").status_code == 503
        assert seen.process.wait(5) == 0


def test_a_stuck_scheduler_is_healthy_and_never_answers_a_completion() -> None:
    with standin(faults="load_s=0,stuck_scheduler") as seen:
        seen.read_until("startup complete")
        assert seen.get("/health").status_code == 200
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(seen.url + "/v1/completions", json={"prompt": "1"}, timeout=0.2, trust_env=False, verify=NO_TLS)


@only_thorough
def test_other_names_and_refused_keys_come_as_ordered() -> None:
    with standin(faults="load_s=0,no_model_name") as seen:
        seen.read_until("startup complete")
        assert [model["id"] for model in seen.get("/v1/models").json()["data"]] == ["another-model"]
    with standin(faults="load_s=0,unauthorized") as seen:
        seen.read_until("startup complete")
        assert seen.get("/v1/models").status_code == 401


@only_thorough
def test_a_slow_server_takes_its_time_for_each_token() -> None:
    with standin(faults="load_s=0,slow=0.05") as seen:
        seen.read_until("startup complete")
        began = time.monotonic()
        seen.post("/v1/completions", {"prompt": "1", "max_tokens": 4})
        assert time.monotonic() - began >= 0.2


def test_a_taken_port_and_a_bad_flag_end_it_in_vllms_words() -> None:
    with standin() as first:
        first.read_until("startup complete")
        port = first.url.rpartition(":")[2]
        with standin("--port", port) as second:
            second.read_until("OSError: [Errno 98] Address already in use")
            assert second.process.wait(5) == 1
    with standin(faults="load_s=0.3") as late, socket.socket() as other:
        late.read_until("version")
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", int(late.url.rpartition(":")[2])))
        other.listen()
        late.read_until("OSError: [Errno 98] Address already in use")
        assert late.process.wait(5) == 1
        assert not [line for line in late.log if "Traceback" in line]
    with standin("--max-model-len", "many") as wrong:
        wrong.read_until("vllm serve: error:")
        assert wrong.process.wait(5) == 2


@pytest.mark.parametrize(
    ("line", "flags"),
    [
        ("vllm serve /m --port 1", {"model": "/m", "port": "1"}),
        ("serve /m --trust-remote-code --dtype=auto", {"model": "/m", "trust-remote-code": "true", "dtype": "auto"}),
        ("--model /m --enable-auto-tool-choice", {"model": "/m", "enable-auto-tool-choice": "true"}),
        ("--max_model_len 8k --enforce-eager /m", {"max-model-len": "8k", "enforce-eager": "true", "model": "/m"}),
        ("/serve --served-model-name serve", {"model": "/serve", "served-model-name": "serve"}),
    ],
)
def test_arguments_are_read_as_vllm_reads_them(line: str, flags: dict[str, str]) -> None:
    assert parse_arguments(line.split()) == flags


@pytest.mark.parametrize(("text", "number"), [("128k", 128_000), ("128K", 131_072), ("5.6g", 5_600_000_000), ("7", 7)])
def test_numbers_have_vllms_suffixes(text: str, number: int) -> None:
    assert parse_number(text) == number


@given(st.dictionaries(st.sampled_from(["oom", "load_s", "slow", "die_in"]), st.integers(0, 9) | st.just("serving")))
def test_faults_are_the_same_as_names_and_as_json(faults: dict[str, object]) -> None:
    named = ",".join(f"{name}={value}" for name, value in faults.items())

    assert parse_faults(named) == {name: str(value) for name, value in faults.items()}
    assert parse_faults(json.dumps(faults)) == faults


def test_the_official_clients_are_answered_in_each_form() -> None:
    say: Any = [{"role": "user", "content": "say a few words"}]
    text = "Simulated text: 1 2 3"
    with standin() as seen:
        seen.read_until("Application startup complete")
        name = seen.get("/v1/models").json()["data"][0]["id"]
        claude = anthropic.Anthropic(base_url=seen.url, auth_token="none", max_retries=0)  # noqa: S106
        asked: Any = {"model": name, "max_tokens": 5, "messages": say}
        message = claude.messages.create(**asked)
        assert (message.content[0].text, message.stop_reason) == (text, "max_tokens")  # type: ignore[union-attr]
        assert message.usage.output_tokens == 5
        with claude.messages.stream(**asked) as stream:
            assert "".join(stream.text_stream) == text
            assert stream.get_final_message().usage.output_tokens == 5
        counted = claude.messages.count_tokens(model=name, messages=say)
        assert counted.input_tokens == message.usage.input_tokens
        with pytest.raises(anthropic.NotFoundError, match="does not exist"):
            claude.messages.create(**{**asked, "model": "nobody"})
        assert seen.post("/v1/messages", {"model": name, "messages": say}).json()["error"]["type"] == "Bad Request"

        client = openai.OpenAI(base_url=f"{seen.url}/v1", api_key="none", max_retries=0)
        response = client.responses.create(model=name, input="say a few words", max_output_tokens=5)
        assert (response.output_text, response.status) == (text, "incomplete")
        assert client.responses.create(model=name, input=say).status == "completed"
        kinds = [one.type for one in client.responses.create(model=name, input=say, max_output_tokens=5, stream=True)]
        assert kinds[0] == "response.created"
        assert kinds.count("response.output_text.delta") == 5
        assert kinds[-1] == "response.completed"


def test_a_server_of_a_whisper_transcribes_and_nothing_else() -> None:
    with standin("--served-model-name", "whisper", model="/models/whisper-large-v3") as seen:
        seen.read_until("Application startup complete")
        client = openai.OpenAI(base_url=f"{seen.url}/v1", api_key="none", max_retries=0)
        sound = ("probe.wav", b"RIFF" + b"\0" * 70_000)
        said = client.audio.transcriptions.create(model="whisper", file=sound)
        assert said.text == "Simulated text: what was said."
        other = httpx.post(f"{seen.url}/v1/audio/translations", files={"file": sound}, trust_env=False, verify=NO_TLS)
        assert other.json()["text"] == said.text
        with pytest.raises(openai.NotFoundError, match="does not exist"):
            client.audio.transcriptions.create(model="nobody", file=sound)
        nothing = httpx.post(
            f"{seen.url}/v1/audio/transcriptions", files={"model": (None, "whisper")}, trust_env=False, verify=NO_TLS
        )
        assert nothing.status_code == 400
        assert "body.file" in nothing.json()["error"]["message"]
        assert seen.post("/v1/chat/completions", {}).status_code == 404
