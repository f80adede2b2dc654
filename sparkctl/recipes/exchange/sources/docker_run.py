"""A ``docker run`` command as a launch: its options, its image, and what follows."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import InputError, Place
from sparkctl.recipes.exchange.launch import Launch, Leftover, Refused, Word
from sparkctl.recipes.exchange.material import as_written, unknowns
from sparkctl.recipes.exchange.shell.wrappers import BEFORE, base_name
from sparkctl.world.docker_run import grammar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sparkctl.recipes.exchange.material import Material
    from sparkctl.recipes.exchange.shell.script import ShellCommand
    from sparkctl.world.docker_run.grammar import Given

FORM: Final = "docker run"
ENGINES: Final = frozenset({"docker", "podman", "nerdctl"})
_VERBS: Final = frozenset({"run", "create"})
_GLOBAL_WITH_VALUE: Final = frozenset(
    {"--context", "-c", "--host", "-H", "--config", "--log-level", "-l", "--namespace"}
)
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_RELATIVE: Final = re.compile(r"^\.{1,2}(?=/|:|$)")
_VARIABLE: Final = re.compile(r"[ \t]*(?:export[ \t]+)?([A-Za-z_]\w*)=(.*)")
_MOST_VARIABLES: Final = 500


def behind_verb(words: Sequence[Word]) -> tuple[Word, ...] | None:
    """Return what follows ``docker run`` or ``docker create``; None for another command."""
    rest = behind_engine(words)
    if rest and rest[0].text == "container":
        rest = rest[1:]
    return rest[1:] if rest and rest[0].text in _VERBS else None


def behind_engine(words: Sequence[Word]) -> tuple[Word, ...]:
    """Return what follows ``docker`` and its own options; nothing where the command is another one."""
    if not words or base_name(words[0].text) not in ENGINES:
        return ()
    at = 1
    while at < len(words) and words[at].text.startswith("-"):
        at += 2 if words[at].text in _GLOBAL_WITH_VALUE else 1
    return tuple(words[at:])


def launch(command: ShellCommand, material: Material) -> Launch | None:
    """Return the launch of a command; None where it is no ``docker run``."""
    rest = behind_verb(command.words)
    if rest is None:
        return None
    texts = [word.text for word in rest]
    try:
        given, end = grammar.divided(["docker", "run", *texts])
    except InputError as error:
        return Launch("", FORM, command.place, refused=Refused("docker option", error.message, command.place))
    if end >= len(texts) + 2:
        message = "no image follows docker run: a comment or a space behind a backslash ends a command with its line"
        reason = "a value is missing" if command.empty or unknowns(" ".join(texts)) else "no image"
        return Launch("", FORM, command.place, refused=Refused(reason, message, command.place))
    image = end - 2
    return Launch(
        name=_name(given),
        form=FORM,
        place=command.place,
        options=tuple(_options(rest, given, dict(command.environment), material)),
        image=rest[image],
        command=rest[image + 1 :],
        leftovers=tuple(left_over(command)),
        notes=(f"it stands in {command.within}",) if command.within else (),
    )


def left_over(command: ShellCommand) -> Iterator[Leftover]:
    """Yield the prefixes of a command, and its variables without a value."""
    for word in command.before:
        yield Leftover(word.place, as_written(word.text), BEFORE)
    for name in command.empty:
        why = "nothing gives it a value here: it was taken as empty, as a shell does"
        yield Leftover(command.place, f"${{{name}}}", why, f"--var {name}=VALUE")


def _name(given: Sequence[Given]) -> str:
    named = next((option.text for option in given if option.name == "name"), "")
    return named.lower() if _NAME.fullmatch(named) else ""


def _options(
    words: Sequence[Word], given: Sequence[Given], environment: Mapping[str, Word], material: Material
) -> Iterator[Word]:
    """Yield the options one by one, by their long names; values that only the script knows are filled in."""
    for option in given:
        place = words[option.start - 2].place
        if option.name == "env-file" and (text := _beside(material, option.text)) is not None:
            yield from _variables(text, option.text)
            continue
        value = option.text
        if option.name == "volume":
            value = _whole(value, material)
        elif option.name == "env" and "=" not in value and value in environment:
            value = f"{value}={environment[value].text}"
        yield Word(f"--{option.name}={value}", place)


def _whole(volume: str, material: Material) -> str:
    """Return a volume with the full path of its folder if that is relative to the current one and known."""
    folder = material.variables.get("PWD")
    if folder is None or not _RELATIVE.match(volume):
        return volume
    source, colon, rest = volume.partition(":")
    return f"{posixpath.normpath(posixpath.join(folder, source))}{colon}{rest}"


def _beside(material: Material, path: str) -> str | None:
    folder = material.variables.get("PWD", ".")
    return material.beside.get(posixpath.normpath(path.removeprefix(f"{folder}/")))


def _variables(text: str, path: str) -> Iterator[Word]:
    for number, line in enumerate(text.split("\n")[:_MOST_VARIABLES], start=1):
        match = _VARIABLE.fullmatch(line.rstrip("\r"))
        if match is not None:
            yield Word(f"--env={match[1]}={match[2].strip()}", Place(path, number, 1))
