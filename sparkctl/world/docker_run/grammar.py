"""The grammar of ``docker run``: words to a ContainerSpec, the spec to words, and words to the text of a shell.

Options are read as docker's own command line reads them (spf13/pflag): ``--opt=value``, ``--opt value``, ``-pVALUE``,
``-p=VALUE``, ``-itd``; the first word that is no option is the image, and everything after it is the command's.
"""

from __future__ import annotations

import difflib
import re
import shlex
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sparkctl.base.errors import InputError
from sparkctl.world.docker_run import values
from sparkctl.world.docker_run.options import (
    ALIASES,
    BARE_NOT_CARRIED,
    NOT_CARRIED,
    OPTIONS,
    SHORT_NOT_CARRIED,
    Option,
)
from sparkctl.world.docker_run.spelling import quote
from sparkctl.world.spec import ContainerSpec, HealthCheck

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_VERBS: Final = ("run", "create")
_ROWS: Final = {option.long: [row for row in OPTIONS if row.long == option.long] for option in OPTIONS}
_SHORT: Final = {option.short: option.long for option in OPTIONS if option.short}
_FIELDS: Final = {option.field: [row for row in OPTIONS if row.field == option.field] for option in OPTIONS}
_EMPTY: Final = ContainerSpec(image="")
_FLAG_LIKE: Final = re.compile(r"--?[A-Za-z]")


_REMEMBERED: Final = 128
"""Commands that are remembered: that of a service is asked for several times while a stack is compared."""


class Given(NamedTuple):
    """An option as written, by its long name: ``start`` and ``end`` are the words that it takes."""

    name: str
    text: str
    start: int
    end: int


class OptionWords(NamedTuple):
    """An option of a command: its long name without dashes, its value (of a bare one ``true``), the words it takes."""

    name: str
    value: str
    words: tuple[str, ...]


class CommandParts(NamedTuple):
    """A command in its parts: docker's options, the image, and what follows it, each flag with its values."""

    options: tuple[OptionWords, ...]
    image: str
    command: tuple[tuple[str, ...], ...]


def parts(words: Sequence[str]) -> CommandParts:
    """Return a ``docker run`` command in its parts.

    Raises:
        InputError: as for ``parse``, of what docker's options are; their values are not judged.
    """
    _, position = _verb(words)
    given, image = _scan(words, position)
    if image >= len(words):
        raise InputError("docker run: no image", hint="write docker run [OPTIONS] IMAGE [COMMAND…]")
    options = tuple(OptionWords(one.name, one.text, tuple(words[one.start : one.end])) for one in given)
    starts = [index for index in range(image + 1, len(words)) if index == image + 1 or _FLAG_LIKE.match(words[index])]
    ends = [*starts[1:], len(words)]
    command = tuple(tuple(words[start:end]) for start, end in zip(starts, ends, strict=False))
    return CommandParts(options, words[image], command)


def parse(words: Sequence[str]) -> ContainerSpec:
    """Return the container that ``docker run`` (or ``create``) with these words would create.

    Raises:
        InputError: the words are no such command, or hold an option or a value that is not understood.
    """
    return _parsed(tuple(words))


@lru_cache(maxsize=_REMEMBERED)
def _parsed(words: tuple[str, ...]) -> ContainerSpec:
    if any("\0" in word for word in words):
        raise InputError("a word holds a NUL character, which no command line can")
    verb, position = _verb(words)
    given, position = _scan(words, position)
    if position >= len(words):
        raise InputError(f"docker {verb}: no image", hint=f"write docker {verb} [OPTIONS] IMAGE [COMMAND…]")
    fields: dict[str, Any] = {}
    for option in given:
        if verb == "create" and option.name == "detach":
            raise InputError("docker create has no --detach", hint="write docker run, or drop it")
        _store(fields, option)
    image = values.image(words[position])
    return _spec(image, tuple(words[position + 1 :]), fields)


def divided(words: Sequence[str]) -> tuple[list[Given], int]:
    """Return the options of a ``docker run`` command, and the position of its image (the end if there is none).

    Unlike for ``parse``, also options that docker has and no ContainerSpec carries; values are not looked at.

    Raises:
        InputError: the words are no such command, or hold an option that docker does not have.
    """
    _, position = _verb(words)
    return _scan(words, position, others=True)


def fields_of(given: Sequence[Given]) -> dict[str, Any]:
    """Return the fields of a ContainerSpec that the options set, several of one kind as a list.

    Raises:
        InputError: a value that docker would not take, or an option that no ContainerSpec carries.
    """
    fields: dict[str, Any] = {}
    for option in given:
        if option.name not in _ROWS:
            raise _unknown(f"--{option.name}", option.name)
        _store(fields, option)
    return fields


def words(spec: ContainerSpec, verb: str = "run") -> list[str]:
    """Return the command that creates the container, ``run`` or ``create``: what ``parse`` turns into ``spec``."""
    options = [word for name in _FIELDS for word in _written(spec, name)]
    return ["docker", verb, *(["--detach"] if verb == "run" else []), *options, spec.image, *spec.command]


def labelled(words: Sequence[str], labels: Mapping[str, str]) -> list[str]:
    """Return the command with additional labels, placed after its ``--name`` if it has one.

    Raises:
        InputError: as for ``parse``.
    """
    _, position = _verb(words)
    given, _ = _scan(words, position)
    place = next((option.end for option in given if option.name == "name"), position)
    added = [word for name, value in labels.items() for word in ("--label", f"{name}={value}")]
    return [*words[:place], *added, *words[place:]]


def lines(words: Sequence[str]) -> list[list[str]]:
    """Return the words, one option with its value a line, as a person reads them."""
    starts = {0, *_line_starts(words)}
    found: list[list[str]] = []
    for position, word in enumerate(words):
        if position in starts:
            found.append([])
        found[-1].append(word)
    return found


def shell_text(words: Sequence[str], *, ascii_only: bool = False) -> str:
    """Return the words as a shell reads them, one option with its value a line; see ``spelling.quote``."""
    return " \\\n  ".join(" ".join(quote(word, ascii_only=ascii_only) for word in line) for line in lines(words))


def _line_starts(words: Sequence[str]) -> Iterable[int]:
    """Return where lines start: at options, the image, the command and its flags; nowhere in words of another kind."""
    try:
        _, position = _verb(words)
        given, image = _scan(words, position)
    except InputError:
        return ()
    flags = (index for index in range(image + 1, len(words)) if _FLAG_LIKE.match(words[index]))
    return (*(option.start for option in given), image, image + 1, *flags)


def _verb(words: Sequence[str]) -> tuple[str, int]:
    """Return run or create and the position after it."""
    position = 2 if list(words[1:2]) == ["container"] else 1
    if list(words[:1]) != ["docker"] or position >= len(words) or words[position] not in _VERBS:
        found = " ".join(shlex.quote(word) for word in words[: position + 1]) or "nothing"
        raise InputError(f"expected a docker run command, found {found}")
    return words[position], position + 1


def _scan(words: Sequence[str], position: int, *, others: bool = False) -> tuple[list[Given], int]:
    """Return the options from ``position`` on, and the position of the first word that is not an option.

    ``others``: options that docker has and no ContainerSpec carries are among them.
    """
    given: list[Given] = []
    while position < len(words) and words[position].startswith("-"):
        word = words[position]
        if word == "--":
            return given, position + 1
        if word == "-":
            break
        read = _long if word.startswith("--") else _cluster
        given += read(words, position, others=others)
        position = given[-1].end
    return given, position


def _is_bare(name: str, *, others: bool) -> bool | None:
    """Return whether an option takes no value; None if there is no such option."""
    if name in _ROWS:
        return _ROWS[name][0].bare
    return name in BARE_NOT_CARRIED if others and name in NOT_CARRIED else None


def _long(words: Sequence[str], position: int, *, others: bool) -> Iterator[Given]:
    name, equals, text = words[position][2:].partition("=")
    name = ALIASES.get(name, name)
    bare = _is_bare(name, others=others)
    if bare is None:
        raise _unknown(f"--{name}", name)
    if equals or bare:
        yield Given(name, text if equals else "true", position, position + 1)
    else:
        yield Given(name, _next(words, position, f"--{name}"), position, position + 2)


def _cluster(words: Sequence[str], position: int, *, others: bool) -> Iterator[Given]:
    """Yield the options of ``-it``, ``-p8000:8000``, ``-p 8000:8000``, ``-dp=8000:8000``."""
    letters = words[position][1:]
    for index, letter in enumerate(letters):
        name, rest = _SHORT.get(letter) or (SHORT_NOT_CARRIED.get(letter) if others else None), letters[index + 1 :]
        if name is None:
            raise _unknown_short(words[position], letter)
        if rest.startswith("="):
            yield Given(name, rest[1:], position, position + 1)
            return
        if _is_bare(name, others=others):
            yield Given(name, "true", position, position + 1)
        elif rest:
            yield Given(name, rest, position, position + 1)
            return
        else:
            yield Given(name, _next(words, position, f"-{letter}"), position, position + 2)


def _next(words: Sequence[str], position: int, spelled: str) -> str:
    if position + 1 >= len(words):
        raise InputError(f"{spelled} needs a value")
    return words[position + 1]


def _unknown(spelled: str, name: str) -> InputError:
    if name in NOT_CARRIED:
        return InputError(f"docker run has {spelled}, sparkctl does not carry it")
    near = [known for known in _ROWS if name and known.startswith(name)] or difflib.get_close_matches(name, _ROWS, n=1)
    return InputError(f"docker run has no option {spelled}", hint=f"did you mean --{near[0]}?" if near else None)


def _unknown_short(word: str, letter: str) -> InputError:
    if letter in SHORT_NOT_CARRIED:
        return _unknown(f"-{letter} (--{SHORT_NOT_CARRIED[letter]})", SHORT_NOT_CARRIED[letter])
    where = f" in {word}" if len(word) > len("-x") else ""
    long = difflib.get_close_matches(word.lstrip("-").partition("=")[0], _ROWS, n=1) if where else []
    return InputError(f"docker run has no option -{letter}{where}", hint=f"did you mean --{long[0]}?" if long else None)


def _store(fields: dict[str, Any], given: Given) -> None:
    """Put what was written into the fields."""
    try:
        row, item = next((row, item) for row in _ROWS[given.name] if (item := row.read(given.text)) is not None)
    except InputError as error:
        raise InputError(f"--{given.name}: {error.message}", hint=error.hint) from None
    if row.field == "network" and "network" in fields:
        raise InputError(
            "--network is given twice: docker would connect the container to both",
            hint="sparkctl connects a container to one network: keep one of them",
        )
    if row.field == "gpus" and "gpus" in fields:
        raise InputError("--gpus is given twice", hint="write one --gpus")
    if row.many:
        kept = fields.setdefault(row.field, [])
        for one in item if isinstance(item, list) else [item]:
            _keep(row, kept, one)
    elif row.field:
        fields[row.field] = item


def _keep(row: Option[Any], kept: list[Any], item: object) -> None:
    """Append an item, or put it where an earlier one with the same key stands, as docker does."""
    keys = [row.key(other) for other in kept] if row.key else []
    if row.key and row.key(item) in keys:
        kept[keys.index(row.key(item))] = item
    else:
        kept.append(item)


def _spec(image: str, command: tuple[str, ...], fields: dict[str, Any]) -> ContainerSpec:
    health = {name.removeprefix("health."): fields[name] for name in fields if name.startswith("health.")}
    plain: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in fields.items()
        if not name.startswith("health.")
    }
    check = HealthCheck(**health)
    if check.disable and check != HealthCheck(disable=True):
        raise InputError("--no-healthcheck and --health-… are given together", hint="keep one of them")
    spec = ContainerSpec(image, command, **plain, health=None if check == HealthCheck() else check)
    if spec.auto_remove and spec.restart:
        raise InputError("--rm and --restart are given together, and docker refuses that", hint="keep one of them")
    if spec.log_driver == "none" and spec.log_opts:
        raise InputError("--log-opt is given with --log-driver none, and docker refuses that")
    return spec


def _written(spec: ContainerSpec, field: str) -> Iterator[str]:
    """Yield the words for one field; none if the field has docker's default."""
    value = _value(spec, field)
    if not field or value == _value(_EMPTY, field):
        return
    rows = _FIELDS[field]
    for item in value if rows[0].many else [value]:
        row, text = next((row, text) for row in rows if (text := row.write(item)) is not None)
        if row.bare:
            yield f"--{row.long}" if text == "true" else f"--{row.long}={text}"
        else:
            yield from (f"--{row.long}", text)


def _value(spec: ContainerSpec, field: str) -> Any:  # noqa: ANN401  (any field's)
    if field.startswith("health."):
        return attrgetter(field.removeprefix("health."))(spec.health or HealthCheck())
    return getattr(spec, field) if field else None
