"""Are the mods still there: on disk, in the image, in the running container. Readings by the port, verdicts pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sparkctl import mods, sources
from sparkctl.errors import ModError
from sparkctl.mods import ABSENT, MountedMod
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
    """Return the verdicts on a service's mods, running or not; changes nothing."""
    container = engine.container(service)
    running = container if container is not None and container.state == "running" else None
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
    """Return what the file that the mod covers is in the image, read without running it."""
    if engine.image(image) is None:
        return Reading(State.UNKNOWN, f"{image} is not on this host: what mod {mod.mod} covers is unknown until a pull")
    if mod.root is not None:
        package = mod.target.removeprefix(f"{mod.root}/").split("/")[0]
        if engine.read_image_file(image, f"{mod.root}/{package}/__init__.py") is None:
            why = f"{image} has no Python package {package} under {mod.root}, where mod {mod.mod} would be mounted"
            return Reading(State.MISSING, f"{why}: give the mod a path:, or the template the image's package_root")
    covered = engine.read_image_file(image, mod.target)
    return _covered(mod, image, covered)


def _covered(mod: MountedMod, image: str, covered: bytes | None) -> Reading:
    if mod.replaces == ABSENT:
        if covered is None:
            return Reading(State.OK)
        why = f"the image has moved: {image} has a {mod.target} of its own now, and mod {mod.mod} expects none"
        return Reading(State.CHANGED, f"{why}: does it contain the fix? then drop the mod")
    if covered is None:
        why = f"{image} has no {mod.target} that mod {mod.mod} could cover"
        return Reading(State.MISSING, f"{why}: is the mod for another image?")
    found = mods.md5_of(covered)
    if mod.replaces is None:
        return Reading(State.NOT_COMPARED)
    if found == mod.replaces:
        return Reading(State.OK)
    why = f"the image has moved: {mod.target} in {image} has md5 {found}, and mod {mod.mod} covers {mod.replaces}"
    return Reading(State.CHANGED, f"{why}: does it contain the fix? then drop the mod, else make the mod anew")


def container_reading(engine: Engine, container: Container, mod: MountedMod) -> Reading:
    """Return what a process of the running container sees at the mod's target."""
    content = engine.read_file(container.id, mod.target)
    mounted = [read_only for _, target, read_only in container.mounts if target == mod.target]
    if content is None:
        return Reading(State.MISSING, f"{container.name} has no {mod.target}: mod {mod.mod} is not in it")
    found = mods.md5_of(content)
    if not mounted:
        why = f"this container was started without the mod: {container.name} has md5 {found} at {mod.target}"
        return Reading(State.MISSING, f"{why}, and mod {mod.mod} is {mod.md5}: sparkctl up --replace {container.name}")
    if found != mod.md5:
        why = f"{mod.target} in {container.name} has md5 {found}, and mod {mod.mod} is {mod.md5}"
        return Reading(State.CHANGED, f"{why}: sparkctl up --replace {container.name}")
    if not mounted[0]:
        why = f"{mod.target} in {container.name} is mounted writable: what was checked can change"
        return Reading(State.CHANGED, f"{why}: sparkctl up --replace {container.name}")
    return Reading(State.OK)


def check_image(engine: Engine, image: str, found: Sequence[MountedMod]) -> None:
    """Check what each mod covers in the image.

    Raises:
        ModError: the image has moved, or has no such file.
    """
    _refuse([image_reading(engine, image, mod) for mod in found], "what the mods cover is not what they expect")


def check_container(engine: Engine, name: str, found: Sequence[MountedMod]) -> None:
    """Check each mod's file in the running container.

    Raises:
        ModError: it is not the mod's.
    """
    container = engine.container(name)
    if found and container is not None:
        _refuse([container_reading(engine, container, mod) for mod in found], f"{name} does not run what was declared")


def _refuse(readings: Sequence[Reading], what: str) -> None:
    reasons = [reading.why for reading in readings if reading.state not in _GOOD]
    if reasons:
        raise ModError("\n".join([what, *(f"  {reason}" for reason in reasons)]), hint="sparkctl verify-mods shows all")
