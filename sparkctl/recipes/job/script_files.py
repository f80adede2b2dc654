"""The script of a job: found by its name in the folders ``jobs/``, or by its path, with what is declared beside it."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base import document, named_file, regular_file
from sparkctl.base.declarations import NAME
from sparkctl.base.errors import InputError, Problem, ProblemsError
from sparkctl.base.real_path import real
from sparkctl.base.validation import nearest, validate
from sparkctl.mods.checksum import md5_of
from sparkctl.recipes.catalog import shipped_root
from sparkctl.recipes.job import parameters
from sparkctl.recipes.job.script import LIBRARY, JobScript, ScriptFile, ScriptLibrary

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.base.document import Document
    from sparkctl.base.errors import Place
    from sparkctl.recipes.catalog import Catalog

MAX_BYTES: Final = 1024 * 1024
"""The largest script that is read."""
_KEPT: Final = 32
"""Declarations that are remembered."""
PARAMETERS: Final = ("parameters",)
"""Where the schema is in the file beside a script."""


class ReadScript(NamedTuple):
    """A script, and the document of what is declared beside it (None: nothing is)."""

    file: ScriptFile
    document: Document | None


def read(catalog: Catalog, name: str, place: Place) -> ReadScript:
    """Return the script that is named at ``place``: a path is looked for from the file that names it.

    Raises:
        ProblemsError: there is none, it cannot be read, or something is wrong with what is declared beside it.
    """
    path = beside(place, name) if _is_path(name) else _named(catalog, name, place)
    if path.stem == LIBRARY:
        message = f"script: {path.name} is what scripts have in common, and no script"
        raise ProblemsError([Problem(message, place, "name a script that uses it")])
    try:
        content = regular_file.read_bytes(path, MAX_BYTES)
        library = _library() if LIBRARY.encode() in content else None
    except InputError as error:
        raise ProblemsError([Problem(f"script: {error.message}", place, error.hint)]) from None
    _refuse_a_job(path.with_suffix(".yaml"), path, place)
    declared, source = declaration(path.with_suffix(".yaml"))
    return ReadScript(ScriptFile(path.stem, path, md5_of(content), declared, library), source)


def _library() -> ScriptLibrary:
    """Return the library for scripts that comes with this sparkctl.

    Raises:
        InputError: it cannot be read.
    """
    path = shipped_root() / "jobs" / f"{LIBRARY}.py"
    return ScriptLibrary(path, md5_of(regular_file.read_bytes(path, MAX_BYTES)))


def _refuse_a_job(path: Path, script: Path, place: Place) -> None:
    """Refuse a job in the place where its script would have its declaration: both files have the same name.

    Raises:
        ProblemsError: so it is; or the file is no YAML.
    """
    if named_file.there(path) and "script" in document.read(path).root.children:
        message = f"script: {path.name} beside {script.name} is where the script says what it takes, and it is a job"
        raise ProblemsError([Problem(message, place, "give the script another name, or a folder of its own")])


def declaration(path: Path) -> tuple[JobScript | None, Document | None]:
    """Return the declaration beside a script, checked with its schema and its defaults; None if there is none.

    Raises:
        ProblemsError: something is wrong with it.
    """
    return _declared(document.text_of(path), str(path)) if named_file.there(path) else (None, None)


@lru_cache(_KEPT)
def _declared(text: str, file: str) -> tuple[JobScript, Document]:
    """Return what a text declares; to check a schema takes longer than all else, and jobs share their scripts."""
    source = document.load(text, file)
    declared = validate(source, JobScript)
    wrong = parameters.schema_problems(declared.parameters, source, PARAMETERS)
    if wrong:
        raise ProblemsError(wrong)
    return declared, source


def beside(place: Place, name: str) -> Path:
    """Return the path of a file that is named at ``place``; one of ``--set`` is looked for from the current folder."""
    path = named_file.from_home(name)
    written_in = named_file.from_home(place.file)
    return real(written_in.parent / path if place.line and named_file.there(written_in) else path)


def _is_path(name: str) -> bool:
    return "/" in name or name.endswith(".py")


def _named(catalog: Catalog, name: str, place: Place) -> Path:
    """Return the first file of this name in the folders ``jobs/``."""
    known: dict[str, Path] = {}
    for root in catalog.roots:
        for path in named_file.matching(root.path / "jobs", "*.py"):
            if path.stem != LIBRARY:
                known.setdefault(path.stem, path)
    if NAME.fullmatch(name) and name in known:
        return real(known[name])
    close = nearest(name, known)
    hint = f"did you mean {close}?" if close else f"there are: {', '.join(sorted(known)) or 'none'}; or write a path"
    raise ProblemsError([Problem(f"script: no script {name!r}", place, hint)])
