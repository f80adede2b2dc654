"""Is the service ready? A state machine over what is seen; it neither sleeps nor asks.

The controller looks (the container's state, new log lines, the client's answer to ``Progress.probe``), calls ``step``
with what it saw, and does as the returned value says, until there is an ``outcome``.

Ready means: the container runs, /health is 200, /v1/models has the served names, the server did what its kind does
(a few tokens, a vector, a rank, a transcript), and with speculative decoding the drafts are accepted
(sparkctl.acceptance), by the counters' difference around the probe. A server that has not got a path, or whose model
does not do that, is asked for something else: no healthy server fails because it was asked the wrong question.
/health alone says 200 while the scheduler hangs (NVIDIA/dgx-spark-playbooks#104). While vLLM loads, its port refuses
connections, resets them or answers nothing: that is a wait. Any exit is a failure: a vLLM whose engine died exits
with 0 (seen on 0.20.2 and 0.32.0).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from sparkctl.base import units
from sparkctl.operations.start import acceptance
from sparkctl.vllm import metrics, phases
from sparkctl.vllm.answers import (
    Generation,
    Healthy,
    Labels,
    NoAnswer,
    OtherAnswer,
    Ranking,
    ServedModels,
    Transcript,
    Vectors,
)
from sparkctl.vllm.kinds import ServerKind
from sparkctl.vllm.metrics import Metrics
from sparkctl.vllm.phases import Phase
from sparkctl.vllm.server import OTHERWISE, PROOFS, Route

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.operations.start.acceptance import Floor
    from sparkctl.vllm.metrics import DraftCounts
    from sparkctl.vllm.phases import Told
    from sparkctl.world.engine import Container

KEPT_LINES: Final = 40
# After the recipe's timeout, a log that stood still for this long ends the wait (seconds). torch.compile is silent
# for minutes on a GB10, and says so before and after.
STILL_S: Final = 180.0


STALLED_S: Final = 180.0
"""Without a log line, CPU or disk reads: a server that loads, compiles or captures uses one of them all the time."""
DRAFTING_ROUNDS: Final = 6
"""Generations, until 200 tokens were drafted: two with four drafted tokens a step, four with one."""
_RELATED: Final = frozenset({ServerKind.RANK, ServerKind.CLASSIFY, ServerKind.POOL})
"""Kinds that one model may be by its labels alone, which a recipe does not say."""
METRICS_TRIES: Final = 10
"""Questions that /metrics may leave open: after them a server that still generates is ready, with a warning."""


Proof: TypeAlias = Vectors | Ranking | Labels | Transcript
"""What a server that does not write did."""
Probed: TypeAlias = Healthy | ServedModels | Generation | Metrics | Proof | NoAnswer | OtherAnswer
"""What comes of a probe."""


@dataclass(frozen=True, slots=True)
class Target:
    """The service that is waited for. ``timeout_s`` is the recipe's; ``generate`` whether it must prove itself.

    ``container`` is the id of its container: under the service's name, there may be another one by and by.
    ``floor`` is what its drafts have to reach, None for one that does not draft; ``context`` bounds what it is asked.
    ``kind`` decides how it has to prove itself; ``aliases`` are the other names that it has to serve.
    """

    service: str
    served_name: str
    timeout_s: float
    generate: bool = True
    floor: Floor | None = None
    context: int = 4096
    kind: ServerKind = ServerKind.GENERATE
    container: str = ""
    aliases: tuple[str, ...] = ()


class Seen(NamedTuple):
    """One look: the container (None: gone), the log lines since the last look, the answer to the probe.

    ``active``: its processes used CPU or read from the disk since the last look; None where that is not known.
    """

    now: float
    container: Container | None
    lines: Sequence[str] = ()
    answer: Probed | None = None
    active: bool | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of the wait: ready, or why not, and what to do. ``note`` is what is doubtful of one that is ready.

    ``drafts`` is what was seen of its drafts; ``drafts_in_vain``: the mods are the first suspects.
    """

    ready: bool
    message: str = ""
    hint: str | None = None
    note: str = ""
    drafts: str = ""
    drafts_in_vain: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of one wait. Times are the clock's seconds; ``before_s``: the start had gone on so long before it.

    ``refused`` are the questions that are none for this server.
    """

    target: Target
    started: float
    moved: float
    before_s: float = 0.0
    phase: Phase = Phase.STARTING
    phase_since: float = 0.0
    detail: str = ""
    fraction: float | None = None
    active: float | None = None
    probe: Route = Route.HEALTH
    outcome: Outcome | None = None
    tail: tuple[str, ...] = ()
    container_started: float | None = None
    counted: Metrics | None = None
    rounds: int = 0
    own_tokens: int = 0
    missed: int = 0
    note: str = ""
    refused: tuple[Route, ...] = ()


def begin(target: Target, now: float, before_s: float = 0.0) -> Progress:
    """Return the state at the start of a wait for a start that has gone on for ``before_s`` seconds."""
    return Progress(target=target, started=now, moved=now, phase_since=now, before_s=before_s)


def step(progress: Progress, seen: Seen) -> Progress:
    """Return the next state after one look. Once there is an outcome, it stays."""
    if progress.outcome is not None:
        return progress
    progress = _read(progress, seen)
    dead = _death(seen.container) or _restarted(progress, seen.container)
    if dead is not None:
        return replace(progress, outcome=Outcome(ready=False, message=dead))
    if seen.container is not None:
        progress = replace(progress, container_started=seen.container.started_at)
    if seen.answer is not None:
        progress = _answered(progress, seen.answer, seen.now)
    return progress if progress.outcome else _timed_out(progress, seen.now)


# --- the log ---------------------------------------------------------------------------------------------------------


def _read(progress: Progress, seen: Seen) -> Progress:
    lines = [line for line in seen.lines if line.strip()]
    # The first reading is where silence begins to be counted.
    if seen.active or (seen.active is not None and progress.active is None):
        progress = replace(progress, active=seen.now)
    if not lines:
        return progress
    moved = any(phases.moves(line) for line in lines)
    progress = replace(
        progress, tail=(*progress.tail, *lines)[-KEPT_LINES:], moved=seen.now if moved else progress.moved
    )
    for line in lines:
        progress = _take(progress, phases.told(line), seen.now)
    return progress


def _take(progress: Progress, told: Told, now: float) -> Progress:
    if told.phase is not None and phases.follows(told.phase, progress.phase):
        progress = _enter(progress, told.phase, now)
    return replace(progress, detail=told.detail, fraction=told.fraction) if told.detail else progress


def _enter(progress: Progress, phase: Phase, now: float) -> Progress:
    if phase is progress.phase:
        return progress
    return replace(progress, phase=phase, phase_since=now, detail="", fraction=None)


def stalled_s(progress: Progress, now: float) -> float:
    """Return for how many seconds nothing has moved: no line in the log, no CPU and no disk read; 0 while it does.

    Where the processes cannot be looked at, nothing is said.
    """
    if progress.active is None:
        return 0.0
    still = now - max(progress.moved, progress.active)
    return still if still >= STALLED_S else 0.0


# --- the container ---------------------------------------------------------------------------------------------------


def _death(container: Container | None) -> str | None:
    if container is None:
        return "the container is gone: somebody removed it"
    if container.state in {"created", "running"}:
        return None
    if container.state == "paused":
        return "the container is paused"
    how = f"the container {container.state}"
    if container.exit_code is not None:
        how += f" with code {container.exit_code}"
    if container.oom_killed:
        how += ", killed by the kernel for memory"
    return f"{how}: {container.error}" if container.error else how


def _restarted(progress: Progress, container: Container | None) -> str | None:
    """Tell whether the same container runs again from another moment on: its restart policy hides an exit."""
    if container is None or progress.container_started in {None, container.started_at}:
        return None
    return "the server exited and was started again by its restart policy"


# --- the answers -----------------------------------------------------------------------------------------------------


def _answered(progress: Progress, answer: Probed, now: float) -> Progress:
    if isinstance(answer, NoAnswer) or (isinstance(answer, OtherAnswer) and answer.failing):
        # Loading, busy or about to exit; the container's death is what ends the wait.
        return _missed(progress) if progress.probe is Route.METRICS else progress
    # Each question is answered once: an answer is a step as good as a line of the log.
    progress = replace(progress, moved=now)
    match answer:
        case OtherAnswer():
            return _otherwise(progress, answer, now)
        case Healthy():
            return replace(_enter(progress, Phase.PROBING, now), probe=Route.MODELS)
        case ServedModels():
            return _listed(progress, answer, now)
        case Metrics():
            return _drafted(progress, answer, now)
        case _:
            return _did(progress, answer, now)


def _otherwise(progress: Progress, answer: OtherAnswer, now: float) -> Progress:
    """Take another answer than the one that was asked for: the counters may be missing, and so may a path."""
    if answer.wants_key:
        return _fail(
            progress,
            f"{progress.probe} answered {answer.status}: the server wants another key than the one it was given",
            "name the key in the recipe's secrets (VLLM_API_KEY) and set its value in your environment or secrets file",
        )
    if progress.probe is Route.METRICS:
        return _drafted(progress, Metrics(), now)
    wrong_question = answer.not_here or answer.unable
    if progress.probe is Route.HEALTH and wrong_question:
        return replace(progress, probe=Route.MODELS)  # which has to be there: else it is no such server
    if progress.probe in OTHERWISE and wrong_question:
        return _ask_otherwise(replace(progress, refused=(*progress.refused, progress.probe)), now)
    return _fail(progress, f"{progress.probe} answered {answer}")


def _ask_otherwise(progress: Progress, now: float) -> Progress:
    """Ask for what another kind of server does; one that is healthy and does nothing of it is ready, and that is said.

    The order is the same for each kind, after its own question: a 404 costs some milliseconds.
    """
    left = next((route for route in OTHERWISE if route not in progress.refused), None)
    if left is not None:
        return replace(progress, probe=left)
    note = "it is healthy and lists its model, and answers none of the questions that sparkctl knows: it proved nothing"
    return _succeed(progress, now, note)


def _not_declared(progress: Progress) -> str:
    """Return a note where a server does something else than its recipe says."""
    declared, does = progress.target.kind, next((kind for kind, at in PROOFS.items() if at is progress.probe), None)
    if does is None or does is declared or {declared, does} <= _RELATED:
        return ""
    word = "args: {runner: pooling}" if declared is ServerKind.GENERATE else "its runner and convert"
    return (
        f"it {does.does}, where its recipe says that it {declared.does}: with {word} in the recipe, checks and bench "
        "ask it for that"
    )


def _listed(progress: Progress, models: ServedModels, now: float) -> Progress:
    target = progress.target
    absent = [name for name in (target.served_name, *target.aliases) if name not in models.names]
    if absent:
        return _fail(
            progress,
            f"the server on this port serves {models}, not {', '.join(absent)}",
            "is it another server's port? otherwise serve.name and the image's --served-model-name differ",
        )
    if not progress.target.generate:
        return _succeed(progress, now)
    return replace(progress, probe=PROOFS[progress.target.kind])


def _did(progress: Progress, answer: Generation | Proof, now: float) -> Progress:
    if isinstance(answer, Generation):
        return _generated(progress, answer, now)
    return _succeed(progress, now, _not_declared(progress))


def _generated(progress: Progress, generated: Generation, now: float) -> Progress:
    tokens = generated.tokens
    if tokens is None:
        return _fail(progress, f"{progress.probe} answered 200 without a usage count")
    if tokens < 1:
        return _fail(progress, "the server answered a completion of no tokens")
    if progress.target.floor is None:
        return _succeed(progress, now, progress.note or _not_declared(progress))
    counted = progress.counted is not None
    return replace(progress, probe=Route.METRICS, own_tokens=progress.own_tokens + tokens if counted else 0)


def _missed(progress: Progress) -> Progress:
    """Take that /metrics did not answer: in the end the server has to generate once more, and is ready uncounted."""
    progress = replace(progress, missed=progress.missed + 1)
    if progress.missed < METRICS_TRIES:
        return progress
    uncounted = replace(progress.target, floor=None)
    note = "its acceptance was not checked: /metrics does not answer"
    return replace(progress, probe=Route.COMPLETIONS, target=uncounted, counted=None, note=note)


def _drafted(progress: Progress, counted: Metrics, now: float) -> Progress:
    """Take the counters: before the generations that draft, and after each until enough tokens were drafted."""
    if counted.drafting is None:
        return _succeed(progress, now, "its acceptance was not checked: /metrics says nothing of drafts")
    if progress.counted is None:
        return replace(progress, probe=Route.COMPLETIONS, counted=counted, rounds=1, detail="drafts")
    came = counted.drafting.since(progress.counted.drafting)
    if came.enough:
        return _judged(progress, came, acceptance.others(progress.counted, counted, progress.own_tokens), now)
    if progress.rounds < DRAFTING_ROUNDS:
        return replace(progress, probe=Route.COMPLETIONS, rounds=progress.rounds + 1)
    few = f"only {came.drafted:,.0f} tokens were drafted, and {metrics.ENOUGH} say something"
    return _succeed(progress, now, f"its acceptance was not checked: {few}")


def _judged(progress: Progress, came: DraftCounts, others: str, now: float) -> Progress:
    floor = progress.target.floor
    short = acceptance.below(came, floor) if floor is not None else ""
    if floor is None or not short:
        return _succeed(progress, now, drafts="; ".join(filter(None, [acceptance.said(came), others])))
    told = "; ".join(filter(None, [short, others]))
    if not floor.declared:
        return _succeed(progress, now, f"{told}: is a mod lost? (vllm#41789) sparkctl verify-mods shows it")
    return replace(progress, outcome=Outcome(ready=False, message=told, drafts_in_vain=True))


def _succeed(progress: Progress, now: float, note: str = "", drafts: str = "") -> Progress:
    return replace(_enter(progress, Phase.READY, now), outcome=Outcome(ready=True, note=note, drafts=drafts))


def _fail(progress: Progress, message: str, hint: str | None = None) -> Progress:
    return replace(progress, outcome=Outcome(ready=False, message=message, hint=hint))


def _timed_out(progress: Progress, now: float) -> Progress:
    late = now - progress.started > progress.target.timeout_s
    if not late or now - progress.moved <= STILL_S:
        return progress
    waited = units.format_duration(now - progress.started)
    still = units.format_duration(now - progress.moved)
    return _fail(
        progress,
        f"not ready after {waited}: {progress.phase}, and its log has stood still for {still}",
        "raise ready.timeout in the recipe if this start is only slow",
    )
