"""What this host has measured: laid over what services are expected to take, and kept of each start."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from sparkctl.base.errors import EngineError, InputError
from sparkctl.planning import calibration, measured
from sparkctl.planning.measured import Start
from sparkctl.recipes import memory_key
from sparkctl.vllm import boot_log

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.operations.records import Records
    from sparkctl.planning.measured import Sample
    from sparkctl.recipes.service import Service
    from sparkctl.world.engine import Container, Engine
    from sparkctl.world.host import Host
    from sparkctl.world.ports import Report


class History:
    """The measurements of one host. Records that cannot be used are said once, and stop nothing."""

    def __init__(self, engine: Engine, host: Host, records: Records, report: Report) -> None:
        self._engine = engine
        self._host = host
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

    def keep(self, service: Service, created: str, samples: Sequence[Sample]) -> None:
        """Keep what the start of a container took that became ready, and tell what is odd about it.

        Nothing that goes wrong here is an error of the start.
        """
        try:
            container = self._engine.container(created)
            lines = self._engine.logs(created)
        except EngineError as error:
            self._tell(error)
            return
        if container is not None:
            self._kept(service, container, lines, samples)

    def _kept(self, service: Service, container: Container, lines: Sequence[str], samples: Sequence[Sample]) -> None:
        start = Start(
            key=memory_key.key(service, container.image_id),
            service=service.name,
            recipe=service.recipe_name,
            at=container.started_at or 0.0,
            host_total_bytes=self._host.memory().total_bytes,
            predicted=calibration.shares(service.footprint.items),
        )
        taken = measured.of_start(start, boot_log.parse(lines, container.started_at), samples)
        for finding in measured.findings(taken):
            self._report.say(f"{service.name}: {finding}")
        try:
            self._records.add_measurement(taken)
        except InputError as error:
            self._tell(error)

    def _expected(self, service: Service) -> Service:
        image = self._engine.image(service.recipe.image)
        if image is None:
            return service
        try:
            kept = self._records.measurements(service.recipe.model.repo)
        except InputError as error:
            self._tell(error)
            return service
        for warning in self._records.warnings:
            self._report.warn(f"{warning}")
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
            steady_bytes=expected.steady_bytes,
            peak_bytes=expected.peak_bytes,
            parts=f"{expected.summary}, {expected.known}",
            sizes=resizer.sizes,
        )
        return replace(service, expected=expected, wanted=wanted)

    def _tell(self, error: InputError | EngineError) -> None:
        if not self._broken:
            self._report.warn(f"the measurements of this host are not used: {error.message}")
        self._broken = True
