"""A group from its specs to ready, or back to nothing on every host.

The locks of all its hosts are held, in the order of the hosts' names, while what runs there is looked at, each rank is
admitted on its own host, and the containers are created and started: the workers first, then the head. Waiting is
outside. Whatever fails, and whoever interrupts it, ends all ranks.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import DoesNotFitError, EngineError, InputError
from sparkctl.operations.changes import controller
from sparkctl.operations.groups import kept, seen
from sparkctl.operations.groups.hands import all_locked, hands_of
from sparkctl.operations.groups.host_differences import refuse_different
from sparkctl.operations.groups.hosts import doubt, refuse_unreached
from sparkctl.operations.groups.kept import KeptGroup
from sparkctl.operations.groups.proof.group_proof import StartedRank
from sparkctl.operations.groups.proof.wait import ended, proved
from sparkctl.operations.groups.ranks import as_ranks, named, port_of, services_of
from sparkctl.operations.guard.live_state import refuse_closed
from sparkctl.operations.hosts.told import said_of_host
from sparkctl.operations.memory.model_lacks import refuse_misread
from sparkctl.operations.memory.obstacles import refuse_taken
from sparkctl.operations.planner import ROOM_S
from sparkctl.operations.start import prepare
from sparkctl.operations.start.aside import STOP_GRACE_S
from sparkctl.planning.admission import STARTS
from sparkctl.planning.groups.members import GroupKind, judge
from sparkctl.recipes.service import reached_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.operations.context import World
    from sparkctl.operations.groups.hands import RankHands
    from sparkctl.operations.hosts.connections import HostWay
    from sparkctl.operations.memory.asked_set import AskedSet
    from sparkctl.planning.box.declared import Restarts
    from sparkctl.planning.groups.members import SeenRank
    from sparkctl.planning.plan import Plan
    from sparkctl.recipes.service import Service

_LOOK_S: Final = 0.5


def start_group(
    world: World,
    hosts: Sequence[HostWay],
    asked: AskedSet,
    *,
    download: bool = False,
    restarts: Restarts | None = None,
) -> list[Service]:
    """Start one service over hosts, which are connected, by rank, the head first; prove it; return its ranks' services.

    ``world`` is this machine's: which groups there are is kept there. A group that is up as it is wanted stays up; one
    that another command has started is waited for; what is left of a half is ended first. Whether each rank can be
    started on its host is asked before anything is ended; a group that was ended to be replaced is not brought back.
    ``restarts`` is how whoever watches it starts it again, None as usual.

    Raises:
        InputError: a file or a name that cannot be used, another number of hosts, what differs between the hosts, or a
            group that runs, differs from its recipe, and may not be replaced.
        DoesNotFitError: a rank does not fit on its host, or that host's guard has closed admission; nothing was
            started, and what runs was left.
        EngineError: a host is not reached from another one, a name or a port is taken, or an engine refuses.
        NotReadyError, ModError, CheckError: as for ``up``; all ranks are ended, unless ``asked.keep``.
        WaitInterruptedError: the operator stopped the wait; all ranks are ended.
    """
    name = named(hosts, asked)
    group = KeptGroup(name, tuple(host.name for host in hosts), restarts=restarts)
    _refuse_moved(world, group)
    services = services_of(hosts, asked, port_of(hosts, name), download=download)
    ranks = [hands_of(host, service) for host, service in zip(hosts, services, strict=True)]
    refuse_unreached(hosts, as_ranks(hosts)[0].fabric.address)
    for one in ranks:
        one.planner.refuse([one.service])
    ranks = [one._replace(service=one.planner.expected([one.service])[0]) for one in ranks]
    for one in ranks:
        controller(one.host.world, [one.service]).put_right(but=[name])
    refuse_different(hosts, asked, services)
    for line in (*refuse_misread([services[0]]), *filter(None, map(doubt, hosts))):
        world.report.warn(line)
    with ExitStack() as work:
        started = _begun(world, group, ranks, asked, work)
        proved(world, ranks, started, keep=asked.keep)
        kept.keep(world, replace(group, ready=True))
    world.report.say(f"{name}: ready at {reached_at(services[0].recipe)} on {hosts[0].name}")
    return [one.service for one in ranks]


# --- looking, and starting -------------------------------------------------------------------------------------------


def _begun(
    world: World, group: KeptGroup, ranks: Sequence[RankHands], asked: AskedSet, work: ExitStack
) -> list[StartedRank]:
    """Start the ranks, or find those that run; ``work`` says until it is left that this command works on them."""
    name, hosts = ranks[0].service.name, [one.host for one in ranks]
    with all_locked(ranks, work):
        found = seen.look(hosts, name)
        _refuse_others(group, found)
        if _as_wanted(ranks, asked):
            return [_there(one) for one in ranks]
        now = judge(group.hosts, found)
    for one in ranks:
        with said_of_host(one.host.name):
            prepare.prepare(one.host.world.ports, one.host.world.report, [one.service], taken=[name])
    refuse_different(hosts, asked, [one.service for one in ranks])  # images that came just now among it
    if now.kind is not GroupKind.GONE:
        with all_locked(ranks, None):
            for one in ranks:
                _refuse_unfit(one)
        whole = now.kind is GroupKind.WHOLE
        world.report.say(f"{name}: {'stops' if whole else 'ends what is left of'} the group: {now.words}")
        ended(world, hosts, name, grace_s=STOP_GRACE_S if whole else 0.0)
    with all_locked(ranks, None):
        for one in ranks:
            _admit(one)
        kept.keep(world, group)
        return _created(world, ranks, asked)


def _refuse_moved(world: World, group: KeptGroup) -> None:
    """Refuse a group that this operator has started on other hosts, where it would be forgotten.

    Raises:
        InputError: it names them.
    """
    before = kept.kept(world).get(group.name)
    if before is not None and before.hosts != group.hosts:
        message = f"{group.name} was started on {', '.join(before.hosts)}, and not on {', '.join(group.hosts)}"
        raise InputError(message, hint=f"sparkctl down {group.name} ends it there; then start it here")


def _refuse_others(group: KeptGroup, found: Sequence[SeenRank]) -> None:
    """Refuse to end a container with the group's name that is not one of its ranks: other hosts', or a single service.

    Raises:
        InputError: what it is, and where.
    """
    for one in found:
        if one.state is None or one.hosts == group.hosts:
            continue
        if one.hosts:
            message = f"{one.host} has a rank of {group.name} over other hosts: {', '.join(one.hosts)}"
            raise InputError(message, hint=f"sparkctl down {group.name} ends all of it; or start this one --as NAME")
        message = f"{one.host} has {group.name} as a service of one host"
        hint = f"sparkctl --host {one.host} down {group.name} ends it; or start this one --as NAME"
        raise InputError(message, hint=hint)


def _created(world: World, ranks: Sequence[RankHands], asked: AskedSet) -> list[StartedRank]:
    """Create and start the containers, the head's last; the caller holds the locks of all hosts."""
    begun: dict[int, StartedRank] = {}
    try:
        for place in (*range(1, len(ranks)), 0):
            host, service, _, starter, aside = ranks[place]
            with said_of_host(host.name):
                now = starter.begin(service, aside, keep=asked.keep, trial=False)
            begun[place] = StartedRank(host, service, starter, now.container, now)
    except BaseException:
        for one in begun.values():
            _removed(world, one)
        raise
    return [begun[place] for place in range(len(ranks))]


def _removed(world: World, one: StartedRank) -> None:
    try:
        one.host.world.engine.remove(one.container)
    except EngineError as error:
        world.report.warn(f"{one.service.name}: its rank on {one.host.name} may still run: {error.message}")


def _as_wanted(ranks: Sequence[RankHands], asked: AskedSet) -> bool:
    """Return whether the group runs as it is wanted, ready or not yet.

    Raises:
        InputError: it is whole, differs, and may not be replaced.
    """
    name, hosts = ranks[0].service.name, [one.host for one in ranks]
    now = judge([host.name for host in hosts], seen.look(hosts, name))
    if now.kind is GroupKind.UNKNOWN:
        raise EngineError(f"{name}: it is not known what runs: {now.words}", hint="sparkctl hosts doctor")
    if now.kind is not GroupKind.WHOLE:
        return False
    changes = [f"  {line}" for line in differing(ranks)]
    if not changes:
        return True
    if not asked.replace:
        message = "\n".join(["what runs differs from what is wanted now:", *changes])
        raise InputError(message, hint="--replace stops the whole group and starts it as it is wanted now")
    return False


def differing(ranks: Sequence[RankHands]) -> list[str]:
    """Return in what each rank that runs differs from what is wanted, with the name of its host."""
    return [f"{one.host.name}: {line}" for one in ranks for line in _plan(one).changes]


def _plan(one: RankHands) -> Plan:
    return one.planner.plan([one.service], replace=True)


def _there(one: RankHands) -> StartedRank:
    container = one.host.world.engine.container(one.service.name)
    if container is None:
        raise EngineError(f"{one.service.name}: its rank on {one.host.name} was removed meanwhile")
    return StartedRank(one.host, one.service, one.starter, container.id)


def _admit(one: RankHands) -> None:
    """Admit a rank on its host, where nothing of its group is any more.

    Raises:
        DoesNotFitError, EngineError: as for ``_refuse_unfit``; or somebody else has started it.
    """
    plan = _refuse_unfit(one, within_s=ROOM_S)
    if not any(step.action in STARTS for step in plan.steps):
        message = f"{one.service.name}: its rank on {one.host.name} was started by somebody else meanwhile"
        raise EngineError(message, hint=f"sparkctl up {one.service.name} again")


def _refuse_unfit(one: RankHands, *, within_s: float = 0.0) -> Plan:
    """Refuse a rank that cannot be started on its host, and return its plan; what runs of it counts as replaced.

    ``within_s`` is how long it waits: what was just removed gives its memory back in a moment.

    Raises:
        DoesNotFitError: it does not fit there, or that host's guard has closed admission.
        EngineError: a name or a port is taken.
    """
    world = one.host.world
    with said_of_host(one.host.name):
        refuse_taken(world.ports, one.service)
        refuse_closed(world.ports, world.operator.run)
    end = world.ports.clock.monotonic() + within_s
    while True:
        plan = _plan(one)
        if plan.fits:
            return plan
        if world.ports.clock.monotonic() >= end:
            lines = tuple(f"{one.host.name}: {line}" for line in plan.reasons)
            raise DoesNotFitError("\n".join(lines), hint=f"sparkctl --host {one.host.name} plan shows that host")
        world.ports.clock.sleep(_LOOK_S)
