"""Ways to make a set fit that does not: each found by planning again, the one that loses least first. Pure.

What the operator loses is counted in halvings of a context, so that ways of different kinds can be ranked:

* less context, fewer sequences: log2(before / after) each, for every service that is changed
* the page cache dropped: nothing
* another GPU of this host: 0.1
* a fixed memory setting given up: 0.25; an 8-bit KV cache: 0.5; text alone: 1.5 (the switches of ``recipes.smaller``)
* another recipe of the same model for the same limits: 2.5, and 1 more where its model is not on this host
* each setting after the first: 0.25, so that one change comes before two that lose as much
* a running service stopped: 8 each, those of lower priority first, and never one of higher priority than all that is
  wanted
* a service left out: 10 each, those of lower priority first

Contexts are the largest that fit, in steps of 1,024 tokens. Combinations are looked for where single settings are not
enough, or lose more than one halving: within a service, every subset of its switches with every halving of its
sequences; over several services, the same for all of them with one share of their contexts. Where no smaller setting is
enough beside what runs, it is looked for beside what is left when the fewest of low priority have stopped.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.units import format_gib
from sparkctl.memory.pool import HOST
from sparkctl.planning.admission import Change, admit, can_start
from sparkctl.planning.devices import Devices
from sparkctl.planning.levers import SHARES, Lever, loss_of, most, shrunk_together, subsets
from sparkctl.planning.running import ended

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sparkctl.memory.pool import Pool
    from sparkctl.planning.admission import Need, Variant, Wanted
    from sparkctl.planning.order import StartPart
    from sparkctl.planning.running import Running

_TRIED: Final = 16
"""In a large set, only this many of the largest services are tried to be left out alone."""
_ENOUGH: Final = 6
"""The number of ways that a person reads."""
_VARIANT: Final = 2.5
_MISSING: Final = 1.0
_OTHER_GPU: Final = 0.1
_STOP: Final = 8.0
_WITHOUT: Final = 10.0
_COMBINE_FROM: Final = 1.0
"""If the single settings lose more than this, combinations are offered too."""


class Way(NamedTuple):
    """A way to fit, and what it ``loses``. ``changes`` are by service; ``recipes`` replace a service's own.

    ``stops`` are running services that end first; ``without`` are services that are not started; ``drop_cache`` drops
    the page cache first. ``priority`` is the sum over what is stopped or left out.
    """

    loses: float
    words: str
    changes: Mapping[str, Change]
    recipes: Mapping[str, Variant]
    stops: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    drop_cache: bool = False
    priority: int = 0

    @property
    def only_requested(self) -> bool:
        """Whether it only changes how the requested services are served, and needs no download and no root."""
        fetched = any(variant.missing for variant in self.recipes.values())
        return not (self.stops or self.without or self.drop_cache or fetched)


def ways(wanted: Sequence[Wanted], running: Sequence[Running], pool: Pool, *, replace: bool) -> list[Way]:
    """Return the ways to fit, the one of the least loss first; [] where there is none."""
    return _Search(wanted, running, pool, replace=replace).ways()


def _main(parts: Mapping[str, StartPart]) -> set[str]:
    """Return the memories of a start's weights and cache: its GPUs', or the host's if it has none."""
    return set(parts) - {HOST} or {HOST}


class _Search:
    """The set, and its surroundings; ``stops`` have ended already."""

    def __init__(
        self,
        wanted: Sequence[Wanted],
        running: Sequence[Running],
        pool: Pool,
        *,
        replace: bool,
        stops: tuple[Running, ...] = (),
    ) -> None:
        self._wanted = tuple(wanted)
        self._running, self._pool = ended(running, pool, {one.name for one in stops})
        self._replace = replace
        self._stops = stops
        admission = admit(wanted, self._running, self._pool, replace=replace)
        self._starts = {start.name: start for start in admission.starts}
        self._rooms = admission.rooms
        self._starting = [one for one in wanted if one.name in self._starts]
        self._levers = [lever for one in self._starting if one.sizes is not None for lever in [Lever(one, one.sizes)]]

    def ways(self) -> list[Way]:
        """Return them all, those of the least loss first, as many as a person reads."""
        found = [*self._dropping(), *self._elsewhere(), *self.settings(), *self._variants()]
        stopping = list(self._stopping())
        found += [self._way(loses=0, stops=stops) for stops in stopping]
        if not found:
            found += self._settings_after_stopping()
        found += self._leaving_out()
        return sorted(found, key=lambda way: (way.loses, way.priority))[:_ENOUGH]

    # --- what fits ----------------------------------------------------------------------------------------------------

    def _fits(self, needs: Mapping[str, Need], without: Iterable[str] = ()) -> bool:
        starts = self._starts | {name: self._starts[name].needing(need, self._pool) for name, need in needs.items()}
        for name in without:
            del starts[name]
        return can_start(list(starts.values()), self._rooms)

    def _changed(self, changes: Mapping[Lever, Change]) -> bool:
        """Return whether the set fits with these changes; False if a service cannot be changed that way."""
        needs = {lever.name: lever.need(change) for lever, change in changes.items() if any(change)}
        known = {name: need for name, need in needs.items() if need is not None}
        return len(known) == len(needs) and self._fits(known)

    def _way(
        self,
        *,
        loses: float,
        changes: Mapping[Lever, Change] | None = None,
        recipes: Mapping[str, Variant] | None = None,
        stops: Sequence[Running] = (),
        without: Sequence[Wanted] = (),
        words: str = "",
    ) -> Way:
        ended = (*self._stops, *stops)
        told = [words] if words else []
        told += [f"{lever.words(change)} for {lever.name}" for lever, change in (changes or {}).items() if any(change)]
        if ended:
            told = [f"{' and '.join(one.name for one in ended)} stopped", *told]
        return Way(
            loses=loses + _STOP * len(ended),
            words=f"without {', '.join(one.name for one in without)}" if without else f"with {', '.join(told)}",
            changes={lever.name: change for lever, change in (changes or {}).items() if any(change)},
            recipes=recipes or {},
            stops=tuple(one.name for one in ended),
            without=tuple(one.name for one in without),
            priority=sum(one.priority or 0 for one in ended) + sum(one.priority for one in without),
        )

    # --- smaller services ---------------------------------------------------------------------------------------------

    def settings(self) -> list[Way]:
        """Return smaller settings: single ones, and combinations if the single ones are few or lose much."""
        useful = [lever for lever in self._levers if self._changed({lever: lever.least})]
        single = [way for lever in useful for way in self._single(lever)]
        if single and min(way.loses for way in single) <= _COMBINE_FROM:
            return single
        found = [way for lever in useful for way in self._combined(lever)]
        if not found and not single:
            found = list(self._together())
        best = min((way.loses for way in single), default=math.inf)
        return single + [way for way in found if way.loses < best]

    def _single(self, lever: Lever) -> Iterator[Way]:
        """Yield, for each setting of a service, its least change that makes the set fit."""
        context = self._context(lever, Change())
        if context is not None:
            yield self._way(loses=lever.loss(context), changes={lever: context})
        sequences = most(1, lever.sizes.sequences - 1, lambda count: self._changed({lever: Change(sequences=count)}))
        if sequences:
            change = Change(sequences=sequences)
            yield self._way(loses=lever.loss(change), changes={lever: change})
        for switch in lever.switches:
            change = Change(switches=(switch.override,))
            if self._changed({lever: change}):
                yield self._way(loses=lever.loss(change), changes={lever: change})

    def _context(self, lever: Lever, beside: Change) -> Change | None:
        """Return ``beside`` with the largest context that fits, None where none does."""
        if self._changed({lever: beside}):
            return beside
        steps = most(
            1,
            (lever.sizes.context - 1) // lever.step,
            lambda count: self._changed({lever: beside._replace(context=count * lever.step)}),
        )
        return beside._replace(context=steps * lever.step) if steps else None

    def _combined(self, lever: Lever) -> Iterator[Way]:
        """Yield the combination of a service's settings that loses least."""
        best: Change | None = None
        for change in sorted(lever.combinations(), key=lever.loss):
            if best is not None and lever.loss(change) >= lever.loss(best):
                break
            found = self._context(lever, change)
            if found is not None and (best is None or lever.loss(found) < lever.loss(best)):
                best = found
        if best is not None:
            yield self._way(loses=lever.loss(best), changes={lever: best})

    def _together(self) -> Iterator[Way]:
        """Yield the combination over all services that loses least, without the parts that are not needed."""
        if not self._levers or not self._changed({lever: lever.least for lever in self._levers}):
            return
        found: list[dict[Lever, Change]] = []
        kinds = sorted({switch.words for lever in self._levers for switch in lever.switches})
        for chosen in subsets(kinds):
            for halvings in (0, 1, 2, None):
                plain = {lever: lever.policy(chosen, halvings) for lever in self._levers}
                share = self._share(plain)
                if share:
                    found.append(shrunk_together(plain, share))
        if found:
            best = self._taken_back(min(found, key=loss_of))
            yield self._way(loses=loss_of(best), changes=best)

    def _share(self, plain: Mapping[Lever, Change]) -> int:
        """Return the largest share of the contexts with which these changes fit; 0 where none does."""
        return most(1, SHARES, lambda count: self._changed(shrunk_together(plain, count)))

    def _taken_back(self, changes: dict[Lever, Change]) -> dict[Lever, Change]:
        """Return the changes without those of services that need none, the highest priority first."""
        for lever in sorted(changes, key=lambda one: (-one.priority, -one.loss(changes[one]))):
            without = changes | {lever: Change()}
            if self._changed(without):
                changes = without
        return changes

    def _variants(self) -> Iterator[Way]:
        """Yield, for each service, the largest recipe of the same model with which the set fits."""
        taken = {one.name for one in self._wanted} | {one.name for one in self._running}
        for service in self._starting:
            others = [one for one in service.variants() if one.recipe not in taken]
            for variant in sorted(others, key=lambda one: (one.missing, -one.need.steady_bytes)):
                if self._fits({service.name: variant.need}):
                    words = f"{variant.recipe} in place of {service.name}, for the same limits"
                    words += " (its model is not on this host)" if variant.missing else ""
                    loses = _VARIANT + (_MISSING if variant.missing else 0)
                    yield self._way(loses=loses, recipes={service.name: variant}, words=words)
                    break

    def _elsewhere(self) -> Iterator[Way]:
        """Yield, for each service on one GPU, each other GPU on which the set fits."""
        for service in self._starting:
            gpu = service.gpu
            if gpu is None or gpu.devices.ranks > 1:
                continue
            there = self._starts[service.name].parts
            for other in self._pool.gpus:
                need = service.need._replace(gpu=gpu._replace(devices=Devices(ids=(str(other.index),))))
                if other.problem or (other.key if other.pool is not None else HOST) in _main(there):
                    continue
                if self._fits({service.name: need}):
                    change = Change(switches=(f"gpus={other.index}",))
                    words = f"with {service.name} on {other}"
                    yield Way(_OTHER_GPU, words, {service.name: change}, {})

    # --- what else could give way -------------------------------------------------------------------------------------

    def _dropping(self) -> Iterator[Way]:
        """Yield dropping the page cache, if the only obstacle is a vLLM that counts it as used."""
        without = self._pool._replace(cache_bytes=0)
        if self._pool.cache_bytes and admit(self._wanted, self._running, without, replace=self._replace).fits:
            words = f"without the {format_gib(self._pool.cache_bytes)} of page cache, which this vLLM takes for used"
            yield Way(0, words, {}, {}, drop_cache=True)

    def _stopping(self) -> Iterator[tuple[Running, ...]]:
        """Yield each running service whose end is enough; if none is, the fewest that are enough together."""
        others = self._may_stop()
        singles = [(one,) for one in others if self._after(one).fits()]
        if singles:
            yield from singles
            return
        # The sum of what several give back counts, so the largest ones make up the smallest set.
        largest = sorted(others, key=lambda one: -one.held_bytes - one.unfinished_bytes)
        for count in range(2, len(largest) + 1):
            if self._after(*largest[:count]).fits():
                yield tuple(largest[:count])
                return

    def _settings_after_stopping(self) -> list[Way]:
        """Return smaller settings beside what is left when the fewest have stopped."""
        others = self._may_stop()
        for count in range(1, len(others) + 1):
            found = self._after(*others[:count]).settings()
            if found:
                return found
        return []

    def _may_stop(self) -> list[Running]:
        """Return the services that may be stopped, those of lower priority first, and of these the smallest.

        A service of unknown priority may matter more than everything that is wanted.
        """
        names = {one.name for one in self._wanted}
        most = max((one.priority for one in self._wanted), default=0)
        others = [one for one in self._running if one.name not in names and one.state != "stopped"]
        others = [one for one in others if one.priority is not None and one.priority <= most]
        return sorted(others, key=lambda one: (one.priority or 0, one.held_bytes))

    def _after(self, *stops: Running) -> _Search:
        return _Search(self._wanted, self._running, self._pool, replace=self._replace, stops=stops)

    def fits(self) -> bool:
        """Return whether the set fits as it is."""
        return self._fits({})

    def _leaving_out(self) -> Iterator[Way]:
        """Yield each service without which the others fit; if none is, those of low priority that suffice together."""
        if len(self._wanted) < 2:  # noqa: PLR2004
            return
        largest = sorted(self._starting, key=lambda one: -one.peak_bytes)[:_TRIED]
        singles = [one for one in largest if self._fits({}, [one.name])]
        for one in singles:
            yield self._left_out([one])
        if singles:
            return
        order = sorted(self._starting, key=lambda one: (one.priority, -one.steady_bytes))
        kept = most(1, len(order) - 2, lambda many: self._fits({}, [one.name for one in order[: len(order) - many]]))
        if kept:
            yield self._left_out(order[: len(order) - kept])

    def _left_out(self, services: Sequence[Wanted]) -> Way:
        return self._way(loses=_WITHOUT * len(services), without=services)
