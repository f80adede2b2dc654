"""The lines of a log as the program wrote them, whatever tool passed them on. Pure.

Everything around them is removed in this one place: colours, time stamps and names of docker, compose, journald,
Kubernetes and Ray, the quoting of a pasted text, and line breaks of a terminal. Nothing raises, whatever the text is.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.bounded import UnreadableError, read_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

LONGEST_LINE: Final = 32_768
"""How many characters of a line are read: a list of arguments has a tenth; a log without line ends is one line."""


class Line(NamedTuple):
    """A line of a log.

    ``text`` is what its program wrote after its logger's own head. ``process`` names the innermost process given (''
    for none), ``head`` is the logger's level, time and place as written ('' for none), ``level`` the level in capitals.
    ``stamp`` is the time that the tool which passed the line on gave it, if that has a zone. ``number`` is the line's
    place in the log, from 0.
    """

    text: str
    process: str = ""
    head: str = ""
    level: str = ""
    stamp: str = ""
    number: int = 0

    @property
    def informs(self) -> bool:
        """Whether the line's own program marks it as no error."""
        return self.level in _INFORMING


def read(lines: Iterable[str]) -> Iterator[Line]:
    """Yield the lines of a log; a line that carriage returns rewrote counts as several."""
    plain = list(_plain(lines))
    indent = min((len(text) - len(text.lstrip(" ")) for text in plain if text.strip()), default=0)
    for number, text in enumerate(_unwrapped([text[indent:] for text in plain])):
        yield _line(text)._replace(number=number)


# --- characters ------------------------------------------------------------------------------------------------------

_ESCAPES: Final = re.compile(
    r"\x1b\[[0-9;?]{0,32}[ -/]{0,4}[@-~]"
    r"|\x1b\][^\x07\x1b]{0,200}(?:\x07|\x1b\\)"
    r"|(?:\^\[|␛|\\u001b|\\x1b|\\033|\\e)?\[\d{1,3}(?:;\d{1,3}){0,4}m"
)
"""Colours and titles of a terminal; in a text that was pasted their first character is often lost or spelled out."""
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufeff\u200b]")
_SPELLED: Final = str.maketrans("\u00a0\u2018\u2019\u201c\u201d", " ''\"\"")
"""What a word processor makes of blanks and quotation marks."""
_ENTITY: Final = re.compile(r"&(?:lt|gt|amp|quot|#39|#x27);")
_FENCE: Final = re.compile(r"\s{0,8}(?:```|~~~)[\w-]{0,20}\s{0,8}")
_QUOTED: Final = re.compile(r"(?:> ?){1,4}(?!>)")


def _plain(lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines without characters that only serve a screen or a page."""
    for whole in lines:
        # A line break of one logger inside another's line: the text before a carriage return was overwritten.
        for piece in _pieces(whole):
            text = _CONTROL.sub("", _ESCAPES.sub("", piece)).translate(_SPELLED)
            if _ENTITY.search(text):
                text = html.unescape(text)
            quoted = _QUOTED.match(text)
            if quoted is not None:
                text = text[quoted.end() :]
            if not _FENCE.fullmatch(text):
                yield text


_JOINED: Final = re.compile(
    r"(?<=[^)|\s]) (?=\((?:APIServer|EngineCore|Worker|VllmWorker)[\w-]{0,40} pid=\d{1,10}\) [A-Z])"
)
"""Where a line began, in a text that lost its line breaks."""
_FEWEST_JOINED: Final = 2


def _pieces(whole: str) -> Iterator[str]:
    """Yield the lines in a text, those that were written over one another among them."""
    for line in whole[:LONGEST_LINE].split("\n"):
        for piece in line.strip("\r").split("\r"):
            parts = _JOINED.split(piece)
            yield from parts if len(parts) > _FEWEST_JOINED else [piece]


_NARROWEST: Final = 60
_WIDEST: Final = 400
_FEWEST_FULL: Final = 3
_BEGINS: Final = re.compile(
    r"\(\w|\[\d|\d{4}-\d\d-\d\d|(?:DEBUG|INFO|WARNING|ERROR|CRITICAL)\b|Traceback |\s*File \"|\S{1,40}\s+\| "
)
"""The beginning of a line that cannot be the continuation of another one."""


def _unwrapped(lines: Sequence[str]) -> Iterator[str]:
    """Yield the lines without a terminal's line breaks: a line as long as the longest one continues on the next."""
    width = max((len(text) for text in lines), default=0)
    full = len({text for text in lines if len(text) == width})
    if not (_NARROWEST <= width <= _WIDEST and full >= _FEWEST_FULL):
        yield from lines
        return
    whole = ""
    for text in lines:
        if whole and _BEGINS.match(text):
            yield whole
            whole = ""
        whole += text
        if len(text) < width or len(whole) > LONGEST_LINE:
            yield whole
            whole = ""
    if whole:
        yield whole


# --- the tool that passed the line on --------------------------------------------------------------------------------

_DATE: Final = r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))?"
_STAMP: Final = re.compile(rf"(?P<stamp>{_DATE}(?<=[Z\d]))[ \t]+(?:(?:stdout|stderr) [FP] |\| (?=\())?")
_ZONED: Final = re.compile(r"\d{4}-\d\d-\d\dT\S{8,20}(?:Z|[+-]\d\d:?\d\d)")
"""docker logs -t, and what a Kubernetes node writes to its files."""
_BRACKETED: Final = re.compile(
    rf"\[{_DATE}[^\]]{{0,40}}\]\s?(?:\[[^\]]{{1,60}}\]:\s)?|\[ {{0,8}}\d{{1,9}}\.\d{{1,9}}\] "
)
_POD: Final = re.compile(r"\[(?:pod/[^\]\s]{1,300}|vLLM|vllm|stdout|stderr)\] ?|Line \d{1,8}: |│ ")
_JOURNAL: Final = re.compile(
    r"(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d )?[\w.-]{1,64} (?:[\w.@:/-]{1,80}\[\d{1,10}\]|kernel): "
)
_COMPOSE: Final = re.compile(r"(?!(?:DEBUG|INFO|WARNING|ERROR|CRITICAL)\b)[A-Za-z0-9][\w.-]{0,80} {0,40}\| ?")
_RANK: Final = re.compile(r"\[rank(?P<rank>\d{1,4})\]:\s?")
_PROCESS: Final = re.compile(
    r"\((?:[A-Za-z][\w.:-]{0,80}(?: rank=\d{1,4})?(?:,? (?:pid|ip|node|actor_id)=[^\s,)]{1,80}){1,4}"
    r"|APIServer|EngineCore|raylet|autoscaler|pid=\d{1,10}(?:, ip=\S{1,60})?)\)\s?"
)
"""vLLM's own, Ray's, and those of a Ray actor without a name."""
_CARRIERS: Final = (_STAMP, _BRACKETED, _POD, _PROCESS, _RANK, _COMPOSE, _JOURNAL)
_MOST_CARRIERS: Final = 8

_LEVELS: Final = "DEBUG|INFO|WARNING|WARN|ERROR|CRITICAL|FATAL|TRACE"
_HEAD: Final = re.compile(
    rf"(?P<own>{_LEVELS})(?: \d\d-\d\d \d\d:\d\d:\d\d)?(?: \[[^\]\s]{{1,200}}\]| [\w./-]{{1,80}}:\d{{1,6}}\]) ?"
    rf"|(?P<web>{_LEVELS}):(?: {{1,8}}|\w{{1,40}}:)"
    rf"|(?P<ray>{_LEVELS}) [\w./-]{{1,80}}:\d{{1,6}} -- "
    rf"|- (?P<flashinfer>{_LEVELS}) - (?:[\w./:-]{{1,80}} - )?"
    rf"|\| (?P<loguru>{_LEVELS}) {{0,8}}\| \S{{1,120}} - "
    r"|(?P<glog>[IWEF])\d{4} \d\d:\d\d:\d\d\S{0,20}[^\]]{0,120}\] "
    r"|\[(?P<torch>[IWEF])\d{1,4} \d\d:\d\d:\d\d\.\d{1,9} [^\]]{1,120}\] "
    rf"|\[?LMCache\]? (?P<lmcache>{_LEVELS}): "
    rf"|(?P<bare>{_LEVELS}) (?=\S)"
)
_INFORMING: Final = frozenset({"TRACE", "DEBUG", "INFO", "WARN", "WARNING", "I", "W"})


def _line(text: str) -> Line:
    """Return a line without the prefixes of the tools that passed it on, one after another."""
    process = stamp = ""
    if text.startswith('{"'):
        text = _record(text)
    for _ in range(_MOST_CARRIERS):
        found = next((match for carrier in _CARRIERS if (match := carrier.match(text)) and match.end()), None)
        if found is None:
            break
        named = found.groupdict()
        stamp = stamp or (stamped if _ZONED.fullmatch(stamped := named.get("stamp") or "") else "")
        process = found.group().strip("() \t") if found.re is _PROCESS else process or _ranked(named.get("rank"))
        text = text[found.end() :]
    head = _HEAD.match(text)
    if head is None:
        return Line(text.rstrip(), process, stamp=stamp)
    level = next(value for value in head.groupdict().values() if value)
    return Line(text[head.end() :].rstrip(), process, head.group().strip(), level, stamp)


def _ranked(rank: str | None) -> str:
    return "" if rank is None else f"rank{rank}"


def _record(text: str) -> str:
    """Return the message of a record of docker's json-file or of a log shipper, else the text itself."""
    try:
        record = read_json(text)
    except UnreadableError:
        return text
    if not isinstance(record, dict):
        return text
    said = next((one for key in ("log", "message", "msg", "MESSAGE") if isinstance(one := record.get(key), str)), text)
    return said.rstrip("\r\n").rpartition("\r")[2]
