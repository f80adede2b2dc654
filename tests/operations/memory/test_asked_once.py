"""An engine and a store that are asked each question once: for one look at many recipes."""

from __future__ import annotations

from sparkctl.operations.memory.asked_once import EngineOnce, RecordsOnce
from sparkctl.operations.records import Records
from tests.support.fake_engine import FakeEngine
from tests.support.fakes import FakeStore
from tests.support.measured import MEASURED


def test_an_image_is_asked_for_once_and_the_rest_is_the_engines_own() -> None:
    engine = FakeEngine(images={"a:1": {}})
    once = EngineOnce(engine).whole
    first = once.image("a:1")
    assert first is not None
    engine.images.clear()
    assert (once.image("a:1"), once.image("b:1")) == (first, None)
    assert once.info() is once.info()
    assert list(once.containers()) == []


def test_the_measurements_of_a_model_are_read_once() -> None:
    store = FakeStore().measured(MEASURED)
    once = RecordsOnce(Records(store)).whole
    model = MEASURED.key.model
    first = once.measurements(model)
    assert len(first) == 1
    store.forget("measurement", model)
    assert once.measurements(model) == first
    assert once.measurements("a/other") == []
    assert once.warnings == []
