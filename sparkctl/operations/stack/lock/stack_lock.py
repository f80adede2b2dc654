"""The lock of a stack: written beside it, and held against what is here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base import document, regular_file
from sparkctl.base.errors import InputError
from sparkctl.operations.stack import resolved
from sparkctl.operations.stack.lock import behind
from sparkctl.operations.stack.lock.behind import LockFinder, Names
from sparkctl.planning.box import lock_file
from sparkctl.planning.box.lock_differences import LockDifference, differences, locked_words
from sparkctl.planning.box.lock_file import END, SCHEMA, StackLock
from sparkctl.recipes.catalog import SHIPPED

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from sparkctl.operations.context import World
    from sparkctl.recipes.service import Service
    from sparkctl.recipes.stack import LoadedStack

_MODE: Final = 0o644
"""To be committed: there is no secret in it."""


class WrittenLock(NamedTuple):
    """A lock, where it is, and whether the file was as it is already."""

    path: Path
    lock: StackLock
    same: bool = False


def lock(world: World, name: str, *, hashing: bool = False) -> WrittenLock:
    """Write down what is behind the names of a stack; what is not here is taken as registry and hub have it now.

    ``hashing``: every byte of the models is read, and held against the sums that the hub has.

    Raises:
        InputError: no such stack, an image or a model of which nothing can be known, a mod's file that is not what it
            has to be, or (hashing) a model's that is damaged: all of them at once; nothing was written.
        EngineError: the engine does not answer.
    """
    stack = stack_of(world, name)
    finder = LockFinder(world, hashing=hashing)
    found = {one.service: finder.behind(one) for one in names_of(world, name)}
    unknown = [f"{service}: {what}: {why}" for service, one in found.items() for what, why in one.unknown]
    damaged = [f"{one.service}: {one.what}: expected {one.locked}, found {one.found}" for one in finder.damaged]
    if unknown or damaged:
        raise InputError("\n".join([*unknown, *damaged]), hint="nothing was written: mend this, and lock again")
    services = {service: one.service for service, one in found.items()}
    host = behind.host_of(world)
    return write(world, stack, StackLock(version=SCHEMA, stack=stack.name, host=host, services=services))


def check(world: World, name: str, *, hashing: bool = False) -> list[LockDifference]:
    """Return where what is here differs from the lock of a stack; [] where nothing does.

    Raises:
        InputError: no such stack, no lock of it, or one that cannot be used here.
        EngineError: the engine does not answer.
    """
    return _differences(world, name, names_of(world, name), hashing=hashing)


def mismatches(world: World, name: str, services: Sequence[Service], elsewhere: Collection[str] = ()) -> list[str]:
    """Return where services of a stack differ from its lock, a line each: ``service: what: locked X, found Y``.

    ``elsewhere`` are services that other hosts run: what is locked of them is looked at there.

    Raises:
        InputError: no such stack, no lock of it, or one that cannot be used here.
        EngineError: the engine does not answer.
    """
    found = _differences(world, name, behind.of_services(services))
    return [str(one) for one in found if one.service not in elsewhere]


def require(world: World, name: str, services: Sequence[Service], elsewhere: Collection[str] = ()) -> None:
    """Refuse services of a stack that differ from its lock: for ``apply --locked``, before anything is touched.

    Raises:
        InputError: a line for each difference; or as for ``mismatches``.
        EngineError: the engine does not answer.
    """
    wrong = mismatches(world, name, services, elsewhere)
    if wrong:
        hint = f"bring back what was locked, or take what is here: sparkctl lock {name}"
        raise InputError("not as it was locked:\n" + "\n".join(wrong), hint=hint)


def read(world: World, stack: LoadedStack) -> StackLock:
    """Return the lock of a stack.

    Raises:
        InputError: there is none, or it cannot be used here: at its line.
    """
    path = path_of(world, stack)
    if not regular_file.is_there(path):
        raise InputError(f"{stack.name} has no lock: there is no {path}", hint=f"sparkctl lock {stack.name} writes it")
    return lock_file.read(path, stack.name, behind.host_of(world))


def write(world: World, stack: LoadedStack, found: StackLock) -> WrittenLock:
    """Write a lock, whole or not at all; one that is there and says the same stays.

    Raises:
        InputError: it cannot be written, or could not be read again: something in it is no text that a file can have.
    """
    path, content = path_of(world, stack), lock_file.text_of(found)
    lock_file.checked(document.load(content, str(path)), found.stack, found.host)
    same = world.files.content(path) == content
    if not same:
        world.files.write(path, content, mode=_MODE)
    return WrittenLock(path, found, same)


def path_of(world: World, stack: LoadedStack) -> Path:
    """Return where the lock of a stack is: beside its file; of one that is shipped, in the operator's own folder."""
    name = f"{stack.entry.path.stem}{END}"
    if stack.entry.label == SHIPPED:
        return world.operator.config / "recipes" / "stacks" / name
    return stack.entry.path.with_name(name)


def stack_of(world: World, name: str) -> LoadedStack:
    """Return the stack that a name means, for an engine whose models and mods are here.

    Raises:
        InputError: there is none, or a recipe has its name.
        EngineError: the engine is elsewhere.
    """
    world.refuse_elsewhere()
    return resolved.stack_of(world, name)


def names_of(world: World, name: str) -> list[Names]:
    """Return the names that are looked behind, of each service of a stack.

    Raises:
        InputError: a recipe, a template or a mod cannot be used.
    """
    loader = world.loader(world.ports.models, world.known_images)
    found = behind.of_located(loader, loader.located([name], (), strict=False))
    for warning in dict.fromkeys(map(str, loader.warnings)):
        world.report.warn(warning)
    return found


def _differences(world: World, name: str, names: Sequence[Names], *, hashing: bool = False) -> list[LockDifference]:
    locked = read(world, stack_of(world, name)).services
    finder, found, told = LockFinder(world, hashing=hashing), {}, []
    for one in names:
        before = locked.get(one.service)
        now = finder.behind(one, before)
        found[one.service] = now.service
        if before is not None:
            told += [LockDifference(one.service, what, locked_words(before, what), why) for what, why in now.unknown]
    return sorted({*told, *finder.damaged, *differences(locked, found)})
