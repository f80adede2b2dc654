"""Files of other tools, read and made into recipes of the operator: all of them are written, or none."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base import document, named_file
from sparkctl.base.errors import InputError, Place, ProblemsError
from sparkctl.base.validation import validate
from sparkctl.operations.exchange import all_or_none, import_review, source_files
from sparkctl.operations.exchange.import_stacks import imported_stack, known_recipes, made_recipe
from sparkctl.operations.exchange.mod_baker import ModBaker
from sparkctl.operations.exchange.source_mods import SourceMods
from sparkctl.recipes import layers
from sparkctl.recipes.exchange.fields.file_text import recipe_text
from sparkctl.recipes.exchange.fields.made import Choices, Made
from sparkctl.recipes.exchange.fields.recipe import named_after, recipe_of
from sparkctl.recipes.exchange.forms import form_of
from sparkctl.recipes.exchange.images import with_published
from sparkctl.recipes.exchange.launch import Launch, Refused
from sparkctl.recipes.minimal.completed import completed
from sparkctl.recipes.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from sparkctl.operations.context import World
    from sparkctl.operations.exchange.import_review import ImportReview
    from sparkctl.operations.exchange.import_stacks import ImportedStack
    from sparkctl.operations.files.recipes import Linted
    from sparkctl.recipes.exchange.forms import Form
    from sparkctl.recipes.exchange.launch import Leftover
    from sparkctl.recipes.exchange.material import Material
    from sparkctl.recipes.exchange.stacked import KnownRecipe

UNUSABLE: Final = "no usable recipe"
"""The reason of what makes a recipe that sparkctl's own check refuses."""
_SERVICE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]+")
_LONGEST_NAME: Final = 100
_STACKS: Final = "stacks"
_NOTHING: Final = Choices()
_MOST_ALIKE: Final = 1000


class ImportedRecipe(NamedTuple):
    """The result for one server of a source: ``made``, and the text of its file ("" if it was refused).

    ``launch`` is what the source calls it.
    """

    form: str
    file: str
    made: Made
    text: str = ""
    launch: str = ""

    @property
    def name(self) -> str:
        """The recipe's name."""
        return self.made.name


class Imports(NamedTuple):
    """All that was read: what became of each server, and the files that nobody knows the form of, or may not read."""

    recipes: tuple[ImportedRecipe, ...]
    unknown: tuple[str, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()
    stacks: tuple[ImportedStack, ...] = ()

    @property
    def usable(self) -> list[ImportedRecipe]:
        """The results that are recipes."""
        return [one for one in self.recipes if one.made.refused is None]


class FormCount(NamedTuple):
    """A folder's counts for one form: files, servers imported, refused by reason, and leftovers by reason."""

    form: str
    files: int
    imported: int
    refused: Mapping[str, int]
    leftovers: Mapping[str, int]


def read(
    source: str,
    piped: str = "",
    variables: Mapping[str, str] | None = None,
    choices: Choices = _NOTHING,
    mods: Collection[str] = (),
    known: Callable[[], Sequence[KnownRecipe]] = tuple,
    baker: ModBaker | None = None,
) -> Imports:
    """Return the recipes of a source. Nothing of it is executed, and nothing is written.

    ``piped`` is the text for ``-``, ``mods`` are the names of the mods that are here, ``known`` returns the recipes
    that are here, for a source that only names servers. With a ``baker`` the mods that it names are baked: that alone
    runs something of the source, in a throwaway container.

    Raises:
        InputError: the source cannot be read, or nothing in one file is known.
    """
    found, folder = source_files.materials(source, piped, variables or {})
    of_mods = SourceMods(mods, folder and folder.root, folder.texts if folder is not None else {}, baker)
    together: list[tuple[Form, Material]] = []
    recipes: list[ImportedRecipe] = []
    unknown: list[str] = []
    for material in found:
        form = form_of(material)
        if form is None:
            unknown.append(material.file)
            continue
        launches = [
            of_mods.settled(with_published(launch, choices.image), material.file)
            for launch in _launches(form.read, material)
        ]
        recipes += [imported(launch, material.file, choices) for launch in launches]
        together += [(form, material)] if form.stack is not None else []
    if folder is None and unknown:
        hint = "it reads docker run, vllm serve, compose files, units of systemd and podman, and published recipes"
        raise InputError(f"nobody knows what {source} is: nothing in it starts a server", hint=hint)
    named = _named(recipes)
    refused = folder.refused if folder is not None else ()
    return Imports(named, tuple(unknown), refused, tuple(_stacks(together, named, known)))


def _stacks(
    together: Sequence[tuple[Form, Material]],
    recipes: Sequence[ImportedRecipe],
    known: Callable[[], Sequence[KnownRecipe]],
) -> Iterator[ImportedStack]:
    """Yield what the servers of each file are together, where that is a stack, or where something of it stays over."""
    usable = [one for one in recipes if one.made.refused is None]
    taken = {one.name for one in usable}
    here = [made_recipe(one.name, one.made) for one in usable]
    here += [one for one in known() if one.name not in taken] if together else []
    for form, material in together:
        own = {one.launch: one.name for one in usable if one.file == material.file}
        found = form.stack and imported_stack(form.name, form.stack, material, own, here, taken)
        if found and (found.usable or found.made.leftovers):
            taken.add(found.name)
            yield found


def _launches(reader: Callable[[Material], list[Launch]], material: Material) -> list[Launch]:
    """Return what a reader makes of a file; a file that it cannot read is one refusal."""
    try:
        return reader(material)
    except InputError as error:
        place = error.problems[0].place if isinstance(error, ProblemsError) and error.problems else None
        told = error.problems[0].message if isinstance(error, ProblemsError) and error.problems else error.message
        refused = Refused("unreadable file", told, place)
        return [Launch("", "file", place or Place(material.file, 1, 1), refused=refused)]


def imported(launch: Launch, file: str, choices: Choices) -> ImportedRecipe:
    """Return the result for one server; ``file`` is where it is from. Never raises."""
    made = recipe_of(launch, choices)
    text = "" if made.refused is not None else recipe_text(made, str(launch.place))
    problem = _problem(made.name, text) if text else None
    if problem is not None:
        made = replace(made, refused=Refused(UNUSABLE, problem, launch.place))
        return ImportedRecipe(launch.form, file, made, launch=launch.name)
    return ImportedRecipe(launch.form, file, made, text, launch.name)


def _problem(name: str, text: str) -> str | None:
    """Return why a file is no recipe, None where it is one."""
    try:
        loaded = document.load(text, f"{name}.yaml")
        if "extends" in loaded.root.children:  # its image is the base's
            loaded = layers.with_overrides(loaded, ["image=vllm/vllm-openai:latest", "extends=null"])
        validate(completed(layers.with_whole_names(loaded), name)[0], Recipe)
    except ProblemsError as error:
        return "; ".join(problem.message for problem in error.problems)
    except InputError as error:
        return error.message
    return None


def _named(recipes: Sequence[ImportedRecipe]) -> tuple[ImportedRecipe, ...]:
    """Return the recipes with unique names: a second one with a name is called after its model, or numbered."""
    taken: set[str] = set()
    found: list[ImportedRecipe] = []
    for one in recipes:
        name = one.made.name
        if one.made.refused is None:
            name = next(candidate for candidate in _candidates(one.made) if candidate not in taken)
            taken.add(name)
        found.append(one if name == one.made.name else one._replace(made=replace(one.made, name=name)))
    return tuple(found)


def _candidates(made: Made) -> Iterator[str]:
    yield _service(made.name)
    model = made.keys.get("model")
    of_model = _service(named_after(model.get("repo") if isinstance(model, dict) else model))
    yield of_model
    yield from (f"{of_model}-{number}" for number in range(2, _MOST_ALIKE))


def _service(name: str) -> str:
    """Return a name that a container and a file may have, made of another."""
    short = name[:_LONGEST_NAME]
    return next((one for one in (short, f"model-{short}") if _SERVICE.fullmatch(one)), "imported")


class AskedImport(NamedTuple):
    """What is to be imported: a file, a folder, or ``-`` with the text that was ``piped``.

    ``name`` is the recipe's, where the source has one server; ``bake`` bakes the mods that it names.
    """

    source: str
    piped: str = ""
    variables: Mapping[str, str] = MappingProxyType({})
    choices: Choices = _NOTHING
    bake: bool = False


class ImportedFiles(NamedTuple):
    """What was read of a source and written: the ``paths`` of the usable recipes, and those of the usable stacks."""

    imports: Imports
    paths: tuple[Path, ...]

    @property
    def recipes(self) -> list[tuple[ImportedRecipe, Path]]:
        """The recipes, each with its file."""
        return list(zip(self.imports.usable, self.paths, strict=False))

    @property
    def stacks(self) -> tuple[Path, ...]:
        """The files of the stacks."""
        return self.paths[len(self.imports.usable) :]


class JudgedImport(NamedTuple):
    """What is to be said of what was written: the ``review`` of a recipe that came alone, and what a lint says."""

    review: ImportReview | None
    linted: Linted


def look(world: World, asked: AskedImport) -> Imports:
    """Return what a source has. Nothing of it is executed but mods that are to be baked; nothing is written.

    Raises:
        InputError: as for ``read``; or the name is none that a recipe can have.
    """
    if asked.choices.name:
        checked_name(asked.choices.name)
    mods = {entry.name for entry in world.catalog.entries("mod")}
    baker = ModBaker(world) if asked.bake else None
    known = partial(known_recipes, world)
    return read(asked.source, asked.piped, asked.variables, asked.choices, mods, known, baker)


def bring(world: World, asked: AskedImport, folder: str | None = None, *, over: bool = False) -> ImportedFiles:
    """Make recipes of a source, and write all of them or none; ``folder`` and ``over`` are as for ``write``.

    Raises:
        InputError: as for ``look`` and ``write``; nothing of it becomes a recipe; or it has several servers, and a name
            for one. Nothing is written then.
    """
    found = look(world, asked)
    if asked.choices.name and len(found.usable) > 1:
        message = f"--name is for one server, and {asked.source} has {len(found.usable)}"
        raise InputError(message, hint="leave the name out: each is called after its server or its model")
    _refuse_nothing(asked.source, found)
    return ImportedFiles(found, tuple(write(world, found, folder, over=over)))


def judged(world: World, files: ImportedFiles) -> JudgedImport:
    """Return what is to be said of what was written; its model may be asked of the hub for the review.

    Raises:
        InputError: one of the files cannot be read any more.
    """
    alone = files.recipes[0] if len(files.paths) == 1 and files.recipes else None
    review = None if alone is None else import_review.review(world, *alone)
    return JudgedImport(review, import_review.linted(world, files.paths))


def refusal(form: str, refused: Refused) -> str:
    """Return why a server of a source is no recipe, with its place."""
    place = f"{refused.place}: " if refused.place is not None else ""
    return f"{place}{form} is not imported: {refused.reason}: {refused.message}"


def _refuse_nothing(source: str, found: Imports) -> None:
    """Refuse a source of which nothing becomes a recipe.

    Raises:
        InputError: with the reason of each server.
    """
    if found.usable or any(one.usable for one in found.stacks):
        return
    reasons = [refusal(one.form, one.made.refused) for one in found.recipes if one.made.refused]
    reasons += [f"{left.place}: {left.what}: {left.why}" for one in found.stacks for left in one.made.leftovers]
    message = f"nothing of {source} becomes a recipe" + "".join(f"\n  {reason}" for reason in reasons)
    raise InputError(message, hint="--check lists what a folder has")


def checked_name(name: str) -> str:
    """Return a name that an operator gives.

    Raises:
        InputError: no container can be called so.
    """
    if _service(name) != name:
        hint = f"two to {_LONGEST_NAME} letters, digits, _ . -, beginning with a letter or a digit"
        raise InputError(f"{name!r} is no name of a recipe", hint=hint)
    return name


def counted(imports: Imports) -> list[FormCount]:
    """Return what a folder has, by form: the table of ``--check``."""
    forms = list(dict.fromkeys([one.form for one in imports.recipes] + [one.form for one in imports.stacks]))
    return [_count(form, imports) for form in forms]


def _count(form: str, imports: Imports) -> FormCount:
    recipes = [one for one in imports.recipes if one.form == form]
    usable = [one for one in recipes if one.made.refused is None]
    stacks = [one for one in imports.stacks if one.form == form]
    return FormCount(
        form,
        files=len({one.file for one in recipes} | {one.file for one in stacks}),
        imported=len(usable),
        refused=Counter(one.made.refused.reason for one in recipes if one.made.refused is not None),
        leftovers=Counter(left.why for left in _leftovers(usable, stacks)),
    )


def _leftovers(recipes: Sequence[ImportedRecipe], stacks: Sequence[ImportedStack]) -> Iterator[Leftover]:
    for recipe in recipes:
        yield from recipe.made.leftovers
    for stack in stacks:
        yield from stack.made.leftovers


def write(world: World, imports: Imports, folder: str | None = None, *, over: bool = False) -> list[Path]:
    """Write the recipes, and the stacks below them, into the operator's folder, or into ``folder``; all, or none.

    ``over``: in the place of files of the same names. A file that is there already as it would be written, such as
    after an import that was killed, is none of them.

    Raises:
        InputError: one of them is there already, there is no permission, or the disk is full; then nothing is changed.
    """
    root = world.catalog.roots[0].path / "recipes" if folder is None else named_file.from_home(folder)
    contents = {root / f"{one.name}.yaml": one.text.encode() for one in imports.usable}
    beside = () if folder is None else [one.name for one in imports.usable]
    for stack in imports.stacks:
        if stack.usable:
            contents[root / _STACKS / f"{stack.name}.yaml"] = stack.text(beside).encode()
    taken = [path for path in contents if os.path.lexists(path)]
    there = [path for path in taken if world.files.content(path) != contents[path]]
    if there and not over:
        message = f"{', '.join(path.name for path in there)}: there already, in {root}"
        raise InputError(message, hint="--replace writes over them, --name gives another name")
    return all_or_none.write(world.files, contents)
