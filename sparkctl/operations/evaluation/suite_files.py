"""A suite by its name or file: checked, with the files that it names read as they are now."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base import document, named_file, regular_file
from sparkctl.base.errors import InputError, Place, Problem, ProblemsError
from sparkctl.base.real_path import real
from sparkctl.base.units import MIB
from sparkctl.base.validation import problems_of, validate
from sparkctl.mods.checksum import md5_of
from sparkctl.operations.evaluation.suite import Suite
from sparkctl.recipes.job import reading, script_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from sparkctl.base.document import Document
    from sparkctl.recipes.catalog import Catalog, CatalogEntry
    from sparkctl.recipes.job.script import ScriptFile

KIND: Final = "suite"
SCRIPT: Final = "lm-eval"
"""The script that asks (jobs/lm-eval.py)."""
_MOST: Final = 64 * MIB
"""Bytes of one file of questions: GSM8K's 1,319 have 750 KB."""
_DIGITS: Final = 12


class SuiteFile(NamedTuple):
    """A file that a suite names, as it was read: of a task's data (``split``), or the task itself ("")."""

    task: str
    split: str
    path: Path
    content: bytes
    md5: str

    @property
    def target(self) -> str:
        """Where it is in the container."""
        return f"/suite/{self.task}/{self.split}{'.jsonl' if self.split else 'task.yaml'}"


class LoadedSuite(NamedTuple):
    """A suite with its files, its script, and the constraints of its image."""

    name: str
    entry: CatalogEntry
    suite: Suite
    files: tuple[SuiteFile, ...]
    constraints: str
    script: ScriptFile

    def of_task(self, task: str) -> Mapping[str, SuiteFile]:
        """Return the files of a task by split; "" is the task itself."""
        return {file.split: file for file in self.files if file.task == task}

    def digest(self, image: str) -> str:
        """Return 12 hex digits of all that decides what is asked, and how; ``image`` is the id of lm-eval's.

        Floors, expected figures, and how many are asked at once decide nothing of it.
        """
        suite = self.suite
        decisive = {
            "tasks": {name: [task.task or name, task.fewshot, self._md5s(name)] for name, task in suite.tasks.items()},
            "suite": [suite.tokens, suite.seed, suite.questions],
            "image": image,
            "script": self.script.md5s,
        }
        text = json.dumps(decisive, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]

    def _md5s(self, task: str) -> list[tuple[str, str]]:
        return sorted((split, file.md5) for split, file in self.of_task(task).items())


def load_suite(catalog: Catalog, name: str) -> LoadedSuite:
    """Return the suite that a name or a file means.

    Raises:
        InputError: there is none, or something is wrong with it or with a file that it names: each at its line.
    """
    entry = catalog.entry(KIND, name)
    source = document.read(entry.path)
    wrong = problems_of(source, Suite)
    if wrong:
        raise ProblemsError(wrong)
    suite = validate(source, Suite)
    constraints, of_constraints = reading.constraints_of(catalog, source)
    files, of_files = _files(source, suite)
    if of_constraints or of_files:
        raise ProblemsError([*of_constraints, *of_files])
    script = script_files.read(catalog, SCRIPT, Place(str(entry.path), 0, 0)).file
    return LoadedSuite(entry.name, entry, suite, tuple(files), constraints, script)


def _files(source: Document, suite: Suite) -> tuple[list[SuiteFile], list[Problem]]:
    """Return the files that a suite names, and what is wrong with them."""
    found: list[SuiteFile] = []
    wrong: list[Problem] = []
    for task, split, path, name in _named(suite):
        node = source.node(("tasks", task, *path))
        where = script_files.beside(node.place, name)
        try:
            content = regular_file.read_bytes(where, _MOST)
        except InputError as error:
            hint = "a path is looked for from the suite's own folder" if not split else _DATA_HINT
            wrong.append(Problem(f"{'.'.join(path)}: {error.message}", node.place, hint))
            continue
        found.append(SuiteFile(task, split, real(where), content, md5_of(content)))
    return found, wrong


_DATA_HINT: Final = (
    "one JSON object a line, with the task's own fields; a path is looked for from the suite's own folder"
)


def _named(suite: Suite) -> Iterator[tuple[str, str, Sequence[str], str]]:
    """Yield the files that a suite names: task, split, the keys from the task on, and the name as it is written."""
    for name, task in suite.tasks.items():
        if task.task is not None and named_file.is_path(task.task):
            yield name, "", ("task",), task.task
        for split, file in (task.data or {}).items():
            yield name, split, ("data", split), file
