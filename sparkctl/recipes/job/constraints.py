"""The constraints file of a job's image: an exact version of each package, and nothing that pip fetches elsewhere."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.errors import Place, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_BYTES: Final = 256 * 1024
"""The largest file that is read: a freeze of a thousand packages has 40 KiB."""
_LINE: Final = re.compile(r"([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)==([0-9][A-Za-z0-9.!+_-]*)")
_COMMENT: Final = re.compile(r"(?:^|\s)#.*")
_WHY: Final = (
    ("--hash", "hashes belong to a requirements file, and make pip refuse every package that has none here"),
    ("-", "an option of pip's: the file holds versions alone"),
    ("://", "an address: pip would fetch from there"),
    (" @ ", "an address: pip would fetch from there"),
    ("[", "a constraint names a package without its extras: pip refuses others"),
    (";", "a constraint for some machines only: another machine would get another version"),
    ("===", "write two equals signs"),
)
"""Contents of a line that is no constraint, and why it is refused; the first match counts."""


class Constraints(NamedTuple):
    """The lines of a constraints file that count: ``text`` has no comments; ``problems`` are what is wrong with it."""

    text: str
    problems: tuple[Problem, ...] = ()


def parse(text: str, file: str) -> Constraints:
    """Return the NAME==VERSION lines of a text, in order; ``file`` is its name in messages."""
    kept: list[str] = []
    wrong: list[Problem] = []
    first: dict[str, int] = {}
    for number, line in _lines(text):
        written = _COMMENT.sub("", line).strip()
        if not written:
            continue
        place = Place(file, number, line.index(written) + 1, line)
        match = _LINE.fullmatch(written)
        if match is None:
            wrong.append(Problem(f"expected NAME==VERSION, found {written[:80]!r}", place, _why(written)))
            continue
        name = re.sub(r"[-_.]+", "-", match[1]).lower()  # as PEP 503 has names
        if name in first:
            wrong.append(Problem(f"{match[1]} is constrained already in line {first[name]}", place))
        first.setdefault(name, number)
        kept.append(written)
    if not kept and not wrong:
        wrong.append(Problem("expected lines NAME==VERSION, found none", Place(file, 1, 1)))
    return Constraints("".join(f"{line}\n" for line in kept), tuple(wrong))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    yield from enumerate(text.split("\n"), start=1)


def _why(written: str) -> str | None:
    return next((why for sign, why in _WHY if (written.startswith(sign) if sign[0] == "-" else sign in written)), None)
