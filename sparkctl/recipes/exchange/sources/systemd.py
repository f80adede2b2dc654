"""A unit of systemd whose ``ExecStart=`` is a ``docker run`` or a ``vllm serve``.

systemd.syntax(7) and systemd.service(5): a backslash ends a line that goes on, ``%`` begins a specifier, the first word
of a command may have a prefix such as ``-``, ``$NAME`` is a variable of ``Environment=``.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sparkctl.recipes.exchange.launch import Launch, Refused, Word
from sparkctl.recipes.exchange.shell import script
from sparkctl.recipes.exchange.shell.script import ShellText
from sparkctl.recipes.exchange.shell.wrappers import unwrapped
from sparkctl.recipes.exchange.sources import docker_run, serve, unit_files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.recipes.exchange.material import Material
    from sparkctl.recipes.exchange.sources.unit_files import UnitLine

FORM: Final = "systemd unit"
_MOST_STARTS: Final = 8
"""How many commands of one unit are read: only a unit of Type=oneshot may have several."""
_SECTION: Final = re.compile(r"^\[Service\][ \t]*$", re.MULTILINE)
_PREFIX: Final = re.compile(r"^[-@:+!|]+")


def recognises(material: Material) -> bool:
    """Return whether a file is such a unit."""
    suffix = posixpath.splitext(material.file)[1]
    named = suffix == ".service"
    return named or (suffix in {"", ".conf", ".txt", ".unit"} and _SECTION.search(material.text) is not None)


def in_document(text: ShellText, material: Material) -> list[Launch]:
    """Return the launches of a unit in a block of a document; none if the block is something else."""
    if _SECTION.search(text.text) is None or "ExecStart" not in text.text:
        return []
    whole = "\n" * (text.first_line - 1) + text.text
    return [launch for launch in read(replace(material, text=whole)) if launch.refused is None]


def read(material: Material) -> list[Launch]:
    """Return the launch of a unit; a unit that starts something else is refused."""
    lines = [line for line in unit_files.lines(material.text) if line.section == "Service"]
    host = {**material.variables, **unit_files.environment(lines, material)}
    starts = [line for line in lines if line.key == "ExecStart" and line.value][:_MOST_STARTS]
    found: list[Launch] = []
    given = _set_by(lines, material)
    for start in starts:
        launch = _started(start, replace(material, variables=host), given)
        if launch is not None:
            found.append(replace(launch, leftovers=(*launch.leftovers, *unit_files.left_of_service(lines, material))))
    if not found:
        place = material.place(starts[0].number if starts else 1)
        refused = Refused("no vLLM server", "the unit starts no container and no server of vLLM", place)
        return [Launch(unit_files.name_of(material), FORM, place, refused=refused)]
    return [replace(launch, name=launch.name or unit_files.name_of(material)) for launch in found]


def _set_by(lines: Sequence[UnitLine], material: Material) -> Mapping[str, Word]:
    found = {}
    for line in lines:
        for word in unit_files.words(line, material) if line.key == "Environment" else ():
            name, _, value = word.text.partition("=")
            found[name] = Word(value, word.place)
    return found


def _started(start: UnitLine, material: Material, environment: Mapping[str, Word]) -> Launch | None:
    words = unit_files.words(start._replace(value=_PREFIX.sub("", start.value, count=1)), material)
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
