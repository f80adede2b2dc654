"""Whether mods are still in place on disk, in the image and in the container. Ports read; verdicts are pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, TypeGuard

from packaging.version import InvalidVersion, Version

from sparkctl.base.errors import EngineError, ModError
from sparkctl.mods import in_container, in_image, on_disk
from sparkctl.mods.checksum import md5_of
from sparkctl.mods.in_container import Sight
from sparkctl.mods.in_image import Fit
from sparkctl.mods.on_disk import FileState
from sparkctl.mods.placed import NOWHERE, MountedMod
from sparkctl.vllm import releases
from sparkctl.world.engine import ImportedFile
from sparkctl.world.labels import is_ours

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.mods.images import Images
    from sparkctl.world.engine import Container, Engine, Package
    from sparkctl.world.ports import Files

_GOOD: Final = {FileState.OK, FileState.NOT_COMPARED, FileState.NOT_RUNNING, FileState.OUTSIDE}
_FITS: Final = {
    Fit.AS_MEANT: FileState.OK,
    Fit.NOT_DECLARED: FileState.NOT_COMPARED,
    Fit.MOVED: FileState.CHANGED,
    Fit.NOTHING_THERE: FileState.MISSING,
}


@dataclass(frozen=True, slots=True)
class ModVerdict:
    """The verdict on one file of one mod of one service, over the three places."""

    service: str
    mod: MountedMod
    host: Sight
    image: Sight
    container: Sight

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong; for a running service, an unknown state counts as wrong."""
        places = [self.host, self.image, self.container]
        running = self.container.state is not FileState.NOT_RUNNING
        return all(p.state in _GOOD or (p.state is FileState.UNKNOWN and not running) for p in places)

    @property
    def word(self) -> str:
        """The verdict in a word: ok, or the worst state of the three places."""
        bad = [place.state for place in (self.container, self.image, self.host) if place.state not in _GOOD]
        return next((state for state in bad if state is not FileState.UNKNOWN), bad[0] if bad else FileState.OK)

    @property
    def reasons(self) -> list[str]:
        """One line for each place that is not ok."""
        return [place.why for place in (self.host, self.image, self.container) if place.why]


class Meant(NamedTuple):
    """A service whose mods are verified, and its container if it has one.

    ``marks`` are words of a command that serves the same model. ``unknown`` says why its mods are not known; "": they
    are known.
    """

    name: str
    image: str
    mods: Sequence[MountedMod]
    container: Container | None
    marks: tuple[str, ...] = ()
    unknown: str = ""


def verify(engine: Engine, images: Images, one: Meant, files: Files | None = None) -> list[ModVerdict]:
    """Return the verdicts on a service's mods, running or not; changes nothing.

    ``files`` are those of the host that mounts the mods, where that may be another one.

    Raises:
        EngineError: the engine does not answer.
    """
    doubt = [_unknown(one)] if one.unknown else []
    covered = image_readings(images, one.image, one.mods)
    idle = [Sight(FileState.NOT_RUNNING)] * len(one.mods)
    run = container_readings(engine, one.container, one.mods) if _runs(one.container) else idle
    known = zip(one.mods, covered, run, strict=True)
    return [*doubt, *(ModVerdict(one.name, mod, host_reading(mod, files), there, runs) for mod, there, runs in known)]


def _unknown(one: Meant) -> ModVerdict:
    """Return the row for unknown mods: for a running service it counts as a fault."""
    nowhere = Sight(FileState.NOT_COMPARED)
    runs = Sight(FileState.UNKNOWN if _runs(one.container) else FileState.NOT_RUNNING, one.unknown)
    return ModVerdict(one.name, MountedMod("?", "?", None, NOWHERE, "?", "?"), nowhere, nowhere, runs)


def host_reading(mod: MountedMod, files: Files | None = None) -> Sight:
    """Return the state of the source; ``files`` as for ``verify``."""
    checked = on_disk.check_source(mod, files)
    return Sight(checked.state, f"{checked.why}: {checked.fix}" if checked.why else "")


# --- the image -------------------------------------------------------------------------------------------------------


def image_readings(images: Images, image: str, found: Sequence[MountedMod]) -> list[Sight]:
    """Return the state of the covered files in the image, read without running it.

    For a mod known only from a container's label, nothing is compared: the label does not say what it covers.
    """
    declared = [mod for mod in found if mod.source != NOWHERE]
    if not declared:
        return [Sight(FileState.NOT_COMPARED) for _ in found]
    if not images.there(image):
        return [_not_here(image, mod) for mod in found]
    try:
        roots = _roots(images, image, declared)
        md5s = images.checksums(image, [mod.target for mod in declared])
    except EngineError as error:
        # Asked again: if the engine does not answer at all, this call raises that error of its own.
        gone = not images.there(image)
        return [_not_here(image, mod) if gone else _unreadable(f"mod {mod.mod} in {image}", error) for mod in found]
    return [
        Sight(FileState.NOT_COMPARED) if mod.source == NOWHERE else _covered(mod, image, md5s[mod.target], roots)
        for mod in found
    ]


def _not_here(image: str, mod: MountedMod) -> Sight:
    why = f"{image} is not on this host: what mod {mod.mod} covers at {mod.target} is unknown until a pull"
    return Sight(FileState.UNKNOWN, why)


def _roots(images: Images, image: str, found: Sequence[MountedMod]) -> Mapping[str, Package]:
    """Return the packages of the mods' modules, as the image's own Python finds them."""
    names = sorted({mod.module.partition(".")[0] for mod in found if mod.module})
    return images.packages(image, names) if names else {}


def _covered(mod: MountedMod, image: str, md5: str | None, packages: Mapping[str, Package]) -> Sight:
    name = (mod.module or "").partition(".")[0]
    package = packages.get(name)
    nested = mod.module is not None and "." in mod.module
    if package is not None and nested and package.folder != f"{mod.root}/{name}":
        return Sight(FileState.MISSING, _elsewhere(mod, image, name, package))
    fit, why = in_image.covered(mod, image, md5)
    return Sight(_FITS[fit], why or _misfit(mod, image, package))


def _elsewhere(mod: MountedMod, image: str, name: str, package: Package) -> str:
    """Say that a package is not where the mod would be mounted."""
    where = f"{image} has no Python package {name} under {mod.root}, where mod {mod.mod} would be mounted"
    if package.folder is None:
        return f"{where}: is the mod for another image?"
    if not package.on_disk:
        return f"{where}: it is in {package.folder}, and nothing can be laid over a file within a zip file"
    return f"{where}: its Python finds it in {package.folder}; run the command again, now that the image is here"


def _misfit(mod: MountedMod, image: str, package: Package | None) -> str:
    """Say that the mod was not made for the image's vLLM; that alone is no fault."""
    if mod.made_for is None or package is None or package.version is None:
        return ""
    try:
        fits = releases.within(Version(package.version), mod.made_for)
    except InvalidVersion:
        return ""
    made = f"mod {mod.mod} is made for vLLM {mod.made_for}"
    return "" if fits else f"{made}, and {image} reports {package.version}"


# --- the container ---------------------------------------------------------------------------------------------------


def container_readings(engine: Engine, container: Container, found: Sequence[MountedMod]) -> list[Sight]:
    """Return what a process in the running container sees at the mods' targets, and what its Python imports."""
    if not found:
        return []
    try:
        seen = engine.imported(container.id, [(mod.target, mod.module) for mod in found])
        if seen is None:
            seen = {mod.target: _without_python(engine.read_file(container.id, mod.target)) for mod in found}
            return [in_container.seen(container, mod, seen[mod.target], python=False) for mod in found]
    except EngineError as error:
        # As for an image: an engine that does not answer at all raises here.
        there = engine.container(container.id)
        if there is None or there.state != "running":
            why = f"{container.name} stopped while its mods were read: sparkctl logs {container.name}"
            return [Sight(FileState.UNKNOWN, why) for _ in found]
        return [_unreadable(f"mod {mod.mod} in {container.name}", error) for mod in found]
    return [in_container.seen(container, mod, seen[mod.target], python=True) for mod in found]


def _without_python(content: bytes | None) -> ImportedFile:
    return ImportedFile(None if content is None else md5_of(content))


def outsiders(engine: Engine, services: Sequence[Meant]) -> list[ModVerdict]:
    """Return the verdicts on running containers that sparkctl did not make, for images whose services have mods.

    A container in a service's place (with its name or its model) must have the mods; another one is only named.

    Raises:
        EngineError: the engine does not answer.
    """
    images = {one.image: engine.image(one.image) for one in services if one.mods}
    strangers = [c for c in engine.containers() if c.state == "running" and not is_ours(c.labels)]
    found: dict[tuple[str, str], ModVerdict] = {}
    for one in services:
        image = images.get(one.image)
        same = [c for c in strangers if image is not None and c.image_id == image.id]
        for verdict in [verdict for container in same for verdict in _strangers(engine, container, one)]:
            key = (verdict.service, verdict.mod.target)
            if key not in found or found[key].holds:
                found[key] = verdict
    return list(found.values())


def _strangers(engine: Engine, container: Container, one: Meant) -> list[ModVerdict]:
    takes = container.name == one.name or any(word in one.marks for word in container.command)
    nowhere = Sight(FileState.NOT_COMPARED)
    found = []
    for mod, read in zip(one.mods, container_readings(engine, container, one.mods), strict=True):
        reading = read
        if read.state is not FileState.OK:
            why = f"{container.name}, which sparkctl did not start, runs {container.image} without mod {mod.mod}"
            fix = f"stop it, then: sparkctl up {one.name}" if takes else "nothing to do, if it is meant to run without"
            reading = Sight(FileState.MISSING if takes else FileState.OUTSIDE, f"{why} at {mod.target}: {fix}")
        found.append(ModVerdict(container.name, mod, nowhere, nowhere, reading))
    return found


# --- for a start -----------------------------------------------------------------------------------------------------


def check_image(images: Images, image: str, found: Sequence[MountedMod]) -> None:
    """Check what each mod covers in the image.

    Raises:
        ModError: the image has moved, has no such file, or cannot be looked into.
        EngineError: the engine does not answer.
    """
    _refuse(image_readings(images, image, found), "what the mods cover is not what they expect")


def check_container(engine: Engine, name: str, container: Container | None, found: Sequence[MountedMod]) -> None:
    """Check each mod's file in the container of the service ``name``; None: it has none.

    Raises:
        ModError: it is not the mod's, or the container does not run any more and nothing can be said.
        EngineError: the engine does not answer.
    """
    if not found:
        return
    if not _runs(container):
        message = f"{name} stopped before its mods could be checked"
        raise ModError(message, hint=f"nothing is known of what it ran: sparkctl logs {name}")
    _refuse(container_readings(engine, container, found), f"{name} does not run what was declared")


def _runs(container: Container | None) -> TypeGuard[Container]:
    return container is not None and container.state == "running"


def _unreadable(where: str, error: EngineError) -> Sight:
    return Sight(FileState.UNKNOWN, ": ".join(filter(None, [where, error.message, error.hint])))


def _refuse(readings: Sequence[Sight], what: str) -> None:
    reasons = [reading.why for reading in readings if reading.state not in _GOOD]
    if reasons:
        raise ModError("\n".join([what, *(f"  {reason}" for reason in reasons)]), hint="sparkctl verify-mods shows all")
