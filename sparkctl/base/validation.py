"""Check a document against a declaration: return an instance, or report every problem of the file in plain words."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from sparkctl.base.declarations import Declaration, FieldError, Finding, Unshown
from sparkctl.base.errors import Problem, ProblemsError
from sparkctl.base.lazy import LazyModule

if TYPE_CHECKING:
    import difflib
    from collections.abc import Iterable, Sequence

    from pydantic_core import ErrorDetails

    from sparkctl.base.document import Document, KeyPath, Node
else:
    difflib = LazyModule("difflib")

PartT = TypeVar("PartT", bound=Declaration)

_SHOWN: Final = 60
_EXPECTED: Final = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "dict_type": "a map",
    "mapping_type": "a map",
    "model_type": "a map",
    "model_attributes_type": "a map",
    "list_type": "a list",
    "tuple_type": "a list",
    "none_required": "nothing",
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}",
    "string_too_short": "a text that is not empty",
    "too_short": "at least {min_length} of them",
    "literal_error": "{expected}",
}
"""What pydantic expected, in words, by its type of error; the braces are filled from the error's context."""


def validate(document: Document, model: type[PartT]) -> PartT:
    """Return the instance of ``model`` that the document declares.

    Raises:
        ProblemsError: everything that is wrong with the document, each problem at its line.
    """
    try:
        instance = model.model_validate(document.value, by_alias=True, by_name=False)
    except ValidationError:
        raise ProblemsError(problems_of(document, model)) from None
    if document.problems:
        raise ProblemsError(list(document.problems))
    return instance


def problems_of(document: Document, model: type[Declaration], *, partial: bool = False) -> list[Problem]:
    """Return everything that is wrong with the document; with ``partial``, missing values are not reported."""
    problems = list(document.problems)
    try:
        model.model_validate(document.value, by_alias=True, by_name=False)
    except ValidationError as error:
        located = [_locate(document, details) for details in error.errors(include_url=False)]
        problems += _problems(document, model, [item for item in located if not (partial and item.kind == "missing")])
    return problems


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that was probably meant, or None."""
    return next(iter(difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.6)), None)


def thousands(text: str) -> str | None:
    """Return what to write for a number such as ``32k`` or ``16,384``, None for another text."""
    short = re.fullmatch(r"(\d{1,6})\s*[kK]", text.strip())
    if short is not None:
        count = int(short[1])
        return f"write {count * 1024} ({count} x 1,024), or {count * 1000}"
    if re.fullmatch(r"\d{1,3}([,' ]\d{3})+", text.strip()):
        return f"write {re.sub(r'[^0-9]', '', text)}"
    return None


def shown(path: KeyPath) -> str:
    """Return a path as people write it: ``serve.port``, ``mods[0]``."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
    return text.removeprefix(".")


def found(node: Node) -> str:
    """Return what a value is, in words."""
    content = node.content
    if content is None:
        return "nothing"
    if isinstance(content, bool):
        return node.text or str(content).lower()
    if isinstance(content, int | float):
        return f"the number {node.text or content}"
    if isinstance(content, str):
        return f"the text {content if len(content) <= _SHOWN else content[:_SHOWN] + '…'!r}"
    return "a map" if isinstance(content, Mapping) else "a list"


class _Located(NamedTuple):
    """One of pydantic's errors, with the value that it concerns. ``union``: none of several types matched."""

    kind: str
    path: KeyPath
    node: Node
    union: bool
    in_key: bool
    details: ErrorDetails


def _problems(document: Document, model: type[Declaration], errors: Sequence[_Located]) -> list[Problem]:
    groups: dict[KeyPath, list[_Located]] = defaultdict(list)
    for located in errors:
        groups[located.path].append(located)
    problems: list[Problem] = []
    for path, group in groups.items():
        below = [other for other in groups if other[: len(path)] == path and len(other) > len(path)]
        deeper = any(_all_unions(groups[other]) for other in below)
        # pydantic counts an item that is wrong as missing.
        miscounted = bool(below) and all(located.kind == "too_short" for located in group)
        if not (miscounted or (deeper and _all_unions(group))):
            problems += _explain(document, model, group)
    return _without_secrets(problems)


def _without_secrets(problems: list[Problem]) -> list[Problem]:
    """Return the problems without the lines that one of them must not show."""
    hidden = {(p.place.file, p.place.line) for p in problems if p.place and not p.place.excerpt}
    return [
        p._replace(place=p.place._replace(excerpt="")) if p.place and (p.place.file, p.place.line) in hidden else p
        for p in problems
    ]


def _all_unions(group: Sequence[_Located]) -> bool:
    return all(located.union for located in group)


def _locate(document: Document, details: ErrorDetails) -> _Located:
    """Follow pydantic's location; an entry that is no key of the document names a branch of a union."""
    node, union = document.root, False
    path: KeyPath = ()
    kind, location = details["type"], details["loc"]
    for index, key in enumerate(location):
        child = node.children.get(key)
        if child is not None:
            node, path = child, (*path, key)
        elif kind == "missing" and index == len(location) - 1:
            path = (*path, key)
        elif key != "[key]":
            union = True
    return _Located(kind, path, node, union, "[key]" in location, details)


def _explain(document: Document, model: type[Declaration], group: Sequence[_Located]) -> list[Problem]:
    """Return the problems of one value: those of its own check, or what its types expected."""
    problems: list[Problem] = []
    for located in group:
        if located.kind == "value_error":
            problems += _findings(document, located)
        elif located.kind == "missing":
            problems.append(_missing(model, located))
        elif located.kind == "extra_forbidden":
            problems.append(_unknown(model, located))
    return problems or [_mismatch(group, unshown=_is_unshown(model, group[0].path))]


def _findings(document: Document, located: _Located) -> list[Problem]:
    error = located.details["ctx"]["error"]
    findings = error.findings if isinstance(error, FieldError) else [Finding((), str(error))]
    problems = []
    for finding in findings:
        path = (*located.path, *finding.path)
        node = document.node(path)
        place = node.key if located.in_key or isinstance(node.content, Mapping) else node.place
        if finding.secret:
            place = place._replace(excerpt="")
        named = finding.path or not located.in_key
        name = shown(path if named else located.path[:-1])
        message = f"{name}: {finding.message}" if name else finding.message
        problems.append(Problem(message, place, finding.hint))
    return problems


def _missing(model: type[Declaration], located: _Located) -> Problem:
    part = _part_at(model, located.path[:-1])
    known, name = _fields(part), str(located.path[-1])
    others = [str(key) for key in located.node.children if key not in known]
    close = nearest(name, others)
    hint = f"found {close}: write {name}" if close else known[name].description if name in known else None
    return Problem(f"{shown(located.path)} is missing", located.node.key, hint)


def _unknown(model: type[Declaration], located: _Located) -> Problem:
    key, above = str(located.path[-1]), shown(located.path[:-1])
    part = _part_at(model, located.path[:-1])
    known = _fields(part)
    close = nearest(key, known)
    inside = [f"{name}.{key}" for name, field in known.items() if key in _fields(_part_of(field.annotation))]
    meant = inside[0] if inside else close
    hint = f"did you mean {meant}?" if meant else f"known keys: {', '.join(known)}"
    return Problem(f"unknown key {key!r}" + (f" in {above}" if above else ""), located.node.key, hint)


def _is_unshown(model: type[BaseModel], path: KeyPath) -> bool:
    """Return whether what was found at ``path`` may be a secret."""
    field = _fields(model).get(str(path[0])) if path else None
    return field is not None and any(isinstance(one, Unshown) for one in field.metadata)


def _mismatch(group: Sequence[_Located], *, unshown: bool) -> Problem:
    first = group[0]
    expected = list(dict.fromkeys(_expected(located.details) for located in group))
    if "a number" in expected and "a whole number" in expected:
        expected.remove("a whole number")
    if len(expected) > 1:
        expected = [", ".join(expected[:-1]), expected[-1]]
    name = shown(first.path)
    message = f"expected {' or '.join(expected)}, found {'something else' if unshown else found(first.node)}"
    place = first.node.place._replace(excerpt="") if unshown else first.node.place
    return Problem(f"{name}: {message}" if name else message, place, None if unshown else _hint(group))


def _expected(details: ErrorDetails) -> str:
    words = _EXPECTED.get(details["type"])
    if words is None:
        return f"something else ({details['msg']})"
    return words.format(**details.get("ctx", {})).replace("'", "")


def _hint(group: Sequence[_Located]) -> str | None:
    node, kinds = group[0].node, {located.kind for located in group}
    if "string_type" in kinds and isinstance(node.content, int | float):
        return f'put it in quotes: "{node.text or node.content}"'
    if isinstance(node.content, str) and kinds & {"int_type", "int_from_float"}:
        meant = thousands(node.content)
        if meant is not None:
            return meant
    choices = [
        choice.strip(" '")
        for located in group
        if located.kind == "literal_error"
        for choice in located.details["ctx"]["expected"].replace(" or ", ",").split(",")
    ]
    close = nearest(str(node.content), choices) if isinstance(node.content, str) else None
    return f"did you mean {close}?" if close else None


def _fields(part: type[BaseModel] | None) -> dict[str, Any]:
    """Return the fields of a part by their names in YAML."""
    return {field.alias or name: field for name, field in part.model_fields.items()} if part else {}


def _part_at(model: type[BaseModel], path: KeyPath) -> type[BaseModel] | None:
    """Return the part that declares what is at ``path``."""
    part: type[BaseModel] | None = model
    for key in path:
        field = _fields(part).get(str(key))
        # An index or a name of a map's entry: the part of the entries is the part of the map.
        part = _part_of(field.annotation) if field else part
    return part


def _part_of(annotation: object) -> type[BaseModel] | None:
    """Return the declared part in a type annotation: the type itself, or one inside a container or a union."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((part for inner in get_args(annotation) if (part := _part_of(inner))), None)
