"""Servers that write no text, on the real vLLM: one that embeds, over TLS and under two names; one that ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.paths import FIXTURES
from tests.support.thorough import only_everything
from tests.testbed import tiny_kinds

if TYPE_CHECKING:
    from tests.support.vllm_machine import Machine

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1200)]

TLS = FIXTURES / "tls"


def settings(*overrides: str) -> list[str]:
    return [word for override in overrides for word in ("--set", override)]


def test_a_server_that_embeds_over_tls_under_two_names(machine: Machine) -> None:
    folder = machine.home / "embedder"
    tiny_kinds.write_embedder(folder)
    name, url = machine.recipe("embeds")
    secure = url.replace("http://", "https://")
    tls = f"serve.tls={{certificate: {TLS / 'house.pem'}, key: {TLS / 'house.key'}}}"
    own = settings("args.runner=pooling", f"model.path={folder}", "serve.aliases=[gpt-4o]", tls)
    done = machine.run("up", name, *own).expect(0)
    assert done.err.splitlines()[-1] == f"{name}: ready at {secure}"
    assert "warning" not in done.err

    (row,) = [row for row in machine.run("ps", "--json").expect(0).json if row["name"] == name]
    assert (row["ready"], row["url"], row["served_names"]) == (True, secure, ["tiny", "gpt-4o"])
    (verdict,) = machine.run("check", name, "--json").json
    assert verdict["check"] == "embedding", "a service is asked the checks of its kind"
    dimension, norm, _ = verdict["requests"][0]["findings"]
    assert (dimension["measured"], norm["measured"]) == ("3 vectors of 64 numbers", "1.000")
    found = machine.run("bench", name, "--rounds", "1", "--concurrency", "1,2", "--json").expect(0).json
    assert (found["unit"], [level["tokens"] for level in found["levels"]]) == ("embeddings/s", [16, 32])
    machine.run("down", name).expect(0)


@only_everything  # another kind of pooling model: half a minute of a core
def test_a_server_that_ranks_is_known_by_its_model_and_has_no_cache(machine: Machine) -> None:
    folder = machine.home / "ranker"
    tiny_kinds.write_ranker(folder)
    name, url = machine.recipe("ranks")
    # vLLM refuses an encoder whose batch is smaller than its context: what is not written follows the context.
    own = settings(f"model.path={folder}", "limits={context: 4096, batched-tokens: null}", "args.dtype=float32")
    done = machine.run("up", name, *own).expect(0)
    assert done.err.splitlines()[-1] == f"{name}: ready at {url}"
    assert "--kv-cache-memory-bytes" not in machine.run("render", name, *own).expect(0).out
    assert "KV cache size" not in machine.run("logs", name).expect(0).out
    (verdict,) = machine.run("check", name, "--json").json
    assert verdict["requests"][0]["findings"][0]["assertion"] == "best"
    machine.run("down", name).expect(0)
