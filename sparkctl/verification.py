"""Are the mods still there: on disk, in the image, in the running container. Readings by the port, verdicts pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sparkctl import mods, observing, sources
from sparkctl.errors import EngineError, ModError
from sparkctl.mods import ABSENT, NOWHERE, UNPINNED, MountedMod
from sparkctl.sources import State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.ports import Container, Engine

_GOOD: Final = {State.OK, State.NOT_COMPARED, State.NOT_RUNNING}


@dataclass(frozen=True, slots=True)
class Reading:
    """One place: its state, and in words what is wrong, what follows and what to do."""

    state: State
    why: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One file of one mod of one service, over the three places."""

    service: str
    mod: MountedMod
    host: Reading
    image: Reading
    container: Reading

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong: an image that is not at hand is, for a service that runs."""
        places = [self.host, self.image, self.container]
        running = self.container.state is not State.NOT_RUNNING
        return all(p.state in _GOOD or (p.state is State.UNKNOWN and not running) for p in places)

    @property
    def word(self) -> str:
        """The verdict in a word: ok, or the worst state of the three places."""
        bad = [place.state for place in (self.container, self.image, self.host) if place.state not in _GOOD]
        return next((state for state in bad if state is not State.UNKNOWN), bad[0] if bad else State.OK)

    @property
    def reasons(self) -> list[str]:
        """One line for each place that is not ok."""
        return [place.why for place in (self.host, self.image, self.container) if place.why]


def verify(engine: Engine, service: str, image: str, found: Sequence[MountedMod]) -> list[Verdict]:
    """Return the verdicts on a service's mods, running or not; changes nothing.

    Raises:
        EngineError: the engine does not answer.
    """
    running = _running(engine, service)
    return [
        Verdict(
            service,
            mod,
            host_reading(mod),
            image_reading(engine, image, mod),
            container_reading(engine, running, mod) if running is not None else Reading(State.NOT_RUNNING),
        )
        for mod in found
    ]


def host_reading(mod: MountedMod) -> Reading:
    """Return what the source on this host is."""
    checked = sources.check_source(mod)
    return Reading(checked.state, f"{checked.why}: {checked.fix}" if checked.why else "")


def image_reading(engine: Engine, image: str, mod: MountedMod) -> Reading:
    """Return what the file that the mod covers is in the image, read without running it.

    A mod that is known by a container's label alone does not say what it covers: nothing is compared.
    """
    if mod.source == NOWHERE:
        return Reading(State.NOT_COMPARED)
    absent = Reading(
        State.UNKNOWN, f"{image} is not on this host: what mod {mod.mod} covers at {mod.target} is unknown until a pull"
    )
    if engine.image(image) is None:
        return absent
    try:
        return _image_reading(engine, image, mod)
    except EngineError as error:
        # Asked again, because an engine that does not answer at all is an error of its own, and raises here.
        gone = engine.image(image) is None
        return absent if gone else _unreadable(f"mod {mod.mod}: {mod.target} in {image}", error)


def _image_reading(engine: Engine, image: str, mod: MountedMod) -> Reading:
    package, nested, _ = mod.target.removeprefix(f"{mod.root}/").partition("/")
    top = f"{mod.root}/{package}/__init__.py"
    if mod.root is not None and nested and engine.read_image_file(image, top) is None:
        why = f"{image} has no Python package {package} under {mod.root}, where mod {mod.mod} would be mounted"
        return Reading(State.MISSING, f"{why}: give the mod a path:, or the template the image's package_root")
    return _covered(mod, image, engine.read_image_file(image, mod.target))


def _covered(mod: MountedMod, image: str, covered: bytes | None) -> Reading:
    if mod.replaces == ABSENT:
        if covered is None:
            return Reading(State.OK)
        why = f"the image has moved: {image} has a {mod.target} of its own now (md5 {mods.md5_of(covered)})"
        return Reading(
            State.CHANGED, f"{why}, and mod {mod.mod} expects none: does it contain the fix? then drop the mod"
        )
    if covered is None:
        why = f"{image} has no {mod.target} that mod {mod.mod} could cover"
        return Reading(State.MISSING, f"{why}: is the mod for another image?")
    if mod.replaces is None:
        return Reading(State.NOT_COMPARED)
    found = mods.md5_of(covered)
    if found == mod.replaces:
        return Reading(State.OK)
    why = f"the image has moved: {mod.target} in {image} has md5 {found}, and mod {mod.mod} covers {mod.replaces}"
    return Reading(State.CHANGED, f"{why}: does it contain the fix? then drop the mod, else make the mod anew")


def container_reading(engine: Engine, container: Container, mod: MountedMod) -> Reading:
    """Return what a process of the running container sees at the mod's target."""
    try:
        content = engine.read_file(container.id, mod.target)
    except EngineError as error:
        # As for an image: an engine that does not answer at all raises here.
        there = engine.container(container.id)
        if there is None or there.state != "running":
            why = f"{container.name} stopped while {mod.target} of mod {mod.mod} was read"
            return Reading(State.UNKNOWN, f"{why}: sparkctl logs {container.name}")
        return _unreadable(f"mod {mod.mod} in {container.name}", error)
    return _seen(container, mod, content)


def _seen(container: Container, mod: MountedMod, content: bytes | None) -> Reading:
    mount = next(((source, read_only) for source, target, read_only in container.mounts if target == mod.target), None)
    found = f"{container.name} has no {mod.target}"
    if content is not None:
        found = f"{container.name} has md5 {mods.md5_of(content)} at {mod.target}"
    why = f"{found}, and mod {mod.mod} is {mod.md5}"
    again = f"sparkctl up --replace {container.name}"
    if mount is None:
        return Reading(State.MISSING, f"this container was started without the mod: {why}: {again}")
    if content is None:
        return Reading(State.MISSING, f"the mod's mount is gone from this container: {why}: {again}")
    if mod.md5 == UNPINNED:
        return Reading(State.UNPINNED, f"nothing says whether this is the mod: {why}: sparkctl mods pin {mod.mod}")
    if mods.md5_of(content) != mod.md5:
        return Reading(State.CHANGED, f"{_cause(mount[0], mod)}: {why}: {again}")
    if not mount[1]:
        why = f"{mod.target} in {container.name} is mounted writable: what was checked can change"
        return Reading(State.CHANGED, f"{why}: {again}")
    return Reading(State.OK)


def _cause(mounted: str, mod: MountedMod) -> str:
    if mod.source in {NOWHERE, Path(mounted)}:
        return f"the mounted copy {mounted} has changed since it was verified"
    return f"this container was started with another file for the mod, {mounted}"


def check_image(engine: Engine, image: str, found: Sequence[MountedMod]) -> None:
    """Check what each mod covers in the image.

    Raises:
        ModError: the image has moved, has no such file, or cannot be looked into.
        EngineError: the engine does not answer.
    """
    _refuse([image_reading(engine, image, mod) for mod in found], "what the mods cover is not what they expect")


def check_container(engine: Engine, name: str, found: Sequence[MountedMod]) -> None:
    """Check each mod's file in the running container.

    Raises:
        ModError: it is not the mod's, or the container does not run any more and nothing can be said.
        EngineError: the engine does not answer.
    """
    if not found:
        return
    running = _running(engine, name)
    if running is None:
        message = f"{name} stopped before its mods could be checked"
        raise ModError(message, hint=f"nothing is known of what it ran: sparkctl logs {name}")
    _refuse([container_reading(engine, running, mod) for mod in found], f"{name} does not run what was declared")


def _running(engine: Engine, service: str) -> Container | None:
    """Return the service's container if it runs; one of the same name that is somebody else's is not looked into."""
    container = observing.find(engine, service)
    return container if container is not None and container.state == "running" else None


def _unreadable(where: str, error: EngineError) -> Reading:
    return Reading(State.UNKNOWN, ": ".join(filter(None, [where, error.message, error.hint])))


def _refuse(readings: Sequence[Reading], what: str) -> None:
    reasons = [reading.why for reading in readings if reading.state not in _GOOD]
    if reasons:
        raise ModError("\n".join([what, *(f"  {reason}" for reason in reasons)]), hint="sparkctl verify-mods shows all")
