"""From a job's name to a job: what it extends, what is laid over it, its script, its parameters, its constraints."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from sparkctl.base import document, named_file, regular_file
from sparkctl.base.errors import InputError, Problem, ProblemsError
from sparkctl.base.validation import problems_of, validate
from sparkctl.recipes import layers, located
from sparkctl.recipes.job import constraints, parameters, script_files
from sparkctl.recipes.job.job import Job
from sparkctl.recipes.job.loaded import LoadedJob
from sparkctl.world.partial_folder import name_problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sparkctl.base.document import Document
    from sparkctl.recipes.catalog import Catalog, CatalogEntry
    from sparkctl.recipes.host_side.operator import Operator
    from sparkctl.recipes.job.script_files import ReadScript
    from sparkctl.recipes.service import Source
    from sparkctl.world.host import Models

KIND: Final = "job"
_WITH: Final = ("with",)
_EXPRESSION: Final = "re:"
_TEXTS: Final = {"image": "base", "input": "repo"}
"""Parts that may be written as a text, and the field that it is; of an input, a path is its ``path``."""


def load_job(catalog: Catalog, name: str, overrides: Sequence[str] = ()) -> LoadedJob:
    """Return the job that a name or a file means, after ``extends`` and ``overrides``, with its script.

    Raises:
        InputError: there is no such job, or something is wrong with it: every problem at its line.
    """
    entry = catalog.entry(KIND, name)
    if entry.name.startswith("_"):
        raise InputError(f"{entry.name} is a base for other jobs to extend", hint="name a job that extends it")
    whole = _whole(catalog, entry, overrides)
    wrong = [*_no_text(whole), *problems_of(whole, Job)]
    script, of_script = _script(catalog, whole)
    fixed, of_constraints = constraints_of(catalog, whole)
    wrong += [*of_script, *of_constraints]
    if script is not None:
        wrong += _of_parameters(script, whole)
    wrong += [*_of_folders(whole), *_of_kept(whole)]
    if wrong or script is None:
        raise ProblemsError(wrong)
    whole = _with_defaults(script, whole)
    job = validate(whole, Job)
    given: Mapping[str, Any] = job.with_
    warnings = tuple(_doubts(script, whole, job))
    return LoadedJob(entry.name, entry, job, script.file, given, fixed, whole, tuple(overrides), warnings)


def base_problems(catalog: Catalog, entry: CatalogEntry) -> list[Problem]:
    """Return what is wrong with a job that only others extend: it need not be whole.

    Raises:
        ProblemsError: it is no YAML, or extends what is not there.
    """
    whole = _whole(catalog, entry, ())
    wrong = problems_of(whole, Job, partial=True)
    _, of_constraints = constraints_of(catalog, whole)
    if "script" in whole.root.children:
        wrong += _script(catalog, whole)[1]
    return [*wrong, *of_constraints]


def input_source(loaded: LoadedJob, models: Models, operator: Operator) -> Source:
    """Return where the job's model is on this host: in its folder, else in the cache; else ``missing`` says why not."""
    wanted = loaded.job.input
    name = wanted.repo or wanted.path or ""
    folder = operator.expand(wanted.path) if wanted.path is not None else None
    cache = operator.hub(None) if wanted.repo is not None else None
    return located.source(models, name, wanted.revision, folder, cache)


def input_folder(loaded: LoadedJob, source: Source) -> Path:
    """Return the folder that the job reads.

    Raises:
        InputError: the model is not on this host, or a part of it only.
    """
    if source.here is not None:
        return source.here
    wanted = loaded.job.input
    hint = "name another folder: --set input.path=FOLDER"
    if wanted.repo is not None:
        hint = f"fetch it: sparkctl download {wanted.repo}; or name a folder that has it: --set input.path=FOLDER"
    raise InputError(f"the input of {loaded.name}: {source.missing}", hint=hint)


def _whole(catalog: Catalog, entry: CatalogEntry, overrides: Sequence[str]) -> Document:
    """Return the job's document with all that it extends and that is laid over it."""
    extended = catalog.extended(KIND, entry, lambda one: document.read(one.path))
    return _spelled_out(layers.with_overrides(_spelled_out(extended), overrides))


def _spelled_out(source: Document) -> Document:
    """Return a job whose ``image`` and ``input`` are written as maps: a text in their place replaces the whole map."""
    if not isinstance(source.root.content, dict):
        return source
    content = dict(source.root.content)
    for key, field in _TEXTS.items():
        node = content.get(key)
        if node is not None and isinstance(node.content, str):
            part = "path" if key == "input" and node.content.startswith(("/", "~", ".")) else field
            content[key] = node._replace(content={part: node}, text="")
    return source._replace(root=source.root._replace(content=content))


def _script(catalog: Catalog, whole: Document) -> tuple[ReadScript | None, list[Problem]]:
    """Return the job's script, and what is wrong with it; nothing if none is named, which is reported elsewhere."""
    node = whole.root.children.get("script")
    if node is None or not isinstance(node.content, str) or not node.content:
        return None, []
    try:
        return script_files.read(catalog, node.content, node.place), []
    except ProblemsError as error:
        return None, error.problems


def _of_parameters(script: ReadScript, whole: Document) -> list[Problem]:
    node = whole.root.children.get("with")
    if node is not None and not isinstance(node.content, dict):
        return []
    at = whole if node is not None else _with(whole, parameters.empty(whole.root.place))
    secret = parameters.secrets(at, _WITH)
    if secret or script.file.declared is None:
        return secret
    return parameters.problems(script.file.declared.parameters, at, _WITH)


def _with_defaults(script: ReadScript, whole: Document) -> Document:
    """Return the job with the defaults of its script's parameters, each at its place in the script's file."""
    if script.file.declared is None or script.document is None:
        return whole
    written = whole.root.children.get("with") or parameters.empty(whole.root.place)
    schema = script.file.declared.parameters
    return _with(whole, parameters.filled(schema, written, script.document, script_files.PARAMETERS))


def _with(whole: Document, node: document.Node) -> Document:
    content = whole.root.content if isinstance(whole.root.content, dict) else {}
    return whole._replace(root=whole.root._replace(content={**content, "with": node}))


def constraints_of(catalog: Catalog, whole: Document) -> tuple[str, list[Problem]]:
    """Return the lines of the image's constraints, and what is wrong with them."""
    node = whole.root.children.get("image", whole.root).children.get("constraints")
    if node is None or not isinstance(node.content, str) or not node.content:
        return "", []
    name = node.content
    shipped = [root.path / "jobs" / name for root in catalog.roots] if "/" not in name else []
    path = next((one for one in shipped if named_file.there(one)), None) or script_files.beside(node.place, name)
    try:
        read = constraints.parse(regular_file.read_text(path, constraints.MAX_BYTES), str(path))
    except InputError as error:
        return "", [Problem(f"image.constraints: {error.message}", node.place, error.hint)]
    return read.text, list(read.problems)


def _no_text(whole: Document) -> list[Problem]:
    """Return the texts that no program can be given: YAML and JSON can write half of a character as an escape."""
    found = []
    for path, node in whole.root.walk():
        text = "".join(one for one in (*path, node.content) if isinstance(one, str))
        if any("\ud800" <= character <= "\udfff" for character in text):
            place = node.place._replace(excerpt="")
            found.append(Problem("found half of a surrogate pair, which is no character", place))
    return found


def _of_folders(whole: Document) -> list[Problem]:
    """Return what is wrong with where a job reads and writes: a product inside of its input, or the other way round."""
    read, made = whole.node(("input", "path")), whole.node(("output",))
    if not isinstance(made.content, str):
        return []
    wrong = name_problem(PurePosixPath(made.content))
    if wrong is not None and made.content:
        return [Problem(f"output: {made.content} {wrong}", made.place, "name another folder")]
    if not isinstance(read.content, str):
        return []
    one, other = PurePosixPath(read.content), PurePosixPath(made.content)
    if not (one.is_relative_to(other) or other.is_relative_to(one)):
        return []
    message = f"output: expected a folder apart from the input's, found {made.content} and {read.content}"
    return [Problem(message, made.place, "the model that is read stays as it is")]


def _of_kept(whole: Document) -> list[Problem]:
    """Return the invalid expressions in ``with.ignore``: the checks of the product read them."""
    found = []
    for node in whole.node(("with", "ignore")).children.values():
        if isinstance(node.content, str) and node.content.startswith(_EXPRESSION):
            try:
                re.compile(node.content.removeprefix(_EXPRESSION))
            except re.error as error:
                message = f"with.ignore: no regular expression after {_EXPRESSION!r}: {error}"
                found.append(Problem(message, node.place, "such as 're:.*vision_tower.*'"))
    return found


def _doubts(script: ReadScript, whole: Document, job: Job) -> list[Problem]:
    """Return what is doubtful with a job that can be run."""
    found = []
    if script.file.declared is None:
        place, missing = whole.node(("script",)).key, script.file.path.with_suffix(".yaml").name
        message = f"nothing is declared of {script.file.path.name}: its parameters and its memory are not checked"
        found.append(Problem(message, place, f"write {missing} beside it", warning=True))
    if job.image.built and job.image.constraints is None:
        message = "the packages that the steps bring along have no versions: another day builds another image"
        hint = "write constraints: a file of NAME==VERSION lines, as pip freeze prints them"
        found.append(Problem(message, whole.node(("image", "steps")).key, hint, warning=True))
    return found
