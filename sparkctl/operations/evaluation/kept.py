"""Answers and comparisons, kept on the disk: a finished reference is not asked again."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

from pydantic import TypeAdapter

from sparkctl.base.errors import InputError
from sparkctl.operations.evaluation.answers import Answers, refuse_unsound
from sparkctl.operations.evaluation.retention import Comparison  # noqa: TC001  (pydantic reads it at run time)
from sparkctl.operations.records import decoded
from sparkctl.world.ports import StoredRecord

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from sparkctl.operations.context import World

EVALUATION: Final = "evaluation"
FILE: Final = "answers.json"
RUN: Final = "run"
"""The folder in which lm-eval writes, beside the file."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A comparison as it is kept: when it was made, in seconds since the epoch, and lm-eval's version.

    ``notes`` say what else differed than the models.
    """

    at: float
    lm_eval: str
    compared: Comparison
    notes: tuple[str, ...] = ()


@cache
def _answers() -> TypeAdapter[Answers]:
    return TypeAdapter(Answers)


@cache
def _evaluated() -> TypeAdapter[Evaluated]:
    return TypeAdapter(Evaluated)


def read_answers(content: bytes, tasks: Collection[str]) -> Answers:
    """Return what was kept of a service's answers.

    Raises:
        InputError: it is damaged, or of other tasks.
    """
    found = decoded(_answers(), content)
    refuse_unsound(found, tasks)
    return found


def answers(world: World, folder: Path, tasks: Collection[str]) -> Answers | None:
    """Return the finished answers of a folder, None if there are none; damaged ones are reported, and do not count."""
    path = folder / FILE
    content = world.files.content(path)
    if content is None:
        return None
    try:
        return read_answers(content, tasks)
    except InputError as error:
        world.report.warn(f"{path} is not used, and the questions are asked again: {error.message}")
        return None


def keep_answers(world: World, folder: Path, found: Answers) -> None:
    """Keep the answers of a service.

    Raises:
        InputError: the disk refuses.
    """
    world.files.write(folder / FILE, _answers().dump_json(found), mode=0o644)


def drop_answers(world: World, folder: Path) -> None:
    """Forget that a service has been asked; what lm-eval wrote is dropped when it is asked again."""
    world.files.remove(folder / FILE)


def keep(world: World, found: Evaluated) -> None:
    """Keep a comparison; a store that cannot be written costs no result."""
    compared = found.compared
    text = _evaluated().dump_json(found).decode()
    try:
        world.records.add(StoredRecord(EVALUATION, found.at, compared.other, compared.suite, compared.reference, text))
    except InputError as error:
        world.report.warn(f"the comparison is not kept: {error.message}")


def history(world: World, name: str | None = None) -> list[Evaluated]:
    """Return the comparisons of one service or (None) of all, the oldest first.

    Raises:
        InputError: the store is damaged, locked, or of a newer sparkctl.
    """
    records = [one for one in world.records.records(EVALUATION) if name in {None, one.service, one.model}]
    return world.records.read(_evaluated, records)
