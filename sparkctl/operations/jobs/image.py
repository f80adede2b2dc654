"""The image that a job runs in: one that is there, or one that is built once and kept under the digest of its parts."""

from __future__ import annotations

from collections import deque
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.errors import EngineError, InputError, JobError
from sparkctl.base.shown import plain
from sparkctl.base.units import format_bytes
from sparkctl.operations.jobs import installer
from sparkctl.operations.services import image_pull
from sparkctl.recipes.job import built_image, pip_failures
from sparkctl.world import throwaway
from sparkctl.world.builder import BuildEnd, BuildOrder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.operations.context import World
    from sparkctl.recipes.job.job import JobImage
    from sparkctl.recipes.job.loaded import LoadedJob
    from sparkctl.world.builder import Builder
    from sparkctl.world.engine import Image

_LOOK_S: Final = 1.0
_MOST_LINES: Final = 2000
"""Lines of pip that are kept to explain a failure: a resolver that goes back and forth prints some hundred."""


class WantedImage(NamedTuple):
    """The inputs of an image; ``name`` is the job's, for reports. ``constraints`` is the text of the file."""

    name: str
    image: JobImage
    constraints: str = ""


def ensure_image(world: World, loaded: LoadedJob, *, wheels: Path | None = None) -> Image:
    """Return the image of a job; pulled or built where it is not there. ``wheels``: a folder in place of an index.

    Raises:
        EngineError: the engine refuses, or it is a simulated one.
        InputError: ``wheels`` is no folder of wheels.
        JobError: pip failed; its own sentence.
    """
    return ensure(world, WantedImage(loaded.name, loaded.job.image, loaded.constraints), wheels=wheels)


def known_image(world: World, loaded: LoadedJob) -> Image | None:
    """Return the image of a job where it is there, without fetching or building anything; None: it is not.

    Raises:
        EngineError: the engine refuses.
    """
    reference = image_reference(world, loaded)
    return None if reference is None else world.engine.image(reference)


def image_reference(world: World, loaded: LoadedJob) -> str | None:
    """Return the name of a job's image; None where it is built and its base is not here, so that its id is not known.

    Raises:
        EngineError: the engine refuses.
    """
    image = loaded.job.image
    if not image.built:
        return image.base
    base = world.engine.image(image.base)
    return None if base is None else built_image.image_tag(base.id, image.steps, loaded.constraints)


def packages_of(world: World, image: Image) -> Mapping[str, str]:
    """Return the version of every package of an image, by its name.

    Raises:
        EngineError: a simulated engine, the image has no ``python3``, or the engine refuses.
    """
    return _builder(world).installed(image.id)


def ensure(world: World, wanted: WantedImage, *, wheels: Path | None = None) -> Image:
    """Return an image; pulled or built where it is not there.

    Raises:
        EngineError: the engine refuses, or it is a simulated one.
        InputError: ``wheels`` is no folder of wheels.
        JobError: pip failed; its own sentence.
    """
    folder = None if wheels is None else _folder_of_wheels(wheels)
    builder = _builder(world)
    image_pull.pull(world.ports, world.report, wanted.name, wanted.image.base)
    base = _there(world, wanted.image.base)
    if not wanted.image.built:
        return base
    tag = built_image.image_tag(base.id, wanted.image.steps, wanted.constraints)
    engine_id = world.engine.info().id
    for left in throwaway.sweep(world.engine, world.ports.locks.lives):
        world.report.say(f"removed the container {left.name}, which a killed command left")
    while True:
        there = world.engine.image(tag)
        if there is not None:
            return there
        with world.ports.locks.work_on(engine_id, tag) as ours:
            # Another command may have made it between the two questions.
            if ours and world.engine.image(tag) is None:
                _build(world, builder, _order(world, wanted, base, folder), wanted)
        if not ours:
            world.report.progress(wanted.name, "another command builds the image", tag)
            world.ports.clock.sleep(_LOOK_S)


def _builder(world: World) -> Builder:
    if world.ports.builder is None:
        message = "a simulated engine runs no images: no job can run in it"
        raise EngineError(message, hint="name a real one: sparkctl --engine docker job …")
    return world.ports.builder


def _there(world: World, reference: str) -> Image:
    image = world.engine.image(reference)
    if image is None:
        message = f"the engine does not have the image {reference}"
        raise EngineError(message, hint=f"was it removed meanwhile? docker pull {reference}")
    return image


def _folder_of_wheels(folder: Path) -> Path:
    """Return a folder of wheels with all links resolved: the engine mounts it.

    Raises:
        InputError: it is none, or has no wheel.
    """
    download = "pip download --dest DIR -c CONSTRAINTS PACKAGES"
    hint = f"make one with: {download}, run by the base image's Python on its kind of processor"
    try:
        real = folder.resolve(strict=True)
        names = [path.name for path in real.iterdir()]
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"--wheels: {folder} cannot be read: {reason}", hint=hint) from None
    if not any(name.endswith(".whl") for name in names):
        raise InputError(f"--wheels: {folder} has no wheel (*.whl)", hint=hint)
    return real


def _order(world: World, wanted: WantedImage, base: Image, wheels: Path | None) -> BuildOrder:
    steps, constraints = wanted.image.steps, wanted.constraints
    return BuildOrder(
        tag=built_image.image_tag(base.id, steps, constraints),
        base=base.id,
        program=Path(installer.__file__).read_bytes(),
        files=built_image.build_files(steps, constraints, world.environ, wheels=wheels is not None),
        labels=built_image.image_labels(wanted.image.base, base.id, steps, constraints),
        comment=" && ".join(built_image.pip_command(step, constraints) for step in steps),
        wheels=wheels,
        network=wheels is None,
    )


def _build(world: World, builder: Builder, order: BuildOrder, wanted: WantedImage) -> None:
    """Build an image.

    Raises:
        EngineError: the engine refuses, or its disk fills up.
        JobError: pip failed.
    """
    report, lines, phase = world.report, deque[str](maxlen=_MOST_LINES), "building the image"
    report.say(f"{wanted.name}: building the image {order.tag} of {wanted.image.base}, once")
    began = world.ports.clock.monotonic()
    with closing(builder.build(order)) as moments:
        for moment in moments:
            for line in map(plain, moment.lines):
                lines.append(line)
                if line.startswith(installer.STEP):
                    phase = f"building the image, {line.removeprefix('sparkctl: ').partition(':')[0]}"
            tail = pip_failures.shown_line(lines[-1]).strip() if lines else ""
            report.progress(wanted.name, phase, tail)
            _refuse_full(world)
            if moment.end is not None and (moment.end.exit_code or moment.end.oom_killed):
                raise _failure(wanted, moment.end, lines, order)
    made = _there(world, order.tag)
    took = world.ports.clock.monotonic() - began
    report.say(f"{wanted.name}: the image is built: {format_bytes(made.size_bytes)} with its base, in {took:.0f} s")


def _refuse_full(world: World) -> None:
    """Stop a build that fills the engine's disk: everything on the host would suffer."""
    folder = world.engine.info().data_root
    free = world.host.disk_free_bytes(Path(folder)) if folder else None
    if free is not None and free < image_pull.LAST_BYTES:
        message = f"no room for the image: {format_bytes(free)} are left at {folder}; nothing of it was kept"
        raise EngineError(message, hint="remove images that nothing uses: docker image prune --all; docker system df")


def _failure(wanted: WantedImage, end: BuildEnd, lines: deque[str], order: BuildOrder) -> JobError:
    whole = list(lines) if len(lines) > len(end.lines) else list(map(plain, end.lines))
    step = next((line for line in reversed(whole) if line.startswith(installer.STEP)), "")
    where = f"{wanted.name}: the image cannot be built"
    if end.exit_code == installer.NO_PIP:
        message = f"{where}: {wanted.image.base} has no pip"
        return JobError(message, hint="take a base that has it, python:3.12-slim; or lay pip's wheel into --wheels DIR")
    if end.oom_killed:
        message = f"{where}: pip needs more than the {format_bytes(order.memory_bytes)} that a build may take"
        return JobError(message, hint="packages that have to be compiled need much: name versions that have wheels")
    found = pip_failures.explained(whole, wheels=order.wheels is not None)
    at = f" at {step.removeprefix('sparkctl: ').partition(':')[0]}" if step else ""
    return JobError(f"{where}: pip failed{at}: {found.text}", hint=found.hint)
