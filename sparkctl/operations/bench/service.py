"""The subject of `sparkctl bench`: a service that is deployed, with what is known of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import uuid4

from sparkctl.base.errors import InputError, NotReadyError
from sparkctl.memory.pace.roofline_share import speed
from sparkctl.memory.settings import kv_dtype
from sparkctl.operations import secrets
from sparkctl.operations.bench.result import TOKENS, Bench
from sparkctl.operations.bench.rounds import TEXTS, Workload, measure, prompts
from sparkctl.operations.bench.saved import bench_record
from sparkctl.operations.deployed_service import located
from sparkctl.operations.groups.head import where_it_answers
from sparkctl.recipes.sizing import memory_key
from sparkctl.vllm import boot_log
from sparkctl.vllm.answers import Healthy, ServerVersion
from sparkctl.vllm.kinds import ServerKind, kind_of
from sparkctl.vllm.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sparkctl.operations.context import World
    from sparkctl.operations.deployed import Deployed
    from sparkctl.recipes.recipe import Recipe
    from sparkctl.recipes.service import Service

_LOG_LINES = 5000
_QUESTIONS: Final = 5
"""Short questions that tell how long the way to another host is: a choice."""
_UNITS = {
    ServerKind.GENERATE: TOKENS,
    ServerKind.EMBED: "embeddings/s",
    ServerKind.RANK: "documents/s",
}


class BenchProtocol(NamedTuple):
    """The protocol: tokens of a request, rounds at each concurrency, and how many requests at once.

    ``prompts`` () are the ten that come with sparkctl; ``input_tokens`` makes each so long (None: as it is).
    """

    tokens: int = 500
    rounds: int = 3
    concurrency: tuple[int, ...] = (1, 3)
    prompts: tuple[str, ...] = ()
    input_tokens: int | None = None


_SIMULATED: Final = ("a simulated server writes without a model: its speed is that of this computer, and no figure",)


class Described(NamedTuple):
    """A service that is deployed; ``service`` is its recipe's, with what was laid over it; None where that is gone."""

    deployed: Deployed
    service: Service | None


def bench(world: World, name: str, protocol: BenchProtocol | None = None) -> Bench:
    """Measure how fast a service writes, by its server's own count of tokens; keep the result and return it.

    A level without requests in the result had none that ended in order. A group is measured at its head.

    Raises:
        InputError: no service of this name is deployed.
        NotReadyError: it does not answer, or it is half a group.
        EngineError: the engine is elsewhere, or does not answer; or the head of a group is not reached.
    """
    with where_it_answers(world, name) as there:
        there.refuse_elsewhere()
        found = measured(there, described(there, there.one_service(name)), protocol or BenchProtocol())
        kept(there, found)
    return found


def described(world: World, name: str) -> Described:
    """Return a service that answers.

    Raises:
        InputError: no service of this name is deployed.
        NotReadyError: it does not answer.
    """
    found = serving(world, name)
    try:
        loader = world.loader(world.ports.models, world.known_images)
        (service,) = loader.services([located(world, loader, name, found.container)])
    except (InputError, ValueError) as error:
        world.report.warn(f"what the recipe expects is not known: {getattr(error, 'message', error)}")
        return Described(found, None)
    return Described(found, service)


def serving(world: World, name: str) -> Deployed:
    """Return what is deployed under a name.

    Raises:
        InputError, NotReadyError: as for ``described``.
    """
    found = next((one for one in world.deployed() if one.container.name == name), None)
    if found is None:
        raise InputError(f"no service {name} is deployed", hint=f"sparkctl up {name}, or sparkctl ps for what is")
    if found.record.url is None or found.record.served_name is None:
        raise NotReadyError(
            f"it is not known where and by which name {name} answers: {'; '.join(found.record.damaged)}"
        )
    server = Server(world.ports.http, found.url, world.key_of(found.container), found.record.certificate)
    if found.container.state != "running" or not isinstance(server.health(), Healthy):
        raise NotReadyError(f"{name} does not serve", hint=f"sparkctl status {name}, or sparkctl attach {name}")
    return found


def measured(world: World, of: Described, asked: BenchProtocol) -> Bench:
    """Measure a service and return the result.

    Raises:
        NotReadyError: it does not answer.
        EngineError: there is no way to stream in this world.
    """
    deployed, service = of
    server = Server(world.ports.http, deployed.url, world.key_of(deployed.container), deployed.record.certificate)
    served_name = deployed.record.served_name or ""
    kind = _kind(of)
    workload = Workload(
        deployed.name,
        server,
        served_name,
        asked.prompts or prompts(),
        asked.tokens,
        asked.rounds,
        asked.concurrency,
        asked.input_tokens,
        uuid4().hex,
        kind,
    )
    came = measure(world.streams, world.report, workload)
    recipe = service.recipe if service is not None else None
    expect = recipe.expect if recipe is not None else None
    log = boot_log.parse(world.engine.logs(deployed.container.id, tail=_LOG_LINES))
    drafting = came.drafting if came.drafting is not None and came.drafting.drafted else None
    flags = _flags(deployed.container.command)
    found = Bench(
        service=deployed.name,
        recipe=service.recipe_name if service is not None else deployed.record.recipe or "?",
        model=recipe.model.repo if recipe is not None else served_name,
        image=deployed.container.image,
        vllm=log.vllm or _version(server, recipe),
        at=datetime.now(tz=UTC).timestamp(),
        max_tokens=asked.tokens if kind is ServerKind.GENERATE else TEXTS,
        unit=_UNITS[kind],
        rounds=asked.rounds,
        levels=came.levels,
        acceptance=drafting.positions if drafting is not None else (),
        acceptance_overall=drafting.overall if drafting is not None else None,
        expected=expect.tokens_per_second if expect is not None and not world.simulated else None,
        expected_source=expect.source if expect is not None else "",
        flags=flags | _mods(deployed),
        notes=_SIMULATED
        if world.simulated
        else (*came.notes, *_through_ssh(world, server), *_doubts(of, flags, asked.concurrency)),
        host=world.on,
    )
    writes = service is not None and kind is ServerKind.GENERATE and not world.simulated
    return _with_roofline(found, service) if writes and service is not None else found


def _kind(of: Described) -> ServerKind:
    """Return what a service does.

    Raises:
        NotReadyError: it does what is not measured.
    """
    flags = memory_key.serve_flags(of.deployed.container.command)
    kind = kind_of(flags, {}) if of.service is None else of.service.kind
    if kind not in _UNITS:
        message = f"{of.deployed.name}: it {kind.does}, and bench measures what writes, embeds or ranks"
        raise NotReadyError(message, hint=f"sparkctl check {of.deployed.name} asks it for what it does")
    return kind


def kept(world: World, found: Bench) -> None:
    """Keep a result; a store that cannot be written costs no result."""
    try:
        world.records.add(bench_record(found))
    except InputError as error:
        world.report.warn(f"the result is not kept: {error.message}")


def _version(server: Server, recipe: Recipe | None) -> str:
    """Return the vLLM of a server whose log no longer says it: by its own word, else by its recipe's."""
    said = server.version()
    if isinstance(said, ServerVersion):
        return said.text
    return str(recipe.vllm) if recipe is not None else "?"


def _through_ssh(world: World, server: Server) -> Iterator[str]:
    """Say of another host's figures that the way there is in them, with the shortest time that a question took."""
    if not world.on:
        return
    took = []
    for _ in range(_QUESTIONS):
        began = world.clock.monotonic()
        server.health()
        took.append(world.clock.monotonic() - began)
    yield (
        f"measured through ssh: the way to {world.on} and back is in the time of the first token; the shortest of "
        f"{_QUESTIONS} questions to /health took {min(took) * 1000:.1f} ms"
    )


def _mods(deployed: Deployed) -> dict[str, str]:
    names = deployed.record.mod_names
    if names is None:
        return {"mods": "?"}
    return {"mods": ",".join(names)} if names else {}


def _flags(command: Sequence[str]) -> dict[str, str]:
    """Return the flags of a server that its memory depends on, as it runs."""
    return dict(memory_key.relevant_flags(memory_key.serve_flags(command)))


def _doubts(of: Described, flags: Mapping[str, str], concurrency: Sequence[int]) -> Iterator[str]:
    most = flags.get("max-num-seqs", "")
    if most.isdecimal() and max(concurrency) > int(most):
        yield f"{max(concurrency)} at once, of which the server runs {most}: the others wait for their first token"
    laid_over = of.deployed.record.laid_over
    if of.service is not None and _flags(of.service.spec.command) != flags:
        recipe = of.service.recipe_name
        yield f"it runs with other settings than recipe {recipe}: the expected speed and the roofline are the recipe's"
    elif of.service is not None and laid_over is not None and laid_over.overrides:
        shown = " ".join(map(secrets.shown, laid_over.overrides))
        yield f"it runs with {shown} laid over recipe {of.service.recipe_name}: the expected speed is the recipe's"


def _with_roofline(found: Bench, service: Service) -> Bench:
    """Return a result with what one reader may have of a service on its GPU, half-way through its answer.

    It stays unknown on a CPU, and where the card's bandwidth or the service's weights are not known.
    """
    card = service.resizer.own_profile.card
    if service.recipe.gpus == "none" or card.bytes_per_second is None:
        return found
    once, args = service.resizer.once, service.recipe.args
    dtype = kv_dtype(args.get("kv-cache-dtype"), args.get("dtype"))
    tokens = round(found.prompt_tokens or 0) + found.max_tokens // 2
    read = speed(service.footprint.loaded, once, dtype, tokens, card.bytes_per_second)
    if read is None:
        return found
    return replace(found, roofline=read.most, predicted=read.expected, bandwidth=card.bytes_per_second)
