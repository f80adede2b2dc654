"""Each entry of the catalogue by its own text, whole logs of real failures, and healthy logs that say nothing."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.vllm.failures import Diagnosis, Failure, catalogue, diagnose, ended
from sparkctl.world.engine import Container
from tests.support.failure_entries import assert_knows_its_text_alone, assert_takes_no_line_long
from tests.support.paths import FIXTURES
from tests.support.thorough import pairs

if TYPE_CHECKING:
    from pathlib import Path

FAILURES = FIXTURES / "vllm-0.20.2-h200" / "failures"
HEALTHY = [
    *sorted((FIXTURES / "vllm-0.20.2-h200" / "boots").glob("*.log")),
    *sorted((FIXTURES / "vllm-0.20.2-h200" / "serving").glob("*.log")),
    FIXTURES / "vllm-0.32-cpu" / "boot.log",
]
REAL = {
    "f0-no-weights": "no-weights",
    "f1-util09": "free-memory",
    "f1-weights-oom": "weights-out-of-memory",
    "f11-": "cuda-out-of-memory",
    "f12-": "context-over-model",
    "f14-": "hub-offline",
    "f17-": "speculative-json",
    "f2-": "context-over-cache",
    "f3a-": "cache-too-small",
    "f3b-": "no-cache-memory",
    "f4-": "unrecognized-arguments",
    "f5-": "address-in-use",
    "f6a-": "invalid-choice",
    "f6b-": "attention-backend",
    "f6c-": "quantization-unknown",
    "f7-": "no-config",
    "f8c-": "profiling-memory-rose",
    "f9-": "engine-dead",
    "m3-": "encoder-over-batch",
    "t1-": "transformers-too-new",
}


def lines(path: Path) -> list[str]:
    return path.read_text(errors="replace").splitlines()


@cache
def diagnosis(path: Path) -> Diagnosis | None:
    return diagnose(lines(path))


@pytest.mark.parametrize("failure", catalogue(), ids=lambda failure: failure.id)
def test_each_entry_knows_its_text_and_not_its_neighbour(failure: Failure) -> None:
    assert_knows_its_text_alone(failure, catalogue())


@pytest.mark.a_part(10)
@pytest.mark.parametrize("failure", catalogue(), ids=lambda failure: failure.id)
def test_no_line_takes_an_entry_long(failure: Failure) -> None:
    assert_takes_no_line_long(failure)


def test_ids_are_unique() -> None:
    ids = [failure.id for failure in catalogue()]
    assert len(ids) == len(set(ids))
    assert len(ids) >= 171


def test_what_the_same_container_would_meet_again_does_not_pass() -> None:
    passing = {failure.id: failure.passes for failure in catalogue()}
    for entry in ("unrecognized-arguments", "no-config", "architecture-unknown", "no-kernel-image", "gated"):
        assert not passing[entry]
    for entry in ("cuda-out-of-memory", "kernel-killed", "disk-full", "hub-busy", "address-in-use", "gpu-lost"):
        assert passing[entry]
    # What follows from another failure, or is told to a client, says nothing of the next start.
    assert all(one.passes for one in catalogue() if one.kind in {"symptom", "request", "note", "hint"})


def test_a_diagnosis_says_whether_its_cause_can_pass() -> None:
    flag = diagnose(["api_server.py: error: unrecognized arguments: --no-such-flag"])
    memory = diagnose(["torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 45.00 GiB."])
    assert flag is not None
    assert memory is not None
    assert (flag.passes, memory.passes) == (False, True)


@pytest.mark.parametrize("path", sorted(FAILURES.glob("*.log")), ids=lambda path: path.stem)
def test_a_real_failures_whole_log_has_its_root_cause(path: Path) -> None:
    (expected,) = [cause for prefix, cause in REAL.items() if path.name.startswith(prefix)]
    found = diagnosis(path)
    assert found is not None
    assert found.failure == expected
    assert found.fix


def test_every_real_failure_is_in_the_table() -> None:
    assert len(REAL) == len(list(FAILURES.glob("*.log"))) == 20


@pytest.mark.parametrize("path", HEALTHY, ids=lambda path: path.stem)
def test_a_healthy_servers_log_says_nothing(path: Path) -> None:
    found = diagnosis(path)
    assert found is None or found.failure == ""


def test_the_numbers_are_filled_in() -> None:
    (path,) = FAILURES.glob("f2-*.log")
    found = diagnosis(path)
    assert found is not None
    assert found.cause == "one request of 131072 tokens needs 2.1 GiB of KV cache, and 1.0 GiB are there"
    assert found.fix is not None
    assert found.fix.startswith("--set limits.context=")
    (path,) = FAILURES.glob("m3-*.log")
    found = diagnosis(path)
    assert found is not None
    assert found.fix == "--set limits.batched-tokens=2496"


# --- the last run ----------------------------------------------------------------------------------------------------


@pytest.mark.a_part(6)
@pytest.mark.parametrize(
    ("path", "before"),
    pairs(sorted(FAILURES.glob("*.log")), [HEALTHY[0], HEALTHY[-3], HEALTHY[-1]]),
    ids=lambda path: path.stem[:24],
)
def test_what_ran_before_does_not_matter(path: Path, before: Path) -> None:
    alone, after = diagnosis(path), diagnose([*lines(before), *lines(path)])
    assert alone is not None
    assert after == alone
    assert diagnose([*lines(path), *lines(before)]) is None, "a failure before a start that came up"


def test_a_program_that_fails_before_it_tells_its_version_is_a_run_of_its_own() -> None:
    stopped = lines(FIXTURES / "vllm-0.32-cpu" / "boot.log")
    module = ["Traceback (most recent call last):", '  File "/usr/local/bin/vllm", line 4, in <module>']
    for log in (
        ["exec /usr/bin/python3: exec format error"],
        [*module, "    from vllm.entrypoints.cli.main import main", "ModuleNotFoundError: No module named 'lmcache'"],
        ["vllm: error: unrecognized arguments: --nosuch"],
        ["(EngineCore pid=777) torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.00 GiB"],
    ):
        alone = diagnose(log)
        assert alone is not None
        assert diagnose([*stopped, *log]) == alone


def test_what_an_engine_says_when_it_is_stopped_is_no_failure() -> None:
    path = FIXTURES / "vllm-0.20.2-h200" / "serving" / "s10-serving-ngram.log"
    (engine,) = {line.split(")")[0] for line in lines(path) if line.startswith("(EngineCore")}
    assert diagnose([*lines(path), *(f"{engine}) {line}" for line in raised("RuntimeError: cancelled"))]) is None


# --- the root --------------------------------------------------------------------------------------------------------

BEGUN = [
    "(APIServer pid=1) INFO 04-05 08:58:00 [utils.py:302]   █▄█▀ █     █     █     █  version 0.20.2",
    "(APIServer pid=1) WARNING 04-05 08:58:00 [envs.py:1710] Unknown vLLM environment variable detected: VLLM_VERSION",
    "(EngineCore pid=689) INFO 04-05 08:59:00 [gpu_model_runner.py:1] Starting to load model x...",
]
ENDED = [
    "(APIServer pid=1) Traceback (most recent call last):",
    '(APIServer pid=1)   File "/usr/local/bin/vllm", line 10, in <module>',
    "(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}",
]
LOGGED = "(EngineCore pid=689) (RayWorkerWrapper pid=890, ip=192.168.0.221) ERROR 04-05 08:59:13 [ray_utils.py:87] "
INNER = ['  File "/v/core.py", line 1, in run', "    self.step()", "    ^^^^^^^^^^^"]


def raised(text: str, *inner: str, frames: list[str] | None = None) -> list[str]:
    """Return the traceback of an exception, by those that led to it."""
    chain = [
        line
        for one in inner
        for line in (
            *trace(one, frames),
            "",
            "The above exception was the direct cause of the following exception:",
            "",
        )
    ]
    return [*chain, *trace(text, frames)]


def trace(text: str, frames: list[str] | None = None) -> list[str]:
    return ["Traceback (most recent call last):", *(frames or INNER), *text.split("\n")]


def start(*body: str) -> list[str]:
    """Return the log of a start that failed: what a worker logs, then the same printed, then the server's own end."""
    printed = [f"(EngineCore pid=689) {line}" for line in ("Process EngineCore:", *body)]
    return [*BEGUN, *(LOGGED + line for line in ("EngineCore failed to start.", *body)), *printed, *ENDED]


def entry(log: list[str]) -> str | None:
    found = diagnose(log)
    return None if found is None else found.failure or found.cause


PYDANTIC = "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig\n  Value error, "
NINJA = "RuntimeError: Ninja build failed. Ninja output:\nninja: Entering directory `/root/.cache'\nFAILED: p.o\n"
ILLEGAL = "torch.AcceleratorError: CUDA error: an illegal instruction was encountered\nCUDA kernel errors might be"
DEEP_GEMM = "RuntimeError: Assertion error (include_parser.hpp:69):\nFailed to open: /third_party/deep_gemm/x.cuh"
TEXTS = {
    "ImportError: /v/_C.abi3.so: undefined symbol: _ZN3c104cuda9SetDeviceEab": "undefined-symbol",
    ILLEGAL: "illegal-instruction",
    PYDANTIC
    + "Model architectures ['X'] are not supported for now. Supported architectures: [..": "architecture-unknown",
    PYDANTIC
    + "Quantization method specified in the model config (fp8) does not match the quantization method specified in "
    "the `quantization` argument (modelopt). [type=value_error": "quantization-mismatch",
    NINJA + "/bin/sh: 1: /usr/local/cuda/bin/nvcc: not found\nninja: build stopped: subcommand failed.": "jit-no-nvcc",
    NINJA
    + "x.cu:1:10: fatal error: flashinfer/page.cuh: No such file or directory\nninja: build stopped": "jit-header",
    NINJA + "error: nobody knows this\nninja: build stopped: subcommand failed.": "jit-build-failed",
    DEEP_GEMM: "deep-gemm-header",
    "safetensors_rust.SafetensorError: Error while deserializing header: MetadataIncompleteBuffer": "weights-broken",
    "ValueError: Tokenizer class TokenizersBackend does not exist or is not currently imported.": "tokenizer-unknown",
    "OSError: x is not a local folder and is not a valid model identifier listed on 'https://h.co'": "wrong-model",
    "RuntimeError: Invalid thread config: thread_m_blocks = 4, thread_k = -1, thread_n = -1, num_threads = -1 for "
    "MKN = [65536, 352, 2816] and num_bits = 4": "marlin-thread-config",
    "KeyError: 'model.layers.24.self_attn.attn'": "hybrid-manager-off",
    "RuntimeError: a and b must have same reduction dim, but got [s47, 3840] X [5632, 1024].": "gemma4-mtp-compiled",
    "PermissionError: [Errno 13] Permission denied: '/.cache'": "cache-permission",
    "OddError: nobody knows this": "OddError: nobody knows this",
}


@pytest.mark.parametrize("text", TEXTS, ids=TEXTS.values())
def test_the_root_of_a_whole_start_whatever_stands_around_it(text: str) -> None:
    assert entry(start(*raised(text))) == TEXTS[text]
    assert entry(start(*raised("RuntimeError: Worker failed with error 'x', please check", text))) == TEXTS[text]
    assert entry(text.split("\n")) == TEXTS[text]


MEMORY = (
    "torch.AcceleratorError: CUDA error: out of memory\nSearch for `cudaErrorMemoryAllocation' in the documentation"
)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("return torch.cuda.cudart().cudaMemGetInfo(device)", "snapshot-out-of-memory"),
        ("self.model_runner.load_model()", "load-out-of-memory"),
        ("self.model_runner.profile_run()", "activations-out-of-memory"),
        ("self.model_runner.capture_model()", "graphs-out-of-memory"),
        ("tensor = torch.zeros(kv_cache_tensor.size)", "cuda-out-of-memory"),
    ],
)
def test_where_the_memory_ran_out_is_told_by_the_traceback(code: str, expected: str) -> None:
    frames = ['  File "/v/x.py", line 1, in f', f"    {code}"]
    assert entry(start(*raised(MEMORY, frames=frames))) == expected


def test_a_bare_exception_is_read_by_the_line_that_raised_it() -> None:
    frames = ['  File "/v/weight_utils.py", line 1, in default_weight_loader', "    assert x == 3"]
    assert entry(start(*raised("AssertionError", frames=frames))) == "AssertionError, at: assert x == 3"
    frames[1] = "    assert param.size() == loaded_weight.size()"
    assert entry(start(*raised("AssertionError", frames=frames))) == "weights-shape"


def test_of_a_chain_the_first_cause_speaks() -> None:
    found = diagnose(start(*raised("LastError: third", "FirstError: first", "MiddleError: second")))
    assert found is not None
    assert (found.failure, found.fix, found.phase) == ("", None, "loading weights")
    assert found.cause == "FirstError: first"
    assert found.lines == ('File "/v/core.py", line 1, in run', "FirstError: first")
    handled = [line.replace("The above exception was the direct cause of the following", "During handling of the above")
               .replace("exception:", "exception, another exception occurred:") for line in
               raised("LastError: third", "FirstError: first")]  # fmt: skip
    assert entry(start(*handled)) == "FirstError: first"
    assert diagnose(["all is well"]) is None
    assert diagnose([]) is None


def test_a_message_of_several_lines_is_read_whole() -> None:
    found = diagnose(
        start(*raised(PYDANTIC + "nobody knows this [type=value_error, input_value=ArgsKwargs((), {'k': 1})]"))
    )
    assert found is not None
    assert found.cause.endswith("1 validation error for ModelConfig Value error, nobody knows this")
    found = diagnose(start(*raised(NINJA + "/bin/sh: 1: nvcc: not found")))
    assert found is not None
    assert found.lines == ("RuntimeError: Ninja build failed. Ninja output:", "/bin/sh: 1: nvcc: not found")


def test_two_processes_lines_may_be_mixed() -> None:
    one, two = raised("OddError: nobody knows this\nand its second line"), ["working"] * 30
    mixed = [f"(Worker_TP{at % 2} pid={at % 2}) {line}" for pair in zip(one, two, strict=False)
             for at, line in enumerate(pair)]  # fmt: skip
    assert entry(mixed) == "OddError: nobody knows this and its second line"


def test_the_first_of_several_processes_is_the_root() -> None:
    log = [f"(Worker_TP1 pid=2) {line}" for line in raised("torch.OutOfMemoryError: CUDA out of memory.")]
    log += [f"(Worker_TP0 pid=1) {line}" for line in raised("torch.AcceleratorError: CUDA error: out of memory")]
    log += [f"(Worker_TP0 pid=1) {line}" for line in raised("RuntimeError: NCCL error: remote process exited or x")]
    found = diagnose([*BEGUN, *log, *ENDED])
    assert found is not None
    assert found.lines == ("torch.OutOfMemoryError: CUDA out of memory.",)


@pytest.mark.parametrize(
    "said",
    [
        "(EngineCore pid=9) WARNING 04-05 08:59:01 [x.py:1] no kernel image is available for execution on the device",
        "2026-08-11 12:00:00,1 - WARNING - autotuner.py:1 - x: Failed to initialize cutlass TMA WS grouped gemm",
        "(Worker pid=9) INFO 04-05 08:59:01 [s.py:1] No available shared memory broadcast block found in 60 seconds",
        "(APIServer pid=1) INFO 04-05 08:59:01 [x.py:1] Estimated CUDA graph memory: -35.69 GiB total",
        "NVRM: Check failed: Out of memory [NV_ERR_NO_MEMORY] (0x00000051) returned from _memdescAllocInternal",
    ],
)
def test_what_is_said_in_passing_does_not_outrank_a_crash_and_is_none(said: str) -> None:
    assert entry([*BEGUN, said, *start(*raised("OddError: nobody knows this"))[3:]]) == "OddError: nobody knows this"
    assert diagnose([*BEGUN, said, "(APIServer pid=1) INFO:     Application startup complete."]) is None


def test_an_exception_that_ends_nothing_is_no_root() -> None:
    thread = ["Exception in thread Thread-2 (_report_usage_worker):",
              *raised("PermissionError: [Errno 13] Permission denied: '/.config'")]  # fmt: skip
    assert entry([*BEGUN, *thread, *start(*raised("OddError: x"))[3:]]) == "OddError: x"
    assert diagnose([*BEGUN, *thread, "(APIServer pid=1) INFO:     Application startup complete."]) is None


REQUEST = ['  File "/v/starlette/routing.py", line 73, in app', "    raise exc"]
SERVING = [*BEGUN, "(APIServer pid=1) INFO:     Application startup complete."]


def test_a_clients_own_error_is_no_failure_and_does_not_hide_one() -> None:
    refused = raised("httpx.HTTPStatusError: Client error '401 Unauthorized' for url 'x'", frames=REQUEST)
    asked = [f"(APIServer pid=1) {line}" for line in ("ERROR:    Exception in ASGI application", *refused)]
    assert diagnose([*SERVING, *asked]) is None
    head = "(EngineCore pid=689) ERROR 04-05 09:59:13 [core.py:1] "
    dies = [head + line for line in ("EngineCore encountered a fatal error.", *raised("OddError: x"))]
    assert entry([*SERVING, *asked, *dies]) == "OddError: x"
    said = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
    tools = f"(APIServer pid=1) ERROR 04-05 09:00:00 [s.py:1] {said}"
    assert entry([*SERVING, tools]) == "tool-choice"
    assert entry([*SERVING, tools, *dies]) == "OddError: x"


def test_killed_is_said_only_where_no_exception_says_otherwise() -> None:
    killed = (
        "(EngineCore pid=9) ERROR 04-05 09:00:00 [m.py:1] Worker proc VllmWorker-0 died unexpectedly (exit code: None)"
    )
    assert entry([*BEGUN, killed, *ENDED]) == "worker-killed"
    assert entry([*start(*raised("OddError: x")), killed]) == "OddError: x"
    failed = ENDED[-1].replace("{}", "{'EngineCore': 1}")
    assert entry([*BEGUN, failed]) == "engine-failed-code", "it ended by itself"
    assert entry([*BEGUN, ENDED[-1].replace("{}", "{'EngineCore': -9}")]) == "engine-killed-code"


def test_how_far_the_start_had_come() -> None:
    for prefix, phase in (
        ("f2-", "warming up"),
        ("f1-weights", "loading weights"),
        ("f12-", "starting"),
        ("f9-", "serving"),
    ):
        (path,) = FAILURES.glob(f"{prefix}*.log")
        found = diagnosis(path)
        assert found is not None
        assert found.phase == phase
    found = diagnose(["OSError: [Errno 98] Address already in use"])
    assert found is not None
    assert found.phase is None


@given(st.lists(st.text(max_size=80), max_size=20))
def test_any_log_is_read_without_an_error(log: list[str]) -> None:
    diagnose(log)


@pytest.mark.parametrize(
    ("code", "oom", "words"),
    [
        (0, False, "it was asked to end (docker stop), or its engine was killed"),
        (2, False, "its command line is wrong"),
        (127, False, "its command is not in the image"),
        (137, True, "the kernel killed it at its docker memory limit"),
        (137, False, "docker kill, docker stop after its grace, or the kernel"),
        (139, False, "it crashed (SIGSEGV)"),
        (143, False, "it was asked to end (SIGTERM)"),
        (1, False, ""),
    ],
)
def test_how_it_ended(code: int, words: str, *, oom: bool) -> None:
    container = Container("c", "n", "i", "s", "exited", {}, exit_code=code, oom_killed=oom)
    assert words in ended(container)
    assert bool(words) == bool(ended(container))
    assert ended(container._replace(state="running")) == ""


def test_a_signal_says_nothing_where_an_exception_says_why() -> None:
    container = Container("c", "n", "i", "s", "exited", {}, exit_code=137)
    crash, symptom = diagnose(start(*raised("OddError: x"))), diagnose([*BEGUN, *ENDED])
    assert ended(container, crash) == ""
    assert "it was killed" in ended(container, symptom)
    assert "docker memory limit" in ended(container._replace(oom_killed=True), crash)
