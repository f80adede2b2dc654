"""Where a copy is, as it is told: bytes, a fraction, seconds, and not for each piece."""

from __future__ import annotations

from sparkctl.operations.hosts.distribute.moments import CopyMoments
from tests.support.fakes import FakeClock
from tests.support.told import Told


def test_a_moment_is_told_twice_a_second_and_at_each_file_and_at_the_end() -> None:
    report, clock = Told(), FakeClock()
    moments = CopyMoments(report, clock, "tiny on b", "copying", 4096)
    moments.file("one")
    for _ in range(3):
        moments.came(1024)
    assert report.texts == ["tiny on b: copying: 1.0 KiB of 4.0 KiB, one"]
    clock.sleep(0.5)
    moments.at(2048)
    moments.file("two")
    moments.came(1)
    moments.at(4096)
    assert report.fractions == [0.25, 0.5, 2049 / 4096, 1.0]
    assert report.texts[-1] == "tiny on b: copying: 4.0 KiB of 4.0 KiB, two"
    assert report.facts[-1] == {"seconds": 0.5, "bytes": 4096, "total_bytes": 4096}
    assert moments.done == 4096


def test_what_has_no_size_has_no_fraction() -> None:
    report = Told()
    CopyMoments(report, FakeClock(), "tiny on b", "carrying", 0).came(7)
    assert (report.texts, report.fractions) == (["tiny on b: carrying: 7 B of 0 B"], [None])
