"""A product proved by serving it: the recipe that it is for loads it and answers, before it has its name.

It is served from its unfinished folder by a container that is not to stay (a trial, as the values of a sweep are),
under a name and on a port of its own. What runs meanwhile is not touched.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from sparkctl.base import regular_file
from sparkctl.base.errors import CheckError, DoesNotFitError, EngineError, InputError, NotReadyError
from sparkctl.memory.product import ProductFinding
from sparkctl.memory.weights import checkpoint
from sparkctl.memory.weights.load_options import QUERY_ALONE
from sparkctl.memory.weights.tensors import shared_layers
from sparkctl.operations import secrets
from sparkctl.operations.changes import Options, RefusedError, controller
from sparkctl.operations.checks import named
from sparkctl.operations.memory.asked_set import AskedSet
from sparkctl.operations.memory.model_lacks import lacks
from sparkctl.operations.services.startable import startable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sparkctl.operations.changes import Controller
    from sparkctl.operations.checks.checker import Named
    from sparkctl.operations.context import World
    from sparkctl.recipes.job.loaded import LoadedJob
    from sparkctl.recipes.service import Service, Source

LOADS: Final = "loads"
ANSWERS: Final = "answers"
_PORTS: Final = range(8900, 9000)
"""Where a product is served while it is checked: above the ports that recipes get from their names (8100 to 8899)."""
_KEEPS_ALL: Final = "model-free"
"""The way of jobs/llm-compressor.py that never loads the model."""
_USUAL: Final = ("text", "arithmetic", "repetition", "embedding", "rerank", "transcript")
"""The shipped checks that a product is asked where its recipe names none; those for its kind of server."""
_END: Final = "-proof"
"""What the name of such a service ends with."""


def refuse_unprovable(world: World, loaded: LoadedJob, source: Source) -> None:
    """Refuse, before a job starts, what could not be served: no such recipe or check, or a secret without a value.

    That its recipe will probably not read what the job makes is warned of: only the product tells.

    Raises:
        InputError: which.
    """
    if loaded.job.serves is None:
        return
    recipe = world.catalog.recipe(loaded.job.serves)
    if ANSWERS in loaded.job.checks:
        named.named(world, recipe.recipe.checks)
    if {LOADS, ANSWERS} & set(loaded.job.checks):
        _, missing = secrets.resolve(recipe.recipe.secrets, world.environ, world.stored_secrets)
        if recipe.recipe.serve.own_key:
            missing = [name for name in missing if name != secrets.API_KEY]
        if missing:
            message = f"{loaded.name}: the recipe {loaded.job.serves}, which is to prove its product, has no value for "
            hint = f"set it in your environment, or as NAME=value in {world.operator.config / 'secrets.env'} (mode 600)"
            raise InputError(f"{message}{', '.join(missing)}", hint=hint)
    vllm = recipe.version.version
    if vllm < QUERY_ALONE and loaded.parameters.get("way") != _KEEPS_ALL and _shares(source):
        message = (
            f"{loaded.name}: tools that load the model and save it leave out keys and values of layers that read "
            f"another's, and the recipe {loaded.job.serves} has vLLM {vllm}, which reads that in NVFP4 wrongly"
        )
        world.report.warn(f"{message} (vllm#54917): --set with.way={_KEEPS_ALL} keeps them")


def _shares(source: Source) -> bool:
    """Return whether a model has layers that read another's keys and values; False where it is not here."""
    if source.here is None or not regular_file.is_folder(source.here):
        return False
    return shared_layers(checkpoint.config_of_folder(source.here)[0]) is not None


def proved(world: World, loaded: LoadedJob, folder: Path) -> list[ProductFinding]:
    """Serve the product in ``folder`` by the recipe that the job names, and return what is found of it.

    ``folder`` may be one that a job has not finished, and has its config.json. A server that does not come up, or
    answers wrongly, is a finding; its container is gone afterwards, whatever happens.

    Raises:
        DoesNotFitError: there is no room for the recipe beside what runs now: nothing is known of the product, and it
            can be proved later.
        InputError, EngineError, ModError: the recipe cannot be started; nothing is known of the product either.
        WaitInterruptedError: the operator stopped it.
    """
    asked = [check for check in loaded.job.checks if check in {LOADS, ANSWERS}]
    if not asked or loaded.job.serves is None:
        return []
    world.refuse_elsewhere()
    service = _service(world, loaded.job.serves, folder)
    wrong = next((lack for lack in lacks(service) if lack.silent), None)
    if wrong is not None:
        return [ProductFinding(LOADS, False, f"the recipe {service.recipe_name} cannot: {wrong.says}; {wrong.way_out}")]
    checks = _checks(world, service) if ANSWERS in asked else []
    world.report.say(f"{service.name}: serves the product, to check it")
    changes = controller(world, [service])
    changes.put_right()
    with changes.trying(service.name):
        found = _served(world, changes, service, checks)
    world.report.say(f"{service.name}: stopped, the product is checked")
    return [one for one in found if one.check in asked]


def _checks(world: World, service: Service) -> list[Named]:
    """Return what the product is asked: the recipe's checks, or, where it names none, the usual ones of its kind."""
    own = service.recipe.checks
    found = named.named(world, own or _USUAL)
    return found if own else [one for one in found if all(asked.kind is service.kind for asked in one.check.requests)]


def _service(world: World, recipe: str, folder: Path) -> Service:
    """Return the recipe's service that loads the product, under its own name and port."""
    bind = world.catalog.recipe(recipe).recipe.serve.bind
    port = next((port for port in _PORTS if not world.host.port_taken(bind, port)), None)
    if port is None:
        message = f"no port of {_PORTS.start} to {_PORTS.stop - 1} is free to serve the product on"
        raise EngineError(message, hint="ss -tlnp shows who has them")
    overrides = (f"model.path={json.dumps(str(folder), ensure_ascii=False)}", f"serve.port={port}")
    loader = world.loader(world.ports.models, world.images)
    loader.proving = folder
    asked = AskedSet((recipe,), overrides, named=f"{recipe}{_END}")
    (service,) = startable(world, loader, asked)
    return service


def _served(world: World, changes: Controller, service: Service, checks: Sequence[Named]) -> list[ProductFinding]:
    """Start the service, ask it, and return what is found; within ``trying``."""
    recipe, vllm = service.recipe_name, service.resizer.loaded.version.version
    loads = ProductFinding(
        LOADS, True, f"the recipe {recipe} loads it and is ready ({service.recipe.image}, vLLM {vllm})"
    )
    require = named.require(world, {service.name: checks})
    try:
        changes.up([service], Options(trial=True, require=require))
    except RefusedError as error:
        message = f"no room to serve the product and check it:\n{error.message}"
        raise DoesNotFitError(message, hint="stop something (sparkctl ps), and run the job again") from None
    except NotReadyError as error:
        return [ProductFinding(LOADS, False, f"the recipe {recipe} does not come up with it: {error.message}")]
    except CheckError as error:
        return [loads, ProductFinding(ANSWERS, False, error.message)]
    names = ", ".join(check.name for check in checks)
    return [loads, ProductFinding(ANSWERS, True, f"it passes the checks {names}")]
