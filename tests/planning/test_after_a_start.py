"""After a start on this host the middle is what it held, and the most is that and what no start shows."""

from __future__ import annotations

import json

import pytest
from packaging.version import Version

from sparkctl.base.units import GIB
from sparkctl.memory.changes import Changes, changed, defaults
from sparkctl.memory.facts import ModelFacts
from sparkctl.memory.footprint import Once, footprint
from sparkctl.memory.items import When, bound, middle
from sparkctl.memory.pool import HostProfile
from sparkctl.planning.calibration import Measured, applied, shares
from sparkctl.planning.measured import Key, Measurement
from tests.support.paths import TESTS


@pytest.mark.parametrize(
    ("model", "context", "sequences", "measured"),
    [
        ("qwen3-8b", 16384, 8, (16396037652, 9664856064, 27262976000, 2102382592)),
        ("gemma4-e4b-text", 32768, 4, (15257871319, 1286209536, 21827158016, 2662227968)),
    ],
)
def test_the_whole_is_within_two_per_cent_of_what_was_measured(
    model: str, context: int, sequences: int, measured: tuple[int, int, int, int]
) -> None:
    """Loaded, cache, GPU and host of two starts in containers (vLLM 0.20.2 on an H200)."""
    loaded, cache, gpu, host = measured
    facts = ModelFacts(config=json.loads((TESTS / "fixtures/configs" / model / "config.json").read_text()))
    once = Once(facts)
    changes = Changes(kv_cache_dtype="fp8", max_num_seqs=sequences, available=cache)
    settings = changed(defaults(Version("0.20.2"), context, facts), changes)
    profile = HostProfile(total=round(139.8 * GIB), reserve=GIB, gpu="h200")
    items = footprint(settings, once.shape, once.weights(settings), None, profile).items
    one = Measurement(
        Key("sha256:1", model, "", ()),
        "s",
        "r",
        1.0,
        profile.total,
        shares(items),
        loaded_bytes=loaded,
        kv_bytes=cache,
        gpu_bytes=gpu,
        host_bytes=host,
    )
    after = applied(items, Measured(one))
    ready = [item for item in after if item.when is When.STEADY]
    assert middle(ready) == pytest.approx(gpu + host, rel=0.02)
    assert bound(ready) == middle(ready), "nothing that was measured may take more"
    assert all(item.spread for item in after if item.when is When.LATER)
