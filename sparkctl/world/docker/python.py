"""The Python of an image and of a running container, asked about its packages and its files."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from docker.errors import APIError
from pydantic import TypeAdapter, ValidationError

from sparkctl.base.bounded import UnreadableError, read_json
from sparkctl.base.errors import EngineError
from sparkctl.world.docker import python_script
from sparkctl.world.docker.errors import within
from sparkctl.world.docker.image_files import READER, Bare, execute, reader
from sparkctl.world.engine import ImportedFile, Package
from sparkctl.world.throwaway import throwaway

if TYPE_CHECKING:
    from collections.abc import Sequence

    from docker import APIClient

    from sparkctl.world.engine import Container

T = TypeVar("T")
_PYTHONS: Final = ("python3", "python")
_ANSWER_S: Final = 60.0
_NO_PROGRAM: Final = (126, 127)
_INSTALLED: Final = """import json, re
from importlib import metadata
found = {}
for one in metadata.distributions():
    name = one.metadata["Name"]
    if name:
        found.setdefault(re.sub("[-_.]+", "-", name).lower(), str(one.version))
print(json.dumps({"installed": found}))
"""
"""Names as PEP 503 normalizes them; if two have one name, the first is imported."""


def packages(client: APIClient, reference: str, names: Sequence[str], process: str) -> dict[str, Package]:
    """Return the packages that an image's Python finds, from a container that runs nothing but that question.

    It has no network and no GPU, and is removed whatever happens. ``process`` is the one that asks, for its label.

    Raises:
        EngineError: the image has no Python, or it answers something else.
        docker.errors.DockerException: as the SDK raises.
    """
    request = json.dumps({"packages": list(names), "files": []})
    for python in _PYTHONS:
        answer = _run(client, reference, [python, *_words(request)], process)
        if answer is not None:
            return _answered(answer, f"the image {reference}", "packages", _packages())
    message = f"the image {reference} has no Python that could be asked where its packages are"
    raise EngineError(message, hint="give the mod's files a path: instead of a module:")


def installed(client: APIClient, reference: str, process: str) -> dict[str, str]:
    """Return the version of each package that the ``python3`` of an image finds, by its name in lower case.

    It is asked in a container as ``packages`` does. ``process`` is the one that asks, for its label.

    Raises:
        EngineError: the image has no ``python3``, or it answers something else.
        docker.errors.DockerException: as the SDK raises.
    """
    answer = _run(client, reference, [_PYTHONS[0], "-c", _INSTALLED], process)
    if answer is None:
        message = f"the image {reference} has no python3"
        raise EngineError(message, hint="a job's image has one: python:3.12-slim, or another image with Python")
    return _answered(answer, f"the image {reference}", "installed", _versions())


def imported(
    client: APIClient, container: Container, files: Sequence[tuple[str, str | None]]
) -> dict[str, ImportedFile] | None:
    """Return how the Python of a running container imports some files, or None if it has no Python.

    Raises:
        EngineError: it answers something else.
        docker.errors.DockerException: as the SDK raises.
    """
    request = json.dumps({"packages": [], "files": [list(file) for file in files]})
    for python in _PYTHONS:
        code, output, errors = execute(client, container.id, [python, *_words(request)])
        if code not in _NO_PROGRAM:
            where = f"the container {container.name}"
            if code:
                raise _no_answer(where, errors)
            return _answered(output, where, "files", _files())
    return None


def _words(request: str) -> list[str]:
    return ["-c", python_script.STARTER, Path(python_script.__file__).read_text(encoding="utf-8"), request]


def _run(client: APIClient, reference: str, words: list[str], process: str) -> bytes | None:
    """Run a program in a throwaway container and return what it printed; None where the image has no such program."""
    spec = reader(reference, entrypoint=words[0], command=tuple(words[1:]))
    with throwaway(Bare(client), spec, READER, process) as made:
        try:
            client.start(made)
        except APIError as error:
            if "executable file not found" in str(error.explanation) or "no such file" in str(error.explanation):
                return None
            raise
        code = within(_ANSWER_S, lambda: client.wait(made))["StatusCode"]
        if code:
            raise _no_answer(f"the image {reference}", client.logs(made, stdout=False, stderr=True))
        return bytes(client.logs(made, stdout=True, stderr=False))  # no more than the log of a reader holds


@cache
def _packages() -> TypeAdapter[dict[str, Package]]:
    return TypeAdapter(dict[str, Package])


@cache
def _versions() -> TypeAdapter[dict[str, str]]:
    return TypeAdapter(dict[str, str])


@cache
def _files() -> TypeAdapter[dict[str, ImportedFile]]:
    return TypeAdapter(dict[str, ImportedFile])


def _answered(output: bytes, where: str, key: str, adapter: TypeAdapter[T]) -> T:
    """Return what ``python_script`` printed under a key: an image can print anything else in its place."""
    try:
        # The answer is the last line: what runs when a Python starts (sitecustomize) may print before it.
        answer = read_json(output.decode(errors="replace").splitlines()[-1])
        return adapter.validate_python(answer.get(key) if isinstance(answer, dict) else answer)
    except (UnreadableError, ValidationError, IndexError):
        raise _no_answer(where, output) from None


def _no_answer(where: str, output: bytes) -> EngineError:
    last = output.decode(errors="replace").strip().splitlines()[-1:]
    message = f"the Python of {where} did not say where its files are: {''.join(last)[:200] or 'it printed nothing'}"
    return EngineError(message, hint="does it start? docker run --rm --entrypoint python3 IMAGE -c 'print(1)'")
