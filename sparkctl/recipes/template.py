"""From a template to the words of one ``docker run`` command.

Split first, substitute after: in the rendered text every value is one private-use character, which means nothing to a
shell; the text is split into words, and the values come in last. So a value is part of one word, whatever is in it and
however the template quotes it. docs/templates.md is the operator's side of this.
"""

from __future__ import annotations

import difflib
import re
import traceback
from itertools import filterfalse
from typing import TYPE_CHECKING, Final

from jinja2 import Environment, FunctionLoader, Template, nodes
from jinja2.exceptions import TemplateError, TemplateNotFound, TemplateRuntimeError, TemplateSyntaxError, UndefinedError

from sparkctl.base import regular_file
from sparkctl.base.errors import InputError, Place, Problem, ProblemsError
from sparkctl.base.real_path import real
from sparkctl.recipes.sandbox import (
    FILTERS,
    MAX_SIZE,
    PLACEHOLDERS,
    NotTextError,
    OutOfBoundsError,
    TemplateEnvironment,
    as_text,
)
from sparkctl.recipes.service import MAX_BYTES, MAX_SOURCE
from sparkctl.world.docker_run import spelling

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

MAX_COMMAND: Final = 1_048_576
"""Characters of a whole command: half of what Linux takes (ARG_MAX, 2 MiB with the usual stack)."""
MAX_MADE: Final = 4 * MAX_COMMAND
"""Characters of all that is put out: what a block or a macro makes is put out again by whoever uses it."""
MAX_SHOWN: Final = 200
"""Characters of a line or a value that a message shows."""

_PARSER: Final = Environment(trim_blocks=True, lstrip_blocks=True)  # noqa: S701  (a command, not HTML)
_NAME: Final = re.compile(r"^'(\w+)' is undefined")
# What a template's own mistakes raise: Jinja's errors, and Python's from operators, filters and compiling.
_MISTAKES: Final = (
    TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    SyntaxError,
    TypeError,
    ValueError,
)


def expand(source: str, name: str, context: Mapping[str, object], *, loader_folders: Sequence[Path]) -> list[str]:
    """Return the words of the command that a template makes of a context of plain data.

    ``name`` is the template's in messages. Includes come from the folders, the first that has the file.

    Raises:
        InputError: the template has a mistake (a ProblemsError at its line), does not end, or is no single command.
    """
    values = _Values(context)
    sources = {name: source}
    loader = FunctionLoader(lambda wanted: _load(wanted, loader_folders, sources))
    environment = TemplateEnvironment(loader, values.record, sources)
    try:
        _check_length(source)
        code = environment.compile(source, name, name)
        text = Template.from_code(environment, code, environment.make_globals(None)).render(context)
        return values.fill(spelling.split(text))
    except _MISTAKES as error:
        raise _located(error, name, sources, context, loader_folders) from None
    except InputError as error:
        raise InputError(f"{name}: {values.show(error.message)[:MAX_SHOWN]}", hint=error.hint) from None


def package_root(source: str, name: str = "template") -> str | None:
    """Return where the template says that its images keep Python packages, or None; nothing is rendered.

    Raises:
        InputError: the template cannot be parsed, or what it sets is not an absolute path written out.
    """
    try:
        _check_length(source)
        body = _PARSER.parse(source).body
    except _MISTAKES as error:
        raise _located(error, name, {name: source}, {}, ()) from None
    for node in body:
        if (
            isinstance(node, nodes.Assign)
            and isinstance(node.target, nodes.Name)
            and node.target.name == "package_root"
        ):
            value = node.node.value if isinstance(node.node, nodes.Const) else None
            if not isinstance(value, str) or not value.startswith("/"):
                place = _place(name, node.lineno, {name: source})
                raise ProblemsError([Problem("expected package_root to be an absolute path in quotes", place)])
            return value
    return None


class _Values:
    """The values of one render and the characters that stand for them."""

    def __init__(self, context: Mapping[str, object]) -> None:
        # A value may itself hold private-use characters: those stand for nothing here.
        used = {ord(character) for text in _texts(context) if not text.isascii() for character in text}
        self._free: Iterator[int] = filterfalse(used.__contains__, PLACEHOLDERS)
        self._values: dict[int, str] = {}
        self._made = 0

    def record(self, value: object) -> str:
        """Return the character that stands for a value from now on."""
        # Text that a {% set %} block or a macro made holds the characters of earlier values.
        text = self._filled(as_text(value), MAX_SIZE)
        self._made += len(text)
        if self._made > MAX_MADE:
            raise OutOfBoundsError(f"a template puts out at most {MAX_MADE} characters")
        character = next(self._free, None)
        if character is None:
            raise OutOfBoundsError(f"a template has at most {len(PLACEHOLDERS)} values")
        self._values[character] = text
        return chr(character)

    def fill(self, words: list[str]) -> list[str]:
        """Return the words with the values in them."""
        filled = [self._filled(word, MAX_SIZE) for word in words]
        if sum(map(len, filled)) > MAX_COMMAND:
            raise InputError(f"the command is longer than {MAX_COMMAND} characters")
        return filled

    def show(self, text: str) -> str:
        """Return text with the values in it, for a message."""
        return text.translate(self._values)

    def _filled(self, text: str, limit: int) -> str:
        if sum(len(self._values.get(ord(character), " ")) for character in text) > limit:
            raise OutOfBoundsError(f"a word is longer than {limit} characters")
        return text.translate(self._values)


def _texts(value: object) -> Iterator[str]:
    """Yield every text in plain data."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict):
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple):
            waiting += one


def _load(wanted: str, folders: Sequence[Path], sources: dict[str, str]) -> tuple[str, str, None] | None:
    """Return the text of a file to include, or None when no folder has it."""
    if not wanted or wanted.startswith("/") or "\\" in wanted or "\0" in wanted or ".." in wanted.split("/"):
        raise TemplateRuntimeError(f"templates include files of their own folder by name, not {wanted!r}")
    for folder in folders:
        path = folder / wanted
        if not regular_file.is_there(path):
            continue
        if not real(path).is_relative_to(real(folder)):
            raise TemplateRuntimeError(f"{wanted!r} leads out of {folder}: {real(path)}")
        text = _read(path)
        _check_length(text)
        sources[wanted] = text
        return text, wanted, None
    return None


def _read(path: Path) -> str:
    try:
        return regular_file.read_text(path, MAX_BYTES)
    except InputError as error:
        raise TemplateRuntimeError(error.message) from None


def _check_length(source: str) -> None:
    if len(source) > MAX_SOURCE:
        raise OutOfBoundsError(f"a template has at most {MAX_SOURCE} characters, found {len(source)}")


def _located(
    error: BaseException,
    name: str,
    sources: Mapping[str, str],
    context: Mapping[str, object],
    folders: Sequence[Path],
) -> ProblemsError:
    """Return the error at its line of the template, with what was expected."""
    file, line = name, 1
    if isinstance(error, TemplateSyntaxError):
        file, line = error.name or name, error.lineno or 1
    else:
        for frame, number in traceback.walk_tb(error.__traceback__):
            if frame.f_code.co_filename in sources:
                file, line = frame.f_code.co_filename, number
    message, hint = _explained(error, context, folders)
    undefined = _NAME.match(message)
    return ProblemsError([Problem(message, _place(file, line, sources, undefined[1] if undefined else ""), hint)])


def _explained(error: BaseException, context: Mapping[str, object], folders: Sequence[Path]) -> tuple[str, str | None]:
    """Return a mistake's message and its hint."""
    message = (error.message if isinstance(error, TemplateError) else str(error)) or type(error).__name__
    if isinstance(error, NotTextError):
        return message, "write it with | tojson, or loop over it"
    if isinstance(error, TemplateSyntaxError) and message.startswith("No filter named"):
        return message.rstrip("."), f"there are {', '.join(sorted(FILTERS))}"
    if isinstance(error, RecursionError | SyntaxError | MemoryError):
        return "macros or includes call each other without end, or something is nested too deeply", None
    if isinstance(error, TemplateNotFound):
        where = ", ".join(map(str, folders)) or "no folder"
        return f"no template {error.name!r} to include", f"looked in {where}"
    undefined = _NAME.match(message) if isinstance(error, UndefinedError) else None
    if undefined:
        near = difflib.get_close_matches(undefined[1], context, n=1)
        return message, f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(context))}"
    return message, None


def _place(file: str, line: int, sources: Mapping[str, str], word: str = "") -> Place:
    lines = sources.get(file, "").splitlines()
    excerpt = lines[line - 1] if 0 < line <= len(lines) else ""
    found = re.search(rf"\b{re.escape(word)}\b" if word else r"\S", excerpt)
    column = found.start() + 1 if found else 1
    return Place(file, line, column, excerpt[:MAX_SHOWN] if column <= MAX_SHOWN else "")
