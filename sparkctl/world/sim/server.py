"""A stand-in for ``vllm serve``: its arguments, log lines and HTTP surface, without a model, a GPU or any memory.

One file that needs only Python 3.11: the simulated Spark runs it in a process of its own, and an image of the tests
starts it as ``python3 server.py …``. The wording is vLLM 0.20.2's. Like vLLM it binds its port at once, listens only
when it is ready, exits with 0 on SIGTERM, and exits with 0 too when its engine dies. Environment:

SPARKCTL_SIM_FAULTS   what goes wrong, and the pace: a JSON object, or ``stuck_scheduler,load_s=5``
    load_s            seconds from start to ready (1.5)
    die_in            loading, compiling, capturing or serving: exits there with ``exit_code`` (1)
    oom               CUDA out of memory while the weights load, exit code 1
    engine_dead       EngineCore dies ``after_s`` seconds (0.5) after ready: 503 for a moment, then exit code 0
    stuck_scheduler   /health says 200, completions never answer
    no_model_name     /v1/models lists another name
    unauthorized      every key is wrong
    slow              seconds for each generated token (1 when only named)
    acceptance        share of drafted tokens accepted at position 0 (0.69); 0.002 is a broken drafter
    take_gib          GiB that the weights are said to take
    take              a factor on all that it takes: 1.2 is 20 % more than recorded
SPARKCTL_SIM_TAKES    JSON, bytes: weights, rest (GPU beside weights and KV), compiled (more of it unless eager), host
SPARKCTL_SIM_LISTEN   ADDRESS:PORT to listen on in place of --host and --port (a published port)
SPARKCTL_SIM_VERSION  the vLLM version that it claims (0.20.2)
VLLM_API_KEY          as for vLLM, where --api-key is not given
"""

from __future__ import annotations

import hmac
import json
import os
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

GIB: Final = 1024**3
TOTAL_BYTES: Final = 125442396 * 1024  # MemTotal of a DGX Spark
DEFAULT_UTILIZATION: Final = "0.92"  # vLLM 0.20.2 config/cache.py
# Measured on a GB10 with MTP by the author of coolthor/Huihui-gemma-4-26B-A4B-it-abliterated-FP8-Dynamic: 69 % at
# position 0 with one drafted token; with four it falls as 65.6, 43.3, 29.2, 20.5 %.
ACCEPTANCE: Final = 0.69
ACCEPTANCE_FALL: Final = 0.67
KV_BYTES_PER_TOKEN: Final = 16384  # the stand-in knows no geometry
SHARDS: Final = 4
_BARE: Final = ("enable-", "disable-", "no-", "trust-", "enforce-", "skip-", "language-model-only", "async-scheduling")

# A and E are the API server and EngineCore, e EngineCore's errors; then the place in vLLM, and the text after the bar.
_LINES: Final = {
    "introduction": """\
A utils.py:299| ▄▄ ▄█ █     █     █ ▀▄▀ █  version {version}
A utils.py:299|  █▄█▀ █     █     █     █  model   {model}
A utils.py:233|non-default args: {given}
A model.py:1680|Using max model len {length}
E core.py:109|Initializing a V1 LLM engine (v{version}) with config: model='{model}', max_seq_len={length}""",
    "loading": """\
E gpu_model_runner.py:4777|Starting to load model {model}...
E weight_utils.py:904|Filesystem type for checkpoints: EXT4. Checkpoint size: {size} GiB. Available RAM: {free} GiB.""",
    "loaded": """\
E default_loader.py:384|Loading weights took {seconds:.2f} seconds
E gpu_model_runner.py:4879|Model loading took {size} GiB memory and {seconds:.6f} seconds""",
    "compiling": "E backends.py:1128|Dynamo bytecode transform time: {seconds:.2f} s",
    "compiled": "E monitor.py:53|torch.compile took {seconds:.2f} s in total",
    "kv by fraction": "E gpu_worker.py:440|Available KV cache memory: {size} GiB",
    "kv by bytes": """\
E gpu_worker.py:361|Initial free memory {free} GiB, reserved {size} GiB memory for KV Cache as specified by \
kv_cache_memory_bytes config and skipped memory profiling. This does not respect the gpu_memory_utilization config.""",
    "kv": """\
E kv_cache_utils.py:1708|GPU KV cache size: {tokens:,} tokens
E kv_cache_utils.py:1709|Maximum concurrency for {length:,} tokens per request: {concurrency:.2f}x""",
    "captured": "E gpu_model_runner.py:6133|Graph capturing finished in {seconds:.0f} secs, took 0.44 GiB",
    "started": """\
E core.py:306|init engine (profile, create kv cache, warmup model) took {seconds:.2f} s
A api_server.py:602|Starting vLLM server on http://{address}
A|INFO:     Started server process [{pid}]
A|INFO:     Waiting for application startup.""",
    "ready": "A|INFO:     Application startup complete.",
    "failed": """\
e core.py:1136|EngineCore failed to start.
e core.py:1136|Traceback (most recent call last):
e core.py:1136|{error}
A|RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {{}}""",
    "dead": """\
a async_llm.py:704|AsyncLLM output_handler failed.
a async_llm.py:704|vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue. See stack trace \
(above) for the root cause.""",
}
_FRACTION: Final = """ValueError: Free memory on device cuda:0 ({free}/{total} GiB) on startup is less than desired \
GPU memory utilization ({fraction}, {wanted} GiB). Decrease GPU memory utilization or reduce GPU memory used by other \
processes."""
_NO_CACHE: Final = """ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` \
when initializing the engine."""
_OOM: Final = """torch.OutOfMemoryError: CUDA out of memory. Tried to allocate {size} GiB. GPU 0 has a total capacity \
of {total} GiB of which {free} GiB is free."""


class EndError(Exception):
    """The server ends now, with the exit code that is its argument."""


def parse_arguments(words: Sequence[str]) -> dict[str, str]:
    """Return the flags by name (dashes, no ``--``); a bare flag is ``true``, the positional model is ``model``."""
    flags: dict[str, str] = {}
    rest = [word for at, word in enumerate(words) if at > 1 or word not in {"vllm", "serve"}]
    while rest:
        word = rest.pop(0)
        name, equals, value = word.lstrip("-").partition("=")
        name = name.replace("_", "-")
        if not word.startswith("-"):
            name, value = "model", word
        elif not equals:
            bare = name.startswith(_BARE) or not rest or rest[0].startswith("--")
            value = "true" if bare else rest.pop(0)
        flags[name] = value
    return flags


def parse_number(text: str) -> int:
    """Return the number as vLLM reads it: ``128k`` is 128000, ``128K`` is 131072 (utils/argparse_utils.py)."""
    power = "kmgt".find(text[-1].lower()) + 1
    return int(float(text[:-1]) * (1024 if text[-1].isupper() else 1000) ** power) if power else int(text)


def parse_faults(text: str) -> dict[str, Any]:
    """Return the ordered faults: a JSON object, or names with commas, ``name`` or ``name=value``."""
    if text.lstrip().startswith("{"):
        return dict(json.loads(text))
    parts = [part.strip().partition("=") for part in text.split(",") if part.strip()]
    return {name: value if equals else True for name, equals, value in parts}


def _gib(count: float) -> float:
    return round(count / GIB, 2)


class Server(ThreadingHTTPServer):
    """Bound when made. ``hold`` is told the GPU and host bytes taken from now on, in all, and returns what is free."""

    def __init__(self, words: Sequence[str], env: Mapping[str, str], hold: Callable[[int, int], int]) -> None:
        self.flags, self.env, self.hold = parse_arguments(words), env, hold
        self.faults = parse_faults(env.get("SPARKCTL_SIM_FAULTS", ""))
        self.model = self.flags.get("model", "Qwen/Qwen3-0.6B")
        self.names = self.flags.get("served-model-name", self.model).split()
        self.length = parse_number(self.flags.get("max-model-len", "8192"))
        self.version = env.get("SPARKCTL_SIM_VERSION", "0.20.2")
        self.drafted = int(json.loads(self.flags.get("speculative-config", "{}")).get("num_speculative_tokens", 0))
        first = float(self.faults.get("acceptance", ACCEPTANCE))
        self.accepted = [first * ACCEPTANCE_FALL**position for position in range(self.drafted)]
        self.factor = float(self.faults.get("take", 1))
        self.pause = float(self.faults.get("load_s", 1.5)) / (SHARDS + 4)
        self.counts = {"prompt": 0, "generation": 0, "drafts": 0, "kv": 0}
        self.lock, self.dead = threading.Lock(), False
        self.free = self.gpu = self.host = 0
        own = f"{self.flags.get('host', '')}:{self.flags.get('port', 8000)}"
        self.address = env.get("SPARKCTL_SIM_LISTEN", own)
        address, _, port = self.address.rpartition(":")
        self.address_family = socket.AF_INET6 if "[" in address else socket.AF_INET
        super().__init__((address.strip("[]"), int(port)), Handler, bind_and_activate=False)
        try:
            TCPServer.server_bind(self)  # HTTPServer's own asks the name service for this host's name
        except OSError as error:
            self.server_close()
            self.say(f"OSError: [Errno {error.errno}] {error.strerror}")
            raise EndError(1) from None

    def handle_error(self, *_: object) -> None:
        """Say nothing about a client that left."""

    def say(self, text: str) -> None:
        """Print one line of the log."""
        print(text, flush=True)  # noqa: T201 - the log of a server

    def tell(self, what: str, **values: Any) -> None:  # noqa: ANN401 - whatever the lines name
        """Print some of vLLM's lines."""
        for line in _LINES[what].splitlines():
            head, _, text = line.partition("|")
            kind, _, where = head.partition(" ")
            shown = f"({'APIServer' if kind in 'Aa' else 'EngineCore'} pid={os.getpid()}) "
            if where:
                shown += f"{'INFO' if kind.isupper() else 'ERROR'} {time.strftime('%m-%d %H:%M:%S')} [{where}] "
            self.say(shown + text.format(**values))

    def take(self, *, gpu: float = 0, host: float = 0) -> None:
        """Take more bytes."""
        self.gpu, self.host = self.gpu + int(gpu * self.factor), self.host + int(host * self.factor)
        self.free = self.hold(self.gpu, self.host)

    def fail(self, error: str, code: int = 1, how: str = "failed") -> None:
        """Print how EngineCore fails, and end."""
        self.tell(how, error=error)
        raise EndError(code)

    def may_die(self, phase: str) -> None:
        """End here if that was ordered."""
        if self.faults.get("die_in") == phase:
            how = "dead" if phase == "serving" else "failed"
            self.fail(f"RuntimeError: ordered to die while {phase}", int(self.faults.get("exit_code", 1)), how)

    def boot(self) -> None:
        """Print what vLLM prints until it listens, at the ordered pace, taking memory as vLLM does."""
        takes = {"weights": GIB, "rest": 0, "compiled": 0, "host": 0}
        takes |= json.loads(self.env.get("SPARKCTL_SIM_TAKES", "{}"))
        eager = "enforce-eager" in self.flags
        given = {name.replace("-", "_"): "***" if name == "api-key" else text for name, text in self.flags.items()}
        self.tell("introduction", version=self.version, model=self.model, length=self.length, given=given)
        time.sleep(self.pause)
        self.take(gpu=takes["rest"] / 4, host=takes["host"])  # the context is there before the check
        fraction = self.flags.get("gpu-memory-utilization", DEFAULT_UTILIZATION)
        wanted = float(fraction) * TOTAL_BYTES
        if self.free < wanted:
            free, total = _gib(self.free), _gib(TOTAL_BYTES)
            self.fail(_FRACTION.format(fraction=fraction, wanted=_gib(wanted), free=free, total=total))
        self._load(float(self.faults["take_gib"]) * GIB if "take_gib" in self.faults else takes["weights"])
        self.take(gpu=takes["rest"] * 3 / 4)
        if not eager:
            self.tell("compiling", seconds=self.pause / 2)
            self.may_die("compiling")
            time.sleep(self.pause)
            self.take(gpu=takes["compiled"])
            self.tell("compiled", seconds=self.pause)
        self._make_cache(wanted)
        if not eager:
            self._bars("Capturing CUDA graphs (mixed prefill-decode, PIECEWISE): {percent:3d}%", 8, "capturing", 0)
            self.tell("captured", seconds=max(1, self.pause))

    def _load(self, weights: float) -> None:
        size = _gib(weights * self.factor)
        self.tell("loading", model=self.model, size=size, free=_gib(self.free))
        if self.faults.get("oom"):
            self.fail(_OOM.format(size=size, total=_gib(TOTAL_BYTES), free=_gib(self.free)))
        self._bars("Loading safetensors checkpoint shards: {percent:3d}% Completed", SHARDS, "loading", weights)
        self.tell("loaded", size=size, seconds=self.pause * SHARDS)

    def _bars(self, text: str, total: int, phase: str, gpu: float) -> None:
        for done in range(total + 1):
            self.say(f"{text.format(percent=done * 100 // total)} | {done}/{total} [00:00<00:00, 4.00it/s]")
            if done == total // 2:
                self.may_die(phase)
            if done < total:
                time.sleep(self.pause * (SHARDS / total if gpu else 1 / total))
                self.take(gpu=gpu / total)

    def _make_cache(self, wanted: float) -> None:
        asked = self.flags.get("kv-cache-memory-bytes")
        room = parse_number(asked) if asked else int(wanted) - self.gpu - self.host
        self.tell("kv by bytes" if asked else "kv by fraction", free=_gib(self.free), size=_gib(room))
        if room <= 0:
            self.fail(_NO_CACHE)
        tokens = self.counts["kv"] = room // KV_BYTES_PER_TOKEN
        self.tell("kv", tokens=tokens, length=self.length, concurrency=tokens / self.length)
        self.take(gpu=room)

    def serve(self) -> None:
        """Listen and answer until SIGTERM, which raises, or until an ordered death."""
        self.tell("started", seconds=5 * self.pause, address=self.address, pid=os.getpid())
        self.server_activate()
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        self.tell("ready")
        time.sleep(float(self.faults.get("after_s", 0.5)))
        self.may_die("serving")
        while not self.faults.get("engine_dead"):
            time.sleep(3600)
        self.dead = True
        self.tell("dead")
        time.sleep(0.5)  # 503 lasts about as long before the server exits with 0 (seen on 0.20.2)

    def generate(self, body: Mapping[str, Any], *, chat: bool) -> Iterator[str]:
        """Yield the tokens of an answer: always the same for the same request, and never a repetition."""
        while self.faults.get("stuck_scheduler"):
            time.sleep(3600)
        prompt = json.dumps(body.get("messages")) if chat else str(body.get("prompt"))
        limit = int(body.get("max_tokens") or body.get("max_completion_tokens") or 16)
        numbers = ["Simulated", " text:", *(f" {number}" for number in range(1, limit))]
        answer = (['{"simulated"', ": true}"] if "json" in prompt.lower() else numbers)[:limit]
        with self.lock:
            self.counts["prompt"] += len(prompt.split())
            self.counts["generation"] += len(answer)
            self.counts["drafts"] += max(1, round(len(answer) / (1 + sum(self.accepted))))
        for token in answer:
            time.sleep(float(self.faults.get("slow", 0)))
            yield token

    def metrics(self) -> str:
        """Return the counters that a deployment tool reads, spelled as prometheus_client does."""
        drafts = self.counts["drafts"]
        accepted = [round(drafts * share) for share in self.accepted]
        rows = [(f"{what}_tokens_total", "", self.counts[what]) for what in ("prompt", "generation")]
        none = ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc", "num_preemptions_total")
        rows += [(name, "", 0) for name in (*none, "prefix_cache_queries_total", "prefix_cache_hits_total")]
        rows.append(("cache_config_info", f',block_size="16",num_gpu_blocks="{self.counts["kv"] // 16}"', 1))
        if self.drafted:
            totals = {"drafts": drafts, "draft_tokens": drafts * self.drafted, "accepted_tokens": sum(accepted)}
            rows += [(f"spec_decode_num_{name}_total", "", count) for name, count in totals.items()]
            name = "spec_decode_num_accepted_tokens_per_pos_total"
            rows += [(name, f',position="{position}"', count) for position, count in enumerate(accepted)]
        common = f'engine="0",model_name="{self.names[0]}"'
        return "".join(f"vllm:{name}{{{common}{labels}}} {float(value)}\n" for name, labels, value in rows)


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Print the request as uvicorn does."""
        del size
        peer, reason = "{}:{}".format(*self.client_address[:2]), self.responses.get(int(code), ("",))[0]
        self.server.say(f'(APIServer pid={os.getpid()}) INFO:     {peer} - "{self.requestline}" {int(code)} {reason}')

    def do_GET(self) -> None:
        """Answer a GET."""
        server, path = self.server, self.path.partition("?")[0]
        if path in {"/health", "/ping"}:
            self._send(b"", status=503 if server.dead else 200)
        elif path in {"/version", "/metrics"}:
            self._send({"version": server.version} if path == "/version" else server.metrics().encode())
        elif path != "/v1/models":
            self._send({"detail": "Not Found"}, status=404)
        elif self._allowed():
            names = ["another-model"] if server.faults.get("no_model_name") else server.names
            common = {"object": "model", "owned_by": "vllm", "root": server.model, "max_model_len": server.length}
            self._send({"object": "list", "data": [{"id": name, **common} for name in names]})

    def do_POST(self) -> None:
        """Answer a POST."""
        raw, path = self.rfile.read(int(self.headers.get("Content-Length") or 0)), self.path.partition("?")[0]
        if path not in {"/v1/completions", "/v1/chat/completions"}:
            self._send({"detail": "Not Found"}, status=404)
        elif self._allowed():
            body = json.loads(raw)
            if body.get("model") in {None, *self.server.names}:
                self._answer(body, chat="/chat/" in path)
            else:
                message = f"The model `{body['model']}` does not exist."
                self._send({"error": {"message": message, "type": "NotFoundError", "code": 404}}, status=404)

    def _allowed(self) -> bool:
        key = self.server.flags.get("api-key") or self.server.env.get("VLLM_API_KEY")
        given = self.headers.get("Authorization", "")
        right = key is None or hmac.compare_digest(given.encode(), f"Bearer {key}".encode())
        if right and not self.server.faults.get("unauthorized"):
            return True
        self._send({"error": "Unauthorized"}, status=401)
        return False

    def _answer(self, body: Mapping[str, Any], *, chat: bool) -> None:
        tokens, streamed = self.server.generate(body, chat=chat), bool(body.get("stream"))
        kind = ("chat.completion" + ".chunk" * streamed) if chat else "text_completion"
        common = {"id": "simulated", "object": kind, "created": int(time.time()), "model": self.server.names[0]}
        if streamed:
            self._stream(tokens, common, chat=chat, counted="stream_options" in body)
            return
        made = list(tokens)
        said = {"message": {"role": "assistant", "content": "".join(made)}} if chat else {"text": "".join(made)}
        usage = {"prompt_tokens": 3, "completion_tokens": len(made), "total_tokens": 3 + len(made)}
        self._send({**common, "choices": [{"index": 0, **said, "finish_reason": "length"}], "usage": usage})

    def _stream(self, tokens: Iterator[str], common: Mapping[str, object], *, chat: bool, counted: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Connection", "close")
        self.end_headers()
        usage = {"prompt_tokens": 3, "completion_tokens": 0, "total_tokens": 3}
        for token in tokens:
            usage = {name: count + (name != "prompt_tokens") for name, count in usage.items()}
            said: dict[str, object] = {"delta": {"content": token}} if chat else {"text": token}
            self._event({**common, "choices": [{"index": 0, **said, "finish_reason": None}]})
        if counted:
            self._event({**common, "choices": [], "usage": usage})
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def _event(self, event: Mapping[str, object]) -> None:
        self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())

    def _send(self, body: object, *, status: int = 200) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if isinstance(body, bytes) else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def run(words: Sequence[str], env: Mapping[str, str], hold: Callable[[int, int], int]) -> int:
    """Start, serve until SIGTERM or an ordered death, and return the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with Server(words, env, hold) as server:
            server.boot()
            server.serve()
    except (EndError, KeyboardInterrupt) as end:
        return int(end.args[0]) if end.args else 0
    except ValueError as error:
        print(f"vllm serve: error: {error}", flush=True)  # noqa: T201 - the log of a server
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(run(sys.argv[1:], os.environ, lambda gpu, host: TOTAL_BYTES - gpu - host))
