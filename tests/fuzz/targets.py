"""Every reader of bytes that others wrote: what it is given to begin with, and how it is called."""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from contextlib import redirect_stderr, redirect_stdout, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from packaging.version import Version
from pydantic import TypeAdapter

from sparkctl.base import bounded, document
from sparkctl.base.errors import InputError
from sparkctl.base.validation import validate
from sparkctl.cli import run
from sparkctl.memory.facts import ModelFacts
from sparkctl.memory.pool import HostProfile
from sparkctl.memory.weights import checkpoint
from sparkctl.mods.manifest import Mod, Pins
from sparkctl.operations import secrets
from sparkctl.operations.bench.result import Bench, svg
from sparkctl.operations.checks.check import Check
from sparkctl.operations.evaluation.suite import Suite
from sparkctl.operations.guard.alone import state
from sparkctl.operations.memory import hub_models
from sparkctl.operations.records import decoded
from sparkctl.planning import reference
from sparkctl.planning.box import lock_file
from sparkctl.planning.box.lock_differences import differences
from sparkctl.planning.known_starts import KnownStarts
from sparkctl.planning.measured import Measurement
from sparkctl.recipes import layers
from sparkctl.recipes.catalog import Catalog, CatalogEntry, Root
from sparkctl.recipes.exchange.exports.exported import ExportTarget
from sparkctl.recipes.hosts.declared import HostsFile
from sparkctl.recipes.job.failures import explain_job
from sparkctl.recipes.recipe import Recipe
from sparkctl.recipes.sizing import memory_key
from sparkctl.recipes.sizing.estimate import estimate
from sparkctl.recipes.sizing.memory_settings import memory_notes
from sparkctl.recipes.stack import Stack, members_of
from sparkctl.recipes.template import expand, package_root
from sparkctl.vllm import answers, boot_log, failures, metrics, streams
from sparkctl.world import labels
from sparkctl.world.docker_run import grammar, spelling
from sparkctl.world.local.models import headers
from sparkctl.world.local.models.folders import DiskModels
from sparkctl.world.local.store import SqliteStore
from sparkctl.world.ports import StoredRecord
from sparkctl.world.sim.boot import context_of
from sparkctl.world.web import Raw
from tests.fuzz import evaluated, fresh, guard, imported, inside, jobs, kept, simulated
from tests.fuzz.evaluated import LM_EVAL
from tests.recipes.template_attacks import ATTACKS
from tests.support.measured import MEASURED
from tests.support.paths import FIXTURES, REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sparkctl.base.declarations import Declaration

COMMANDS: Final = 6
"""A whole command takes as long as ten readers."""
VLLM: Final = FIXTURES / "vllm-0.32-cpu"
_CATALOG: Final = Catalog([Root(REPOSITORY, "shipped")])


class Target(NamedTuple):
    """A reader: ``seeds`` are inputs as they really are, ``read`` may raise SparkctlError and nothing else.

    ``batch`` is how many inputs are tried before it is the next reader's turn: fewer for whole commands.
    """

    seeds: Callable[[], Sequence[bytes]]
    read: Callable[[bytes], object]
    batch: int = 60


def _files(*patterns: str, root: Path = REPOSITORY) -> Callable[[], Sequence[bytes]]:
    return cache(lambda: tuple(path.read_bytes() for pattern in patterns for path in sorted(root.glob(pattern))))


def _these(*values: object) -> Callable[[], Sequence[bytes]]:
    return lambda: tuple(one if isinstance(one, bytes) else json.dumps(one).encode() for one in values)


def _declared(kind: type[Declaration]) -> Callable[[bytes], object]:
    return lambda data: validate(document.load(data, "fuzz.yaml"), kind)


HOSTS = """\
hosts:
  a: {ssh: spark-a, fabric: {address: 10.0.0.1, interface: enp1s0f1np1, hca: [rocep1s0f1]}, reserve: 12 GiB}
  b: {ssh: you@spark-b, models: ~/hub, labels: {room: cellar}}
"""


def _stack(data: bytes) -> object:
    source = document.load(data, "fuzz.yaml")
    return members_of(CatalogEntry("fuzz", Path("fuzz.yaml"), "file"), validate(source, Stack), source)


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


def command(*words: str) -> int:
    """Run the command line on the simulated Spark; the door makes the errors of its own text."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        return run(["--engine", "sim", *words], None)


def _with_file(name: str, *words: str) -> Callable[[bytes], object]:
    """Return what runs a command on a file; ``FOLDER`` and ``FILE`` in its words stand for where that is."""

    def read(data: bytes) -> object:
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            return command(*(word.replace("FILE", str(path)).replace("FOLDER", folder) for word in words))

    return read


def _flags(data: bytes) -> object:
    """Read a recipe's flags as vLLM does, and count what they take."""
    whole = layers.with_whole_names(layers.with_long_names(document.load(data, "fuzz.yaml")))
    recipe = validate(whole, Recipe)
    version = Version("0.20.2")
    facts = _CATALOG.load("facts", "gemma-4-e4b", ModelFacts)
    memory_notes(recipe, version, whole)
    return estimate(recipe, facts, None, version, HostProfile(total=2**37))


def _template(data: bytes) -> object:
    text = _text(data)
    package_root(text)
    return expand(text, "fuzz", {"a": "b", "words": ["c"], "map": {"d": 1}}, loader_folders=[REPOSITORY / "templates"])


def _shard(data: bytes) -> object:
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        (Path(folder) / "a.safetensors").write_bytes(len(data).to_bytes(8, "little") + data + bytes(64))
        return checkpoint.read_tensors(Path(folder))


def _index(data: bytes) -> object:
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        (Path(folder) / "config.json").write_bytes(b"{}")
        (Path(folder) / "a.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
        (Path(folder) / "model.safetensors.index.json").write_bytes(data)
        DiskModels().folder_problem(Path(folder))
        return checkpoint.read_tensors(Path(folder)), checkpoint.not_as_indexed(Path(folder))


def _log(data: bytes) -> object:
    lines = _text(data).splitlines()
    return boot_log.parse(lines), failures.diagnose(lines), explain_job(lines, 1)


def _answers(data: bytes) -> object:
    body = _text(data)
    readers = (answers.served_models, answers.server_version, answers.token_ids, answers.generation)
    others = (answers.vectors, answers.ranking, answers.labels, answers.transcript)
    for reader in (*readers, *others):
        with suppress(bounded.UnreadableError):  # each reads what the others refuse
            reader(body)
    return answers.error_text(body)


def _stream(data: bytes) -> object:
    pieces = tuple((float(at), data[at : at + 512]) for at in range(0, len(data), 512))
    raw = Raw(0.0, float(len(data)), pieces)
    return streams.completion(raw), streams.pooled(raw, answers.vectors)


def _labels(data: bytes) -> object:
    value = bounded.read_json(data)
    if not isinstance(value, dict):
        raise InputError("labels are a map")
    return labels.read({key: one if isinstance(one, str) else json.dumps(one) for key, one in value.items()})


def _measurement(data: bytes) -> object:
    one = decoded(TypeAdapter(Measurement), data)
    return one.date, one.seconds, one.steady_bytes


def _bench(data: bytes) -> object:
    return svg(decoded(TypeAdapter(Bench), data))


def _lock(data: bytes) -> object:
    lock = lock_file.checked(document.load(data, "fuzz.lock"), "executor", _LOCKED_ON)
    return lock_file.text_of(lock), differences(lock.services, {})


def _note(data: bytes) -> object:
    """Read what the hub's library notes beside a file that it downloads."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        note = Path(folder) / ".cache/huggingface/download/config.json.metadata"
        note.parent.mkdir(parents=True)
        (Path(folder) / "config.json").write_bytes(b"{}")
        note.write_bytes(data)
        return DiskModels().recorded(Path(folder))


@cache
def _database() -> Sequence[bytes]:
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        store = SqliteStore(Path(folder))
        store.add(StoredRecord("measurement", 1.0, "a", "b", "c", "{}"))
        return ((Path(folder) / "measurements.db").read_bytes(),)


def _rows(data: bytes) -> object:
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        (Path(folder) / "measurements.db").write_bytes(data)
        return SqliteStore(Path(folder), busy_s=0.1).records("measurement")


def _context(data: bytes) -> object:
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        (Path(folder) / "config.json").write_bytes(data)
        return context_of(Path(folder) / "config.json")


@cache
def _archive() -> Sequence[bytes]:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"), io.BytesIO(b""))
    return (packed.getvalue(),)


def _override(data: bytes) -> object:
    return _CATALOG.recipe("e4b-nvfp4", [_text(data)])


def _words(data: bytes) -> object:
    words = _text(data).replace("\0", "").split()
    return command(*(word for word in words if word not in _NOT_RUN and not word.startswith("--out")))


_NOT_RUN: Final = {"up", "download", "attach", "bake", "fetch", "lock", "add", "pin", "bench", "report"}
"""Commands that wait, write where they are told to, or ask the network: those have a target of their own."""
_BENCH: Final = {
    "service": "a",
    "recipe": "b",
    "model": "c",
    "image": "d",
    "vllm": "0.20",
    "at": 1.0,
    "max_tokens": 500,
    "rounds": 3,
    "levels": [],
}
_LABELS: Final = {
    "sparkctl.service": "e4b-nvfp4",
    "sparkctl.recipe": "e4b-nvfp4",
    "sparkctl.claim": "12345",
    "sparkctl.mods": '[{"mod": "a", "target": "/b", "md5": "c"}]',
}
_HEADER: Final = {
    "__metadata__": {"format": "pt"},
    "model.layers.0.mlp.up_proj.weight": {"dtype": "BF16", "shape": [4, 4], "data_offsets": [0, 32]},
    "lm_head.weight": {"dtype": "F8_E4M3", "shape": [32], "data_offsets": [32, 64]},
}
_WHOLE: Final = """\
template: t
image: a/b:c
vllm: "0.20.2"
model: {repo: a/b}
serve: {name: a, port: 8000}
limits: {context: 1024}
args:
"""
_FLAGS: Final = (
    "  kv-offloading-size: 60\n  cpu_offload_gb: 1.5\n  swap-space: '4'\n  num-gpu-blocks-override: 9000\n",
    "  enable-lora: true\n  max-loras: 8\n  max-lora-rank: 256\n  lora-target-modules: [q_proj, mlp]\n  O3: true\n",
    """  kv-transfer-config: '{"kv_connector": "NixlConnector", "kv_buffer_device": "cpu"}'
  cc.mode: 3\n  mamba-cache-dtype: float32\n  offload-group-size: 8\n  lora-modules: ['{"name": "a"}', b=/c]\n""",
    """  kv-transfer-config: {kv_connector: MultiConnector, kv_connector_extra_config: {connectors: [{}]}}
  api-server-count: 3\n  data-parallel-size: 2\n  mm-processor-cache-gb: 1\nenv: {LMCACHE_MAX_LOCAL_CPU_SIZE: 5}\n""",
)
_LOCKED_ON: Final = lock_file.LockedHost(gpus=("gb10",), processor="aarch64")
_LOCK: Final = f"""\
schema: 1
stack: "executor"
host: {{gpus: ["gb10"], processor: "aarch64"}}
services:
  executor:
    image: {{digest: "sha256:{"a" * 64}", reference: "vllm/vllm-openai:v0.20.2"}}
    mods: {{fix: {{a.py: {{md5: "{"e" * 32}", sha256: "{"f" * 64}"}}}}}}
    model:
      files: {{config.json: {{bytes: 2, sum: "git-sha1:{"d" * 40}"}}}}
      repo: "a/b"
      revision: "{"c" * 40}"
    recipe: "e4b"
    vllm: "0.20.2"
""".encode()
_NOTE: Final = f"{'c' * 40}\n{'a' * 64}\n4000000000.5\n".encode()
_INDEX: Final = {"metadata": {"total_size": 64}, "weight_map": {"a": "a.safetensors", "b": "a.safetensors"}}
_KEPT: Final = {"commit": "c0ffee", "config": "e30=", "tensors": [["lm_head.weight", "BF16", [4, 4], 32]]}
_SETS: Final = (b"limits.context=8192", b"env.A=b", b"args={a: [1, 2]}", b"model.path=~/a", b"mods=[a]")
_DOCKER: Final = (
    b"docker run --name a --gpus all -p 127.0.0.1:8000:8000 -v /a:/b:ro -e A=b --shm-size 1g image --port 8000",
    b"docker run --mount type=bind,source=/a,target=/b --env-file c --ulimit memlock=-1 --label a=b image:tag vllm",
)
_LINES: Final = (
    *(b"size e4b-nvfp4 --max-model-len 8192 --json", b"plan e4b-nvfp4 --set limits.context=8192"),
    *(b"render e4b-nvfp4", b"recipes lint", b"recipes show e4b-nvfp4", b"mods", b"ps --json", b"schema recipe"),
    *(
        b"measurements",
        b"doctor",
        b"logs a",
        b"status a",
        b"down a",
        b"check a",
        b"verify-mods e4b-nvfp4",
        b"--profile gb10 ps",
    ),
)


def _known_starts(data: bytes) -> object:
    """Read measured starts, and go by the nearest of them."""
    starts = validate(document.load(_text(data), "measured.yaml"), KnownStarts).starts
    written = [(one, dict(memory_key.relevant_flags(one.flags))) for one in starts]
    return [reference.nearest(written, one.model, {}, Version("0.20.2"), "") for one in starts[:20]]


TARGETS: Final[dict[str, Target]] = {
    "recipe": Target(_files("recipes/*.yaml"), _declared(Recipe)),
    "flags": Target(_these(*(f"{_WHOLE}{one}".encode() for one in _FLAGS)), _flags),
    "stack": Target(_files("recipes/stacks/*.yaml", "tests/fixtures/stacks/*.yaml"), _stack),
    "lock": Target(_these(_LOCK), _lock),
    "generation": Target(kept.generations, kept.generation, COMMANDS),
    "model-note": Target(_these(_NOTE), _note),
    "facts": Target(_files("recipes/models/*.yaml"), _declared(ModelFacts)),
    "hosts": Target(_these(HOSTS.encode()), _declared(HostsFile)),
    "host": Target(_files("recipes/hosts/*.yaml"), _declared(HostProfile)),
    "measured": Target(_files("recipes/measured/*.yaml"), _known_starts),
    "job": Target(_files("recipes/jobs/*.yaml"), jobs.job, 20),
    "job-script": Target(_files("jobs/*.yaml"), jobs.script, 20),
    "job-override": Target(_these(*jobs.SETS), jobs.override, 20),
    "constraints": Target(_files("jobs/*.txt"), jobs.fixed, 20),
    "job-log": Target(_these(*jobs.LOGS), jobs.printed, 20),
    "pip": Target(_these(*jobs.PIP), jobs.pip, 20),
    "imported": Target(imported.seeds, imported.read, 20),
    "imported-script": Target(imported.scripts, imported.read_script, 20),
    "mod": Target(_files("mods/*/mod.yaml"), _declared(Mod)),
    "pins": Target(_these(b"files:\n  a.py: {md5: 0123456789abcdef0123456789abcdef}\n"), _declared(Pins)),
    "check": Target(_files("checks/*.yaml"), _declared(Check)),
    "suite": Target(_files("recipes/suites/*.yaml"), _declared(Suite)),
    "lm-eval-results": Target(_files("*/*/results_*.json", root=LM_EVAL), evaluated.results),
    "lm-eval-samples": Target(_files("*/*/samples_gsm8k_*.jsonl", root=LM_EVAL), evaluated.samples),
    "kept-answers": Target(evaluated.kept, evaluated.compared),
    "template": Target(lambda: (*_files("templates/*.j2")(), *(one.encode() for one in ATTACKS.values())), _template),
    "docker-words": Target(_these(*_DOCKER), lambda data: grammar.parse(spelling.split(_text(data)))),
    "override": Target(_these(*_SETS), _override),
    "config": Target(
        _files("configs/*/config.json", root=FIXTURES), _with_file("config.json", "size", "FOLDER", "--json"), COMMANDS
    ),
    "new-config": Target(_files("configs/*/config.json", root=FIXTURES), fresh.of_config, 20),
    "new-tokenizer": Target(_these(*fresh.TOKENIZERS), fresh.of_tokenizer, 20),
    "safetensors": Target(_these(_HEADER), _shard),
    "index": Target(_these(_INDEX), _index),
    "hub-header": Target(_these(_HEADER), lambda data: headers.tensors_of("a.safetensors", data)),
    "hub-kept": Target(_these(_KEPT), hub_models.decoded),
    "log": Target(_files("*.log", root=VLLM), _log),
    "metrics": Target(_files("*.txt", root=VLLM), lambda data: metrics.parse(_text(data))),
    "stream": Target(_files("*.sse", root=VLLM), _stream),
    "answer": Target(_files("*.json", root=VLLM), _answers),
    "labels": Target(_these(_LABELS), _labels),
    "json": Target(_files("*.json", root=VLLM), bounded.read_json),
    "measurement": Target(lambda: (TypeAdapter(Measurement).dump_json(MEASURED),), _measurement),
    "bench": Target(_these(_BENCH), _bench),
    "saved": Target(_these(_BENCH), _with_file("a.json", "bench", "--compare", "FILE", "FILE"), COMMANDS),
    "rows": Target(_database, _rows),
    "secrets": Target(_these(b"# a\nHF_TOKEN=b\nA=c\n"), lambda data: secrets.parse(_text(data), "secrets.env")),
    "sim-record": Target(_these(simulated.RECORD), simulated.of_container("spec.json")),
    "sim-run": Target(_these(simulated.RUN), simulated.of_container("run.json")),
    "sim-exit": Target(_these(simulated.EXIT), simulated.of_container("exit.json")),
    "sim-holds": Target(_these({"gpu": 1, "host": 2}), simulated.of_container("holds.json")),
    "sim-log": Target(_files("*.log", root=VLLM), simulated.of_container("log")),
    "sim-image": Target(_these(simulated.IMAGE.encode()), simulated.image),
    "sim-faults": Target(_these(*simulated.FAULTS), simulated.ordered),
    "sim-config": Target(_files("configs/*/config.json", root=FIXTURES), _context),
    "python-of-an-image": Target(_these(inside.PACKAGES), inside.packages),
    "python-of-a-container": Target(_these(inside.FILES), inside.imported),
    "file-of-an-image": Target(_archive, inside.archive),
    "known-image": Target(_these(inside.KNOWN), inside.known),
    "kept-failure": Target(_these(inside.FAILURE), inside.kept),
    "guard-list": Target(_these(guard.LIST), guard.listed),
    "guard-state": Target(_these(guard.STATE), state.parsed),
    "guard-actions": Target(_these(guard.ACTION), guard.acted),
    "http": Target(_these(*inside.REPLY), inside.reply),
    "judged": Target(_these(*inside.ANSWERS), inside.judged),
    "shown": Target(_files("*.log", root=VLLM), inside.shown, 20),
    "diagnosed": Target(_files("*.log", root=VLLM), _with_file("a.log", "diagnose", "FILE"), COMMANDS),
    "prompts": Target(_these(b"one\ntwo\n"), _with_file("p.txt", "bench", "a", "--prompts", "FILE"), COMMANDS),
    "rendered": Target(_files("recipes/*.yaml"), _with_file("a.yaml", "render", "FILE"), COMMANDS),
    **{
        f"exported-{tool.value}": Target(
            _files("recipes/*.yaml", "recipes/stacks/*.yaml"),
            _with_file("a.yaml", "export", "FILE", "--as", tool.value, "--json"),
            COMMANDS,
        )
        for tool in ExportTarget
    },
    "planned": Target(
        _files("recipes/*.yaml", "recipes/stacks/*.yaml"), _with_file("a.yaml", "plan", "FILE"), COMMANDS
    ),
    "linted": Target(
        _files("recipes/*.yaml"), _with_file("recipes/a.yaml", "--recipes", "FOLDER", "recipes", "lint"), COMMANDS
    ),
    "command-line": Target(_these(*_LINES), _words, COMMANDS),
    "changing-commands": Target(_these(*simulated.LINES), simulated.commands, 1),
}
"""By the name that its folder in the corpus has."""
