"""The command of a YAML file as a shell would read it, each word with its line in that file."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.recipes.exchange.launch import Word
from sparkctl.recipes.exchange.sources.yaml_files.keys import bare

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.base.document import Node
    from sparkctl.base.errors import Place
    from sparkctl.recipes.exchange.material import Material
    from sparkctl.recipes.exchange.sources.yaml_files.braces import Filled

_BLANK_CONTINUED: Final = re.compile(r"\\[ \t]+\n")


class CommandLine(NamedTuple):
    """What a command came to: its words, or why it has none."""

    words: tuple[Word, ...] = ()
    why: str | None = None


def first_line(node: Node, material: Material) -> tuple[int, bool]:
    """Return the line of a scalar's first line, from 1, and whether its further lines follow it one by one."""
    lines = material.text.split("\n", node.place.line)
    written = lines[node.place.line - 1][node.place.column - 1 :] if node.place.line <= len(lines) else ""
    if written[:1] in {"|", ">"}:
        return node.place.line + 1, written[0] == "|"
    return node.place.line, False


def place_of(node: Node, material: Material, line: int) -> Place:
    """Return the place of a line, from 0, of a scalar's text."""
    first, follow = first_line(node, material)
    place = bare(node.place)
    return place._replace(line=first + (line if follow else 0), column=1 if first != place.line else place.column)


def words_of(filled: Filled, node: Node, material: Material) -> CommandLine:
    """Return the words of a command whose values are in; ``node`` is where the file has it."""
    text = _BLANK_CONTINUED.sub("\\\\\n", filled.text).replace("\\\n", " \n")
    scanner = shlex.shlex(text, posix=True, punctuation_chars=False)
    scanner.whitespace_split, scanner.commenters = True, "#"
    words: list[Word] = []
    try:
        while (word := scanner.get_token()) is not None:
            line = min(scanner.lineno - 1, len(filled.lines) - 1)
            words.append(Word(word, place_of(node, material, filled.lines[line])))
    except ValueError as error:
        return CommandLine(why=f"no shell reads it: {error}")
    return CommandLine(tuple(words))


def value_after(words: Sequence[Word], flag: str) -> Word | None:
    """Return the value of a flag, the last one where it comes twice; underscores are dashes."""
    found = None
    for word, following in zip(words, [*words[1:], None], strict=True):
        name, equals, value = word.text.partition("=")
        if name.replace("_", "-") == flag:
            found = word._replace(text=value) if equals else following
    return found
