"""Where a start is, by the lines of vLLM's log. Pure.

The names are those by which ``boot_log`` times a start, so that a watched start and a recorded one agree. The
forms are those of vLLM 0.17 to 0.33; for each, the tests have a real log that contains it.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SERVES: Final = "Application startup complete"
"""What uvicorn says when the server takes requests."""


class Phase(StrEnum):
    """Where a start is, in the order in which vLLM goes through them.

    PROFILING: the trial run that measures how much memory the cache may have, the encoder's included, without the time
    of torch.compile. WARMING: the cache is made and kernels are tuned, without the capture of graphs. SERVING: the
    engine is there, and the API server comes up. PROBING: it serves, and sparkctl sends it a first request.
    """

    STARTING = "starting"
    LOADING = "loading weights"
    PROFILING = "profiling"
    COMPILING = "compiling"
    WARMING = "warming up"
    CAPTURING = "capturing graphs"
    SERVING = "serving"
    PROBING = "probing"
    READY = "ready"


ORDER: Final = list(Phase)
_STAGES: Final = (
    {Phase.STARTING},
    {Phase.LOADING},
    {Phase.PROFILING, Phase.COMPILING},
    {Phase.WARMING, Phase.CAPTURING},
    {Phase.SERVING},
    {Phase.PROBING},
    {Phase.READY},
)
"""Phases that vLLM goes to and fro between: torch.compile is in the trial run, the capture in the warm-up."""
_BEGINS: Final = (
    (re.compile(r"Starting to load model|Loading .*checkpoint shards"), Phase.LOADING),
    (re.compile(r"Start compiling|for vLLM's torch\.compile|Dynamo bytecode|Compiling a graph"), Phase.COMPILING),
    (re.compile(r"loading took [\d.]+ [GM]i?B|torch\.compile t(?:ook|akes) [\d.]+ s in total"), Phase.PROFILING),
    (re.compile(r"Encoder cache will be initialized|profiled with .* items of the maximum feature"), Phase.PROFILING),
    (re.compile(r"Available KV cache memory|reserved .* for KV [Cc]ache|[GC]PU KV cache size"), Phase.WARMING),
    (re.compile(r"Graph capturing finished"), Phase.WARMING),
    (re.compile(r"Capturing CUDA graph"), Phase.CAPTURING),
    (re.compile(r"init engine \([\w ,]{1,60}\) took"), Phase.SERVING),
    (re.compile(SERVES), Phase.PROBING),
)
_COUNTED: Final = (
    re.compile(r"[Ll]oading (?:\S+ ){1,8}\s*\d+% Completed \| (\d+)/(\d+)"),
    re.compile(r"Capturing CUDA graphs?\b.*?(\d+)/(\d+)"),
)
_TOOK: Final = re.compile(r"Model loading took ([\d.]+) GiB")
_TOKENS: Final = re.compile(r"KV cache size: ([\d,]+) tokens")
_NOT_SERVING: Final = re.compile(r"vLLM API server version|Application shutdown complete")
# Lines that a server writes when it is asked, or every ten seconds whatever happens: they prove no progress.
_IDLE: Final = re.compile(r'"(GET|POST) \S+ HTTP/|\[(?:\S*/)?loggers\.py:\d+\]')
_WAITS: Final = re.compile(r"\bworld_size=\d+ rank=\d+ .*\bdistributed_init_method=tcp://")
_MET: Final = re.compile(r"\brank \d+ in world size \d+ is assigned as\b")
"""What a rank says before and after it meets the others (distributed/parallel_state.py of 0.32.0)."""


class Told(NamedTuple):
    """What one line says: the phase that it begins, and how much of it is done, in words and as a share."""

    phase: Phase | None = None
    detail: str = ""
    fraction: float | None = None


def told(line: str) -> Told:
    """Return what a line of the log says of the start."""
    phase = next((phase for pattern, phase in _BEGINS if pattern.search(line)), None)
    for pattern in _COUNTED:
        counted = pattern.search(line)
        if counted is not None and int(counted[2]):
            share = min(1.0, int(counted[1]) / int(counted[2]))
            return Told(phase, f"{counted[1]}/{counted[2]}", share)
    loaded, tokens = _TOOK.search(line), _TOKENS.search(line)
    if loaded is not None:
        return Told(phase, f"{loaded[1]} GiB loaded")
    return Told(phase, f"{tokens[1]} tokens" if tokens is not None else "")


def left_s(usual: Mapping[str, float], phase: Phase, elapsed_s: float) -> float:
    """Return the seconds that a start still needs, judged by an earlier one; 0 if nothing can be said.

    It is the rest of the earlier start's time, but at least the time of the phases still to come, and at most that
    plus the current phase: weights in the page cache load faster than cold ones.
    """
    now = _stage(phase)
    spent = [sum(usual.get(name, 0.0) for name in names) for names in _STAGES]
    later = sum(spent[now + 1 :])
    return min(max(sum(usual.values()) - elapsed_s, later), later + spent[now])


def follows(phase: Phase, now: Phase) -> bool:
    """Return whether a start that is in ``now`` may be in ``phase`` next: the lines of several processes are mixed."""
    return _stage(phase) >= _stage(now)


def _stage(phase: Phase) -> int:
    return next(place for place, these in enumerate(_STAGES) if phase in these)


def serves(lines: Iterable[str]) -> bool | None:
    """Return whether the last start in a log came up, by the last line that shows it or that begins or ends a run.

    None where no line says it. A log goes on when its container is started again.
    """
    found = None
    for line in lines:
        if SERVES in line:
            found = True
        elif _NOT_SERVING.search(line):
            found = False
    return found


class Meeting(StrEnum):
    """How far a rank of several hosts has come on its way to the others."""

    WAITS = "waits"
    MET = "met"


def meeting(line: str) -> Meeting | None:
    """Return what a line says of a rank: it begins to wait for the others, or has met them; None: neither."""
    if _MET.search(line):
        return Meeting.MET
    return Meeting.WAITS if _WAITS.search(line) else None


def moves(line: str) -> bool:
    """Return whether a line proves that the start goes on."""
    return bool(line.strip()) and not _IDLE.search(line)
