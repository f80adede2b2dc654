"""What a stack declares, what was applied last, and what runs: how the three differ. Touches nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base import regular_file, units
from sparkctl.base.errors import EngineError, InputError
from sparkctl.base.shown import HIDDEN
from sparkctl.mods import placed, verdicts
from sparkctl.operations import deployed, secrets
from sparkctl.operations import differences as of_container
from sparkctl.operations.stack import standing
from sparkctl.operations.stack.generation_changes import compared, gateway_changes
from sparkctl.operations.stack.generations import Generations
from sparkctl.operations.stack.one_at_a_time import under_way
from sparkctl.operations.stack.resolved import kept, resolved, who
from sparkctl.planning.box.apply import drift
from sparkctl.planning.box.apply.drift import FoundService, Three
from sparkctl.world import labels
from sparkctl.world.docker_run import grammar

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sparkctl.operations.context import World
    from sparkctl.planning.box.apply.drift import ServiceDiff
    from sparkctl.planning.box.generation import KeptGeneration, KeptService
    from sparkctl.world.engine import Container
    from sparkctl.world.labels import ServiceLabels
    from sparkctl.world.spec import ContainerSpec

_SHORT_ID: Final = 12


class StackDiff(NamedTuple):
    """How a box differs from a stack. ``applied`` is the generation that it is held against, None: nothing was applied.

    ``before`` is what to know of earlier applies, and ``host`` how what the stack wants of the host has changed, in
    lines; ``services`` are all of them, also those that do not differ.
    """

    stack: str
    file: str
    applied: KeptGeneration | None
    before: tuple[str, ...]
    host: tuple[str, ...]
    services: tuple[ServiceDiff, ...]

    @property
    def same(self) -> bool:
        """Whether nothing differs: declared, applied and running are one."""
        return self.applied is not None and not self.host and not self.before and all(one.same for one in self.services)


def diff(world: World, stack: str | None = None, *, mods: bool = False) -> StackDiff:
    """Return how a stack, what was applied last, and what runs differ.

    Without a ``stack``, the applied file is read again; if it is gone, or is for several hosts, the applied generation
    counts as declared. ``mods`` asks the containers whether their mods are still in them.

    Raises:
        InputError: nothing was applied and no stack is named, or a file cannot be used.
        EngineError: the engine does not answer.
    """
    applied = Generations(world).applied()
    if stack is not None:
        return against(world, _declared(world, stack, applied), applied, mods=mods)
    if applied is None:
        raise InputError("nothing was applied yet", hint="name a stack: sparkctl diff STACK; sparkctl apply STACK")
    if applied.whole:
        told = f"{applied.stack} is for several hosts: this holds its part here against what was applied"
        world.report.say(f"{told}; sparkctl diff {applied.file} reads it again, for all of them")
        return against(world, applied, applied, mods=mods)
    if regular_file.is_there(Path(applied.file)):
        return against(world, _declared(world, applied.file, applied), applied, mods=mods)
    world.report.warn(f"{applied.file} is not there any more: what was applied of it is taken for declared")
    return against(world, applied, applied, mods=mods)


def _declared(world: World, stack: str, applied: KeptGeneration | None) -> KeptGeneration:
    found = resolved(world, stack, touch=False)
    return kept(world, found, 0, world.ports.clock.epoch(), who(world), applied)


def against(world: World, declared: KeptGeneration, applied: KeptGeneration | None, *, mods: bool = False) -> StackDiff:
    """Return how what is declared differs from what was applied last, and what runs from both.

    Raises:
        InputError: what was kept, or a container's label, cannot be read.
        EngineError: the engine does not answer.
    """
    then = {} if applied is None else {one.name: one for one in applied.services}
    now = {one.name: one for one in declared.services}
    changes = {name: compared(then[name], _with_image(one, then[name])) for name, one in now.items() if name in then}
    moved = {name: text for name, one in then.items() if name in now and (text := _moved(one, now[name]))}
    found = _found(world, now, then, mods=mods)
    three = Three(declared.stack, now, then, found, _standing(world))
    return StackDiff(
        stack=declared.stack,
        file=declared.file,
        applied=applied,
        before=_before(world, applied),
        host=() if applied is None else tuple(_of_host(applied, declared)),
        services=tuple(drift.differences(three, changes, moved)),
    )


def _standing(world: World) -> dict[str, str]:
    """Return why services are not kept running, by name: an operator stopped them, or they were given up."""
    return {name: standing.words(one) for name, one in standing.standings(world).items()}


def _with_image(now: KeptService, then: KeptService) -> KeptService:
    """Return a declared service with the image that was applied, where it is only its tag that moved."""
    if now.image != then.image:
        return now
    return replace(now, image_id=then.image_id, image_digests=then.image_digests)


def _moved(then: KeptService, now: KeptService) -> str:
    """Return in words that an image's tag names another image than when it was applied; "" if it does not."""
    if now.image != then.image or not then.image_id:
        return ""
    if not now.image_id:
        return f"the image {then.image} is not on this engine any more: {_short(then.image_id)} was applied"
    if now.image_id == then.image_id or set(now.image_digests) & set(then.image_digests):
        return ""
    return f"the tag {then.image} names another image now: {_short(then.image_id)} before, {_short(now.image_id)} now"


def _short(image_id: str) -> str:
    return image_id.removeprefix("sha256:")[:_SHORT_ID]


def _of_host(then: KeptGeneration, now: KeptGeneration) -> list[str]:
    settings = {"reserve": "reserve_bytes", "guard.act": "act_bytes", "guard.floor": "floor_bytes"}
    found = []
    for words, name in settings.items():
        before, after = getattr(then, name), getattr(now, name)
        if before != after:
            told = ["as the host's profile says" if one is None else units.format_gib(one) for one in (before, after)]
            found.append(f"host.{words}: {told[0]} before, {told[1]} now")
    return [*found, *gateway_changes(then, now)]


def _before(world: World, applied: KeptGeneration | None) -> tuple[str, ...]:
    """Return what to know about the applies after the last one that succeeded."""
    generations = Generations(world)
    last = generations.last()
    if last is None or (applied is not None and last.number <= applied.number):
        return ()
    end = generations.ends().get(last.number)
    of = f"generation {last.number} ({last.stack}, by {last.who})"
    if end is not None:
        return (f"{of} {end.outcome}: {end.words}",)
    if under_way(world):
        return (f"{of} is being applied",)
    return (f"{of} did not come to its end: its process was killed, or that could not be kept",)


# --- what runs --------------------------------------------------------------------------------------------------------


def _found(
    world: World, now: Mapping[str, KeptService], then: Mapping[str, KeptService], *, mods: bool
) -> dict[str, FoundService]:
    """Return the engine's services, each compared with what was applied, or else with what is declared."""
    found: dict[str, FoundService] = {}
    for name, container in deployed.services(world.engine):
        if container.name != name:
            continue  # set aside: the command that did this settles it, or the next one
        record = labels.read(container.labels)
        wanted = then.get(name) or now.get(name)
        laid = record.laid_over
        differs: list[str] = []
        if wanted is not None and container.state == "running":
            if record.digest != wanted.digest:
                differs += of_container.of_command(_with_hidden(grammar.parse(wanted.words), container), container)
            differs += _of_the_moment(world, wanted, container, record)
        found[name] = FoundService(
            name=name,
            state=container.state,
            digest=record.digest,
            recipe=record.recipe or "",
            stack=laid.stack if laid is not None else "",
            laid_over="" if wanted is None else _laid_over(record, wanted),
            ended=_ended(container),
            differs=tuple(differs),
            lost=_lost(world, container, record) if mods and wanted is not None else (),
        )
    return found


def _with_hidden(spec: ContainerSpec, container: Container) -> ContainerSpec:
    """Return a stored specification with a container's own values for variables that are stored by name only."""
    runs = dict(container.env)
    return replace(spec, env=tuple((name, runs.get(name) if text == HIDDEN else text) for name, text in spec.env))


def _of_the_moment(world: World, wanted: KeptService, container: Container, record: ServiceLabels) -> list[str]:
    """Return how the image behind the tag and the secrets differ from those with which a container was started."""
    lines = []
    ran = record.image_id or container.image_id
    if container.image == wanted.image and wanted.image_id not in {"", ran}:
        lines.append(f"image behind the tag ({wanted.image}): {_short(ran)} runs, {_short(wanted.image_id)} applied")
    values, _ = secrets.resolve(wanted.secrets, world.environ, world.stored_secrets if wanted.secrets else {})
    return [*lines, *of_container.of_secrets(container, values)]


def _laid_over(record: ServiceLabels, wanted: KeptService) -> str:
    """Return which overrides a person added to a recipe, and which applied ones are missing; secrets are not shown."""
    if record.laid_over is None:
        return ""
    runs, applied = ([secrets.shown(one) for one in each] for each in (record.laid_over.overrides, wanted.overrides))
    laid = [one for one in runs if one not in applied]
    return " ".join([*laid, *(f"without {one}" for one in applied if one not in runs)])


def _ended(container: Container) -> str:
    """Return how a container ended, "" of one that has not."""
    if container.state not in {"exited", "dead"}:
        return ""
    if container.oom_killed:
        return "the kernel killed it for memory"
    if container.error:
        return f"the engine could not run it: {container.error}"
    return f"it ended with {container.exit_code}, by itself or stopped with other tools than sparkctl"


def _lost(world: World, container: Container, record: ServiceLabels) -> tuple[str, ...]:
    """Return which files of its mods are no longer in a running container as they were at its start."""
    if container.state != "running" or not record.mods:
        return ()
    try:
        readings = verdicts.container_readings(world.engine, container, placed.from_record(record.mods))
    except EngineError as error:
        return (f"whether its mods are in it is not known: {error.message}",)
    return tuple(f"mod lost: {one.why}" for one in readings if one.why)


def others(world: World, names: Collection[str], stacks: Collection[str]) -> list[tuple[str, str]]:
    """Return which of these services belong to another stack than ``stacks``, and to which one."""
    found = []
    for name, container in deployed.services(world.engine):
        laid = labels.read(container.labels).laid_over
        if name in names and laid is not None and laid.stack and laid.stack not in stacks:
            found.append((name, laid.stack))
    return found
