"""Where recipes, stacks, mods, templates and facts come from, and the way from a name to a checked value."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from sparkctl.base import document, named_file
from sparkctl.base.declarations import NAME, Declaration
from sparkctl.base.errors import InputError, Problem, ProblemsError
from sparkctl.base.lazy import LazyModule
from sparkctl.base.real_path import real
from sparkctl.base.validation import nearest, problems_of, validate
from sparkctl.recipes import layers, secret_names
from sparkctl.recipes.minimal import completed as minimal
from sparkctl.recipes.recipe import Recipe
from sparkctl.recipes.sizing.memory_settings import memory_notes
from sparkctl.recipes.stack_parts.member import Member, refuse_unservable
from sparkctl.vllm import flags

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sparkctl.base.document import Document, KeyPath
    from sparkctl.base.errors import Place
    from sparkctl.recipes import stack as stacks
    from sparkctl.recipes.layers import Override
    from sparkctl.vllm.flags import Resolved
else:
    stacks = LazyModule("sparkctl.recipes.stack")

PartT = TypeVar("PartT", bound=Declaration)

KINDS: Final = {
    "recipe": "recipes/{}.yaml",
    "stack": "recipes/stacks/{}.yaml",
    "facts": "recipes/models/{}.yaml",
    "host": "recipes/hosts/{}.yaml",
    "measured": "recipes/measured/{}.yaml",
    "mod": "mods/{}/mod.yaml",
    "template": "templates/{}.j2",
    "check": "checks/{}.yaml",
    "job": "recipes/jobs/{}.yaml",
    "script": "jobs/{}.yaml",
    "suite": "recipes/suites/{}.yaml",
}
"""Where each kind of file is in a root."""
SHIPPED: Final = "shipped"
"""The label of the root that comes with sparkctl."""
HUB: Final = "hub"
"""The label of a hub name, which stands for a recipe without a file."""
FOLDERS: Final = ("recipes", "mods", "templates", "checks", "jobs")
_SERVED: Final = ("recipe", "stack")
_KNOWN_REPO: Final = re.compile(r"\brepo: *[\"']?([^\"'\s,}]+)[\"']?[ ,}]*$", re.MULTILINE)


class Root(NamedTuple):
    """A folder with ``recipes/``, ``mods/``, ``templates/`` and ``checks/``.

    ``label`` says whose it is: given, yours, shipped.
    """

    path: Path
    label: str


class CatalogEntry(NamedTuple):
    """A file that a name means, or a repository of the hub (``HUB``)."""

    name: str
    path: Path
    label: str


class LoadedRecipe(NamedTuple):
    """A recipe after ``extends`` and ``--set``, checked; ``document`` is what it was made from, with every place."""

    name: str
    entry: CatalogEntry
    recipe: Recipe
    version: Resolved
    document: Document
    warnings: tuple[Problem, ...] = ()

    @property
    def reference(self) -> str:
        """The name by which the recipe is found from any folder: its own, its file's absolute path, or a hub name."""
        if self.entry.label == HUB:
            return str(self.entry.path)
        return str(real(self.entry.path)) if self.entry.label == "file" else self.name

    @property
    def origins(self) -> Mapping[KeyPath, Place]:
        """Where each single value was written: a file, or a ``--set``."""
        return {path: node.place for path, node in self.document.root.walk()}


def shipped_root() -> Path:
    """Return the folder of the recipes, mods, templates and checks that come with sparkctl.

    A wheel carries them in ``sparkctl/_data``; a checkout keeps them beside the package.

    Raises:
        InputError: sparkctl runs from a zip file; Docker mounts some of the files, so they have to be on disk.
    """
    package = Path(__file__).parent.parent
    if not package.is_dir():
        message = f"sparkctl is not unpacked on disk: {package}"
        raise InputError(message, hint="install it with pip; Docker cannot mount files out of a zip")
    for candidate in (package / "_data", package.parent):
        if all((candidate / folder).is_dir() for folder in FOLDERS):
            return candidate
    message = f"no recipes, mods, templates and checks beside {package}"
    raise InputError(message, hint="install sparkctl again")


def _suite(loaded: LoadedRecipe) -> str | None:
    """Return the suite that a recipe names; a file is looked for from the recipe's folder."""
    kept = loaded.recipe.retention
    return None if kept is None else named_file.beside(loaded.entry.path, kept.suite)


class Catalog:
    """The roots in the order of the search: the first root that has a name is used."""

    def __init__(self, roots: Sequence[Root]) -> None:
        self.roots = tuple(roots)

    def entries(self, kind: str) -> list[CatalogEntry]:
        """Return the files of a kind, by name; a name in an earlier root hides it in a later one.

        Raises:
            InputError: a root cannot be read.
        """
        found: dict[str, CatalogEntry] = {}
        folder, _, suffix = KINDS[kind].partition("{}")
        for root in self.roots:
            for path in named_file.matching(root.path / folder, f"*{suffix}"):
                name = path.relative_to(root.path / folder).as_posix().removesuffix(suffix)
                found.setdefault(name, CatalogEntry(name, path, root.label))
        return [found[name] for name in sorted(found)]

    def searched(self, kind: str) -> str:
        """Return the folders in which a name of a kind is looked for, in their order."""
        return ", ".join(str((root.path / KINDS[kind]).parent) for root in self.roots)

    def recipes(self) -> list[CatalogEntry]:
        """Return the recipes to serve; one whose name begins with ``_`` is a base to extend."""
        return [entry for entry in self.entries("recipe") if not entry.name.startswith("_")]

    def secret_names(self) -> frozenset[str]:
        """Return all names under ``secrets:`` in recipes and stacks, read without YAML: a broken file has names too."""
        shipped, in_root = secret_names.in_shipped_root, secret_names.in_root
        every = [(shipped if root.label == SHIPPED else in_root)(root.path) for root in self.roots]
        return frozenset().union(*every)

    def facts_by_repo(self) -> dict[str, str]:
        """Return the names of the model facts that know repositories, by repository."""
        entries = reversed(self.entries("facts"))  # if two know a repository, the first counts
        return {repo: entry.name for entry in entries for repo in _KNOWN_REPO.findall(named_file.text(entry.path))}

    def knows(self, name: str) -> bool:
        """Return whether a recipe, a stack or a stack's service has this name."""
        return any(self._find(kind, name) for kind in _SERVED) or bool(self._of_stacks(name))

    def path(self, kind: str, name: str) -> Path:
        """Return the file of a kind that a name means.

        Raises:
            InputError: there is none; the hint is the nearest name.
        """
        return self.entry(kind, name).path

    def entry(self, kind: str, name: str) -> CatalogEntry:
        """Return the file of a kind that a name means, and whose it is.

        Raises:
            InputError: there is none; the hint is the nearest name.
        """
        entry = self._find(kind, name)
        if entry is None:
            raise self._absent((kind,), name)
        return entry

    def load(self, kind: str, name: str, model: type[PartT]) -> PartT:
        """Return the checked instance that a file of a kind declares: model facts, a host's profile, a mod.

        Raises:
            InputError: there is no such file, or something is wrong with it.
        """
        return validate(document.read(self.path(kind, name)), model)

    def recipe(
        self,
        name: str,
        overrides: Sequence[str | Override] = (),
        *,
        strict: bool = False,
        image_version: Callable[[str], str | None] = lambda _: None,
    ) -> LoadedRecipe:
        """Return the recipe that a name or a file means, after ``extends`` and ``overrides``.

        A flag that its vLLM does not have is a warning; ``strict`` makes it an error, unless the vLLM is a fork, which
        may have the flag. ``image_version`` says which vLLM an image has, for recipes that leave it to the image.

        Raises:
            InputError: there is no such recipe, or something is wrong with it: every problem at its line.
        """
        entry = self.entry("recipe", name)
        written = layers.with_whole_names(layers.with_overrides(self.extended("recipe", entry, _own), overrides))
        return checked(entry, written, strict=strict, image_version=image_version)

    def stack(self, name: str) -> stacks.LoadedStack:
        """Return the stack that a name or a file means. Its recipes are not loaded.

        Raises:
            InputError: there is no such stack, or something is wrong with it.
        """
        return stacks.loaded(self.entry("stack", name))

    def members(self, name: str) -> tuple[Member, ...]:
        """Return the services that a name on the command line means.

        One for a recipe, all for a stack; one for a service of a stack, which is also written STACK:SERVICE. If a name
        means several things, a recipe comes first, then a stack.

        Raises:
            InputError: nothing has this name, services of several stacks have it, or no container can have it.
        """
        if self.knows_stack(name):
            members = self.stack(name).members
        elif self._find("recipe", name):
            members = (Member(self.entry("recipe", name).name, name),)
        else:
            members = (self._of_one_stack(name),)
        for member in members:
            refuse_unservable(member.service)
        return tuple(member._replace(asked=name) for member in members)

    def _of_one_stack(self, name: str) -> Member:
        found = self._of_stacks(name)
        if len(found) > 1:
            several = [member.stack for member in found]
            which = " or ".join(f"{stack}:{name}" for stack in several)
            raise InputError(f"{name} is a service of the stacks {' and '.join(several)}", hint=f"say which: {which}")
        if not found:
            raise self._absent(_SERVED, name)
        return found[0]

    def _of_stacks(self, name: str) -> list[Member]:
        """Return the stacks' services with this name, or the one written STACK:SERVICE; a broken stack has none."""
        stack, colon, service = name.rpartition(":")
        if colon and self.knows_stack(stack):
            return [member for member in self.stack(stack).members if member.service == service]
        return [member for member in self._stack_services() if member.service == name]

    def names(self) -> list[str]:
        """Return what can be named on a command line: recipes to serve, stacks, and the services of stacks."""
        found = [*self.recipes(), *self.entries("stack")]
        return list(dict.fromkeys([*(one.name for one in found), *(one.service for one in self._stack_services())]))

    def _stack_services(self) -> list[Member]:
        found: list[Member] = []
        for entry in self.entries("stack"):
            with suppress(InputError):
                found += self.stack(entry.name).members
        return found

    def base_problems(self, entry: CatalogEntry) -> list[Problem]:
        """Return what is wrong with a recipe that only others extend: it need not be whole.

        Raises:
            ProblemsError: it is no YAML, or extends what is not there.
        """
        return problems_of(layers.with_whole_names(self.extended("recipe", entry, _own)), Recipe, partial=True)

    def dangling(self, loaded: LoadedRecipe) -> list[Problem]:
        """Return a problem for each named template, mod, check, suite and fact sheet that no root has."""
        recipe, speculative = loaded.recipe, loaded.recipe.speculative
        named: list[tuple[str, KeyPath, str | None]] = [
            ("template", ("template",), recipe.template),
            ("facts", ("model", "facts"), recipe.model.facts),
            ("facts", ("speculative", "facts"), speculative.facts if speculative else None),
            *(("mod", ("mods", index), mod) for index, mod in enumerate(recipe.mods)),
            *(("check", ("checks", index), check) for index, check in enumerate(recipe.checks)),
            ("suite", ("retention", "suite"), _suite(loaded)),
        ]
        problems = []
        for kind, path, name in named:
            if name is not None and self._find(kind, name) is None:
                absent = self._absent((kind,), name)
                problems.append(Problem(absent.message, loaded.document.place(path), absent.hint))
        return problems

    def knows_stack(self, name: str) -> bool:
        """Return whether a name or a file means a stack; a recipe of the same name comes first."""
        if not named_file.is_path(name):
            return self._find("recipe", name) is None and self._find("stack", name) is not None
        path = named_file.from_home(name)
        return named_file.there(path) and "services" in document.read(path).root.children

    def _find(self, kind: str, name: str, besides: Sequence[Path] = ()) -> CatalogEntry | None:
        """Return the first file of this name that is not one of ``besides``."""
        if named_file.is_path(name):
            path = named_file.from_home(name)
            if named_file.there(path):
                return CatalogEntry(path.stem, path, "file") if real(path) not in besides else None
            by_hub = kind == "recipe" and minimal.is_hub_name(name)
            return CatalogEntry(minimal.service_name(name), Path(name), HUB) if by_hub else None
        if not NAME.fullmatch(name.removeprefix("_")):
            return None
        below = KINDS[kind].format(name)
        for root in self.roots:
            found = named_file.below(root.path, below)
            if found is not None and (not besides or real(found) not in besides):
                return CatalogEntry(name, found, root.label)
        return None

    def _absent(self, kinds: Sequence[str], name: str) -> InputError:
        if named_file.is_path(name):
            return InputError(f"no file {name}", hint="a name with a / or with .yaml is a file")
        known = [entry.name for kind in kinds for entry in self.entries(kind)]
        known = self.names() if kinds == _SERVED else known
        beside = f"./{name}.yaml"
        close = beside if named_file.there(Path(beside)) else nearest(name, known)
        words = " or ".join(
            {"facts": "model facts", "host": "host profile", "measured": "measured starts"}.get(kind, kind)
            for kind in kinds
        )
        listed = f"there are: {', '.join(n for n in known if not n.startswith('_')) or 'none'}"
        return InputError(f"no {words} {name!r}", hint=f"did you mean {close}?" if close else listed)

    def extended(
        self, kind: str, entry: CatalogEntry, read: Callable[[CatalogEntry], Document], chain: tuple[Path, ...] = ()
    ) -> Document:
        """Return a file's document laid over those that it extends; ``read`` returns one file's own.

        ``chain`` are the files that extend it, in turn. A recipe may extend one with its own name in a later root: that
        is how an operator changes a shipped one.

        Raises:
            ProblemsError: one of them is no YAML, is not there, or extends itself.
        """
        own = read(entry)
        extends = own.root.children.get("extends")
        if extends is None or not isinstance(extends.content, str):
            return own
        chain = (*chain, real(entry.path))
        name = named_file.beside(entry.path, extends.content)
        parent = self._find(kind, name, besides=chain)
        if parent is None:
            raise ProblemsError([self._no_parent(kind, name, chain, extends.place)])
        return layers.merge_documents(self.extended(kind, parent, read, chain), own)

    def _no_parent(self, kind: str, name: str, chain: tuple[Path, ...], place: Place) -> Problem:
        again = self._find(kind, name)
        if again is None:
            absent = self._absent((kind,), name)
            return Problem(f"extends: {absent.message}", place, absent.hint)
        circle = chain[chain.index(real(again.path)) :]
        names = " → ".join([*(path.stem for path in circle), again.path.stem])
        return Problem(f"extends: a {kind} cannot extend itself: {names}", place)


def _own(entry: CatalogEntry) -> Document:
    """Return what a recipe's own file says, without those that it extends."""
    source = minimal.of_hub(str(entry.path)) if entry.label == HUB else document.read(entry.path)
    return layers.with_long_names(minimal.spelled_out(source))


def checked(
    entry: CatalogEntry,
    written: Document,
    *,
    strict: bool = False,
    image_version: Callable[[str], str | None] = lambda _: None,
) -> LoadedRecipe:
    """Return the recipe in a document, once nothing more is laid over it; as ``Catalog.recipe``."""
    whole, assumed = minimal.completed(written, entry.name)
    recipe = validate(whole, Recipe)
    version = flags.known(recipe.vllm, image_version(recipe.image) if recipe.vllm == flags.AUTO else None)
    fork = flags.fork_of(recipe.vllm)
    may = f"; the fork {fork} may have it" if fork else ""
    strict = strict and not fork
    doubts = tuple(
        Problem(doubt.message + may, whole.node(doubt.path).key, doubt.hint, warning=not strict)
        for doubt in flags.doubts(recipe.args, recipe.env, recipe.backends, version.version)
    )
    if doubts and strict:
        raise ProblemsError(list(doubts))
    told = [*recipe.exposure(), *recipe.of_several()]
    exposed = [Problem(one.message, whole.node(one.path).key, one.hint, warning=True) for one in told]
    notes = memory_notes(recipe, version.memory, whole)
    return LoadedRecipe(entry.name, entry, recipe, version, whole, (*assumed, *doubts, *notes, *exposed))
