"""An image for which the engine's disk has no room is not fetched until the disk is full."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.base.units import GIB
from sparkctl.world.engine import PullProgress
from tests.support.fake_engine import FakeEngine
from tests.support.fake_world import FakeSpark
from tests.support.fakes import FakeHost

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Registry(FakeEngine):
    """An engine without images, for which a registry has one of ``size`` bytes; ``host`` is who gives the room."""

    def __init__(self, host: FakeHost, size: int) -> None:
        super().__init__(images={})
        self.host, self.size, self.fetched = host, size, 0

    def pull(self, reference: str) -> Iterator[PullProgress]:
        self._do(f"pull {reference}")
        for tenth in range(1, 11):
            now = self.size * tenth // 10
            self.host.disk_free -= 2 * (now - self.fetched)
            self.fetched = now
            yield PullProgress(now, self.size if tenth > 2 else 0, "")
        self.images[reference] = {}


@pytest.mark.parametrize(
    ("free", "size", "told"),
    [
        (1, 9, "no room for the image vllm/vllm-openai:gemma4-cu130: 1.0 GiB free at /var/lib/docker, "),
        (15, 9, ": 15.0 GiB free at /var/lib/docker, it is 9.0 GiB to fetch and about 18.0 GiB on the disk (an est"),
    ],
)
def test_an_image_larger_than_the_disk_is_refused_with_both_sizes(
    tmp_path: Path, free: int, size: int, told: str
) -> None:
    host = FakeHost(disk_free=free * GIB)
    engine = Registry(host, size * GIB)
    done = FakeSpark(tmp_path, engine=engine, host=host).run("up", "e4b-nvfp4").expect(4)
    assert told in done.err
    assert host.disk_free >= GIB
    assert engine.images == {}
    assert engine.there == {}


def test_an_image_that_has_room_is_fetched(tmp_path: Path) -> None:
    host = FakeHost(disk_free=19 * GIB)
    engine = Registry(host, 9 * GIB)
    FakeSpark(tmp_path, engine=engine, host=host).run("up", "e4b-nvfp4").expect(0)
    assert engine.images != {}


def test_doctor_looks_at_the_disk_of_the_engine(tmp_path: Path) -> None:
    done = FakeSpark(tmp_path, host=FakeHost(disk_free=GIB)).run("doctor")
    assert "disk for /var/lib/docker" in done.out + done.err


def test_a_model_for_which_the_disk_has_no_room_is_not_downloaded(tmp_path: Path) -> None:
    spark = FakeSpark(tmp_path, host=FakeHost(disk_free=GIB))
    spark.models.missing["gemma4-e4b-nvfp4"] = "is not there"
    (tmp_path / "recipes").mkdir()
    sheet = "extends: 26b-a4b-nvfp4\nmodel: {path: /home/operator/none}\n"
    (tmp_path / "recipes/mine.yaml").write_text(sheet)
    spark.models.missing["none"] = "is not there"
    done = spark.run("download", "mine")
    assert done.code == 2
    assert "mine: no room for " in done.err
    assert "1.0 GiB are free at /home/operator/none" in done.err
