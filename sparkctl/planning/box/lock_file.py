"""The lock of a stack: what its names stood for when it was locked, in a file to commit beside it. Format and text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping  # noqa: TC003  (pydantic reads it at run time)
from typing import TYPE_CHECKING, Annotated, Final

from packaging.version import InvalidVersion, Version
from pydantic import AfterValidator, Field

from sparkctl.base import document
from sparkctl.base.declarations import Declaration, wrong
from sparkctl.base.errors import InputError, Problem, ProblemsError
from sparkctl.base.validation import validate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sparkctl.base.document import Document

SCHEMA: Final = 1
"""The schema that this sparkctl writes, and the only one that it reads."""
END: Final = ".lock"
"""The ending of the name of a stack's lock; no recipe's and no stack's name ends so."""
_PLAIN: Final = re.compile(r"[A-Za-z_][\w./-]*", re.ASCII)
_WORDS: Final = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})


def _matching(pattern: str, what: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise wrong(f"expected {what}, found {text!r}")
        return text

    return AfterValidator(check)


def _version(text: str) -> str:
    try:
        Version(text)
    except InvalidVersion:
        raise wrong(f"expected a version as PEP 440 has it, found {text!r}") from None
    return text


Digest = Annotated[str, _matching(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}", "sha256: and 64 hexadecimal digits")]
FileSum = Annotated[
    str,
    _matching(
        r"sha256:[0-9a-f]{64}|git-sha1:[0-9a-f]{40}", "sha256: and 64 hexadecimal digits, or git-sha1: and 40 of them"
    ),
]
Commit = Annotated[str, _matching(r"[0-9a-f]{40}", "a commit, 40 hexadecimal digits")]
Md5 = Annotated[str, _matching(r"[0-9a-f]{32}", "an md5, 32 hexadecimal digits")]
Sha256 = Annotated[str, _matching(r"[0-9a-f]{64}", "a sha256, 64 hexadecimal digits")]


class LockedHost(Declaration):
    """The kind of machine that a stack was locked on."""

    gpus: tuple[str, ...] = Field(strict=False, description="the kinds of its GPUs, by their indices")
    processor: str = Field(min_length=1, description="its kind of processor, as uname -m says it")
    simulated: bool = Field(default=False, description="true: a simulated Spark, whose digests nobody else has")


class LockedImage(Declaration):
    """An image: what a recipe calls it, and what that was."""

    reference: str = Field(min_length=1, description="the image as the recipe names it")
    digest: Digest | None = Field(None, description="its digest in its registry")
    id: str | None = Field(None, min_length=1, description="where no registry has it: the engine's id of it")


class LockedFile(Declaration):
    """A file of a model."""

    bytes: int = Field(ge=0, description="its size")
    sum: FileSum | None = Field(None, description="as the hub counts it; left out where that is not known")


class LockedProduct(Declaration):
    """The job that made a model here, as the file that it left beside it says."""

    job: str = Field(description="its name")
    digest: str = Field(description="what was asked: the job, its script, its image, its input")


class LockedModel(Declaration):
    """A model, or the draft of one."""

    repo: str = Field(min_length=1, description="the repository")
    path: str | None = Field(None, description="the folder that the recipe names")
    revision: Commit | None = Field(None, description="the commit of its files; left out where that is not known")
    made: LockedProduct | None = Field(None, description="the job that made it")
    files: Mapping[str, LockedFile] = Field(default_factory=dict, description="the files that a server may read")


class LockedModFile(Declaration):
    """A file of a mod."""

    md5: Md5 = Field(description="its md5")
    sha256: Sha256 | None = Field(None, description="its sha256; left out where the file is not here")


class LockedService(Declaration):
    """A service of the stack."""

    recipe: str = Field(min_length=1, description="its recipe's name")
    image: LockedImage = Field(description="its image")
    vllm: Annotated[str, AfterValidator(_version)] | None = Field(
        None, description="the vLLM in that image; left out where it is not known"
    )
    model: LockedModel = Field(description="its model")
    draft: LockedModel | None = Field(None, description="the model that it drafts with")
    mods: Mapping[str, Mapping[str, LockedModFile]] = Field(
        default_factory=dict, description="its mods by their names, and their files"
    )


class StackLock(Declaration, title="sparkctl lock"):
    """What was behind the names of a stack when it was locked."""

    version: int = Field(alias="schema", description="the format of this file: 1")
    stack: str = Field(min_length=1, description="the stack's name")
    host: LockedHost = Field(description="the kind of machine that it was locked on")
    services: Mapping[str, LockedService] = Field(description="the stack's services by their names")


# --- reading ----------------------------------------------------------------------------------------------------------


def read(path: Path, stack: str, host: LockedHost) -> StackLock:
    """Return the lock of a stack for a host of this kind.

    Raises:
        ProblemsError: it cannot be read, is damaged, of another schema, of another stack, or for another kind of
            host; each at its line.
    """
    return checked(document.read(path), stack, host)


def checked(source: Document, stack: str, host: LockedHost) -> StackLock:
    """Return the same for a document that was already read; raises ProblemsError as ``read`` does."""
    schema = source.root.children.get("schema")
    if schema is not None and isinstance(schema.content, int) and schema.content != SCHEMA:
        newer = schema.content > SCHEMA
        message = f"a lock of schema {schema.content}, and this sparkctl reads {SCHEMA}"
        hint = "update sparkctl" if newer else f"write it anew: sparkctl lock {stack}"
        raise ProblemsError([Problem(message, schema.place, hint)])
    if schema is None and not source.problems and isinstance(source.root.content, dict):
        message = "schema is missing: this is no lock, or only a part of one"
        raise ProblemsError([Problem(message, source.root.place, f"write it anew: sparkctl lock {stack}")])
    lock = validate(source, StackLock)
    problems = []
    if lock.stack != stack:
        message = f"this is the lock of the stack {lock.stack}, not of {stack}"
        problems.append(Problem(message, source.place(("stack",)), f"write one for it: sparkctl lock {stack}"))
    for key in ("simulated", "gpus", "processor"):
        locked, here = getattr(lock.host, key), getattr(host, key)
        if locked != here:
            was, now = _host_words(key, locked), _host_words(key, here)
            message = f"locked on another kind of host: {was}, and here it is {now}"
            hint = f"a lock holds for its kind of host; for this one: sparkctl lock {stack}"
            problems.append(Problem(message, source.node(("host", key)).key, hint))
    if problems:
        raise ProblemsError(problems)
    return lock


def _host_words(key: str, value: object) -> str:
    if key == "simulated":
        return "a simulated Spark" if value else "a real one"
    if isinstance(value, tuple):
        return f"GPUs {', '.join(value)}" if value else "without a GPU"
    return f"a processor {value}"


# --- writing ----------------------------------------------------------------------------------------------------------


def text_of(lock: StackLock) -> bytes:
    """Return the content of the file: the same for the same lock, sorted, without times.

    Raises:
        InputError: it would be larger than a file that is read.
    """
    head = [
        f"# What was behind the names of the stack {_printable(lock.stack)} when `sparkctl lock` wrote this: commit it",
        "# beside the stack. `sparkctl lock STACK --check` compares, `sparkctl apply STACK --locked` refuses.",
    ]
    given = lock.model_dump(by_alias=True, exclude_none=True, exclude_defaults=True)
    order = ["schema", "stack", "host", "services"]
    lines = [line for key in order if key in given for line in _lines(key, given[key], 0)]
    content = "\n".join([*head, *lines, ""]).encode()
    if len(content) > document.MAX_BYTES:
        message = f"the lock of {lock.stack} would have {len(content):,} bytes; {document.MAX_BYTES:,} are read at most"
        raise InputError(message, hint="divide the stack")
    return content


def _lines(key: str, value: object, depth: int) -> Iterator[str]:
    """Yield the lines of a key and its value; a map that contains no other map takes one line."""
    indent, name = "  " * depth, _key(key)
    if not isinstance(value, dict):
        yield f"{indent}{name}: {_value(value)}"
        return
    if not value:
        yield f"{indent}{name}: {{}}"
    elif any(isinstance(one, dict) for one in value.values()):
        yield f"{indent}{name}:"
        for inner in sorted(value):
            yield from _lines(inner, value[inner], depth + 1)
    else:
        inner_text = ", ".join(f"{_key(inner)}: {_value(value[inner])}" for inner in sorted(value))
        yield f"{indent}{name}: {{{inner_text}}}"


def _key(text: str) -> str:
    return text if _PLAIN.fullmatch(text) and text.lower() not in _WORDS else _quoted(text)


def _value(value: object) -> str:
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else _quoted(str(value))


def _quoted(text: str) -> str:
    """Return a text in quotes that YAML and JSON read alike; unprintable characters are escapes."""
    return _printable(json.dumps(text, ensure_ascii=False))


def _printable(text: str) -> str:
    return "".join(one if one.isprintable() else _escape(ord(one)) for one in text)


def _escape(code: int) -> str:
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004  (what four digits hold)
