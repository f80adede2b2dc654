"""The course of the memory through the lives of a gateway: it goes on, and what is damaged is said."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import InputError
from sparkctl.operations.page import health
from sparkctl.operations.page.course import EVERY_S, KEPT
from sparkctl.operations.page.seen.kept_course import WRITE_EVERY_S, KeptCourse
from sparkctl.operations.page.view import MemorySample
from tests.support.door_bench import soon
from tests.support.fake_world import FakeSpark
from tests.support.fakes import FakeReport
from tests.support.page_bench import served

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.page_bench import PageBench


def course_of(spark: FakeSpark, report: FakeReport | None = None) -> KeptCourse:
    return KeptCourse(spark.world(report or FakeReport()))


def samples(spark: FakeSpark, count: int) -> list[MemorySample]:
    """Return samples of which the last one is of now."""
    now = spark.clock.epoch()
    return [MemorySample(now - EVERY_S * (count - 1 - place), 100, 40, 50, 5) for place in range(count)]


def test_a_restart_of_the_gateway_goes_on_with_the_course(tmp_path: Path) -> None:
    spark = FakeSpark(tmp_path)

    async def run() -> list[tuple[MemorySample, ...]]:
        found = []
        for _ in range(2):
            async with served(spark.world(FakeReport()), ticks=True) as page:
                await soon(lambda page=page: looked(page))  # type: ignore[misc]
                found.append(page.live.view().course)
            spark.clock.now += 3600
        return found

    before, after = asyncio.run(run())
    assert (len(before), len(after)) == (1, 2)
    assert after[:1] == before
    content, mode = spark.files.written[course_of(spark).place]
    assert (mode, len(content) < 1000) == (0o600, True)


async def looked(page: PageBench) -> bool:
    view = page.live.view()
    return bool(view.course) and view.course[-1].at == view.at


def test_it_is_written_once_in_some_minutes_and_not_with_each_look(tmp_path: Path) -> None:
    spark = FakeSpark(tmp_path)
    place, now = course_of(spark).place, [0.0]

    async def run() -> None:
        async with served(spark.world(FakeReport()), ticks=True, now=lambda: now[0]) as page:
            for passed in (0.0, 100.0, WRITE_EVERY_S + 1):
                now[0] = passed
                spark.clock.now += 60
                page.live.changed()
                await soon(lambda: looked(page))
                if passed < WRITE_EVERY_S:
                    assert place not in spark.files.written
            await soon(written)

    async def written() -> bool:
        return place in spark.files.written

    asyncio.run(run())


def test_what_is_older_than_the_course_and_what_is_to_come_is_left_out(tmp_path: Path) -> None:
    spark = FakeSpark(tmp_path)
    kept = course_of(spark)
    all_of_it = samples(spark, KEPT + 500)
    kept.write([*all_of_it, all_of_it[-1]._replace(at=spark.clock.epoch() + 60)])
    found = course_of(spark).read()
    assert (found[-1], len(found) <= KEPT) == (all_of_it[-1], True)
    spark.clock.now += KEPT * EVERY_S
    assert [one.at for one in course_of(spark).read()] == [all_of_it[-1].at, all_of_it[-1].at + 60]
    assert len(spark.files.written[kept.place][0]) < 100_000


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "its text"),
        ("[1, [[0, 1, 2", "its text"),
        ('{"schema": 2, "samples": []}', "its schema is 2, and this sparkctl knows 1"),
        ('{"schema": 1, "samples": [["yesterday", 1, 2, 3, 4]]}', "valid number"),
        ('{"schema": 1, "samples": [[5.0, 100, 101, 0, 0]]}', "the moment 5.0 cannot be"),
        ('{"schema": 1, "samples": [[5.0, 100, 50, -1, 0]]}', "the moment 5.0 cannot be"),
        ('{"schema": 1, "samples": [[1e999, 100, 50, 1, 0]]}', "its text"),
        ('{"schema": 1, "samples": [[5.0, 100, 50, 99999999999999999999999999, 0]]}', "expected a number"),
    ],
)
def test_a_damaged_file_is_said_and_begun_anew(tmp_path: Path, text: str, why: str) -> None:
    spark, report = FakeSpark(tmp_path), FakeReport()
    kept = course_of(spark, report)
    spark.files.write(kept.place, text.encode(), mode=0o600)
    assert kept.read() == ()
    assert "the course of the memory begins anew" in " ".join(report.warned)
    assert why in " ".join(report.warned)
    assert kept.problem is not None
    assert kept.problem.words in " ".join(report.warned)
    kept.write(samples(spark, 2))
    assert (kept.problem, len(course_of(spark).read())) == (None, 2)


def test_a_disk_that_is_full_is_said_on_the_page_and_nothing_else_ends(tmp_path: Path) -> None:
    spark = FakeSpark(tmp_path)

    def full(*_: object, **__: object) -> None:
        raise InputError("cannot write it: no space left on device", hint="free some space")

    spark.files.write = full  # type: ignore[method-assign]

    async def run() -> None:
        async with served(spark.world(FakeReport())) as page:
            view = await page.live.fresh()
            assert not view.warnings
            keeps = asyncio.create_task(page.live.keep())
            await asyncio.sleep(0)
            keeps.cancel()
            await asyncio.gather(keeps, return_exceptions=True)
            told = health.sentence(page.live.view())
            assert "the course of the memory is not kept: cannot write it: no space" in told.words
            assert told.todo == "free some space"

    asyncio.run(run())
