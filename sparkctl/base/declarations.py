"""What every format of sparkctl shares: the base of its declarations, and the types of single values."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from sparkctl.base import units
from sparkctl.base.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
"""What Docker accepts as the name of a container, and sparkctl as the name of anything."""


FOLLOWS: Final = "x-follows"
"""The key of a schema that says what a value follows from."""


class Finding(NamedTuple):
    """Something wrong with a value; ``path`` leads to it from the part that was being checked.

    ``secret``: the line must not be shown, because it may hold a secret.
    """

    path: tuple[str | int, ...]
    message: str
    hint: str | None = None
    secret: bool = False


class Unshown:
    """Marks a field (in its ``Annotated``) whose value no message shows, because it may be a secret."""


class Follows:
    """Marks a field (in its ``Annotated``) that may be left out: its value follows from others; ``what`` says how.

    Whoever loads the format fills it in before it is checked; its schema does not require it.
    """

    def __init__(self, what: str = "") -> None:
        self.what = what

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Say it in the schema."""
        return handler(core) | {FOLLOWS: self.what}


class OrText:
    """Marks a part (in its ``Annotated``) that may be written as a text alone: the text is its field ``key``."""

    def __init__(self, key: str) -> None:
        self.key = key

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Say it in the schema."""
        return {"anyOf": [{"type": "string"}, handler(core)]}


class FieldError(ValueError):
    """What a check raises inside of a declaration; ``sparkctl.base.validation`` gives each finding its place."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__("; ".join(finding.message for finding in findings))
        self.findings = tuple(findings)


def complain(findings: Sequence[Finding]) -> None:
    """Raise FieldError unless there is nothing to complain about."""
    if findings:
        raise FieldError(findings)


def wrong(message: str, hint: str | None = None, *, secret: bool = False) -> FieldError:
    """Return the error of a single value."""
    return FieldError([Finding((), message, hint, secret)])


def _size(value: object) -> object:
    try:
        if isinstance(value, str):
            return units.parse_bytes(value)
        return units.within_bytes(value) if isinstance(value, int) else value
    except InputError as error:
        raise wrong(error.message, error.hint) from None


def _duration(value: object) -> object:
    try:
        if isinstance(value, str):
            return units.parse_duration(value)
        return units.within_seconds(value) if isinstance(value, int | float) and math.isfinite(value) else value
    except InputError as error:
        raise wrong(error.message, error.hint) from None


def is_name(text: str) -> str:
    """Return ``text`` if it is a name: letters, digits, ``_ . -``, beginning with a letter or digit."""
    if not NAME.fullmatch(text):
        raise wrong(f"expected a name (letters, digits, _ . -), found {text!r}")
    return text


def _host_path(text: str) -> str:
    if not text.startswith(("/", "~/")):
        raise wrong(f"expected a path from / or ~/, found {text!r}", "a path must not depend on the current folder")
    return text


def _near_path(text: str) -> str:
    if not text.strip() or any(not one.isprintable() for one in text):
        raise wrong(f"expected the path of a file, found {text!r}", "from /, from ~/, or from the folder of this file")
    return text


def _names(names: tuple[str, ...]) -> tuple[str, ...]:
    twice = [Finding((i,), f"{name!r} is listed twice") for i, name in enumerate(names) if name in names[:i]]
    complain(twice)
    return names


def kebab(name: str) -> str:
    """Return the spelling of a field in YAML: ``shm_size`` is ``shm-size``."""
    return name.replace("_", "-")


def _allow_extensions(schema: dict[str, Any]) -> None:
    schema["patternProperties"] = {"^x-": {}}


Size = Annotated[int, BeforeValidator(_size, json_schema_input_type=int | str), Field(ge=0)]
"""Bytes; in YAML a number or a text such as ``8 GiB``."""
Duration = Annotated[float, BeforeValidator(_duration, json_schema_input_type=float | str), Field(gt=0)]
"""Seconds; in YAML a number or a text such as ``20m``."""
HostPath = Annotated[str, AfterValidator(_host_path)]
"""A path on this host, absolute or from the operator's home."""
NearPath = Annotated[str, AfterValidator(_near_path)]
"""A path on this host: absolute, from the operator's home, or relative to the folder of the file that contains it."""
Names = Annotated[tuple[Annotated[str, AfterValidator(is_name)], ...], Field(strict=False), AfterValidator(_names)]
"""Names, each once."""
Scalar = str | int | float | bool
FlagValue = Scalar | list[Scalar] | dict[str, Any] | None
"""A flag's value: true is the bare flag, false its ``--no-`` form, null leaves it out, a map is JSON."""


class Declaration(BaseModel):
    """What every part of a format shares: frozen, strict about keys and types, kebab-case in YAML.

    Keys that begin with ``x-`` are the operator's own and are left out.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        alias_generator=kebab,
        validate_by_name=True,
        validate_by_alias=True,
        json_schema_extra=_allow_extensions,
        # A part is built when it is first read: of the formats, a command reads few.
        defer_build=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _without_extensions(cls, value: object) -> object:
        if isinstance(value, dict):
            return {key: item for key, item in value.items() if not str(key).startswith("x-")}
        return value
