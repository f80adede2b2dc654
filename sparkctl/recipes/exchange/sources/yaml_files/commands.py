"""The command of a YAML file as a shell would read it, each word with its line in that file. Nothing is executed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.recipes.exchange.fields.server import serving
from sparkctl.recipes.exchange.launch import Leftover, Word
from sparkctl.recipes.exchange.material import Material, as_written
from sparkctl.recipes.exchange.shell import script
from sparkctl.recipes.exchange.shell.wrappers import base_name
from sparkctl.recipes.exchange.sources.docker_run import left_over
from sparkctl.recipes.exchange.sources.yaml_files.keys import bare

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.base.document import Node
    from sparkctl.base.errors import Place
    from sparkctl.recipes.exchange.shell.script import ShellCommand
    from sparkctl.recipes.exchange.sources.yaml_files.braces import Filled

_BLANK_CONTINUED: Final = re.compile(r"\\[ \t]+\n")
_LONGEST: Final = 100


class CommandLine(NamedTuple):
    """The result of reading a command: the words that start a server, its settings, and what else the command does.

    ``error`` is what no shell would read; ``words`` are () where nothing starts a server of vLLM.
    """

    words: tuple[Word, ...] = ()
    environment: tuple[tuple[str, Word], ...] = ()
    leftovers: tuple[Leftover, ...] = ()
    error: str | None = None


class ScalarLines:
    """Where the lines of a scalar are in its file."""

    def __init__(self, node: Node, text: str) -> None:
        lines = text.split("\n", node.place.line)
        written = lines[node.place.line - 1][node.place.column - 1 :] if node.place.line <= len(lines) else ""
        self._place = bare(node.place)
        self._block = written[:1] in {"|", ">"}
        self._literal = written[:1] == "|"

    def place(self, line: int) -> Place:
        """Return the place of a line, from 0; for a folded text, the place where the text begins."""
        if not self._block:
            return self._place
        return self._place._replace(line=self._place.line + 1 + (line if self._literal else 0), column=1)


def words_of(filled: Filled, node: Node, material: Material, given: Mapping[str, str]) -> CommandLine:
    """Return what a command starts, whose values are in; ``given`` are the variables of its container."""
    lines = ScalarLines(node, material.text)

    def moved(word: Word) -> Word:
        at = min(max(word.place.line - 1, 0), len(filled.lines) - 1)
        return word._replace(place=lines.place(filled.lines[at]))

    text = _BLANK_CONTINUED.sub("\\\\\n", filled.text)
    found = script.read(Material(text, material.file, given))
    servers = [command for command in found.commands if serves(command.words)]
    others = [command for command in found.commands if not serves(command.words)] + servers[1:]
    leftovers = [_other(command, moved(command.words[0]).place) for command in others if command.words]
    error = found.errors[0].message if found.errors else None
    if not servers:
        return CommandLine((), (), tuple(leftovers), error)
    if error is not None:
        leftovers.append(Leftover(lines.place(0), "the rest of the command", f"no shell reads it: {error}"))
    first = servers[0]
    leftovers += [left._replace(place=lines.place(0)) for left in left_over(first)]
    environment = tuple((name, moved(value)) for name, value in first.environment)
    return CommandLine(tuple(map(moved, first.words)), environment, tuple(leftovers), None)


def _other(command: ShellCommand, place: Place) -> Leftover:
    text = as_written(" ".join(word.text for word in command.words))
    shown = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return Leftover(place, " ".join(shown.split()), "a command beside the server's", "a mod, or a script of your own")


def serves(words: Sequence[Word]) -> bool:
    """Return whether words start a server of vLLM, or of vLLM-Omni, whose command is the same."""
    omni = len(words) > 1 and base_name(words[0].text) == "vllm-omni" and words[1].text == "serve"
    return omni or serving(words) is not None


def value_after(words: Sequence[Word], flag: str) -> Word | None:
    """Return the value of a flag, the last one if it occurs twice; underscores count as dashes."""
    found = None
    for word, following in zip(words, [*words[1:], None], strict=True):
        name, equals, value = word.text.partition("=")
        if name.replace("_", "-") == flag:
            found = word._replace(text=value) if equals else following
    return found
