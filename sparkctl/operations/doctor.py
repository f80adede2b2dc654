"""The findings of ``sparkctl doctor``: what the host and the engine report, and what follows from it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.errors import EngineError, InputError
from sparkctl.base.units import GIB, format_gib
from sparkctl.memory import cards
from sparkctl.memory.cards import GB10
from sparkctl.operations.agent.state_file import AGENT
from sparkctl.operations.guard import live_state as guards
from sparkctl.operations.jobs.memory.running import running_jobs
from sparkctl.operations.memory import machine
from sparkctl.operations.stack.generations import Generations

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.memory.cards import Card
    from sparkctl.memory.pool import GpuPool, Pool
    from sparkctl.operations.context import World
    from sparkctl.operations.jobs.memory.running import RunningJob
    from sparkctl.world.engine import EngineInfo
    from sparkctl.world.host import Gpu, GpuProcess, MemoryReading

# The largest checkpoint of the shipped recipes' family: 26B-A4B in BF16, 49 GB (bg-digitalservices' model card).
LOW_DISK_BYTES: Final = 50 * GIB
# After a cold load about 40 GiB of weight shards sit in the page cache (vllm#48140).
LARGE_CACHE_BYTES: Final = 30 * GIB


class Status(StrEnum):
    """How bad a finding is; a blocker stops ``up``."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    BLOCKER = "blocker"


class Examined(NamedTuple):
    """One thing that was looked at: what was found, what follows, what to do."""

    subject: str
    status: Status
    found: str
    consequence: str = ""
    fix: str = ""


class Reported(NamedTuple):
    """The facts to judge. ``engine`` is its info, or why there is none; ``pool`` is how its GPUs are planned on.

    ``profile`` is the kind of GPU that services are sized for. ``guard`` and ``agent`` say whether one runs, and
    ``applied`` is the stack that was applied, "" where none was.
    """

    engine: EngineInfo | EngineError
    gpus: Sequence[Gpu]
    processes: Sequence[GpuProcess]
    memory: MemoryReading
    pool: Pool
    disks: Mapping[str, int | None]
    earlyoom: bool
    jobs: Sequence[RunningJob] = ()
    profile: Card = GB10
    guard: bool = False
    agent: bool = False
    applied: str = ""


def doctor(world: World) -> list[Examined]:
    """Look at this host and return the findings in the order in which an operator should read them."""
    return examine(_reported(world))


def _reported(world: World) -> Reported:
    host, engine = world.host, _info(world)
    here = not isinstance(engine, EngineError) and engine.elsewhere is None
    root = "" if isinstance(engine, EngineError) or engine.elsewhere is not None else engine.data_root
    models = world.operator.home / "models"
    cache = world.operator.hub(None).parent
    return Reported(
        engine=engine,
        gpus=host.gpus(),
        processes=host.gpu_processes(),
        memory=host.memory(),
        pool=machine.pool(host, world.profile.reserves),
        disks={str(path): host.disk_free_bytes(path) for path in (models, cache, *([Path(root)] if root else []))},
        earlyoom=host.program_runs("earlyoom"),
        jobs=running_jobs(world.engine, host) if here else (),
        profile=world.profile.card,
        guard=guards.living(world.files, world.clock, world.operator.run) is not None,
        agent=_is_kept(world, engine),
        applied=_applied(world),
    )


def _is_kept(world: World, engine: EngineInfo | EngineError) -> bool:
    """Return whether an agent keeps this engine, of whatever user."""
    try:
        return not isinstance(engine, EngineError) and world.ports.locks.worked_on(engine.id, AGENT)
    except EngineError:
        return False


def _applied(world: World) -> str:
    try:
        found = Generations(world).applied()
    except InputError:  # a store that cannot be read stops no command, and those that need it say so
        return ""
    return "" if found is None else found.stack


def _info(world: World) -> EngineInfo | EngineError:
    try:
        return world.engine.info()
    except EngineError as error:
        return error


def examine(reported: Reported) -> list[Examined]:
    """Return the findings in the order in which an operator should read them."""
    return [
        _engine(reported.engine),
        *_gpus(reported),
        _toolkit(reported.engine),
        *_memory(reported.memory, reported.pool),
        *_freezing(reported),
        *_agent(reported),
        *(_job(job) for job in reported.jobs),
        *(_disk(path, free) for path, free in reported.disks.items()),
    ]


def _engine(engine: EngineInfo | EngineError) -> Examined:
    if isinstance(engine, EngineError):
        return Examined("engine", Status.BLOCKER, engine.message, "no service can start", engine.hint or "")
    name = f"{engine.kind} {engine.version}".strip()
    if engine.elsewhere is not None:
        consequence = "render, ps, logs and down work; plan, up and verify-mods refuse"
        return Examined(
            "engine", Status.WARNING, f"{name}, elsewhere: {engine.elsewhere}", consequence, "run sparkctl on that host"
        )
    if engine.kind == "podman":
        consequence = "it answers as Docker does, and not in everything: sparkctl is tried on Docker Engine alone"
        fix = "DOCKER_HOST=unix:///var/run/docker.sock names Docker's own socket"
        return Examined("engine", Status.WARNING, f"{name}, on a socket of Docker's kind", consequence, fix)
    return Examined("engine", Status.OK, name)


def _gpus(reported: Reported) -> list[Examined]:
    if not reported.gpus:
        consequence = "recipes with gpus: all cannot start here"
        fix = "install the NVIDIA driver, or try `sparkctl --engine sim`"
        return [Examined("gpu", Status.BLOCKER, "none reported by NVML", consequence, fix)]
    findings = [_gpu(gpu, on) for gpu, on in zip(reported.gpus, reported.pool.gpus, strict=True)]
    names = {gpu.name or "" for gpu in reported.gpus}
    if all(map(cards.known, names)) and not names & set(reported.profile.names):
        consequence = "contexts and gpu-memory-utilization of services are those of another GPU"
        fix = "leave out --profile and SPARKCTL_PROFILE, or name the profile of this one: ls recipes/hosts"
        findings.append(Examined("profile", Status.WARNING, f"for {reported.profile.name}", consequence, fix))
    several = len(reported.gpus) > 1
    held = (f"{f'GPU {one.gpu}: ' if several else ''}{machine.who(one)}: {_held(one)}" for one in _sorted(reported))
    findings.append(Examined("gpu memory by process", Status.OK, ", ".join(held) or "no process holds any"))
    return findings


def _sorted(reported: Reported) -> list[GpuProcess]:
    return sorted(reported.processes, key=lambda one: (one.gpu, one.pid))


def _held(process: GpuProcess) -> str:
    return "not reported" if process.bytes is None else format_gib(process.bytes)


def _gpu(gpu: Gpu, on: GpuPool) -> Examined:
    def or_not(value: object) -> str:
        return "not reported" if value is None else str(value)

    subject = f"gpu {on.index}"
    total = "not reported" if gpu.total_bytes is None else format_gib(gpu.total_bytes)
    found = (
        f"{or_not(gpu.name)}, driver {or_not(gpu.driver)}, "
        f"compute capability {or_not(gpu.compute_capability)}, memory {total}"
    )
    if on.problem:
        return Examined(subject, Status.WARNING, f"{found}: {on.problem}", "no service can be planned on it", on.fix)
    if on.pool is not None:
        return _card(subject, found, on.pool)
    card = cards.known(gpu.name or "")
    if card is not None and card.unified:
        return Examined(subject, Status.OK, found)
    consequence = "a GPU that is not known and reports no memory of its own is planned as a GB10: on the host's memory"
    return Examined(subject, Status.WARNING, found, consequence, "use the figures with care on this machine")


def _card(subject: str, found: str, own: Pool) -> Examined:
    free = own.available_bytes - own.reserve_bytes
    found += f", {format_gib(own.available_bytes)} free"
    if free > 0:
        return Examined(subject, Status.OK, f"{found}; {format_gib(free)} above the reserve")
    consequence = f"less than the reserve of {format_gib(own.reserve_bytes)}: nothing can be admitted on it"
    return Examined(subject, Status.WARNING, found, consequence, "stop what holds it: gpu memory by process, below")


def _toolkit(engine: EngineInfo | EngineError) -> Examined:
    subject = "container toolkit"
    if isinstance(engine, EngineError):
        return Examined(subject, Status.NOTE, "unknown without an engine")
    if engine.kind == "sim":
        return Examined(subject, Status.OK, "simulated")
    return _gpu_access(engine, subject)


def _gpu_access(engine: EngineInfo, subject: str) -> Examined:
    """Return how a container gets a GPU of this engine."""
    if "nvidia" in engine.runtimes and engine.kind != "podman":
        return Examined(subject, Status.OK, "nvidia runtime registered")
    if engine.cdi_devices:
        return Examined(subject, Status.OK, f"CDI: {', '.join(engine.cdi_devices)}")
    if engine.kind == "podman":
        found = "podman gives GPUs by CDI, and lists no devices on this socket"
        fix = "nvidia-ctk cdi list shows the devices; gpus: cdi:nvidia.com/gpu=all asks for them"
        return Examined(subject, Status.NOTE, found, "gpus: all may not start", fix)
    if engine.cdi_devices is None:
        found = "no nvidia runtime; the engine resolves CDI devices, and lists them only since Docker 28.2"
        consequence = "gpus: cdi:nvidia.com/gpu=all starts where a CDI specification describes that device"
        return Examined(subject, Status.NOTE, found, consequence, "nvidia-ctk cdi list shows the devices")
    consequence = 'a start fails with: could not select device driver "" with capabilities: [[gpu]]'
    fix = "install nvidia-container-toolkit, then: sudo nvidia-ctk runtime configure --runtime=docker, restart docker"
    return Examined(subject, Status.BLOCKER, "no nvidia runtime and no CDI device in the engine", consequence, fix)


def _memory(memory: MemoryReading, pool: Pool) -> list[Examined]:
    reserve_bytes = pool.reserve_bytes
    free = memory.available_bytes - reserve_bytes
    found = f"{format_gib(memory.available_bytes)} of {format_gib(memory.total_bytes)} available"
    if free > 0:
        first = Examined("memory", Status.OK, f"{found}; {format_gib(free)} above the reserve")
    else:
        consequence = f"less than the reserve of {format_gib(reserve_bytes)}: nothing can be admitted"
        first = Examined("memory", Status.BLOCKER, found, consequence, "stop what holds it: sparkctl ps, then top")
    cache = Examined("page cache", Status.OK, format_gib(memory.cached_bytes))
    if memory.cached_bytes > LARGE_CACHE_BYTES:
        consequence = "available memory counts it as free; vLLM before 0.16 counts it as used (vllm#35313)"
        fix = "with such an image: sudo sh -c 'sync; echo 3 > /proc/sys/vm/drop_caches'"
        cache = cache._replace(status=Status.NOTE, consequence=consequence, fix=fix)
    return [first, cache, _swap(memory)]


def _swap(memory: MemoryReading) -> Examined:
    if memory.swap_total_bytes == 0:
        return Examined("swap", Status.OK, "none")
    used = memory.swap_total_bytes - memory.swap_free_bytes
    found = f"{format_gib(used)} of {format_gib(memory.swap_total_bytes)} used"
    if used > GIB:
        return Examined("swap", Status.WARNING, found, "the host is short of memory already", "stop a service")
    return Examined("swap", Status.OK, found)


def _freezing(reported: Reported) -> list[Examined]:
    """Look for what ends a process before a GPU that shares the host's memory freezes the host.

    Beside cards with their own, Linux kills a process when the host's memory runs out.
    """
    if reported.pool.gpus and all(gpu.pool is not None or gpu.problem for gpu in reported.pool.gpus):
        return []
    if reported.guard:
        both = "it ends whom the kernel's badness names, and the guard whom the stack's priorities do"
        two = Examined("earlyoom", Status.NOTE, "running beside the guard", both, "the guard alone is enough")
        return [Examined("guard", Status.OK, "runs"), *([two] if reported.earlyoom else [])]
    fix = "sudo sparkctl guard run, or as a unit: sudo sparkctl agent install"
    if not reported.earlyoom:
        consequence = "a Spark that runs out of memory freezes instead of killing (open-gpu-kernel-modules#1358)"
        return [Examined("guard", Status.WARNING, "none runs, and no earlyoom", consequence, fix)]
    consequence = "it knows no priorities, and sees a part of what a server holds (vllm#54200)"
    if reported.memory.swap_total_bytes > 0:
        consequence = "it waits until swap is short too (Blackwellboy/model-serving-minefield#134)"
    return [Examined("guard", Status.NOTE, "none runs; earlyoom does", consequence, f"in its place: {fix}")]


def _agent(reported: Reported) -> list[Examined]:
    if reported.agent:
        return [Examined("agent", Status.OK, f"runs, and keeps {reported.applied or 'nothing: no stack is applied'}")]
    if not reported.applied:
        return []
    consequence = f"nothing of the applied stack {reported.applied} is started again by itself, or after a reboot"
    return [Examined("agent", Status.NOTE, "none runs", consequence, "sparkctl agent install, or agent run")]


def _job(job: RunningJob) -> Examined:
    claim = "an unknown amount" if job.claim.claim_bytes is None else format_gib(job.claim.claim_bytes)
    holds = "not known" if job.resident_bytes is None else format_gib(job.resident_bytes)
    found = f"runs; claims {claim} until it ends, and holds {holds} now"
    consequence = "what it claims is kept free for it: a service may not fit beside it"
    return Examined(f"job {job.name}", Status.OK, found, consequence, f"sparkctl job stop {job.name} ends it")


def _disk(path: str, free: int | None) -> Examined:
    subject = f"disk for {path}"
    if free is None:
        return Examined(subject, Status.NOTE, "unknown")
    if free < LOW_DISK_BYTES:
        consequence = "a 26B model in BF16 is 49 GB on disk"
        return Examined(
            subject, Status.WARNING, f"{format_gib(free)} free", consequence, "remove models you do not use"
        )
    return Examined(subject, Status.OK, f"{format_gib(free)} free")
