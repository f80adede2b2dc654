"""Simulated servers of other kinds, through the whole command line: one that embeds, one that ranks, over TLS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.command_line import Operator, free_port
from tests.support.paths import FIXTURES
from tests.support.thorough import only_thorough

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = """\
template: vllm-openai
image: vllm/vllm-openai:v0.20.2
vllm: "0.20.2"
model: {{repo: example-lab/embed, facts: gemma-4-e2b}}
serve: {{name: house, aliases: [old], port: {port}, tls: {{certificate: {tls}/house.pem, key: {tls}/house.key}}}}
limits: {{context: 2048}}
args: {{runner: pooling}}
checks: [embedding]
"""


@only_thorough
def test_a_simulated_server_that_embeds_over_tls_under_two_names(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    operator = Operator(tmp_path / "home", tmp_path / "folder")
    operator.write("recipes/embed.yaml", RECIPE.format(port=free_port(), tls=FIXTURES / "tls"))
    operator.environ |= {"SPARKCTL_SIM_FAULTS": "load_s=0.2"}
    up = operator.run("up", "embed").expect(0)
    assert "embed: ready at https://127.0.0.1:" in up.err
    (row,) = operator.run("ps", "--json").expect(0).json
    assert (row["ready"], row["served_names"]) == (True, ["house", "old"])
    (verdict,) = operator.run("check", "embed", "--json").expect(0).json
    assert (verdict["check"], verdict["verdict"]) == ("embedding", "pass")
    found = operator.run("bench", "embed", "--rounds", "1", "--concurrency", "1,2", "--json").expect(0).json
    assert (found["unit"], [level["tokens"] for level in found["levels"]]) == ("embeddings/s", [16, 32])
    assert "embeddings/s in sum" in operator.run("bench", "embed", "--rounds", "1", "--markdown").expect(0).out
    assert "embeddings/s" in operator.run("bench", "history", "embed").expect(0).out
    operator.run("down", "embed").expect(0)
