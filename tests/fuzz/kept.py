"""Generations of the operator's store: read, listed, shown, compared, and brought back as far as nothing is touched."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.base.errors import SparkctlError
from sparkctl.operations.stack.generations import GENERATION, Generations
from sparkctl.operations.stack.restored import restorable
from sparkctl.world.ports import StoredRecord
from tests.support.applied_stack import AppliedStack, engine
from tests.support.fake_world import FakeSpark
from tests.support.fakes import FakeReport, FakeStore

if TYPE_CHECKING:
    from collections.abc import Sequence

_SET = "{limits.context: 4096, env: {MY_AUTH: of-nobody}}"
_SERVICES = f"{{chat: {{recipe: e4b-nvfp4, set: {_SET}, secrets: [HF_TOKEN]}}}}"
_ASKED = (["history"], ["history", "show", "2", "--json"], ["history", "show", "2"], ["history", "diff", "1", "2"])


@cache
def generations() -> Sequence[bytes]:
    """Return a generation as it is kept."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        box = AppliedStack(Path(folder))
        box.spark.environ |= {"HF_TOKEN": "of-nobody-else"}
        box.write(_SERVICES)
        box.keep()
        return tuple(one.text.encode() for one in box.spark.store.kept if one.kind == GENERATION)


def generation(data: bytes) -> object:
    """Read one, print it, and hold it against what it was made of."""
    (whole,) = generations()
    store = FakeStore([_record(1, whole), _record(2, data)])
    spark = FakeSpark(Path("/nowhere"), engine=engine(), store=store, environ={"HF_TOKEN": "of-nobody-else"})
    for words in _ASKED:
        spark.run(*words)
    world = spark.world(FakeReport())
    found = Generations(world).get(2)
    return [_restored(spark, place) for place in range(len(found.services))]


def _restored(spark: FakeSpark, place: int) -> object:
    world = spark.world(FakeReport())
    try:
        return restorable(world, [Generations(world).get(2).services[place]], pull=False)[0].words
    except SparkctlError as error:
        return error.message


def _record(number: int, data: bytes) -> StoredRecord:
    return StoredRecord(GENERATION, 1.0, "box", str(number), "", data.decode(errors="replace"))
