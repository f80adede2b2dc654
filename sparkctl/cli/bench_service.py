"""What `sparkctl bench` measures: a service that is deployed, with what is known of it."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

from sparkctl import boot_log, memory_flags
from sparkctl.benching import Bench
from sparkctl.errors import InputError, NotReadyError
from sparkctl.measuring import Job, measure
from sparkctl.roofline import roofline

if TYPE_CHECKING:
    from sparkctl.cli.world import World
    from sparkctl.observing import Deployed
    from sparkctl.ports import Report
    from sparkctl.service import Service

_LOG_LINES = 5000


class Asked(NamedTuple):
    """The protocol: prompts, tokens of a request, rounds, how many at once."""

    prompts: tuple[str, ...]
    tokens: int
    rounds: int
    concurrency: tuple[int, ...]


class Described(NamedTuple):
    """A service that is deployed; ``service`` is its recipe's, None where that is gone."""

    deployed: Deployed
    service: Service | None


def described(world: World, name: str) -> Described:
    """Return a service that answers.

    Raises:
        InputError: no service of this name is deployed.
        NotReadyError: it does not answer.
    """
    found = next((one for one in world.deployed() if one.container.name == name), None)
    if found is None:
        raise InputError(f"no service {name} is deployed", hint=f"sparkctl up {name}, or sparkctl ps for what is")
    health = world.ports.http.get(f"{found.url}/health", timeout_s=5.0).status
    if found.container.state != "running" or health != HTTPStatus.OK:
        raise NotReadyError(f"{name} does not serve", hint=f"sparkctl status {name}, or sparkctl attach {name}")
    try:
        loader = world.loader(world.ports.models, world.known_images)
        (service,) = loader.services(loader.located([found.recipe], (), strict=False))
    except (InputError, ValueError) as error:
        world.out.warn(f"what the recipe expects is not known: {getattr(error, 'message', error)}")
        return Described(found, None)
    return Described(found, service)


def measured(world: World, of: Described, asked: Asked, report: Report) -> Bench:
    """Measure a service and return the result.

    Raises:
        NotReadyError: it does not answer.
        EngineError: there is no way to stream in this world.
    """
    deployed, service = of
    job = Job(
        deployed.name,
        deployed.url,
        deployed.served_name,
        world.api_key,
        asked.prompts,
        asked.tokens,
        asked.rounds,
        asked.concurrency,
    )
    came = measure(world.streams, world.ports.http, report, job)
    recipe = service.recipe if service is not None else None
    expect = recipe.expect if recipe is not None else None
    log = boot_log.parse(world.engine.logs(deployed.container.id, tail=_LOG_LINES))
    drafting = came.drafting if came.drafting is not None and came.drafting.drafted else None
    return Bench(
        service=deployed.name,
        recipe=deployed.recipe,
        model=recipe.model.repo if recipe is not None else deployed.served_name,
        image=deployed.container.image,
        vllm=log.vllm or (str(recipe.vllm) if recipe is not None else "?"),
        at=datetime.now(tz=UTC).timestamp(),
        max_tokens=asked.tokens,
        rounds=asked.rounds,
        levels=came.levels,
        acceptance=drafting.positions if drafting is not None else (),
        acceptance_overall=drafting.overall if drafting is not None else None,
        roofline=_most(service) if service is not None else None,
        expected=expect.tokens_per_second if expect is not None else None,
        expected_source=expect.source if expect is not None else "",
        flags=dict(memory_flags.key(service, deployed.container.image_id).flags) if service is not None else {},
        notes=came.notes,
    )


def _most(service: Service) -> float | None:
    """Return the most that one reader could have of a service on a GB10."""
    facts = service.resizer.facts
    shape = service.resizer.once.shape
    limit = roofline(
        service.footprint.loaded.by_component,
        shape.experts,
        shape.experts_per_token,
        tied=bool(facts.config.get("tie_word_embeddings", True)),
    )
    return limit.tokens_per_second if limit is not None else None
