"""A suite of one task of the operator's own, for the real lm-eval: questions, and the one right answer to each."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.support.job_fixtures import LM_EVAL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.support.command_line import Operator

TASK = """\
task: {name}
dataset_path: json
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
num_fewshot: 0
generation_kwargs: {{until: [{until}], do_sample: false, temperature: 0.0}}
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
metadata: {{version: 1.0}}
"""
SUITE = """\
description: questions of a test
source: this test
image: {{base: "{image}"}}
tasks:
  {name}: {{task: ./{name}.lm-eval, data: {{test: ./{name}.jsonl}}, metrics: {{"exact_match,none": {{floor: 0.9}}}}}}
{limits}
"""


def write_suite(
    operator: Operator, name: str, questions: Iterable[tuple[str, str]], limits: str, *, until: str = "\n"
) -> None:
    """Write the suite ``name``; ``limits`` are its lines of tokens, timeout and so on, ``until`` ends an answer."""
    rows = [{"question": question, "answer": answer} for question, answer in questions]
    for suffix, text in (
        ("lm-eval", TASK.format(name=name, until=json.dumps(until))),
        ("yaml", SUITE.format(name=name, image=LM_EVAL, limits=limits)),
        ("jsonl", "".join(f"{json.dumps(row)}\n" for row in rows)),
    ):
        operator.write(f"recipes/suites/{name}.{suffix}", text)
