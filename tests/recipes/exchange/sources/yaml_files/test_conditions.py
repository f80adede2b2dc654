"""Settings under conditions: those that hold on one Spark are laid over, of the others each is told or left out."""

from __future__ import annotations

import pytest

from sparkctl.recipes.exchange.sources.sparkrun import read
from tests.support.launches import command, left, only, options

RECIPE = """\
recipe_version: "2"
model: org/m
container: image:1
defaults: {max_num_seqs: 8, speculator: mtp}
env: {A: "1"}
command: vllm serve {model} --max-num-seqs {max_num_seqs}
overrides:
"""


def launch(*entries: str) -> str:
    """Return a recipe with these entries."""
    return RECIPE + "".join(f"  - {entry}\n" for entry in entries)


@pytest.mark.parametrize(
    ("when", "value"),
    [
        ("{nodes: 1}", 1),
        ("{nodes: [2, 4]}", 8),
        ("{nodes: {gt: 1}}", 8),
        ("{nodes: {lte: 1}, arch: SM_121}", 1),
        ("{arch: [sm_100, sm_121]}", 1),
        ("{vendor: {ne: amd}}", 1),
        ("{config: {speculator: none}}", 8),
        ("{config: {speculator: {in: [mtp, eagle]}, missing: {not_in: [x]}}}", 1),
        ("{config: {max_num_seqs: {gte: 8, lt: 9}}}", 1),
        ("{config: {speculator: {gt: 3}}}", 8),
    ],
)
def test_a_condition_is_decided_for_one_spark(when: str, value: int) -> None:
    """One host, one GPU, its architecture, and the recipe's own values."""
    found = only(read, launch(f"{{when: {when}, defaults: {{max_num_seqs: 1}}}}"))
    assert command(found).endswith(f"--max-num-seqs {value}")
    assert not any("overrides" in line for line in left(found))


@pytest.mark.parametrize(
    "entry",
    [
        "{when: {memory_gb: {gt: 100}}, defaults: {max_num_seqs: 1}}",
        "{when: {platform: spark}, defaults: {max_num_seqs: 1}}",
        "{when: {nodes: {near: 1}}, defaults: {max_num_seqs: 1}}",
        "{when: {nodes: 1}, mods: [x]}",
        "{defaults: {max_num_seqs: 1}}",
        "{when: {nodes: {eq: []}}, defaults: {max_num_seqs: 1}}",
        "text",
    ],
)
def test_what_nobody_knows_stays_over(entry: str) -> None:
    """An unknown selector, operator or layer; the recipe itself is not changed by it."""
    found = only(read, launch(entry))
    assert command(found).endswith("--max-num-seqs 8")
    assert any("overrides[0]" in line for line in left(found))


def test_later_entries_win_and_see_what_was_before_all() -> None:
    """Values, variables and the image, in their order."""
    found = only(
        read,
        launch(
            "{when: {nodes: 1}, defaults: {max_num_seqs: 1}, env: {B: '2'}, container: image:2}",
            "{when: {config: {max_num_seqs: 8}}, defaults: {max_num_seqs: 2}, env: {A: '3'}}",
        ),
    )
    assert command(found).endswith("--max-num-seqs 2")
    assert found.image is not None
    assert found.image.text == "image:2"
    assert "--env A=3 --env B=2" in options(found)


def test_overrides_that_are_no_list_stay_over() -> None:
    """They are told as they are."""
    assert any("overrides: text" in line for line in left(only(read, RECIPE.replace("overrides:", "overrides: text"))))
