"""The measurements of this host, used in place of estimates for services."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from sparkctl.base.errors import InputError
from sparkctl.base.lazy import LazyModule
from sparkctl.recipes.sizing import devices, memory_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sparkctl.base.errors import EngineError
    from sparkctl.memory.items import Item
    from sparkctl.operations.records import Records
    from sparkctl.planning import calibration, doubts, reference
    from sparkctl.planning.known_starts import KnownStart
    from sparkctl.planning.measured import Measurement
    from sparkctl.recipes.service import Service
    from sparkctl.world.engine import Engine
    from sparkctl.world.ports import Report
else:
    calibration = LazyModule("sparkctl.planning.calibration")
    doubts = LazyModule("sparkctl.planning.doubts")
    reference = LazyModule("sparkctl.planning.reference")


class History:
    """The measurements of one host, and before it has its own what others logged (``known``).

    Records that cannot be used are said once, and stop nothing. ``records`` returns where they are kept, when that is
    first wanted, ``total_bytes`` what the memories of this machine have together: what another one measured is left
    aside.
    """

    def __init__(
        self,
        engine: Engine,
        records: Callable[[], Records],
        report: Report,
        known: Callable[[Service], Sequence[KnownStart]],
        total_bytes: Callable[[], int],
    ) -> None:
        self._total_bytes = total_bytes
        self._known = known
        self._engine = engine
        self._open = records
        self._report = report
        self._broken = False

    @property
    def _records(self) -> Records:
        return self._open()

    def expected(self, services: Sequence[Service]) -> list[Service]:
        """Return the services with what starts here took in place of what was estimated, where one is known."""
        return [self._expected(service) for service in services]

    def usual(self, service: Service) -> Mapping[str, float]:
        """Return the seconds of each phase of the last start of this recipe here; none where none is known."""
        try:
            kept = self._records.measurements(service.recipe.model.repo)
        except InputError:
            return {}  # told already, when the plan was made
        own = [one.phases for one in kept if one.recipe == service.recipe_name and one.seconds > 0]
        return own[-1] if own else {}

    def has(self, service: Service, at: float, *, whole: bool) -> bool:
        """Return whether a start that began ``at`` (epoch seconds) was measured; ``whole``: from its begin on."""
        try:
            kept = self._records.measurements(service.recipe.model.repo)
        except InputError:
            return False
        mine = [one for one in kept if one.service == service.name and one.at == at]
        return any(one.whole or not whole for one in mine)

    def add(self, taken: Measurement) -> None:
        """Keep a measurement; where that cannot be done, it is said."""
        try:
            self._records.add_measurement(taken)
        except InputError as error:
            self.tell(error)

    def tell(self, error: InputError | EngineError) -> None:
        """Say once that measurements are not used, and why."""
        if not self._broken:
            self._report.warn(f"the measurements of this host are not used: {error.message}")
        self._broken = True

    def _expected(self, service: Service) -> Service:
        if self._engine.info().kind == "sim":
            return service  # what is simulated teaches nothing
        image = self._engine.image(service.recipe.image)
        if image is None:
            return self._referenced(service, "")
        try:
            kept = self._records.measurements(service.recipe.model.repo)
        except InputError as error:
            self.tell(error)
            return service
        for warning in self._records.warnings:
            self._report.warn(warning)
        self._records.warnings.clear()
        total = self._total_bytes()
        kept = [one for one in kept if not doubts.elsewhere(one, total)]
        key = memory_key.key(service, image.id)
        match, otherwise = calibration.best(kept, key), calibration.changed(kept, key)
        if match is None or otherwise is None:
            return self._referenced(service, image.id)
        items = calibration.applied(service.footprint.items, match)
        return expecting(service, items, calibration.known(match), partial(calibration.applied, match=otherwise))

    def _referenced(self, service: Service, image: str) -> Service:
        """Return a service with what others logged of such a start, where something of it can be taken."""
        return referenced(service, image, self._known(service))


def referenced(service: Service, image: str, starts: Sequence[KnownStart]) -> Service:
    """Return a service with what others logged of such a start, as it is where nothing of it can be taken.

    ``starts`` are those of its model on its kind of GPU, ``image`` is the id of its image ("": not here).
    """
    if not starts:
        return service
    key = memory_key.key(service, image)
    written = [(start, dict(memory_key.relevant_flags(start.flags))) for start in starts]
    near = reference.nearest(written, key.model, dict(key.flags), service.resizer.loaded.version.version, image)
    if near is None:
        return service
    items = reference.applied(service.footprint.items, near)
    # With other settings other weights may be loaded; what is beside them is bounded by its estimate.
    beside = partial(reference.applied, reference=replace(near, weights=None))
    return expecting(service, items, reference.KNOWN, beside)


def expecting(
    service: Service, items: tuple[Item, ...], known: str, learned: Callable[[Sequence[Item]], tuple[Item, ...]]
) -> Service:
    """Return a service that is planned by these items; ``learned`` makes those of its smaller settings."""
    resizer = service.resizer._replace(learned=learned)
    expected = service.footprint._replace(items=items, known=known)
    wanted = service.wanted._replace(
        steady_bytes=expected.bound_bytes,
        peak_bytes=expected.peak_bound_bytes,
        spread_bytes=expected.spread_bytes,
        parts=f"{expected.summary}, {expected.known}",
        sizes=resizer.sizes,
        gpu=devices.on_gpu(expected, service.recipe),
    )
    return service._replace(expected=expected, wanted=wanted)
