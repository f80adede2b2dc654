"""What this host has measured, laid over what services are expected to take."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from sparkctl.base.errors import InputError
from sparkctl.planning import calibration
from sparkctl.recipes.sizing import memory_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.base.errors import EngineError
    from sparkctl.operations.records import Records
    from sparkctl.planning.measured import Measurement
    from sparkctl.recipes.service import Service
    from sparkctl.world.engine import Engine
    from sparkctl.world.ports import Report


class History:
    """The measurements of one host. Records that cannot be used are said once, and stop nothing."""

    def __init__(self, engine: Engine, records: Records, report: Report) -> None:
        self._engine = engine
        self._records = records
        self._report = report
        self._broken = False

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
            return service
        try:
            kept = self._records.measurements(service.recipe.model.repo)
        except InputError as error:
            self.tell(error)
            return service
        for warning in self._records.warnings:
            self._report.warn(warning)
        self._records.warnings.clear()
        key = memory_key.key(service, image.id)
        match, otherwise = calibration.best(kept, key), calibration.changed(kept, key)
        if match is None or otherwise is None:
            return service
        resizer = replace(service.resizer, learned=partial(calibration.applied, match=otherwise))
        items = calibration.applied(service.footprint.items, match)
        expected = replace(service.footprint, items=items, known=calibration.known(match))
        wanted = replace(
            service.wanted,
            steady_bytes=expected.bound_bytes,
            peak_bytes=expected.peak_bound_bytes,
            parts=f"{expected.summary}, {expected.known}",
            sizes=resizer.sizes,
        )
        return replace(service, expected=expected, wanted=wanted)
