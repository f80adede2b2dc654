"""`sparkctl check` on the real vLLM with a random model: the protocol works, and nonsense fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.vllm_machine import Machine

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(300)]

OWN = """\
description: what a server with random weights can do
source: this test
requests:
  - {prompt: "1 2 3", completion: "1 2 3", max-tokens: 8, expect: {tokens: 1}}
  - {prompt: "4 5 6", completion: "4 5 6", max-tokens: 8, expect: {tokens: 1}}
"""


def test_random_weights_answer_in_the_protocol_and_fail_what_has_a_right_answer(machine: Machine) -> None:
    machine.write("checks/answers.yaml", OWN)
    name, url = machine.recipe("check", "checks: [answers]\n")
    done = machine.run("up", name, timeout=200).expect(0)
    assert f"{name}: check answers" in done.err
    assert f"{name}: ready at {url}" in done.err

    # Greedy decoding is the same twice; the evidence is what the server said.
    first, again = (machine.run("check", name, "--only", "answers", "--json").expect(0).json for _ in range(2))
    assert first[0]["requests"] == again[0]["requests"]
    assert all(request["answer"] for request in first[0]["requests"])

    checked = machine.run("check", name, "--only", "text,parallel,arithmetic,json,tools,image,long", "--json").expect(7)
    verdicts = {row["check"]: (row["verdict"], row["reason"]) for row in checked.json}
    for wrong in ("text", "parallel", "arithmetic", "json"):
        assert verdicts[wrong][0] == "fail"
        assert not verdicts[wrong][1].startswith("answer: no answer"), verdicts[wrong]
        assert "HTTP" not in verdicts[wrong][1], verdicts[wrong]
    for skipped in ("tools", "image", "long"):
        assert verdicts[skipped][0] == "skipped"

    # Guided decoding is the server's: random weights write what the schema accepts, or are cut off on the way.
    guided = machine.run("check", name, "--only", "json-guided", "--json").json[0]
    (finding,) = guided["requests"][0]["findings"]
    assert finding["assertion"] == "json-schema", guided
    assert guided["requests"][0]["answer"].startswith("{"), guided

    # A base model is asked by completions, over the same server.
    path = machine.folder / "recipes" / f"{name}.yaml"
    path.write_text(path.read_text().replace("mount: /models/tiny}", "mount: /models/tiny, chat: false}"))
    base = machine.run("check", name, "--only", "answers,json", "--json").expect(0).json
    assert [row["verdict"] for row in base] == ["pass", "skipped"]
    machine.run("down", name).expect(0)
