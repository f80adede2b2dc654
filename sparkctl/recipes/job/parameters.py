"""The parameters of a job's ``with`` against the JSON Schema of its script, each problem at its line."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from jsonschema.exceptions import SchemaError
from jsonschema.validators import Draft202012Validator
from referencing import Registry
from referencing.exceptions import Unresolvable

from sparkctl.base.document import Node
from sparkctl.base.errors import Place, Problem
from sparkctl.base.shown import is_plain, looks_secret
from sparkctl.base.validation import found, nearest, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jsonschema.exceptions import ValidationError

    from sparkctl.base.document import Document, KeyPath

_NAMES: Final = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "a map",
    "array": "a list",
    "null": "nothing",
}
_LIMITS: Final = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "more than {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
    "minItems": "at least {} of them",
    "maxItems": "at most {} of them",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "pattern": "a text that the expression {} finds something in",
    "const": "{!r}",
}
"""What a keyword of JSON Schema expects, in words; the braces are filled with its value."""
_SPECIAL: Final = re.compile(r"<[^<>]{1,40}>|\[[A-Z_]{1,20}\]")
"""How tokenizers write their special tokens: <pad>, <|im_end|>, [MASK]."""
_LONGEST: Final = 200
"""Characters of a message of the library's own."""


def schema_problems(schema: Mapping[str, Any], source: Document, at: KeyPath) -> list[Problem]:
    """Return what is wrong with a schema that stands at ``at`` of a document: it is none, or a default breaks it."""
    try:
        Draft202012Validator.check_schema(dict(schema))
    except SchemaError as error:
        path = (*at, *error.absolute_path)
        message = f"{shown(path)}: expected a JSON Schema (draft 2020-12): {error.message[:_LONGEST]}"
        return [Problem(message, source.place(path))]
    if schema.get("type", "object") != "object":
        return [Problem(f"{shown(at)}.type: expected object, for `with` is a map", source.place((*at, "type")))]
    try:
        return list(_wrong_defaults(schema, source, at))
    except (Unresolvable, RecursionError) as error:
        message = f"{shown(at)}: the schema cannot be used: {str(error)[:_LONGEST]}"
        return [Problem(message, source.node(at).key, "a $ref leads to a part of the same schema")]


def _wrong_defaults(schema: Mapping[str, Any], source: Document, at: KeyPath) -> Iterator[Problem]:
    for name, part in _properties(schema).items():
        path = (*at, "properties", name)
        if "default" in part:
            place = source.place((*path, "default"))
            for error in _errors(part, part["default"]):
                yield Problem(f"{shown((*path, 'default'))}: {error.message[:_LONGEST]}", place)
        yield from _wrong_defaults(part, source, path)


def filled(schema: Mapping[str, Any], written: Node, source: Document, at: KeyPath) -> Node:
    """Return the parameters, with the schema's defaults for those not written; each keeps the place of its default.

    Of maps inside, those that are written are filled in too. The schema is at ``at`` of the document ``source``.
    """
    if not isinstance(written.content, dict):
        return written
    content = dict(written.content)
    for name, part in _properties(schema).items():
        path = (*at, "properties", name)
        if name in content:
            content[name] = filled(part, content[name], source, path)
        elif "default" in part:
            content[name] = source.node((*path, "default"))
    return written._replace(content=content)


def problems(schema: Mapping[str, Any], document: Document, at: KeyPath) -> list[Problem]:
    """Return what is wrong with the parameters at ``at`` of a document; the schema itself is a good one."""
    node = document.node(at)
    try:
        return [one for error in _errors(schema, node.plain()) for one in _told(error, document, at)]
    except (Unresolvable, RecursionError) as error:
        message = f"{shown(at)}: the schema of the script's parameters cannot be used: {str(error)[:_LONGEST]}"
        return [Problem(message, node.key, "a $ref leads to a part of the same schema")]


def secrets(document: Document, at: KeyPath) -> list[Problem]:
    """Return the parameters that look like a secret's: all of them stand in the container's command."""
    hint = "a job has no network and needs no token; a file of the input can hold what it needs"
    return [
        Problem(f"{shown((*at, *path))}: a secret would stand in the command line", one.key._replace(excerpt=""), hint)
        for path, one in document.node(at).walk()
        if any(isinstance(key, str) and looks_secret(key) for key in path) and not _no_secret(one)
    ]


def _no_secret(node: Node) -> bool:
    """Return whether a value is no secret, whatever its name: a number, a switch, or a tokenizer's own ``<pad>``."""
    text = node.content if isinstance(node.content, str) else None
    return text is None or is_plain(text) or _SPECIAL.fullmatch(text) is not None


def _errors(schema: Mapping[str, Any], value: object) -> list[ValidationError]:
    # An empty registry: a schema's $ref to somewhere else is refused, and never fetched.
    validator: Draft202012Validator = Draft202012Validator(dict(schema), registry=Registry())
    return list(validator.iter_errors(value))


def _told(error: ValidationError, document: Document, at: KeyPath) -> Iterator[Problem]:
    """Yield an error of the library in words, at its place."""
    path = (*at, *error.absolute_path)
    node, keyword, wanted = document.node(path), str(error.validator), error.validator_value
    if keyword == "additionalProperties":
        yield from _unknown(error, node, path)
    elif keyword == "required" and isinstance(wanted, Sequence):
        absent = [name for name in wanted if name not in node.children]
        described = error.schema.get("properties", {}) if isinstance(error.schema, Mapping) else {}
        for name in absent:
            hint = described.get(name, {}).get("description") if isinstance(described, Mapping) else None
            yield Problem(f"{shown((*path, name))} is missing", node.key, hint)
    elif keyword in {"oneOf", "anyOf"} and error.context:
        yield from _of_branches(error, document, at)
    else:
        yield _mismatch(error, node, path)


def _of_branches(error: ValidationError, document: Document, at: KeyPath) -> Iterator[Problem]:
    """Yield what is wrong if none of several schemas fits: the accepted kinds, or the problem with the nearest one."""
    branches: dict[object, list[ValidationError]] = defaultdict(list)
    for inner in error.context or ():
        branches[next(iter(inner.schema_path), None)].append(inner)
    other_kinds = [
        inner for found in branches.values() for inner in found if inner.validator == "type" and not inner.relative_path
    ]
    if len(other_kinds) == len(branches):
        path = (*at, *error.absolute_path)
        yield _expected(_kinds(one.validator_value for one in other_kinds), document.node(path), path)
        return
    of_other_kind = {id(one) for one in other_kinds}
    near = [found for found in branches.values() if not any(id(inner) in of_other_kind for inner in found)]
    for inner in min(near, key=len):
        yield from _told(inner, document, at)


def _kinds(wanted: Iterable[object]) -> str:
    names = [
        name for one in wanted for name in ([one] if isinstance(one, str) else one if isinstance(one, list) else [])
    ]
    return " or ".join(dict.fromkeys(_NAMES.get(str(name), str(name)) for name in names))


def _mismatch(error: ValidationError, node: Node, path: KeyPath) -> Problem:
    keyword = str(error.validator)
    wanted: Any = error.validator_value
    hint = None
    if keyword == "type":
        expected = _kinds([wanted])
    elif keyword == "enum":
        choices = [str(one) for one in wanted]
        close = nearest(str(node.content), choices) if isinstance(node.content, str) else None
        expected, hint = f"one of {', '.join(choices)}", f"did you mean {close}?" if close else None
    elif keyword in _LIMITS:
        expected = _LIMITS[keyword].format(wanted)
    else:
        return Problem(f"{shown(path)}: {error.message[:_LONGEST]}", node.place)
    return _expected(expected, node, path, hint)


def _expected(what: str, node: Node, path: KeyPath, hint: str | None = None) -> Problem:
    return Problem(f"{shown(path)}: expected {what}, found {_found(node)}", node.place, hint)


def _found(node: Node) -> str:
    return f"{len(node.content)} of them" if isinstance(node.content, tuple) else found(node)


def _unknown(error: ValidationError, node: Node, path: KeyPath) -> Iterator[Problem]:
    known = list(_properties(error.schema)) if isinstance(error.schema, Mapping) else []
    for name, child in node.children.items():
        if name not in known:
            close = nearest(str(name), known)
            hint = f"did you mean {close}?" if close else f"the script's parameters: {', '.join(known) or 'none'}"
            yield Problem(f"unknown parameter {str(name)!r} in {shown(path)}", child.key, hint)


def _properties(schema: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the properties of a schema that are schemas themselves, and not true or false."""
    declared = schema.get("properties")
    if not isinstance(declared, Mapping):
        return {}
    return {str(name): dict(part) for name, part in declared.items() if isinstance(part, Mapping)}


def empty(place: Place) -> Node:
    """Return the node for a ``with`` that is not written."""
    return Node({}, place, place)
