"""The runs in a log: a container that is started again continues the same log. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sparkctl.vllm import phases

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sparkctl.vllm.log_lines import Line

_BANNER: Final = re.compile(
    r"[ ▄▀█]{0,80}version (?P<logo>[\w.+!-]{1,80})\s{0,8}|vLLM API server version (?P<old>\S{1,80})"
)
ARGUMENTS: Final = "non-default args: "
_PREAMBLE_LINES: Final = 200
_ENDED: Final = re.compile(
    r"Traceback \(most recent|\s*File \"|HTTP/1|\[shutdown\]|resource_tracker|leaked|exec \S+: "
    r"|Finished server process|Application shutdown complete|Engine 0\d\d:"
    r"|vllm\S{0,20}(?: \w{1,20})?: error: |(?:\w+\.)*\w+(?:Error|Exception|Interrupt)\b(?::|$)"
)
"""Lines that only a server that has begun writes, or that are its last."""
_FRESH: Final = re.compile(
    r"exec \S+: exec format error|exec \S+: no such file|docker: |Error response from daemon|vllm(?: serve)?: error: "
    r"|usage: vllm|== (?:vLLM|PyTorch|CUDA) ==$"
)
"""First lines of a program that ends before it logs its version, or that come before the version."""
_OWN_MODULE: Final = re.compile(r'\s*File "(?!<)[^"]{1,400}", line \d+, in <module>')
_FINISHED: Final = re.compile(r"Finished server process|Application shutdown complete")
_STOPS: Final = re.compile(
    r"\[shutdown\] API server: shutdown triggered|Shutting down$|DPSupervisor received \S+, shutting"
)


def version_of(text: str) -> str | None:
    """Return the version in the line with which vLLM's server begins, None for any other line."""
    banner = _BANNER.fullmatch(text)
    return None if banner is None else banner["logo"] or banner["old"]


def last_run(lines: Sequence[Line]) -> Sequence[Line]:
    """Return the lines of the last run.

    It begins with the version or the arguments that vLLM's server logs, or with unmarked lines just before them. After
    a run that served or ended in order, a run also begins with a program that failed before it logged anything; and
    after an end, with a server or engine process that was not there before.
    """
    begins, told = 0, set[str]()
    for number, line in enumerate(lines):
        kind = "version" if version_of(line.text) else "arguments" if line.text.startswith(ARGUMENTS) else ""
        if kind and kind in told:
            begins, told = _preamble(lines, begins, number), {kind}
        elif kind:
            begins = begins if told else _preamble(lines, begins, number)
            told.add(kind)
    return lines[_begun_after(lines, begins) :]


def _begun_after(lines: Sequence[Line], begins: int) -> int:
    """Return where a run without a logged version or arguments begins, after one that served or ended in order."""
    served, ended, seen = False, False, {""}
    for number in range(begins, len(lines)):
        line = lines[number]
        another = ended and line.process not in seen and line.process.startswith(("APIServer", "EngineCore"))
        if another or ((ended or served) and _begins_anew(lines, number)):
            return number
        served = served or phases.SERVES in line.text
        ended = ended or bool(_STOPS.match(line.text) or _FINISHED.match(line.text))
        if not ended:
            seen.add(line.process)
    return begins


def until_stopped(lines: Sequence[Line]) -> Sequence[Line]:
    """Return a run up to the line where its server is told to stop: later messages of its engine are no failure."""
    return lines[: next((number for number, line in enumerate(lines) if _STOPS.match(line.text)), len(lines))]


def starts(lines: Iterable[Line]) -> bool:
    """Return whether these lines contain the beginning of vLLM's server."""
    return any(version_of(line.text) or line.text.startswith(ARGUMENTS) for line in lines)


def _preamble(lines: Sequence[Line], least: int, number: int) -> int:
    """Return the first line of the run whose version or arguments stand in line ``number``."""
    begins = number
    while begins > max(least, number - _PREAMBLE_LINES):
        before = lines[begins - 1]
        logo = before.process == lines[number].process and not before.text.strip(" ▄▀█")
        if not logo and (before.process or _ENDED.match(before.text) or before.head.startswith(("INFO:", "ERROR"))):
            break
        begins -= 1
    return begins


def _begins_anew(lines: Sequence[Line], number: int) -> bool:
    text = "" if lines[number].process else lines[number].text
    if text.startswith("Traceback (most recent") and number + 1 < len(lines):
        return bool(_OWN_MODULE.match(lines[number + 1].text))
    return bool(_FRESH.match(text))
