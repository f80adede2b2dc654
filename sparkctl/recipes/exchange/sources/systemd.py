"""A unit of systemd whose ``ExecStart=`` is a ``docker run`` or a ``vllm serve``.

systemd.syntax(7) and systemd.service(5): a backslash ends a line that goes on, ``%`` begins a specifier, the first word
of a command may have a prefix such as ``-``, ``$NAME`` is a variable of ``Environment=``.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.recipes.exchange.launch import Launch, Leftover, Refused, Word
from sparkctl.recipes.exchange.material import unknown
from sparkctl.recipes.exchange.shell import script
from sparkctl.recipes.exchange.shell.script import ShellText, cleaned
from sparkctl.recipes.exchange.shell.wrappers import unwrapped
from sparkctl.recipes.exchange.sources import docker_run, serve

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sparkctl.recipes.exchange.material import Material

FORM: Final = "systemd unit"
_MOST_STARTS: Final = 8
"""Commands of one unit that are read: only a unit of Type=oneshot may have several."""
_SECTION: Final = re.compile(r"^\[Service\][ \t]*$", re.MULTILINE)
_KEY: Final = re.compile(r"([A-Za-z]+)[ \t]*=[ \t]*(.*)", re.DOTALL)
_PREFIX: Final = re.compile(r"^[-@:+!|]+")
_SPECIFIER: Final = re.compile(r"%(.)")
_LEFT: Final = {
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


class _UnitLine(NamedTuple):
    key: str
    value: str
    number: int


def recognises(material: Material) -> bool:
    """Return whether a file is such a unit."""
    suffix = posixpath.splitext(material.file)[1]
    named = suffix == ".service"
    return named or (suffix in {"", ".conf", ".txt", ".unit"} and _SECTION.search(material.text) is not None)


def in_document(text: ShellText, material: Material) -> list[Launch]:
    """Return the launches of a unit that stands in a block of a document; none where the block is something else."""
    if _SECTION.search(text.text) is None or "ExecStart" not in text.text:
        return []
    whole = "\n" * (text.first_line - 1) + text.text
    return [launch for launch in read(replace(material, text=whole)) if launch.refused is None]


def read(material: Material) -> list[Launch]:
    """Return the launch of a unit; a unit that starts something else is refused."""
    lines = list(_lines(cleaned(material.text)))
    host = {**material.variables, **_environment(lines, material)}
    starts = [line for line in lines if line.key == "ExecStart" and line.value][:_MOST_STARTS]
    found: list[Launch] = []
    given = _set_by(lines, material)
    for start in starts:
        launch = _started(start, replace(material, variables=host), given)
        if launch is not None:
            found.append(replace(launch, leftovers=(*launch.leftovers, *_leftovers(lines, material))))
    if not found:
        place = material.place(starts[0].number if starts else 1)
        refused = Refused("no vLLM server", "the unit starts no container and no server of vLLM", place)
        return [Launch(_name(material), FORM, place, refused=refused)]
    return [replace(launch, name=launch.name or _name(material)) for launch in found]


def _lines(text: str) -> Iterator[_UnitLine]:
    """Yield the keys of the section [Service], each with the lines that it goes on over."""
    inside, whole, first = False, "", 0
    for number, line in enumerate(text.split("\n"), start=1):
        if whole and line.lstrip().startswith(("#", ";")):
            continue  # a comment between lines that go on
        first = first if whole else number
        if line.endswith("\\"):
            whole += line[:-1] + " \n"
            continue
        whole += line
        if whole.startswith("["):
            inside = whole.strip() == "[Service]"
        elif inside and (match := _KEY.fullmatch(whole.strip())) and not whole.startswith(("#", ";")):
            yield _UnitLine(match[1], match[2], first)
        whole = ""


def _specified(text: str, material: Material) -> str:
    """Return a text with its specifiers replaced: of those that depend on the instance nothing is known."""
    known = {
        "h": material.variables.get("HOME", "~"),
        "n": f"{_name(material)}.service",
        "N": _name(material),
        "%": "%",
    }
    return _SPECIFIER.sub(lambda match: known.get(match[1]) or unknown(f"%{match[1]}"), text)


def _environment(lines: list[_UnitLine], material: Material) -> dict[str, str]:
    """Return the variables of ``Environment=``, and of an ``EnvironmentFile=`` that is at hand."""
    found: dict[str, str] = {}
    for line in lines:
        if line.key == "Environment":
            for word in _words(line, material):
                name, _, value = word.text.partition("=")
                found[name] = value
        elif line.key == "EnvironmentFile":
            text = _beside(line, material) or ""
            pairs = (one.partition("=") for one in text.splitlines() if "=" in one and not one.lstrip().startswith("#"))
            found |= {name.strip(): value.strip().strip("'\"") for name, _, value in pairs}
    return found


def _beside(line: _UnitLine, material: Material) -> str | None:
    return material.beside.get(posixpath.basename(line.value.lstrip("-")))


def _set_by(lines: list[_UnitLine], material: Material) -> Mapping[str, Word]:
    found = {}
    for line in lines:
        for word in _words(line, material) if line.key == "Environment" else ():
            name, _, value = word.text.partition("=")
            found[name] = Word(value, word.place)
    return found


def _words(line: _UnitLine, material: Material) -> tuple[Word, ...]:
    """Return the words of a value: systemd's quotes are those of a shell, but it expands nothing else here."""
    text = (
        _specified(line.value, material)
        .replace("$$", "\\$")
        .replace(" \n", " \\\n")
        .replace("$(", "\\$(")
        .replace("`", "\\`")
    )
    read = script.read(material, [ShellText(f"words {_quoted(text)}", line.number)])
    return read.commands[0].words[1:] if read.commands else ()


def _quoted(text: str) -> str:
    """Return a text in which what a shell would take for its own is quoted: systemd knows no operators."""
    return re.sub(r"([;&|<>()#])", r"\\\1", text)


def _started(start: _UnitLine, material: Material, environment: Mapping[str, Word]) -> Launch | None:
    words = _words(start._replace(value=_PREFIX.sub("", start.value, count=1)), material)
    given = tuple(environment.items())
    command = script.ShellCommand(words, material.place(start.number), given)
    inner = unwrapped(words)
    if inner.text is not None:
        read = script.read(material, [ShellText(inner.text.text, start.number)])
        commands = [
            one._replace(environment=(*given, *one.environment), before=(*inner.before, *one.before))
            for one in read.commands
        ]
    else:
        commands = [command._replace(words=inner.words, before=inner.before)]
    for one in commands:
        launch = docker_run.launch(one, material) or serve.launch(one)
        if launch is not None:
            return launch
    return None


def _leftovers(lines: list[_UnitLine], material: Material) -> Iterator[Leftover]:
    for line in lines:
        if line.key in _LEFT:
            what = f"{line.key}={' '.join(line.value.split())[:80]}"
            yield Leftover(material.place(line.number), what, _LEFT[line.key])
        elif line.key == "EnvironmentFile" and _beside(line, material) is None:
            what, why = f"EnvironmentFile={line.value}", "its variables are not read: it is not beside the unit"
            yield Leftover(material.place(line.number), what, why, "--var NAME=VALUE, for each that the command needs")
        elif line.key == "Restart" and line.value in _RESTARTS:
            why = "docker would restart it without asking whether it has room; `sparkctl agent` does so as a stack says"
            needs = f"container: {{restart: {_RESTARTS[line.value]}}}, or a stack with restart"
            yield Leftover(material.place(line.number), f"Restart={line.value}", why, needs)


def _name(material: Material) -> str:
    return posixpath.basename(material.file).removesuffix(".service").rstrip("@").lower()
