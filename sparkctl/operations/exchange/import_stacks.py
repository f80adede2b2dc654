"""Stacks out of files of other tools: the recipes that were imported from one file, as it runs them together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base import document
from sparkctl.base.errors import InputError, ProblemsError
from sparkctl.base.validation import validate
from sparkctl.recipes.exchange import yaml_text
from sparkctl.recipes.exchange.fields.file_text import stack_text
from sparkctl.recipes.exchange.launch import Leftover
from sparkctl.recipes.exchange.stacked import LOOPBACK, KnownRecipe, stack_of
from sparkctl.recipes.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from sparkctl.operations.context import World
    from sparkctl.recipes.exchange.fields.made import Made
    from sparkctl.recipes.exchange.material import Material
    from sparkctl.recipes.exchange.stacked import MadeStack, SourceStack

_UNUSABLE: Final = "sparkctl's own check refuses the stack"


class ImportedStack(NamedTuple):
    """The result for all servers of one file together; ``made`` has no keys if they are no stack."""

    form: str
    file: str
    made: MadeStack

    @property
    def name(self) -> str:
        """The stack's name."""
        return self.made.name

    @property
    def usable(self) -> bool:
        """Whether there is a stack to write."""
        return bool(self.made.keys)

    def text(self, beside: Collection[str] = ()) -> str:
        """Return the stack's file; ``beside`` are the recipes that are files in the folder above, and in no catalog."""
        made = self.made
        if beside:
            services = {
                name: {**keys, "recipe": f"../{keys['recipe']}.yaml"} if keys["recipe"] in beside else keys
                for name, keys in _services(made)
            }
            made = made._replace(keys={**made.keys, "services": services})
        return stack_text(made, self.file)


def imported_stack(
    form: str, reader: Callable[[Material], SourceStack], material: Material, recipes: Mapping[str, str],
    known: Sequence[KnownRecipe] = (), taken: Collection[str] = (),
) -> ImportedStack | None:  # fmt: skip
    """Return the stack of a file; None where the file cannot be read, which its launches say.

    ``recipes`` are the names of the recipes by those of the file's launches, ``known`` the recipes that are here,
    ``taken`` the names that the stack cannot have.
    """
    try:
        made = stack_of(reader(material), recipes, known)
    except InputError:
        return None
    if made.name in taken:
        made = made._replace(name=f"{made.name}-stack")
    problem = _problem(made)
    if problem is not None:
        place = material.place(1)
        made = made._replace(keys={}, leftovers=(*made.leftovers, Leftover(place, problem, _UNUSABLE)))
    return ImportedStack(form, material.file, made)


def known_recipes(world: World) -> list[KnownRecipe]:
    """Return the recipes of the catalog that can be loaded, with the names under which they are served."""
    found = []
    for entry in world.catalog.recipes():
        try:
            serve = world.catalog.recipe(entry.name).recipe.serve
        except InputError:
            continue
        found.append(KnownRecipe(entry.name, (serve.name, *serve.aliases), serve.port, serve.bind))
    return found


def made_recipe(name: str, made: Made) -> KnownRecipe:
    """Return a recipe that was just made, as far as its keys say it."""
    serve = made.keys.get("serve")
    keys = serve if isinstance(serve, dict) else {}
    served, aliases, port = keys.get("name"), keys.get("aliases"), keys.get("port")
    names = [served] if isinstance(served, str) else []
    names += [one for one in aliases if isinstance(one, str)] if isinstance(aliases, list | tuple) else []
    return KnownRecipe(name, tuple(names), port if isinstance(port, int) else None, str(keys.get("bind", LOOPBACK)))


def _services(made: MadeStack) -> list[tuple[str, Mapping[str, object]]]:
    services = made.keys.get("services")
    return list(services.items()) if isinstance(services, dict) else []


def _problem(made: MadeStack) -> str | None:
    if not made.keys:
        return None
    try:
        validate(document.load(yaml_text.document(dict(made.keys)), f"{made.name}.yaml"), Stack)
    except ProblemsError as error:
        return "; ".join(problem.message for problem in error.problems)
    return None
