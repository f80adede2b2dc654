"""A stand-in for ``vllm serve``: its arguments, log lines and HTTP surface, without a model, a GPU or any memory.

Four files that need only Python 3.11 (this one, ``answers``, ``boot`` and ``flags``): the simulated Spark runs them in
a process of its own, and an image of the tests has a copy of them. Like vLLM it binds its port at once, listens only
when it is ready, exits with 0 on SIGTERM, and exits with 0 too when its engine dies. A text is made while it is sent: a
long answer takes no more memory than a short one. Environment:

SPARKCTL_SIM_FAULTS   what goes wrong, and the pace: a JSON object, or ``stuck_scheduler,load_s=5``
    load_s            seconds from start to ready (1.5)
    die_in            meeting, loading, compiling, capturing or serving: exits there with ``exit_code`` (1)
    on_rank           the rank of several hosts that all of this is ordered of; the others have ``load_s`` alone
    never_meets       it waits for the other ranks for ever
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
SPARKCTL_SIM_TOTAL    the GPU's memory in bytes, of which --gpu-memory-utilization is a fraction (a DGX Spark's)
SPARKCTL_SIM_VERSION  the vLLM version that it claims (0.20.2)
SPARKCTL_SIM_TLS      JSON, the files of the certificate and its key (else as --ssl-certfile and --ssl-keyfile say)
SPARKCTL_SIM_CONTEXT  the tokens that the model is made for, 0: unknown (else as the model's config.json says)
VLLM_API_KEY          as for vLLM, where --api-key is not given
"""

from __future__ import annotations

import hmac
import json
import os
import signal
import socket
import ssl
import sys
import threading
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any, Final

from sparkctl.world.sim import answers
from sparkctl.world.sim.boot import TOTAL_BYTES, Boot, EndError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sparkctl.world.sim.answers import SimulatedAnswer

# Measured on a GB10 with MTP by the author of coolthor/Huihui-gemma-4-26B-A4B-it-abliterated-FP8-Dynamic: 69 % at
# position 0 with one drafted token; with four it falls as 65.6, 43.3, 29.2, 20.5 %.
ACCEPTANCE: Final = 0.69
ACCEPTANCE_FALL: Final = 0.67
MOST_BODY: Final = 16 * 1024**2  # bytes of one request: the stand-in's own limit
TOGETHER: Final = 1024  # tokens that are sent at once, of an answer that is no stream
_GETS: Final = ("/health", "/ping", "/version", "/metrics", "/v1/models")
_POSTS: Final = (*answers.FORMS, answers.COUNT)
_HEARS: Final = ("/v1/audio/transcriptions", "/v1/audio/translations")
_POOLS: Final = ("/v1/embeddings", "/v1/rerank", "/rerank")


class SimulatedServer(ThreadingHTTPServer):
    """Bound when made, at the address that it is told, else at that of its flags."""

    def __init__(self, boot: Boot) -> None:
        self.boot, self.faults, self.flags = boot, boot.faults, boot.flags
        self.names = self.flags.get("served-model-name", boot.model).split()
        pools = self.flags.get("runner") == "pooling" or self.flags.get("convert", "auto") not in {"auto", "none"}
        self.posts = _POOLS if pools else _HEARS if "whisper" in boot.model.lower() else _POSTS
        self.drafted = int(json.loads(self.flags.get("speculative-config", "{}")).get("num_speculative_tokens", 0))
        first = float(self.faults.get("acceptance", ACCEPTANCE))
        self.accepted = [first * ACCEPTANCE_FALL**position for position in range(self.drafted)]
        self.prompt_tokens = self.generated = 0
        self.lock, self.dead = threading.Lock(), False
        own = f"{self.flags.get('host', '')}:{self.flags.get('port', 8000)}"
        self.address = boot.env.get("SPARKCTL_SIM_LISTEN", own)
        address, _, port = self.address.rpartition(":")
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address.strip("[]"), int(port)), Handler, bind_and_activate=False)
        self._opened(
            partial(TCPServer.server_bind, self)
        )  # HTTPServer's own asks the name service for this host's name

    def _opened(self, step: Callable[[], None]) -> None:
        """Bind, or listen: if two have bound a port, the second learns only now that the other listens."""
        try:
            step()
        except OSError as error:
            self.server_close()
            self.boot.say(f"OSError: [Errno {error.errno}] {error.strerror}")
            raise EndError(1) from None

    def handle_error(self, *_: object) -> None:
        """Say nothing about a client that left."""

    def serve(self) -> None:
        """Listen and answer until SIGTERM, which raises, or until an ordered death."""
        tls = json.loads(self.boot.env.get("SPARKCTL_SIM_TLS", "[]")) or [
            self.flags[name] for name in ("ssl-certfile", "ssl-keyfile") if name in self.flags
        ]
        scheme = "https" if tls else "http"
        address = f"{scheme}://{self.address}"
        self.boot.tell("started", seconds=5 * self.boot.pause, address=address, pid=os.getpid())
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self._opened(self.server_activate)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        self.boot.tell("ready")
        time.sleep(float(self.faults.get("after_s", 0.5)))
        self.boot.may_die("serving")
        while not self.faults.get("engine_dead"):
            time.sleep(3600)
        self.dead = True
        self.boot.tell("dead")
        time.sleep(0.5)  # 503 lasts about as long before the server exits with 0 (seen on 0.20.2)

    def generate(self, answer: SimulatedAnswer) -> Iterator[str]:
        """Yield the tokens of an answer, at the ordered pace."""
        while self.faults.get("stuck_scheduler"):
            time.sleep(3600)
        pause = float(self.faults.get("slow", 0))
        with self.lock:
            self.prompt_tokens += answer.prompt_tokens
        for token in answer.pieces():
            if pause:
                time.sleep(pause)
            with self.lock:
                self.generated += 1
            yield token

    def metrics(self) -> str:
        """Return the counters that a deployment tool reads, spelled as prometheus_client does."""
        rows = [("prompt_tokens_total", "", self.prompt_tokens), ("generation_tokens_total", "", self.generated)]
        none = ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc", "num_preemptions_total")
        rows += [(name, "", 0) for name in (*none, "prefix_cache_queries_total", "prefix_cache_hits_total")]
        rows.append(("cache_config_info", f',block_size="16",num_gpu_blocks="{self.boot.kv_tokens // 16}"', 1))
        if self.drafted:
            drafts = round(self.generated / (1 + sum(self.accepted)))
            accepted = [round(drafts * share) for share in self.accepted]
            totals = {"drafts": drafts, "draft_tokens": drafts * self.drafted, "accepted_tokens": sum(accepted)}
            rows += [(f"spec_decode_num_{name}_total", "", count) for name, count in totals.items()]
            name = "spec_decode_num_accepted_tokens_per_pos_total"
            rows += [(name, f',position="{position}"', count) for position, count in enumerate(accepted)]
        common = f'engine="0",model_name="{self.names[0]}"'
        return "".join(f"vllm:{name}{{{common}{labels}}} {float(value)}\n" for name, labels, value in rows)


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server: SimulatedServer

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Print the request as uvicorn does."""
        del size
        peer, reason = "{}:{}".format(*self.client_address[:2]), self.responses.get(int(code), ("",))[0]
        line = f'{peer} - "{self.requestline}" {int(code)} {reason}'
        self.server.boot.say(f"(APIServer pid={os.getpid()}) INFO:     {line}")

    def do_GET(self) -> None:
        """Answer a GET."""
        server, path = self.server, self.path.partition("?")[0]
        if path in {"/health", "/ping"}:
            self._send(b"", status=503 if server.dead else 200)
        elif path in {"/version", "/metrics"}:
            self._send({"version": server.boot.version} if path == "/version" else server.metrics().encode())
        elif path != "/v1/models":
            self._refuse(path in self.server.posts)
        elif self._allowed():
            names = ["another-model"] if server.faults.get("no_model_name") else server.names
            length = server.boot.length
            common = {"object": "model", "owned_by": "vllm", "root": server.boot.model, "max_model_len": length}
            self._send({"object": "list", "data": [{"id": name, **common} for name in names]})

    def do_POST(self) -> None:
        """Answer a POST."""
        path, told = self.path.partition("?")[0], self.headers.get("Content-Length", "")
        size = int(told) if told.isdigit() else 0
        if size > MOST_BODY:
            self.close_connection = True
            self._send({"detail": f"simulated: more than {MOST_BODY} bytes"}, status=413)
            return
        raw = self.rfile.read(size)
        if path not in self.server.posts:
            self._refuse(path in _GETS)
        elif self._allowed():
            try:
                if path in _HEARS:
                    self._send(answers.heard(raw, names=self.server.names))
                else:
                    self._post(path, answers.parse(raw))
            except answers.RequestRefusedError as error:
                self._send(answers.refused(path, error), status=error.status)

    def _post(self, path: str, body: dict[str, Any]) -> None:
        names, length = self.server.names, self.server.boot.length
        if path in _POOLS:
            self._send(answers.pooled(path, body, names=names))
        elif path == answers.COUNT:
            self._send(answers.counted(body, names=names))
        else:
            self._answer(answers.answer(path, body, names=names, length=length))

    def _refuse(self, known: bool) -> None:
        self._send({"detail": "Method Not Allowed" if known else "Not Found"}, status=405 if known else 404)

    def _allowed(self) -> bool:
        key = self.server.flags.get("api-key") or self.server.boot.env.get("VLLM_API_KEY")
        given = self.headers.get("Authorization", "")
        right = key is None or hmac.compare_digest(given.encode(), f"Bearer {key}".encode())
        if right and not self.server.faults.get("unauthorized"):
            return True
        self._send({"error": "Unauthorized"}, status=401)
        return False

    def _answer(self, answer: SimulatedAnswer) -> None:
        """Send an answer while it is made; nothing is sent before its first token is there."""
        tokens, name, now = self.server.generate(answer), self.server.names[0], int(time.time())
        whole = answers.document(answer, name, now)
        pieces = answers.events(answer, tokens, name, now) if answer.streamed else self._whole(whole, tokens)
        first = next(pieces)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8" if answer.streamed else "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._chunk(first)
        for piece in pieces:
            self._chunk(piece)
        self.wfile.write(b"0\r\n\r\n")

    @staticmethod
    def _whole(document: Mapping[str, object], tokens: Iterator[str]) -> Iterator[str]:
        """Yield the one JSON object that is an answer."""
        before, _, after = json.dumps(document).partition(answers.HERE)
        while some := "".join(islice(tokens, TOGETHER)):
            yield before + json.dumps(some)[1:-1]
            before = ""
        yield after

    def _chunk(self, text: str) -> None:
        data = text.encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def _send(self, body: object, *, status: int = 200) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if isinstance(body, bytes) else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def follow(boot: Boot) -> None:
    """Act as a rank that is not the head: no HTTP, and no end when the head ends (seen on vLLM 0.32.0)."""
    boot.run()
    time.sleep(float(boot.faults.get("after_s", 0.5)))
    boot.may_die("serving")
    while True:
        time.sleep(3600)


def run(words: Sequence[str], env: Mapping[str, str], hold: Callable[[int, int], int]) -> int:
    """Start, serve until SIGTERM or an ordered death, and return the exit code.

    ``hold`` is told the GPU and host bytes taken from now on, in total, and returns the free bytes.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        boot = Boot(words, env, hold)
        if "headless" in boot.flags:
            follow(boot)
        with SimulatedServer(boot) as server:
            boot.run()
            server.serve()
    except (EndError, KeyboardInterrupt) as end:
        return int(end.args[0]) if end.args else 0
    except ValueError as error:
        print(f"vllm serve: error: {error}", flush=True)  # noqa: T201 - the log of a server
        return 2
    return 0


def main() -> int:
    """Run as a program of its own, on a machine that nobody else uses."""
    return run(sys.argv[1:], os.environ, lambda gpu, host: TOTAL_BYTES - gpu - host)
