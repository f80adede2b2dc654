"""An engine and a store that are asked each question once: for a look at many recipes of few images and models."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from sparkctl.operations.records import Records
    from sparkctl.planning.measured import Measurement
    from sparkctl.world.engine import Engine, EngineInfo, Image


class EngineOnce:
    """An engine, asked once who it is and once for each image. It is for one look: what changes later is not seen."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._images: dict[str, Image | None] = {}

    def __getattr__(self, name: str) -> object:
        """Return what else an engine has, as it is."""
        return getattr(self._engine, name)

    @property
    def whole(self) -> Engine:
        """The same, as an engine."""
        return cast("Engine", self)

    @cached_property
    def _info(self) -> EngineInfo:
        return self._engine.info()

    def info(self) -> EngineInfo:
        """Return who the engine is; raises as the engine does."""
        return self._info

    def image(self, reference: str) -> Image | None:
        """Return an image, None where the engine does not have it; raises as the engine does."""
        if reference not in self._images:
            self._images[reference] = self._engine.image(reference)
        return self._images[reference]


class RecordsOnce:
    """The measurements of a store, each model's read once."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._kept: dict[str | None, list[Measurement]] = {}

    @property
    def whole(self) -> Records:
        """The same, as the records."""
        return cast("Records", self)

    @property
    def warnings(self) -> list[str]:
        """What of it could not be read."""
        return self._records.warnings

    def measurements(self, model: str | None = None) -> list[Measurement]:
        """Return the measurements of a model's repository (None: all); raises as the store does."""
        if model not in self._kept:
            self._kept[model] = self._records.measurements(model)
        return self._kept[model]
