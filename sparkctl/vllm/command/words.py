"""The words behind ``vllm serve`` as its parser reads them: flags by their long names, each with its value.

``FlexibleArgumentParser`` of vLLM 0.17.1 to 0.33.0 (utils/argparse_utils.py) over argparse: ``--flag=value``,
underscores, the beginning of a name, dotted names, ``-O3``, ``--no-flag``, several values behind one name.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.bounded import UnreadableError, read_json
from sparkctl.vllm import flags
from sparkctl.vllm.command.spelling import spelled
from sparkctl.vllm.command.written import SEVERAL, takes_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from packaging.version import Version

    from sparkctl.base.declarations import FlagValue
    from sparkctl.vllm.flags import Flag

_NUMBER: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_INTEGER: Final = re.compile(r"0|-?[1-9][0-9]{0,17}")
_FLAG: Final = re.compile(r"--?[A-Za-z]")
_HUMAN: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)([kKmMgGtT])")
_UNITS: Final = {
    "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12,
    "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40,
}  # fmt: skip
"""Small letters are powers of 1000 and large ones of 1024 (human_readable_int, vLLM 0.32.0 engine/arg_utils.py)."""
_HUMAN_FLAGS: Final = frozenset({"max-model-len", "max-num-batched-tokens", "kv-cache-memory-bytes"})
_TEXT: Final = frozenset({"--config"})
"""Flags that take a text although their parser declares no type."""


class ServeFlag(NamedTuple):
    """A flag: its long name with its dots, its value (texts as they are written), and the words that it takes.

    ``start`` and ``end`` are positions among the words read. The value True is the flag alone, False its opposite.
    """

    name: str
    value: bool | str | tuple[str, ...]
    start: int
    end: int


class ServeWords(NamedTuple):
    """The words after ``vllm serve``: the flags, and the positions of words without a flag (the model is the first)."""

    flags: tuple[ServeFlag, ...]
    positional: tuple[int, ...]


def read(words: Sequence[str], version: Version) -> ServeWords:
    """Return the flags of a server's command line in a release; an unknown flag is read as one that takes one value."""
    found: list[ServeFlag] = []
    positional: list[int] = []
    at = 0
    while at < len(words):
        if not _FLAG.match(words[at]):
            positional.append(at)
            at += 1
            continue
        flag = _flag(words, at, version)
        found.append(flag)
        at = flag.end
    return ServeWords(tuple(found), tuple(positional))


def _flag(words: Sequence[str], at: int, version: Version) -> ServeFlag:
    written, equals, value = words[at].partition("=")
    negated = written.startswith(("--no-", "--no_"))
    meant = spelled(written[5:] if negated else written.removeprefix("--"), version)
    if meant.level is not None:
        return ServeFlag(meant.key, meant.level, at, at + 1)
    name = meant.key.lstrip("-")
    if negated:
        return ServeFlag(name, meant.opposite, at, at + 1)
    if equals:
        return ServeFlag(name, value, at, at + 1)
    if not meant.path and _is_switch(name, version):
        return ServeFlag(name, not meant.opposite, at, at + 1)
    return _with_values(words, at, name)


def _with_values(words: Sequence[str], at: int, name: str) -> ServeFlag:
    known = _is_known(f"--{name.partition('.')[0]}")
    end = at + 1
    while end < len(words) and not _FLAG.match(words[end]):
        end += 1
        if name not in SEVERAL and known:
            break
    values = tuple(words[at + 1 : end])
    if not values:
        return ServeFlag(name, True, at, end)
    return ServeFlag(name, values[0] if len(values) == 1 and name not in SEVERAL else values, at, end)


def _is_known(name: str) -> bool:
    return name in flags.names()


@cache
def _latest(name: str) -> Flag | None:
    """Return a flag as the newest release that has it does."""
    return next((found for one in reversed(flags.releases()) if (found := flags.flags_of(one).get(name))), None)


def _is_switch(name: str, version: Version) -> bool:
    flag = flags.flags_of(version).get(f"--{name}") or _latest(f"--{name}")
    return flag is not None and flag.kind is None and not flag.choices and flag.name not in _TEXT


def whole_number(text: str) -> int | None:
    """Return a number of tokens or bytes as vLLM reads it, None for none: ``128k`` is 128,000, ``128K`` 131,072."""
    if _INTEGER.fullmatch(text):
        return int(text)
    match = _HUMAN.fullmatch(text)
    if match is None:
        return None
    value = float(match[1]) * _UNITS[match[2]]
    return int(value) if value == int(value) or match[2].islower() else None


def plain_value(name: str, value: bool | str | tuple[str, ...]) -> FlagValue:
    """Return a value as a recipe writes it: a number, a text, a list, or a map for a JSON text.

    Written back to a command line, it means the same to vLLM's parser.
    """
    if isinstance(value, bool):
        return value
    if isinstance(value, tuple):
        return [_scalar(one) for one in value]
    head = name.partition(".")[0]
    if "." not in name and takes_json(head) and value.lstrip().startswith("{"):
        try:
            read = read_json(value)
        except UnreadableError:
            return value
        return read if isinstance(read, dict) else value
    human = whole_number(value) if head in _HUMAN_FLAGS else None
    return _scalar(value) if human is None else human


def _scalar(text: str) -> str | int | float:
    """Return a text as a number if that number is written back as the same text."""
    if _INTEGER.fullmatch(text) and str(int(text)) == text:
        return int(text)
    if _NUMBER.fullmatch(text) and repr(float(text)) == text:
        return float(text)
    return text
