"""The services that have to be there before another one is started: those that it is declared after. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sparkctl.planning.box.declared import StartMode
from sparkctl.planning.gateway.desk.effects import RefusedFor
from sparkctl.planning.gateway.desk.rules.refusing import by_hand
from sparkctl.planning.gateway.desk.service import DeskState

if TYPE_CHECKING:
    from sparkctl.planning.gateway.desk.service import DeskService
    from sparkctl.planning.gateway.desk.state import DeskWork


def missing(work: DeskWork, service: DeskService) -> list[DeskService]:
    """Return the services that a service comes after and that are not there, in the order of their starts."""
    those = (work.services.get(name) for name in service.declared.after)
    return [one for one in those if one is not None and not one.up and one.name != service.name]


def company(work: DeskWork, service: DeskService) -> frozenset[str]:
    """Return the services that are not stopped for this one: those that it comes after, and those that come with it.

    The latter belong to other services that are asked for: if one comes after this service, it and all that it comes
    after are included.
    """
    asked = (work.services.get(name) for name in work.asked_for())
    later = (one for one in asked if one is not None and service.name in one.declared.after)
    return frozenset(name for one in (service, *later) for name in (one.name, *one.declared.after))


def rank(work: DeskWork, service: DeskService) -> int:
    """Return the priority of its turn: the highest among itself and the requested services that come after it."""
    asked = (work.services.get(name) for name in work.asked_for())
    later = (one for one in asked if one is not None and service.name in one.declared.after)
    return max(one.declared.priority for one in (service, *later))


def raised(work: DeskWork, service: DeskService) -> DeskService:
    """Return a service with the priority of its turn: services that go for it go for the ones that come after it."""
    declared = service.declared
    priority = rank(work, service)
    return service if priority == declared.priority else replace(service, declared=replace(declared, priority=priority))


def stands_still(work: DeskWork, service: DeskService) -> tuple[RefusedFor, str] | None:
    """Return why a service that has to be there first is started by no request, in words; None if there is none."""
    for one in missing(work, service):
        first = f"{service.name} comes after {one.name}, which"
        why, hand = f": {one.why}" if one.why else "", by_hand(one)
        if one.state is DeskState.HELD:
            return RefusedFor.HELD, f"{first} is held{why}{hand}"
        if one.state is DeskState.PAUSED:
            return RefusedFor.PAUSED, f"{first} is paused{why}{hand}"
        if one.state is DeskState.OFF and one.declared.start is StartMode.MANUAL:
            return RefusedFor.NOT_ALLOWED, f"{first} is not running, and is started by hand alone{hand}"
    return None


def waits_until(work: DeskWork, service: DeskService) -> tuple[float, DeskService]:
    """Return the earliest time at which the last of the needed services may be started, and which service that is."""
    those = [service, *missing(work, service)]
    latest = max(those, key=lambda one: one.not_before if one.state is DeskState.OFF else 0.0)
    return latest.not_before, latest
