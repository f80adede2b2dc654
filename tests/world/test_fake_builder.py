"""The builder that other tests are given keeps the contract that the real one keeps."""

from __future__ import annotations

import pytest

from tests.support.builder_contract import BuilderContract, Kitchen
from tests.support.fake_builder import FakeBuilder, printing
from tests.support.fake_engine import FakeEngine

BASE = "base:1"


class TestFakeBuilder(BuilderContract):
    """The contract, on the fake."""

    @pytest.fixture
    def kitchen(self) -> Kitchen:
        engine = FakeEngine(images={BASE: {}})
        return Kitchen(FakeBuilder(engine), engine, BASE, "fake", printing)
