"""Files of systemd's syntax (systemd.syntax(7)): sections with keys, lines that go on, specifiers, quoted words."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.recipes.exchange.launch import Leftover, Word
from sparkctl.recipes.exchange.material import unknown
from sparkctl.recipes.exchange.shell.script import cleaned

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkctl.base.errors import Place
    from sparkctl.recipes.exchange.material import Material

_KEY: Final = re.compile(r"([A-Za-z0-9]+)[ \t]*=[ \t]*(.*)", re.DOTALL)
_SPECIFIER: Final = re.compile(r"%(.)")
_VARIABLE: Final = re.compile(r"\$\$|\$(?:\{(\w+)\}|(\w+))")
_ALONE: Final = re.compile(r"\$(\w+)")
_CLOSED: Final = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL)
_PART: Final = re.compile(
    r"""'(?:[^'\\]|\\.)*(?:'|\\?\Z)|"(?:[^"\\]|\\.)*(?:"|\\?\Z)|(?:[^\s'"\\]|\\.)+|\\\Z""", re.DOTALL
)
_WORD: Final = re.compile(rf"(?:{_PART.pattern})+", re.DOTALL)
_ESCAPE: Final = re.compile(
    r"\\((?P<hex>x[0-9a-fA-F]{2})|(?P<code>u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})|(?P<octal>[0-3][0-7]{2})|.)", re.DOTALL
)
_ESCAPES: Final = dict(zip("abfnrtvs\\'\"", "\a\b\f\n\r\t\v \\'\"", strict=True))
_BYTES, _HALVES, _WHOLE, _LAST = 0x80, 0xD800, 0xE000, 0x10FFFF
"""From the first value on, a byte is part of a character; between the next two are halves of pairs: no characters."""
_MOST_SHOWN: Final = 80
_COMMANDS: Final = {
    "ExecStartPre": "sparkctl prepares a start itself, and runs no command of a recipe on the host",
    "ExecStartPost": "sparkctl proves a server ready itself, and runs no command of a recipe on the host",
    "ExecStop": "sparkctl stops its containers itself",
    "ExecStopPost": "sparkctl removes its containers itself",
    "ExecReload": "a server is not reloaded; sparkctl restart",
}
_RESTARTS: Final = {
    "always": "always",
    "on-failure": "on-failure",
    "on-abnormal": "on-failure",
    "on-abort": "on-failure",
}


ACCOUNTED: Final = frozenset({*_COMMANDS, "Environment", "EnvironmentFile", "Restart"})
"""Keys of [Service] that are read here, or left over by ``left_of_service``."""


class UnitLine(NamedTuple):
    """A key of a unit: its section without brackets, its value as written, and the line where it begins."""

    section: str
    key: str
    value: str
    number: int

    @property
    def shown(self) -> str:
        """The key with its value, in one short line."""
        return f"{self.key}={' '.join(self.value.split())[:_MOST_SHOWN]}"


def lines(text: str) -> Iterator[UnitLine]:
    """Yield the keys of all sections, each with the lines that it goes on over."""
    section, whole, first = "", "", 0
    for number, line in enumerate(cleaned(text).split("\n"), start=1):
        if whole and line.lstrip().startswith(("#", ";")):
            whole += "\n"  # a comment between lines that go on
            continue
        first = first if whole else number
        if line.endswith("\\"):
            whole += line[:-1] + " \n"
            continue
        whole += line
        if whole.startswith("["):
            section = whole.strip().strip("[]")
        elif not whole.startswith(("#", ";")) and (match := _KEY.fullmatch(whole.strip())):
            yield UnitLine(section, match[1], match[2], first)
        whole = ""


def name_of(material: Material) -> str:
    """Return the name of a unit, without what a template's instance would add."""
    return posixpath.splitext(posixpath.basename(material.file))[0].rstrip("@").lower()


def words(line: UnitLine, material: Material) -> tuple[Word, ...]:
    """Return the words of a value, as systemd makes them for a command: unquoted, with specifiers and variables."""
    found: list[Word] = []
    for word in _split(line.value, material.place(line.number)):
        value = _specified(word.text, material)
        alone = _ALONE.fullmatch(value)
        if alone is not None and alone[1] in material.variables:  # its value is words
            found += [word._replace(text=one) for one in material.variables[alone[1]].split()]
        else:
            found.append(word._replace(text=_expanded(value, material)))
    return tuple(found)


def _split(value: str, place: Place) -> Iterator[Word]:
    """Yield the words of a value without their quotes and escapes; ``place`` is where it begins."""
    line, at = place.line, 0
    while (start := _WORD.search(value, at)) is not None:
        line += value.count("\n", at, start.start())
        yield Word("".join(map(_unquoted, _PART.findall(start[0]))), place._replace(line=line))
        line += start[0].count("\n")
        at = start.end()


def _unquoted(part: str) -> str:
    """Return a part of a word as it is meant; a quote that is not closed goes to the end."""
    opened = part[0] in "'\""
    inside = part[opened : -1 if _CLOSED.fullmatch(part) else None]
    return _ESCAPE.sub(_escaped, inside)


def _escaped(match: re.Match[str]) -> str:
    """Return a character; an invalid escape, or one for a byte of several, stays as it is written."""
    bytes_of, number = match["hex"] or match["octal"], match["code"]
    if bytes_of is None and number is None:
        return _ESCAPES.get(match[1], match[0])
    found = int(number[1:], 16) if number else int(bytes_of.removeprefix("x"), 16 if match["hex"] else 8)
    if not 0 < found < (_BYTES if bytes_of else _HALVES) and not (number and _WHOLE <= found <= _LAST):
        return match[0]
    return chr(found)


def text(line: UnitLine, material: Material) -> str:
    """Return a value as one word, in which nothing is quoted."""
    return _expanded(_specified(" ".join(line.value.split("\n")), material), material).strip()


def _expanded(value: str, material: Material) -> str:
    """Return a text with its variables replaced; ``$$`` is a dollar."""

    def known(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        return "$" if name is None else material.variables.get(name, unknown(name))

    return _VARIABLE.sub(known, value)


def beside(line: UnitLine, material: Material) -> str | None:
    """Return the text of a file that a key names, if it is beside the unit."""
    return material.beside.get(posixpath.basename(line.value.lstrip("-")))


def environment(every: Sequence[UnitLine], material: Material) -> dict[str, str]:
    """Return the variables of ``Environment=``, and of an ``EnvironmentFile=`` that is at hand."""
    found: dict[str, str] = {}
    for line in every:
        if line.key == "Environment":
            for word in words(line, material):
                name, _, value = word.text.partition("=")
                found[name] = value
        elif line.key == "EnvironmentFile":
            content = beside(line, material) or ""
            pairs = (
                one.partition("=") for one in content.splitlines() if "=" in one and not one.lstrip().startswith("#")
            )
            found |= {name.strip(): value.strip().strip("'\"") for name, _, value in pairs}
    return found


def left_of_service(every: Sequence[UnitLine], material: Material) -> Iterator[Leftover]:
    """Yield what a unit's [Service] does beside its start, and no recipe says."""
    for line in every:
        place = material.place(line.number)
        if line.key in _COMMANDS:
            yield Leftover(place, line.shown, _COMMANDS[line.key])
        elif line.key == "EnvironmentFile" and beside(line, material) is None:
            why = "its variables are not read: it is not beside the unit"
            yield Leftover(place, line.shown, why, "--var NAME=VALUE, for each that the command needs")
        elif line.key == "Restart" and line.value in _RESTARTS:
            why = "docker would restart it without asking whether it has room; `sparkctl agent` does so as a stack says"
            needs = f"container: {{restart: {_RESTARTS[line.value]}}}, or a stack with restart"
            yield Leftover(place, line.shown, why, needs)


def _specified(value: str, material: Material) -> str:
    """Return a text with its specifiers replaced: of those that depend on the instance nothing is known."""
    name, suffix = name_of(material), posixpath.splitext(material.file)[1]
    known = {
        "h": material.variables.get("HOME", "~"),
        "n": f"{name}{'.service' if suffix == '.container' else suffix or '.service'}",
        "N": name,
        "%": "%",
    }
    return _SPECIFIER.sub(lambda match: known.get(match[1]) or unknown(f"%{match[1]}"), value)
