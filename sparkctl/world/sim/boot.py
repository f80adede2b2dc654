"""The start of a stand-in for vLLM: its log lines in vLLM's order, at the ordered pace, taking memory as vLLM does.

The wording is vLLM 0.20.2's. What may be ordered is listed in ``sparkctl.world.sim.server``.
"""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sparkctl.world.sim.flags import parse_arguments, parse_faults, parse_number

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

GIB: Final = 1024**3
TOTAL_BYTES: Final = 125442396 * 1024  # MemTotal of a DGX Spark
DEFAULT_UTILIZATION: Final = "0.92"  # vLLM 0.20.2 config/cache.py
KV_BYTES_PER_TOKEN: Final = 16384  # the stand-in knows no geometry
MOST_CONFIG: Final = 1024 * 1024  # bytes of a config.json that are read
MOST_TOKENS: Final = 10**12  # of a context: more is no model's
UNKNOWN_LENGTH: Final = 8192  # of a model whose context is not known
SHARDS: Final = 4

# A and E are the API server and EngineCore, e EngineCore's errors; then the place in vLLM, and the text after the bar.
_LINES: Final = {
    "introduction": """\
A utils.py:299| ▄▄ ▄█ █     █     █ ▀▄▀ █  version {version}
A utils.py:299|  █▄█▀ █     █     █     █  model   {model}
A utils.py:233|non-default args: {given}""",
    "length": """\
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
A api_server.py:602|Starting vLLM server on {address}
A|INFO:     Started server process [{pid}]
A|INFO:     Waiting for application startup.""",
    "ready": "A|INFO:     Application startup complete.",
    "too long": """\
A|Traceback (most recent call last):
A|pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig
A|  Value error, {error} [type=value_error, input_value=ArgsKwargs((), {{'model': ...}}), input_type=ArgsKwargs]""",
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
_RANKS: Final = {
    "meets": "[parallel_state.py:1400] world_size={nodes} rank={number} local_rank=0 distributed_init_method="
    "tcp://{head} backend=gloo",
    "met": "[parallel_state.py:1712] rank {number} in world size {nodes} is assigned as DP rank 0, PP rank 0, "
    "PCP rank 0, TP rank {number}, EP rank N/A",
    "headless": "[serve.py:150] Launching vLLM (v{version}) headless multiproc executor, with head node address "
    "{head} for {nodes} nodes.",
}
"""What the ranks of several hosts say, as vLLM 0.32.0 does."""
_AGAIN_S: Final = 0.2
_FRACTION: Final = """ValueError: Free memory on device cuda:0 ({free}/{total} GiB) on startup is less than desired \
GPU memory utilization ({fraction}, {wanted} GiB). Decrease GPU memory utilization or reduce GPU memory used by other \
processes."""
_TOO_LONG: Final = """User-specified max_model_len ({asked}) is greater than the derived max_model_len \
(max_position_embeddings={context:.1f} or model_max_length=None in model's config.json). To allow overriding this \
maximum, set the env var VLLM_ALLOW_LONG_MAX_MODEL_LEN=1. VLLM_ALLOW_LONG_MAX_MODEL_LEN must be used with extreme \
caution. If the model uses relative position encoding (RoPE), positions exceeding derived_max_model_len lead to nan. \
If the model uses absolute position encoding, positions exceeding derived_max_model_len will cause a CUDA array \
out-of-bounds error."""
_NO_CACHE: Final = """ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` \
when initializing the engine."""
_OOM: Final = """torch.OutOfMemoryError: CUDA out of memory. Tried to allocate {size} GiB. GPU 0 has a total capacity \
of {total} GiB of which {free} GiB is free."""


class EndError(Exception):
    """The server ends now, with the exit code that is its argument."""


def _gib(count: float) -> float:
    return round(count / GIB, 2)


def out_of_memory(size: float, total: int, free: int) -> str:
    """Return what torch says when a GPU has no room for so many bytes more."""
    return _OOM.format(size=_gib(size), total=_gib(total), free=_gib(free))


class Boot:
    """One start. ``hold`` is told the GPU and host bytes taken from now on, in total, and returns the free bytes."""

    def __init__(self, words: Sequence[str], env: Mapping[str, str], hold: Callable[[int, int], int]) -> None:
        self.flags, self.env, self.hold = parse_arguments(words), env, hold
        self.faults = parse_faults(env.get("SPARKCTL_SIM_FAULTS", ""))
        self.model = self.flags.get("model", "Qwen/Qwen3-0.6B")
        self.version = env.get("SPARKCTL_SIM_VERSION", "0.20.2")
        self.context = _context(self.model, env)
        asked = self.flags.get("max-model-len", "auto")
        self.length = self.context or UNKNOWN_LENGTH if asked in {"auto", "-1"} else parse_number(asked)
        self.nodes, self.rank = int(self.flags.get("nnodes", 1)), int(self.flags.get("node-rank", 0))
        if str(self.faults.get("on_rank", self.rank)) != str(self.rank):
            self.faults = {name: value for name, value in self.faults.items() if name == "load_s"}
        self.peers: list[socket.socket] = []
        self.total = int(env.get("SPARKCTL_SIM_TOTAL", TOTAL_BYTES))
        self.factor = float(self.faults.get("take", 1))
        self.pause = float(self.faults.get("load_s", 1.5)) / (SHARDS + 4)
        self.free = self.gpu = self.host = self.kv_tokens = 0

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

    def run(self) -> None:
        """Print what vLLM prints until it listens, at the ordered pace, taking memory as vLLM does."""
        takes = {"weights": GIB, "rest": 0, "compiled": 0, "host": 0}
        takes |= json.loads(self.env.get("SPARKCTL_SIM_TAKES", "{}"))
        eager = "enforce-eager" in self.flags
        given = {name.replace("-", "_"): "***" if name == "api-key" else text for name, text in self.flags.items()}
        self.tell("introduction", version=self.version, model=self.model, given=given)
        if self.context and self.length > self.context and self.env.get("VLLM_ALLOW_LONG_MAX_MODEL_LEN") != "1":
            self.fail(_TOO_LONG.format(asked=self.length, context=self.context), how="too long")
        self.tell("length", version=self.version, model=self.model, length=self.length)
        self._meet()
        time.sleep(self.pause)
        self.take(gpu=takes["rest"] / 4, host=takes["host"])  # the context is there before the check
        fraction = self.flags.get("gpu-memory-utilization", DEFAULT_UTILIZATION)
        wanted = float(fraction) * self.total
        if self.free < wanted:
            free, total = _gib(self.free), _gib(self.total)
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

    def _meet(self) -> None:
        """Wait for the other ranks of several hosts, as torch does: the head listens, the others connect to it."""
        if self.nodes == 1:
            return
        address, port = self.flags.get("master-addr", "127.0.0.1"), int(self.flags.get("master-port", 29501))
        if self.rank:
            self._say_rank("headless", f"{address}:{port}")
        self.may_die("meeting")
        self._say_rank("meets", f"{address}:{port}")
        while self.faults.get("never_meets"):
            time.sleep(3600)
        if self.rank == 0:
            with socket.create_server((address, port)) as door:
                self.peers = [door.accept()[0] for _ in range(self.nodes - 1)]
        while self.rank and not self.peers:
            try:
                self.peers = [socket.create_connection((address, port))]
            except OSError:
                time.sleep(_AGAIN_S)
        self._say_rank("met", f"{address}:{port}")

    def _say_rank(self, what: str, head: str) -> None:
        rank = f"(Worker_TP{self.rank} pid={os.getpid()}) INFO {time.strftime('%m-%d %H:%M:%S')} "
        given = {"number": self.rank, "nodes": self.nodes, "head": head, "version": self.version}
        self.say(rank + _RANKS[what].format(**given))

    def _load(self, weights: float) -> None:
        size = _gib(weights * self.factor)
        self.tell("loading", model=self.model, size=size, free=_gib(self.free))
        if self.faults.get("oom"):
            self.fail(out_of_memory(weights * self.factor, self.total, self.free))
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
        tokens = self.kv_tokens = room // KV_BYTES_PER_TOKEN
        self.tell("kv", tokens=tokens, length=self.length, concurrency=tokens / self.length)
        self.take(gpu=room)


def _context(model: str, env: Mapping[str, str]) -> int | None:
    """Return the tokens that a model is made for: as told, else by its config.json; None if that is not known."""
    told = env.get("SPARKCTL_SIM_CONTEXT")
    return (int(told) or None) if told else context_of(Path(model) / "config.json")


def context_of(config: Path) -> int | None:
    """Return max_position_embeddings of a config.json; None where there is none, or where RoPE is to stretch it."""
    try:
        if not config.is_file():  # a pipe that nobody writes to would hold the reader for ever
            return None
        with config.open("rb") as file:
            found = json.loads(file.read(MOST_CONFIG))
        found = found.get("text_config") or found
        stretched = "factor" in json.dumps([found.get("rope_scaling"), found.get("rope_parameters")])
        tokens = found["max_position_embeddings"]
        return tokens if type(tokens) is int and 0 < tokens <= MOST_TOKENS and not stretched else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
