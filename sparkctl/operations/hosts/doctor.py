"""How hosts are: each asked for what it says of itself, all at once; and two of them held against each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sparkctl.base.errors import EngineError, InputError
from sparkctl.operations import doctor as of_host
from sparkctl.operations.doctor import Examined, Status
from sparkctl.operations.hosts import judged
from sparkctl.operations.hosts.answers import asked, refuse_twice
from sparkctl.operations.hosts.held import holds, named
from sparkctl.operations.hosts.judged import SeenHost
from sparkctl.operations.hosts.listed import hosts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.operations.context import World
    from sparkctl.operations.hosts.answers import HostAnswer
    from sparkctl.operations.hosts.connection import ConnectedHost
    from sparkctl.operations.hosts.same import HostHolds
    from sparkctl.recipes.hosts.declared import DeclaredHost
    from sparkctl.world.engine import EngineInfo
    from sparkctl.world.host import Gpu


def doctor(world: World, names: Sequence[str] = ()) -> dict[str, list[Examined]]:
    """Return what is found of each host, in the order of the file; of ``names`` alone where there are any.

    Raises:
        InputError: there is no such host, or none at all; or two names are one machine.
    """
    wanted = _wanted(world, names)
    answers = asked(world, wanted, lambda there, _: of_host.doctor(there))
    refuse_twice(answers)
    found = {}
    for one in answers:
        findings = [_reached(one)]
        if one.facts is not None:
            findings += judged.of_one(SeenHost(one.name, wanted[one.name], one.facts, None, skew_s=one.skew_s))
        found[one.name] = [*findings, *(one.answer or ())]
    return found


def _reached(one: HostAnswer[list[Examined]]) -> Examined:
    if one.error is not None:
        return Examined("ssh", Status.BLOCKER, one.error.message, "no command reaches it", one.error.hint or "")
    name = one.facts.name if one.facts is not None else "this machine"
    return Examined("ssh", Status.OK, f"{name} answers")


class _HostSaid(NamedTuple):
    """A host's facts for a comparison; ``reaches`` is None if the other one's fabric was not tried."""

    engine: EngineInfo | None
    gpus: Sequence[Gpu]
    reaches: bool | None
    holds: Sequence[HostHolds]


def check(world: World, one: str, other: str, recipes: Sequence[str] = ()) -> list[Examined]:
    """Return what two hosts differ in, whether they reach each other on the fabric, and what they have of recipes.

    Raises:
        InputError: there is no such host or recipe; or both names are one machine.
        EngineError: one of them is not reached.
    """
    if one == other:
        raise InputError(f"{one} is compared with itself", hint="name two hosts")
    wanted = _wanted(world, (one, other))

    def look(there: World, reached: ConnectedHost | None) -> _HostSaid:
        fabrics = [host.fabric for host in wanted.values() if host.fabric is not None]
        own = {address.address for address in reached.facts.interfaces} if reached is not None else set()
        to = [fabric.address for fabric in fabrics if fabric.address not in own]
        whether = reached.reaches(to[0]) if reached is not None and len(fabrics) == len(wanted) and to else None
        held = [holds(there, "", each) for each in named(there, recipes)] if recipes else []
        return _HostSaid(_engine(there), there.host.gpus(), whether, held)

    answers = asked(world, wanted, look)
    for answer in answers:
        if answer.error is not None:
            raise answer.error
    refuse_twice(answers)
    left, right = (_seen(answer, wanted[answer.name]) for answer in answers)
    held = [[each._replace(host=answer.name) for each in answer.answer.holds] for answer in answers if answer.answer]
    return [
        *judged.of_two(left, right),
        *(found for pair in zip(*held, strict=True) for found in judged.of_holds(pair, " ".join(recipes))),
    ]


def _seen(answer: HostAnswer[_HostSaid], declared: DeclaredHost) -> SeenHost:
    said = answer.answer or _HostSaid(None, (), None, ())
    if answer.facts is None:
        raise EngineError(f"{answer.name} said nothing of itself")
    return SeenHost(answer.name, declared, answer.facts, said.engine, said.gpus, answer.skew_s, said.reaches)


def _engine(world: World) -> EngineInfo | None:
    try:
        return world.engine.info()
    except EngineError:
        return None


def _wanted(world: World, names: Sequence[str]) -> Mapping[str, DeclaredHost]:
    found = hosts(world)
    if names:
        return {name: found.named(name) for name in names}
    return found.some()
