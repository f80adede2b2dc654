"""The records of runs, which a kill leaves behind: read back, and not believed where they are damaged."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import pytest

from sparkctl.operations.jobs.runs.records import RunRecord, RunRecords
from tests.support.fake_world import STATE, FakeSpark
from tests.support.fakes import FakeReport

if TYPE_CHECKING:
    from pathlib import Path

RUN = "0123456789ab"
ONE = RunRecord("shrink", RUN, "engine-1", "gone", f"/models/m.partial-{RUN}", "/models/m")


@pytest.fixture
def spark(tmp_path: Path) -> FakeSpark:
    return FakeSpark(tmp_path)


def test_a_record_is_there_until_it_is_forgotten(spark: FakeSpark) -> None:
    records = RunRecords(spark.world(FakeReport()))
    records.keep(ONE)
    assert records.all("engine-1") == [ONE]
    assert records.all("another") == []
    records.forget(RUN)
    records.forget(RUN)
    assert records.all("engine-1") == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"\xff",
        json.dumps(asdict(replace(ONE, partial="/etc"))).encode(),
    ],
)
def test_a_damaged_record_is_none(content: bytes, spark: FakeSpark) -> None:
    spark.files.write(STATE / "jobs" / "runs" / f"{RUN}.json", content, mode=0o600)
    assert RunRecords(spark.world(FakeReport())).all("engine-1") == []
