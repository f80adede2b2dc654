"""The recipes and stacks of a catalog: listed, and checked."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base import named_file
from sparkctl.base.errors import InputError, Problem, ProblemsError
from sparkctl.operations.files import job_lint, reach, sheets
from sparkctl.operations.files.gateway_names import of_gateway
from sparkctl.operations.hosts.listed import undeclared
from sparkctl.recipes.host_side import version
from sparkctl.recipes.hosts.placing import wrong_ranks
from sparkctl.recipes.located import absent
from sparkctl.recipes.mods import misfits
from sparkctl.recipes.stack_parts.member import refuse_unservable, restarted_by_docker

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sparkctl.base.errors import Place
    from sparkctl.operations.context import World
    from sparkctl.recipes.catalog import Catalog, LoadedRecipe
    from sparkctl.recipes.located import Located
    from sparkctl.recipes.reading import Loader
    from sparkctl.recipes.recipe import Recipe, Serve
    from sparkctl.recipes.stack import LoadedStack
    from sparkctl.recipes.stack_parts.member import Member


_OF_JOBS: Final = (job_lint.JOB, job_lint.SCRIPT, job_lint.SUITE)


class ListedRecipe(NamedTuple):
    """A recipe or a stack (``kind``), and whose it is (``label``: given, yours, shipped)."""

    name: str
    kind: str
    label: str
    description: str
    path: Path


class Linted(NamedTuple):
    """What was checked, and everything that is wrong or doubtful with it.

    ``reaches`` is what of this host is reached beside models, their cache and mods: it is no mistake, and says whom a
    recipe has to be trusted from (docs/security.md).
    """

    names: tuple[str, ...]
    problems: tuple[Problem, ...]
    reaches: tuple[Problem, ...] = ()

    @property
    def errors(self) -> list[Problem]:
        """The problems that are more than a warning."""
        return [problem for problem in self.problems if not problem.warning]

    @property
    def warnings(self) -> list[Problem]:
        """The others."""
        return [problem for problem in self.problems if problem.warning]


def listed(catalog: Catalog) -> list[ListedRecipe]:
    """Return the recipes, then the stacks; one that cannot be used says so in its description."""
    found = [("recipe", entry) for entry in catalog.recipes()]
    found += [("stack", entry) for entry in catalog.entries("stack")]
    return [
        ListedRecipe(entry.name, kind, entry.label, _description(catalog, kind, entry.name), entry.path)
        for kind, entry in found
    ]


def shown_stack(world: World, name: str) -> LoadedStack | None:
    """Return the stack that a name means, None for a recipe or a service.

    Raises:
        InputError: something is wrong with the stack.
    """
    return world.catalog.stack(name) if world.catalog.knows_stack(name) else None


def shown(world: World, name: str, overrides: Sequence[str] = (), *, strict: bool = False) -> dict[str, LoadedRecipe]:
    """Return the recipe of each service that a name means, by the service, with all that is laid over it.

    The context that is not written is there too, as it follows from the model.

    Raises:
        InputError: nothing has this name, or a recipe cannot be used.
    """
    if Path(name).stem.startswith("_"):
        return {name: world.catalog.recipe(name, overrides, strict=strict)}
    loader = world.loader(world.disk_models)
    located = loader.located([name], overrides, strict=strict)
    return {one.member.service: _whole(world, loader, one) for one in located}


def _whole(world: World, loader: Loader, one: Located) -> LoadedRecipe:
    """Return a recipe with its context; where nothing is known of the model, that is told and the context stays 0."""
    if not one.loaded.recipe.limits.context:
        try:
            return loader.whole(one, *loader.facts(one)).loaded
        except InputError as error:
            world.report.warn(f"limits.context follows from the model: {error.message}")
    return one.loaded


def lint(world: World, names: Sequence[str] = (), *, strict: bool = False) -> Linted:
    """Check recipes, stacks, model facts, host profiles, measured starts, jobs, suites and scripts, by name or file.

    ``strict`` makes a flag that a recipe's vLLM does not have an error.

    Raises:
        InputError: there is none of a name.
    """
    catalog = world.catalog
    every = [*(entry.name for entry in catalog.recipes()), *(entry.name for entry in catalog.entries("stack"))]
    jobs_of = {name: job for name in names if (job := _job(catalog, name)) is not None}
    others = [name for name in names if name not in jobs_of]
    sheets_of = {name: found for name in others if (found := _sheet(catalog, name)) is not None}
    if not names:
        known = [(kind, entry) for kind in sheets.KINDS for entry in catalog.entries(kind)]
        sheets_of = {f"{sheets.KINDS[kind]} {entry.name}": (kind, entry.path) for kind, entry in known}
        jobs_of = {f"{kind} {entry.name}": (kind, entry.name) for kind in _OF_JOBS for entry in catalog.entries(kind)}
    checked = tuple(names or [*every, *sheets_of, *jobs_of])
    problems: dict[str, Problem] = {}
    reaches: dict[str, Problem] = {}
    for name in checked:
        if name in jobs_of:
            problems |= {str(problem): problem for problem in job_lint.problems(catalog, *jobs_of[name])}
            reaches |= {str(problem): problem for problem in job_lint.reaches(world, *jobs_of[name])}
            continue
        if name in sheets_of:
            problems |= {str(problem): problem for problem in sheets.problems(*sheets_of[name])}
            continue
        problems |= {str(problem): problem for problem in _problems(catalog, name, strict=strict)}
        of_here = [*_unmountable(world, name), *_lines(world, name), *_hosts(world, name)]
        problems |= {str(problem): problem for problem in of_here}
        reaches |= {str(problem): problem for problem in _reaches(world, name)}
    return Linted(checked, tuple(problems.values()), tuple(reaches.values()))


def _lines(world: World, name: str) -> list[Problem]:
    """Return what is wrong with the guard lines of a stack on this host."""
    with suppress(InputError):
        return world.offline_loader(world.disk_models).unheld_lines(name)
    return []


def _hosts(world: World, name: str) -> list[Problem]:
    """Return the hosts of a stack that this operator has not declared."""
    with suppress(InputError):
        return undeclared(world, world.catalog.stack(name)) if world.catalog.knows_stack(name) else []
    return []


def _unmountable(world: World, name: str) -> list[Problem]:
    """Return what the recipes of a name want of this host that no mount can bring."""
    with suppress(InputError):
        loader = world.offline_loader(world.disk_models)
        for one in loader.located([name], (), strict=False):
            try:
                loader.host_side(one)
            except ProblemsError as error:
                return error.problems
    return []


def _sheet(catalog: Catalog, name: str) -> tuple[str, Path] | None:
    """Return the kind and the file of model facts or of a host's profile that a name means; a recipe comes first."""
    if named_file.is_path(name):
        path = named_file.from_home(name)
        kind = sheets.kind_of(path) if named_file.there(path) else None
        return (kind, path) if kind is not None else None
    if catalog.knows(name):
        return None
    found = ((kind, entry) for kind in sheets.KINDS for entry in catalog.entries(kind) if entry.name == name)
    return next(((kind, entry.path) for kind, entry in found), None)


def _job(catalog: Catalog, name: str) -> tuple[str, str] | None:
    """Return the kind and the name of a job or of a script's declaration; a recipe comes first."""
    if named_file.is_path(name):
        path = named_file.from_home(name)
        kind = job_lint.kind_of(path) if named_file.there(path) else None
        return (kind, name) if kind is not None else None
    if catalog.knows(name):
        return None
    return next(((kind, name) for kind in _OF_JOBS for entry in catalog.entries(kind) if entry.name == name), None)


def _reaches(world: World, name: str) -> list[Problem]:
    """Return what the services of a name reach; for an unusable one, what is known of it."""
    found: list[Problem] = []
    with suppress(InputError):
        loader = world.offline_loader(world.disk_models)
        for one in loader.located([name], (), strict=False):
            found += reach.of_recipe(one.loaded, world.operator)
            found += _added(world.catalog, loader, one)
    return found


def _added(catalog: Catalog, loader: Loader, one: Located) -> list[Problem]:
    """Return what a service's mounts and its template reach; for an operator's own template, that this is not known."""
    place = one.loaded.document.node(("template",)).key
    try:
        (service,) = loader.services([one])
    except InputError as error:
        if catalog.entry("template", one.loaded.recipe.template).label == "shipped":
            return reach.of_declared(one.loaded)
        told = f"what its template reaches cannot be told: {error.message.splitlines()[0]}"
        return [*reach.of_declared(one.loaded), Problem(told, place, error.hint, warning=True)]
    mounts = [
        Problem(text, one.loaded.document.node(path).key, warning=True) for path, text in reach.of_mounts(service)
    ]
    added = reach.of_template(service)
    return [*mounts, *(Problem(f"the template adds {text}", place, warning=True) for text in added)]


def _description(catalog: Catalog, kind: str, name: str) -> str:
    try:
        return catalog.recipe(name).recipe.description if kind == "recipe" else catalog.stack(name).stack.description
    except InputError as error:
        return f"cannot be used: {error.message.splitlines()[0]}"


def _problems(catalog: Catalog, name: str, *, strict: bool) -> list[Problem]:
    """Return everything that is wrong or doubtful with a recipe, or with a stack and its recipes."""
    try:
        if catalog.knows_stack(name):
            return _stack_problems(catalog, catalog.stack(name), strict=strict)
        if Path(name).stem.startswith("_"):
            return catalog.base_problems(catalog.entry("recipe", name))
        (member,) = catalog.members(name)
    except ProblemsError as error:
        return error.problems
    return _recipe_problems(catalog, member, None, strict=strict)


def _stack_problems(catalog: Catalog, stack: LoadedStack, *, strict: bool) -> list[Problem]:
    """Return what is wrong or doubtful with each recipe of a stack, and with all of them together."""
    found: list[Problem] = []
    serves: dict[str, Serve] = {}
    for member in stack.members:
        place = stack.document.place(("services", member.service, "recipe"))
        try:
            refuse_unservable(member.service)
        except InputError as error:
            found.append(Problem(error.message, stack.document.node(("services", member.service)).key, error.hint))
        found += _recipe_problems(catalog, member, place, strict=strict)
        with suppress(InputError):
            loaded = catalog.recipe(member.recipe, member.overrides)
            recipe, restarted = loaded.recipe, restarted_by_docker(member, loaded)
            found += [restarted] if restarted is not None else []
            found += _wrong_ranks(stack, member, recipe)
            together = [name for name in serves if _on_one_host(stack, name, member.service)]
            for other in (name for name in together if serves[name].clashes(recipe.serve)):
                message = f"{other} and {member.service} both listen at {recipe.serve.place}"
                found.append(Problem(message, place, "give one of them a port of its own: set: {serve.port: …}"))
            if not stack.stack.hosts:  # equal services on several hosts share what they are asked
                found += _asked_alike(member, place, recipe.serve, serves)
            serves[member.service] = recipe.serve
    return [*found, *of_gateway(stack, serves)]


def _on_one_host(stack: LoadedStack, name: str, other: str) -> bool:
    """Return whether two services of a stack are on the same host for sure."""
    pins, others = (set(stack.stack.services[one].host) for one in (name, other))
    return not stack.stack.hosts or bool(pins & others)


def _wrong_ranks(stack: LoadedStack, member: Member, recipe: Recipe) -> list[Problem]:
    """Return that a service is pinned to more or fewer hosts than its recipe needs."""
    told = wrong_ranks(member.service, stack.stack.services[member.service].host, recipe.nodes)
    hint = "name as many, in the order of the ranks: the head's first"
    return [Problem(told, stack.document.place(("services", member.service, "host")), hint)] if told else []


def _asked_alike(member: Member, place: Place, serve: Serve, others: Mapping[str, Serve]) -> Iterator[Problem]:
    """Yield the names by which clients ask for a service and for one before it: they reach one of the two."""
    names = (serve.name, *serve.aliases)
    for other, taken in others.items():
        both = [name for name in names if name in {taken.name, *taken.aliases}]
        if both:
            message = f"{other} and {member.service} are both asked for by the name {', '.join(both)}"
            hint = "whoever asks by it reaches one of them; give one another: set: {serve.name: …}"
            yield Problem(message, place, hint, warning=True)


def _recipe_problems(catalog: Catalog, member: Member, place: Place | None, *, strict: bool) -> list[Problem]:
    """Return what is wrong or doubtful with a recipe; ``place`` is where a stack names it."""
    try:
        loaded = catalog.recipe(member.recipe, member.overrides, strict=strict)
    except ProblemsError as error:
        return error.problems
    except InputError as error:
        return [absent(catalog, member) or Problem(error.message, place, error.hint)]
    dangling = catalog.dangling(loaded)
    try:
        unfit = [] if dangling else misfits(catalog, loaded)
    except ProblemsError as error:
        unfit = error.problems
    return [*loaded.warnings, *version.judged(loaded, None, started=False), *dangling, *unfit]
