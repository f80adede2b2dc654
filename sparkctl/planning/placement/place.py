"""Place services over hosts: running ones stay, then the largest first, each on the host that it fills most. Pure.

Best fit by decreasing size, with the exact admission of each host: start peaks, vLLM's own check and the reserve are
included. A service of several ranks gets as many hosts of one fabric, or none. More ranks come first, then the higher
priority, then the larger peak, then the name, so that the same input gives the same placement.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.errors import InputError
from sparkctl.planning.placement.host_room import HostRoom
from sparkctl.planning.placement.values import Placement, PlacementRefusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sparkctl.planning.placement.values import PlacedService, PlacementHost

_LOOKED_AT: Final = 4
"""For how many hosts a refusal computes exactly what is missing: those with the most free."""


def place(services: Sequence[PlacedService], hosts: Sequence[PlacementHost]) -> Placement:
    """Return where each service goes.

    A service whose host is not among ``hosts`` any more is placed anew, and no other one moves for it.

    Raises:
        InputError: two hosts or two services have one name, or a service names an unknown host.
    """
    _check(services, hosts)
    rooms = {host.name: HostRoom(host) for host in hosts}
    where: dict[str, tuple[str, ...]] = {}
    # Services that already run as wanted, and those on hosts that cannot be looked at, are counted first.
    counting = [service for service in services if service.counts]
    changed = [service for service in counting if not _kept(service, rooms, where)]
    left = [service for service in sorted(changed, key=_order) if not _changed_there(service, rooms, where)]
    moved, refused = _anew(left, rooms, where)
    asleep = [service for service in services if not service.counts]
    refused += tuple(found for service in asleep if (found := _asleep(service, rooms, where)) is not None)
    return Placement({one.name: where[one.name] for one in services if one.name in where}, moved, refused)


def _kept(service: PlacedService, rooms: Mapping[str, HostRoom], where: dict[str, tuple[str, ...]]) -> bool:
    """Leave a service where it runs if it runs as wanted; return whether it stays."""
    if not (_is_here(service, rooms) and _stays(service, rooms)):
        return False
    _put(service, service.at, rooms, where)
    return True


def _changed_there(service: PlacedService, rooms: Mapping[str, HostRoom], where: dict[str, tuple[str, ...]]) -> bool:
    """Leave a service that has to change on its hosts if they have room for its new form; return whether it stays."""
    if not (_is_here(service, rooms) and _takes(service, rooms)):
        return False
    _put(service, service.at, rooms, where)
    return True


def _anew(
    services: Sequence[PlacedService], rooms: Mapping[str, HostRoom], where: dict[str, tuple[str, ...]]
) -> tuple[tuple[str, ...], tuple[PlacementRefusal, ...]]:
    """Place services that have no host, or cannot stay; return those that move, and those without a place."""
    moved: list[str] = []
    refused: list[PlacementRefusal] = []
    for service in services:
        if _is_here(service, rooms) and not _may_use(service, rooms):
            _end(service, rooms)  # it ends in any case, and others may use its memory: two may change places
    for service in services:
        found = _found(service, rooms)
        if isinstance(found, PlacementRefusal):
            refused.append(found)
            if _is_here(service, rooms):
                where[service.name] = service.at
            continue
        _end(service, rooms, but=found)
        if service.at and set(found) != set(service.at):
            moved.append(service.name)
        _put(service, found, rooms, where)
    return tuple(moved), tuple(refused)


def _end(service: PlacedService, rooms: Mapping[str, HostRoom], but: Sequence[str] = ()) -> None:
    """Count a service as ended on its hosts, except these."""
    for name in service.at:
        if name in rooms and name not in but:
            rooms[name].end(service.name)


def _asleep(
    service: PlacedService, rooms: Mapping[str, HostRoom], where: dict[str, tuple[str, ...]]
) -> PlacementRefusal | None:
    """Give an on-demand service the hosts that it has, else those with the most room.

    Return why no host may have it, None if one has it.
    """
    unseen = _is_here(service, rooms) and not all(rooms[name].host.reachable for name in service.at)
    if unseen or (_is_here(service, rooms) and _may_use(service, rooms)):
        _put(service, service.at, rooms, where)
        return None
    barred = {name: _barred(service, room) for name, room in rooms.items()}
    free = [room for name, room in rooms.items() if not barred[name]]
    needed = len(service.ranks)
    choices = [free] if needed == 1 else [same for same in _fabrics(free) if len(same) >= needed]
    if not any(choices):
        why = "; ".join(dict.fromkeys(filter(None, barred.values()))) or "no fabric has as many hosts"
        return PlacementRefusal(service.name, why=why, hosts=needed)
    best = max(choices, key=len)
    chosen = sorted(best, key=lambda room: (_preferred(service, room)[:2], -room.free_bytes, room.host.name))[:needed]
    names = [room.host.name for room in chosen]
    _put(service, tuple(sorted(names, key=service.hosts.index) if service.hosts else names), rooms, where)
    return None


def _check(services: Sequence[PlacedService], hosts: Sequence[PlacementHost]) -> None:
    names = [host.name for host in hosts]
    for what, given in (("host", names), ("service", [service.name for service in services])):
        twice = sorted({name for name in given if given.count(name) > 1}) if len(set(given)) < len(given) else []
        if twice:
            message = f"expected each {what} once, found twice: {', '.join(twice)}"
            raise InputError(message, hint=f"give each {what} a name of its own")
    known = set(names)
    for service in services:
        unknown = [name for name in service.hosts if name not in known]
        if unknown:
            message = f"{service.name}: there is no host {', '.join(unknown)}"
            raise InputError(message, hint=f"hosts are {', '.join(names) or 'none'}")


def _order(service: PlacedService) -> tuple[int, int, int, str]:
    return -len(service.ranks), -service.ranks[0].priority, -service.peak_bytes, service.name


def _is_here(service: PlacedService, rooms: Mapping[str, HostRoom]) -> bool:
    """Return whether every rank of it runs on a known host, and the number of ranks is right."""
    return len(service.at) == len(service.ranks) and all(name in rooms for name in service.at)


def _stays(service: PlacedService, rooms: Mapping[str, HostRoom]) -> bool:
    """Return whether it runs as wanted, or on a host that does not answer."""
    if not all(rooms[name].host.reachable for name in service.at):
        return True
    return _may_use(service, rooms) and all(
        any(
            one.name == rank.name and one.digest == rank.digest and one.state != "stopped" and not one.changes
            for one in rooms[name].host.running
        )
        for rank, name in zip(service.ranks, service.at, strict=True)
    )


def _may_use(service: PlacedService, rooms: Mapping[str, HostRoom]) -> bool:
    if len(service.hosts) == len(service.ranks) and service.at != service.hosts:
        return False  # each of its ranks is pinned, to another host than where it runs
    return not any(_barred(service, rooms[name]) for name in service.at)


def _takes(service: PlacedService, rooms: Mapping[str, HostRoom]) -> bool:
    """Return whether its own hosts have room for its wanted form."""
    return _may_use(service, rooms) and all(
        rooms[name].takes(rank) for rank, name in zip(service.ranks, service.at, strict=True)
    )


def _put(
    service: PlacedService,
    hosts: tuple[str, ...],
    rooms: Mapping[str, HostRoom],
    where: dict[str, tuple[str, ...]],
) -> None:
    where[service.name] = hosts
    for rank, name in zip(service.ranks, hosts, strict=True):
        if service.counts:
            rooms[name].place(rank, service.spread, service.port)
        else:
            rooms[name].keep(service.name, service.spread, service.port)


def _barred(service: PlacedService, room: HostRoom) -> str:
    """Return why a host may not take a service, whatever room it has; "" if it may."""
    host = room.host
    if service.hosts and host.name not in service.hosts:
        return f"it is pinned to {', '.join(service.hosts)}"
    if not host.reachable:
        return f"{host.name} does not answer"
    lacking = [f"{key}={value}" for key, value in service.labels.items() if host.labels.get(key) != value]
    if lacking:
        return f"no host has the label {', '.join(lacking)}"
    if service.spread and any(word == service.spread for name, word in room.spreads.items() if name != service.name):
        return f"services of {service.spread} go to different hosts"
    others = [*room.host.ports, *(port for name, port in room.ports.items() if name != service.name)]
    if service.port and service.port in others:
        return f"its port {service.port} is taken"
    return ""


def _found(service: PlacedService, rooms: Mapping[str, HostRoom]) -> tuple[str, ...] | PlacementRefusal:
    barred = {name: _barred(service, room) for name, room in rooms.items()}
    open_rooms = [room for name, room in rooms.items() if not barred[name]]
    if len(service.ranks) == 1:
        rank = service.ranks[0]
        for room in sorted(open_rooms, key=lambda room: _preferred(service, room)):
            if room.takes(rank):
                return (room.host.name,)
        return _refusal(service, open_rooms, barred.values())
    best = min(filter(None, (_group(service, same) for same in _fabrics(open_rooms))), default=None)
    return _refusal(service, open_rooms, barred.values()) if best is None else best.hosts


def _preferred(service: PlacedService, room: HostRoom) -> tuple[bool, bool, int, str]:
    """Return the key by which hosts are tried: where it runs, where its model's files are, and then the fullest."""
    host = room.host
    files_missing = bool(service.model) and service.model not in host.models
    return host.name not in service.at, files_missing, room.free_bytes, host.name


class _Group(NamedTuple):
    """Hosts for the ranks of a service; the smallest is the best: fewest files to bring, then the least free."""

    files: int
    free_bytes: int
    hosts: tuple[str, ...]


def _fabrics(rooms: Iterable[HostRoom]) -> list[list[HostRoom]]:
    """Return the hosts by fabric; a host without a fabric belongs to none."""
    found: dict[str, list[HostRoom]] = {}
    for room in rooms:
        if room.host.fabric:
            found.setdefault(room.host.fabric, []).append(room)
    return list(found.values())


def _group(service: PlacedService, rooms: Sequence[HostRoom]) -> _Group | None:
    """Return hosts of one fabric for all ranks; each rank in turn gets the best host that is left. None: too few.

    If as many hosts are pinned as there are ranks, each rank has its own.
    """
    if len(rooms) < len(service.ranks):
        return None
    left = sorted(rooms, key=lambda room: _preferred(service, room))
    taken: dict[int, HostRoom] = {}
    pinned = len(service.hosts) == len(service.ranks)
    # The rank that needs most chooses first: the head's processes take more than a worker's.
    for index, rank in sorted(enumerate(service.ranks), key=lambda one: (-one[1].peak_bytes, one[0])):
        meant = [room for room in left if not pinned or room.host.name == service.hosts[index]]
        room = next((room for room in meant if room.takes(rank)), None)
        if room is None:
            return None
        taken[index] = room
        left.remove(room)
    chosen = [taken[index] for index in range(len(service.ranks))]
    files = sum(service.model not in room.host.models for room in chosen) if service.model else 0
    return _Group(files, sum(room.free_bytes for room in chosen), tuple(room.host.name for room in chosen))


def _refusal(service: PlacedService, rooms: Sequence[HostRoom], barred: Iterable[str]) -> PlacementRefusal:
    """Return why none of these hosts takes the service, explained by the host where least is missing."""
    reasons = "; ".join(dict.fromkeys(one for one in barred if one))
    needed = len(service.ranks)
    if not rooms:
        return PlacementRefusal(service.name, why=reasons or "there is no host", hosts=needed)
    rank = max(service.ranks, key=lambda one: one.peak_bytes)
    lacking = [room for room in rooms if not room.takes(rank)] if needed > 1 else list(rooms)
    having = len(rooms) - len(lacking)
    freest = sorted(lacking or rooms, key=lambda room: (-room.free_bytes, room.host.name))[:_LOOKED_AT]
    missing, name, room = min(((room.missing(rank), room.host.name, room) for room in freest), key=lambda one: one[:2])
    if needed > 1 and not any(len(same) >= needed for same in _fabrics(rooms)):
        reasons = "; ".join(filter(None, [f"no fabric has {needed} hosts that may take it", reasons]))
    return PlacementRefusal(service.name, name, missing, room.free_bytes, needed, having, reasons)
