"""A stack resolved: its services as they would be started now, and what is kept of them in a generation."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import sparkctl
from sparkctl.base.errors import InputError
from sparkctl.base.lazy import LazyModule
from sparkctl.base.real_path import real
from sparkctl.base.yaml_nodes import text_of
from sparkctl.operations import secrets
from sparkctl.operations.memory.asked_set import AskedSet
from sparkctl.operations.stack import variables
from sparkctl.planning.box.declared import DeclaredGateway, DeclaredRoute, DeclaredService, Restarts, StartMode
from sparkctl.planning.box.generation import KeptGeneration, KeptMod, KeptService
from sparkctl.recipes.catalog import shipped_root

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.operations.context import World
    from sparkctl.operations.services import image_pull, startable
    from sparkctl.recipes.host_side.operator import Operator
    from sparkctl.recipes.service import Service, Source
    from sparkctl.recipes.stack import LoadedStack, StackService
else:
    image_pull = LazyModule("sparkctl.operations.services.image_pull")
    startable = LazyModule("sparkctl.operations.services.startable")


class ResolvedStack(NamedTuple):
    """A stack and its services, in the order of the file; ``declared`` is what it says of each, by the name."""

    loaded: LoadedStack
    services: list[Service]
    declared: Mapping[str, DeclaredService]


def resolved(world: World, name: str, *, touch: bool = True, download: bool = False) -> ResolvedStack:
    """Return the stack of this name or file with its services as ``up`` would start them.

    Without ``touch`` nothing is fetched or asked of an image, models and secrets may be missing, and commands that are
    certain are made when they are first asked for. ``download`` downloads models that are not here.

    Raises:
        InputError: there is no such stack, a recipe of it has the same name, or a file cannot be used; with ``touch``
            also as for ``up``: a model that is not here, a secret without a value.
        EngineError: an image that says which vLLM it has cannot be had.
    """
    loaded = stack_of(world, name)
    asked = AskedSet((name,))
    if touch:
        services = startable.startable(world, world.loader(world.ports.models, world.images), asked, download=download)
    else:
        loader = world.loader(world.ports.models, world.known_images)
        services = world.services(loader, asked.located(loader), later=True)
    return ResolvedStack(loaded, services, declared(loaded))


def stack_of(world: World, name: str) -> LoadedStack:
    """Return the stack that a name or a file means; its recipes are not read.

    Raises:
        InputError: nothing, or a recipe, has this name; or something is wrong with the stack's file.
    """
    if not world.catalog.knows_stack(name):
        loaded = world.catalog.stack(name)
        message = f"{name} is a recipe, and a stack of the same name is {loaded.entry.path}"
        raise InputError(message, hint="name the stack by its file")
    return world.catalog.stack(name)


def declared(loaded: LoadedStack) -> dict[str, DeclaredService]:
    """Return what a stack says of each of its services beside their recipes."""
    return {name: _declared(name, one) for name, one in loaded.stack.services.items()}


def _declared(name: str, one: StackService) -> DeclaredService:
    bounds = one.restart
    return DeclaredService(
        name=name,
        start=StartMode(one.start),
        priority=one.priority,
        keep=one.keep,
        after=tuple(one.after),
        idle_s=one.idle,
        stays_s=one.stays,
        restarts=Restarts(bounds.first, bounds.most, bounds.attempts, bounds.within),
        names=tuple(one.names),
        defaults=dict(one.defaults),
        force=dict(one.force),
    )


def declared_routes(loaded: LoadedStack) -> tuple[DeclaredRoute, ...]:
    """Return the names of a stack that stand for two services."""
    return tuple(
        DeclaredRoute(name, one.first, one.then, tuple(one.when), one.start, one.waiting)
        for name, one in loaded.stack.routes.items()
    )


def declared_gateway(loaded: LoadedStack, operator: Operator) -> DeclaredGateway | None:
    """Return where a stack's gateway listens, None where it has none.

    Its paths are absolute: an agent has another folder, and may have another home.
    """
    one = loaded.stack.gateway
    if one is None:
        return None
    folder = real(loaded.entry.path).parent
    certificate, key = (
        "" if path is None else str(folder / operator.expand(path)) for path in (one.certificate, one.certificate_key)
    )
    return DeclaredGateway(one.bind, one.port, one.wait, one.queue, one.comments, certificate, key, one.open)


def who(world: World) -> str:
    """Return the user who acts, as the environment says it; by the id where it says nothing."""
    names = (world.environ.get(name, "") for name in ("SUDO_USER", "USER", "LOGNAME"))
    return next(filter(None, names), f"user {os.getuid()}")


def fetch_images(world: World, services: Sequence[Service]) -> None:
    """Pull the images that the engine does not have, so that a generation can say which they were.

    Raises:
        EngineError: one cannot be had, or has no room.
    """
    for service in services:
        image_pull.pull(world.ports, world.report, service.name, service.spec.image)


def kept(
    world: World, stack: ResolvedStack, number: int, at: float, who: str, before: KeptGeneration | None = None
) -> KeptGeneration:
    """Return what is kept of a stack as it was resolved; ``number``, ``at`` and ``who`` as for ``KeptGeneration``.

    ``Generations.keep`` gives it its number where ``number`` is 0. What was made of the same as ``before`` is taken
    from there.

    Raises:
        InputError: the value of a secret stands in a command or a recipe, in place of the secret's name.
        EngineError: the engine does not answer.
    """
    host = stack.loaded.stack.host
    return KeptGeneration(
        number=number,
        stack=stack.loaded.name,
        file=str(real(stack.loaded.entry.path)),
        at=at,
        who=who,
        services=tuple(_kept(world, one, stack.declared[one.name], before) for one in stack.services),
        reserve_bytes=host.reserve,
        act_bytes=host.guard.act,
        floor_bytes=host.guard.floor,
        routes=declared_routes(stack.loaded),
        gateway=declared_gateway(stack.loaded, world.operator),
        elsewhere=tuple(_declared(name, one) for name, one in stack.loaded.elsewhere.items()),
    )


def _kept(world: World, service: Service, declared: DeclaredService, before: KeptGeneration | None) -> KeptService:
    """Return what is kept of a service, of which the command is made only where it was made of something else."""
    known, inputs = None if before is None else before.service(service.name), inputs_of(service)
    if known is None or not inputs or known.inputs != inputs:
        return kept_service(world, service, declared)
    image = world.engine.image(known.image)
    return replace(
        known,
        declared=declared,
        image_id="" if image is None else image.id,
        image_digests=() if image is None else image.digests,
        revision=revision(service.model),
        draft_revision=None if service.draft is None else revision(service.draft),
    )


def inputs_of(service: Service) -> str:
    """Return a digest of all that the words and the text of a service are made of, "" where that is not known.

    This package is part of it, by the sizes and times of its files: another one may make another command.
    """
    made = service.made_of()
    if not made:
        return ""
    value = json.dumps(service.resizer.loaded.document.value, default=str)
    return hashlib.sha256(f"{_package()}\n{made}\n{value}".encode()).hexdigest()


@cache
def _package() -> str:
    found, folders = [], [Path(sparkctl.__file__).parent, shipped_root() / "templates"]
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.suffix in {".py", ".yaml", ".j2"}:
                stat = path.stat()
                found.append(f"{path} {stat.st_size} {stat.st_mtime_ns}")
    return hashlib.sha256("\n".join(found).encode()).hexdigest()


def kept_service(world: World, service: Service, declared: DeclaredService) -> KeptService:
    """Return what is kept of a service as it was resolved.

    Of an image that the engine does not have, neither the id nor the digests are known: "" and (). Of variables that
    may be secrets the names are kept (``operations.stack.variables``).

    Raises:
        InputError, EngineError: as for ``kept``.
    """
    loaded, made = service.resizer.loaded, service.command()
    image = world.engine.image(made.spec.image)
    value = loaded.document.value
    text = text_of({key: one for key, one in value.items() if key != "extends"} if isinstance(value, dict) else value)
    laid = made.record.laid_over
    overrides = () if laid is None else laid.overrides
    kept = KeptService(
        declared=declared,
        recipe=made.record.recipe or service.recipe_name,
        text=text,
        words=made.words,
        digest=made.digest,
        image=made.spec.image,
        image_id="" if image is None else image.id,
        image_digests=() if image is None else image.digests,
        vllm=str(loaded.version.asked),
        model=service.recipe.model.repo,
        revision=revision(service.model),
        overrides=overrides,
        mods=tuple(KeptMod(mod.mod, mod.target, mod.md5) for mod in service.mods),
        secrets=service.recipe.secrets,
        draft="" if service.draft is None else service.draft.repo,
        draft_revision=None if service.draft is None else revision(service.draft),
        inputs=inputs_of(service),
    )
    values = {**world.stored_secrets, **world.secret_values(service)[0]}
    kept = variables.without_values(kept, values.values())
    if variables.names(kept):
        kept = replace(kept, inputs="")  # a digest over a value that is short would tell it to whoever guesses
    hint = "no generation keeps the value of a secret"
    secrets.refuse_written(service.name, values, [*kept.words, kept.text, *kept.overrides], hint)
    return kept


def revision(source: Source) -> str | None:
    """Return the commit of the files that a repository has in the cache, None where that is not known.

    The cache keeps each commit in a folder of its own: ``models--OWNER--NAME/snapshots/COMMIT``.
    """
    if source.folder is not None or source.here is None or source.here.parent.name != "snapshots":
        return None
    return source.here.name
