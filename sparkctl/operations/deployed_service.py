"""A service as it was started, whatever its recipe says by now.

What ran is read from three places, the surest first: the container's command (limits, drafting), its labels (address,
names, mods, secrets, when it counts as ready, what was laid over the recipe), and its recipe for the rest.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sparkctl.base.bounded import UnreadableError, read_json
from sparkctl.base.errors import InputError
from sparkctl.mods import placed
from sparkctl.operations import differences
from sparkctl.recipes.hosts import ranks
from sparkctl.recipes.recipe import Recipe, Speculative
from sparkctl.recipes.service import url_of
from sparkctl.recipes.sizing import memory_key
from sparkctl.world import labels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.mods.images import Images
    from sparkctl.operations.context import World
    from sparkctl.recipes.located import Located
    from sparkctl.recipes.reading import Loader
    from sparkctl.recipes.service import Service
    from sparkctl.world.engine import Container
    from sparkctl.world.labels import ServiceLabels


def located(world: World, loader: Loader, name: str, container: Container, more: Sequence[str] = ()) -> Located:
    """Return the recipe that a service was made from, with what was laid over it then, and ``more``.

    Raises:
        InputError: it is not known, not there any more, or cannot be used.
    """
    record = labels.read(container.labels)
    if record.recipe is None:
        message = f"it is not known from which recipe {name} was made"
        raise InputError(message, hint="; ".join(record.damaged))
    if not world.catalog.knows(record.recipe):
        message = f"{name} was made from the recipe {record.recipe}, which is not there any more"
        hint = f"put it back, or name its folder with --recipes; sparkctl status, logs and down {name} need no recipe"
        raise InputError(message, hint=hint)
    if record.group is not None:
        loader.rank = ranks.as_recorded(record.group, dict(container.env), container.settings or {})
    return loader.recorded(replace(record, service=name), more)


def service_of(world: World, name: str, container: Container, images: Images) -> Service:
    """Return the service that a container is, as it was started; how its recipe differs by now is warned of.

    Its ``footprint``, ``sizing`` and ``words`` are of the recipe as it is now.

    Raises:
        InputError: as for ``located``.
    """
    loader = world.loader(world.ports.models, images)
    (service,) = world.services(loader, [located(world, loader, name, container)])
    record = labels.read(container.labels)
    differs = differences.differences(service, container, None, {})
    if differs:
        told = [f"the recipe {record.recipe} is not what {name} was started as, and {name} is taken as it was started:"]
        world.report.warn("\n".join([*told, *(f"  {line}" for line in differs)]))
    return as_recorded(service, record, container.command)


def service_at(world: World, name: str, container: Container, override: str) -> Service:
    """Return the service that a container is, with one more value laid over its recipe.

    Raises:
        InputError: as for ``located``, or the service would differ in more than this value from what runs, or the value
            cannot be used.
    """
    loader = world.loader(world.ports.models, world.images)
    (service,) = loader.services([located(world, loader, name, container)])
    image, (values, _) = world.engine.image(container.image), world.secret_values(service)
    differs = differences.differences(service, container, image, values)
    if differs:
        message = "\n".join([f"{name} would differ in more than {override}:", *(f"  {line}" for line in differs)])
        raise InputError(message, hint=f"start it as it is wanted now, and then again: sparkctl up {name} --replace")
    (changed,) = world.services(loader, [located(world, loader, name, container, [override])])
    return changed


def as_recorded(service: Service, record: ServiceLabels, command: Sequence[str]) -> Service:
    """Return a service of a recipe as it is now with what its container was started with, as far as that is known."""
    recipe, ready = service.recipe, record.ready
    if record.digest != service.digest:
        recipe = recipe_of_command(recipe, record, command)
    changed: dict[str, object] = {}
    if ready is not None:
        settings = {"timeout": ready.timeout, "probe": ready.probe, "acceptance": ready.acceptance}
        changed |= {"ready": recipe.ready.model_copy(update=settings), "checks": ready.checks}
    if record.secrets is not None:
        changed["secrets"] = tuple(record.secrets.digests)
    mods = service.mods if record.mods is None else tuple(placed.as_recorded(record.mods, service.mods))
    started_as = recipe.model_copy(update=changed)
    was = service.command()._replace(record=record, digest=record.digest or service.digest)
    return service._replace(recipe=started_as, mods=mods, command=lambda: was)


def recipe_of_command(recipe: Recipe, record: ServiceLabels, command: Sequence[str]) -> Recipe:
    """Return a recipe as it is now with the address, the limits and the drafting of a server that was started."""
    flags = memory_key.serve_flags(command)
    changed = {
        "serve": recipe.serve.model_copy(update=_address(recipe, record)),
        "limits": recipe.limits.model_copy(update=_limits(flags)),
        "speculative": _speculative(recipe, flags),
    }
    return recipe.model_copy(update=changed)


def _address(recipe: Recipe, record: ServiceLabels) -> dict[str, object]:
    found: dict[str, object] = {} if record.served_name is None else {"name": record.served_name}
    if record.url is not None and record.url != url_of(recipe):
        host, _, port = record.url.partition("://")[2].rpartition(":")
        found |= {"bind": host.strip("[]"), "port": int(port)}
    return found


def _limits(flags: Mapping[str, object]) -> dict[str, object]:
    written = {"context": "max-model-len", "sequences": "max-num-seqs", "batched_tokens": "max-num-batched-tokens"}
    found = {name: flags.get(flag) for name, flag in written.items()}
    return {name: int(text) for name, text in found.items() if isinstance(text, str) and text.isdecimal()}


def _speculative(recipe: Recipe, flags: Mapping[str, object]) -> Speculative | None:
    """Return how the container drafts: as its recipe says where the method is the same, None where it does not."""
    text = flags.get("speculative-config")
    if not isinstance(text, str):
        return None
    try:
        given = read_json(text)
    except UnreadableError:
        return recipe.speculative
    if not isinstance(given, dict):
        return recipe.speculative
    method, count = given.get("method"), given.get("num_speculative_tokens")
    now = recipe.speculative
    same = now is not None and (now.method, now.num_speculative_tokens) == (method, count)
    if same or not isinstance(count, int):
        return now
    return Speculative.model_construct(method=method, num_speculative_tokens=count)
