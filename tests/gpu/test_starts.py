"""What a real vLLM on a real GPU takes, and what was said of it before."""

from __future__ import annotations

import pytest

from tests.gpu.servers import SHAPES, Served, Servers

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module", params=SHAPES, ids=[shape.name for shape in SHAPES])
def served(servers: Servers, request: pytest.FixtureRequest) -> Served:
    """Give each service to all tests, before the next one starts: pytest sorts them by this."""
    return servers.serve(request.param)


def test_it_answers_a_long_prompt(served: Served) -> None:
    assert served.answered == 16


def test_the_weights_are_within_one_percent(served: Served) -> None:
    assert served.measured["measured"]["loaded_bytes"] == pytest.approx(served.size["weights"]["bytes"], rel=0.01)


def test_the_cache_has_the_very_tokens(served: Served) -> None:
    assert served.measured["measured"]["kv_tokens"] == served.size["kv_cache"]["tokens"]
    assert served.measured["measured"]["kv_bytes"] == served.size["kv_cache"]["bytes"]


def test_what_it_holds_is_within_ten_percent_of_what_was_said(served: Served) -> None:
    assert served.ready.gpu_bytes > served.size["weights"]["bytes"]
    assert served.ready.bytes == pytest.approx(served.size["steady_bytes"], rel=0.1)
    assert served.after_prompt.bytes == pytest.approx(served.size["steady_bytes"], rel=0.1)


def test_it_never_holds_more_than_the_bound(served: Served) -> None:
    assert served.ready.bytes <= served.size["bound_bytes"]
    assert served.after_prompt.bytes <= served.size["bound_bytes"]
    assert served.measured["measured"]["peak_gpu_bytes"] <= served.size["bound_bytes"]


def test_the_next_plan_knows_it_within_two_percent(servers: Servers, served: Served) -> None:
    """By what its start measured, and by what ``status`` saw after a whole context of prompts."""
    again = servers.recipe(served.shape, f"{served.shape.name}-again")
    (planned,) = servers.run("plan", again, "--json").json["services"]
    assert planned["known"].startswith("measured here on ")
    assert planned["steady_bytes"] == pytest.approx(served.after_prompt.bytes, rel=0.02)
