"""What would make a set fit that does not: each found by planning again, the ways of the least loss first. Pure.

The order is by what the operator loses: inputs that nobody may use, half the bits of the cache, sequences, context,
the variant of a model, a running service of low priority, a service that was asked for. One change of one service comes
before a combination, and a combination is looked for only where no single change is enough.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.admission import Change, comes_back, fit, steps_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sparkctl.admission import Need, Running, Setting, Wanted
    from sparkctl.memory.pool import Pool

_STEP: Final = 1024
"""Contexts are offered in whole multiples of this, in tokens."""
_TRIED: Final = 16
"""Of the services that were asked for, the largest are tried to be left out alone."""
_ENOUGH: Final = 6
"""As many ways as a person reads."""


class Way(NamedTuple):
    """A way to fit. ``overrides`` are for --set, by service; ``recipes`` are services with the recipe to take instead.

    ``stops`` are running services that end first; ``without`` are services that are not started.
    """

    overrides: tuple[tuple[str, tuple[str, ...]], ...] = ()
    recipes: tuple[tuple[str, str], ...] = ()
    stops: tuple[str, ...] = ()
    without: tuple[str, ...] = ()

    def command(self, wanted: Sequence[Wanted], *, replace: bool) -> str:
        """Return the command that does it, to paste."""
        instead = dict(self.recipes)
        left = [one for one in wanted if one.name not in self.without]
        names = list(dict.fromkeys(instead.get(one.name, one.asked or one.name) for one in left))
        sets = [f"--set {name}:{change}" for name, changes in self.overrides for change in changes]
        up = " ".join(["sparkctl up", *names, *sets, *(["--replace"] if replace else [])])
        return f"sparkctl down {' '.join(self.stops)} && {up}" if self.stops else up


def ways(wanted: Sequence[Wanted], running: Sequence[Running], pool: Pool, *, replace: bool) -> list[Way]:
    """Return the ways to fit, the one of the least loss first."""

    def fits(these: Sequence[Wanted], beside: Sequence[Running] = running, left: Pool = pool) -> bool:
        return fit(steps_of(these, beside, left, replace=replace))

    found = [way for service in wanted for way in _smaller(service, wanted, fits)]
    found.sort(key=_loss)
    if not found:
        found = list(_together(wanted, fits))
    found += _variants(wanted, fits)
    found += _without_running(wanted, running, pool, fits)
    found += _without_wanted(wanted, fits)
    return found[:_ENOUGH]


def _loss(way: Way) -> int:
    """Return the rank of a change of one service."""
    changes = [change for _, made in way.overrides for change in made]
    order = ("limits.multimodal", "args.kv-cache-dtype", "limits.sequences", "limits.context")
    return max((index for index, name in enumerate(order) for change in changes if change.startswith(name)), default=0)


def _smaller(service: Wanted, wanted: Sequence[Wanted], fits: Callable[[Sequence[Wanted]], bool]) -> Iterator[Way]:
    """Yield, for each setting of a service, its least change that makes the set fit."""
    setting = service.setting
    if setting is None or service.resized is None:
        return

    def enough(change: Change) -> bool:
        need = service.resized(change) if service.resized is not None else None
        return need is not None and fits([_needing(service, need) if one is service else one for one in wanted])

    least = Change(_STEP, 1, halved_cache=setting.may_halve_cache, text_only=setting.may_drop_inputs)
    if not enough(least):
        return  # most services of a large set: one look is all that they cost
    for change in (
        Change(text_only=True) if setting.may_drop_inputs else None,
        Change(halved_cache=True) if setting.may_halve_cache else None,
    ):
        if change is not None and enough(change):
            yield Way(overrides=((service.name, overrides(change)),))
    sequences = _most(1, setting.sequences - 1, lambda count: enough(Change(sequences=count)))
    if sequences:
        yield Way(overrides=((service.name, overrides(Change(sequences=sequences))),))
    thousands = _most(1, (setting.context - 1) // _STEP, lambda count: enough(Change(context=count * _STEP)))
    if thousands:
        yield Way(overrides=((service.name, overrides(Change(context=thousands * _STEP))),))


def _together(wanted: Sequence[Wanted], fits: Callable[[Sequence[Wanted]], bool]) -> Iterator[Way]:
    """Yield one combination: everything that costs little, and as much of the contexts as is left room for."""
    resizable = [service for service in wanted if service.setting is not None and service.resized is not None]

    def changes(sixteenths: int, *, one_sequence: bool) -> list[tuple[Wanted, Change]]:
        return [
            (service, _combined(service.setting, sixteenths, one_sequence=one_sequence))
            for service in resizable
            if service.setting is not None
        ]

    def enough(sixteenths: int, *, one_sequence: bool) -> bool:
        needs = {
            service.name: need
            for service, change in changes(sixteenths, one_sequence=one_sequence)
            if service.resized is not None and (need := service.resized(change)) is not None
        }
        return fits([_needing(one, needs[one.name]) if one.name in needs else one for one in wanted])

    for one_sequence in (False, True):
        share = _most(1, 16, lambda count: enough(count, one_sequence=one_sequence))  # noqa: B023  (called at once)
        if share and resizable:
            made = changes(share, one_sequence=one_sequence)
            yield Way(overrides=tuple((service.name, overrides(change)) for service, change in made if any(change)))
            return


def _combined(setting: Setting, sixteenths: int, *, one_sequence: bool) -> Change:
    context = max(_STEP, setting.context * sixteenths // 16 // _STEP * _STEP)
    return Change(
        context=context if context < setting.context else None,
        sequences=1 if one_sequence and setting.sequences > 1 else None,
        halved_cache=setting.may_halve_cache,
        text_only=setting.may_drop_inputs,
    )


def overrides(change: Change) -> tuple[str, ...]:
    """Return a change as --set takes it."""
    found = []
    if change.text_only:
        found.append("args.language-model-only=true")
    if change.halved_cache:
        found.append("args.kv-cache-dtype=fp8")
    if change.sequences is not None:
        found.append(f"limits.sequences={change.sequences}")
    if change.context is not None:
        found.append(f"limits.context={change.context}")
    return tuple(found)


def _most(least: int, most: int, enough: Callable[[int], bool]) -> int:
    """Return the largest number that is enough, where less always is; 0 where none is."""
    if most < least or not enough(least):
        return 0
    low, high = least, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if enough(middle) else (low, middle - 1)
    return low


def _needing(service: Wanted, need: Need) -> Wanted:
    return replace(service, steady_bytes=need.steady_bytes, peak_bytes=need.peak_bytes, check_bytes=need.check_bytes)


def _variants(wanted: Sequence[Wanted], fits: Callable[[Sequence[Wanted]], bool]) -> Iterator[Way]:
    """Yield, for each service, the largest recipe of the same model with which the set fits."""
    for service in (one for one in wanted if _alone(one, wanted) and one.asked in {"", one.recipe}):
        others = service.variants() if service.variants is not None else ()
        for name, need in sorted(others, key=lambda variant: -variant[1].steady_bytes):
            if fits([_needing(service, need) if one is service else one for one in wanted]):
                yield Way(recipes=((service.name, name),))
                break


def _without_running(
    wanted: Sequence[Wanted],
    running: Sequence[Running],
    pool: Pool,
    fits: Callable[[Sequence[Wanted], Sequence[Running], Pool], bool],
) -> Iterator[Way]:
    """Yield each running service whose end is enough, the lower priority first; if none is, the fewest together."""
    names = {service.name for service in wanted}
    others = sorted((one for one in running if one.name not in names), key=comes_back, reverse=True)

    def enough(ended: Sequence[Running]) -> bool:
        back = sum(one.held_bytes for one in ended)
        left = replace(pool, available_bytes=pool.available_bytes + back)
        return fits(wanted, [one for one in running if one not in ended], left)

    singles = sorted((one for one in others if enough([one])), key=lambda one: (one.priority, comes_back(one)))
    if singles:
        yield from (Way(stops=(one.name,)) for one in singles)
        return
    # What several give back is their sum, so the largest together are the fewest.
    for count in range(2, len(others) + 1):
        if enough(others[:count]):
            yield Way(stops=tuple(one.name for one in others[:count]))
            return


def _alone(service: Wanted, wanted: Sequence[Wanted]) -> bool:
    """Return whether a service was asked for by a name of its own, not as one of a stack."""
    return sum((one.asked or one.name) == (service.asked or service.name) for one in wanted) == 1


def _without_wanted(wanted: Sequence[Wanted], fits: Callable[[Sequence[Wanted]], bool]) -> Iterator[Way]:
    """Yield each wanted service without which the others fit; if none is, those of low priority that are together."""
    if not all(_alone(one, wanted) for one in wanted):
        return
    largest = sorted(wanted, key=lambda one: -one.peak_bytes)[:_TRIED] if len(wanted) > 1 else []
    singles = [one for one in largest if fits([other for other in wanted if other is not one])]
    if singles:
        yield from (Way(without=(one.name,)) for one in singles)
        return
    left = sorted(wanted, key=lambda one: (-one.priority, one.steady_bytes))
    count = _most(1, len(left) - 2, lambda many: fits(left[:many]))
    if count:
        yield Way(without=tuple(one.name for one in left[count:]))
