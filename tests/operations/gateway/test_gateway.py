"""The gateway put together: a request starts what it asks for, agent and desk agree, clients are told why not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.gateway_bench import E4B, FP8, GatewayBench

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[GatewayBench]:
    found = GatewayBench(tmp_path)
    yield found
    found.close()


def test_a_request_for_what_runs_goes_to_it_under_the_name_that_it_serves(bench: GatewayBench) -> None:
    bench.up()
    found = bench.ask(E4B).forwarded()
    assert found.url == "http://127.0.0.1:8003"
    assert json.loads(found.body or b"")["model"] == "gemma-4-e4b"
    assert found.answer_headers["x-sparkctl-model"] == E4B


def test_a_request_for_what_does_not_run_starts_it_and_is_answered(bench: GatewayBench) -> None:
    bench.up()
    assert bench.running == {E4B}
    found = bench.ask(FP8)
    assert found.forwarded().url == "http://127.0.0.1:8001"
    assert bench.running == {E4B, FP8}
    assert bench.starts(FP8) == 1
