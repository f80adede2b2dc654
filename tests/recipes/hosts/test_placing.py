"""What a stack says of hosts: each contradiction at its line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.base.document import load
from sparkctl.base.errors import ProblemsError
from sparkctl.base.validation import validate
from sparkctl.recipes.hosts.placing import misplaced, wrong_ranks
from sparkctl.recipes.stack import Stack
from tests.support.fleet import Fleet

if TYPE_CHECKING:
    from pathlib import Path

HOSTS = "hosts: [one, two]\n"


def refused(text: str) -> str:
    with pytest.raises(ProblemsError) as error:
        validate(load(text, "box.yaml"), Stack)
    return "\n".join(f"{one} {one.hint}" for one in error.value.problems)


def test_a_pin_is_a_name_or_a_list_of_names() -> None:
    text = f"{HOSTS}services: {{a: {{recipe: x, host: one}}, b: {{recipe: x, host: [two, one]}}}}"
    found = validate(load(text, "box.yaml"), Stack)
    assert {name: one.host for name, one in found.services.items()} == {"a": ("one",), "b": ("two", "one")}
    assert not list(misplaced(found.hosts, found.services))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "services: {a: {recipe: x, host: one}}",
            "box.yaml:1:33: services.a.host: is for a stack that lists its hosts",
        ),
        ("services: {a: {recipe: x, spread: w}}", "services.a.spread: is for a stack that lists its hosts"),
        ("services: {a: {recipe: x, labels: {k: v}}}", "services.a.labels: is for a stack that lists its hosts"),
        (f"{HOSTS}services: {{a: {{recipe: x, host: tow}}}}", "services.a.host[0]: tow is no host of this stack"),
        (f"{HOSTS}services: {{a: {{recipe: x, host: [one, one]}}}}", "'one' is listed twice"),
        ("hosts: [one, one]\nservices: {a: {recipe: x}}", "'one' is listed twice"),
        (
            "hosts: [one]\nservices: {a: {recipe: x, spread: w}, b: {recipe: x, spread: w}}",
            "more services have the word w than there are hosts",
        ),
    ],
)
def test_what_contradicts_itself_is_an_error_at_its_line(text: str, said: str) -> None:
    assert said in refused(text)


def test_a_service_is_pinned_to_as_many_hosts_as_its_recipe_needs() -> None:
    assert wrong_ranks("a", (), 2) == ""
    assert wrong_ranks("a", ("one",), 1) == ""
    assert wrong_ranks("a", ("one",), 2) == "a needs 2 hosts (nodes of its recipe), and is pinned to 1: one"


def test_lint_says_of_recipes_and_hosts_what_the_stack_alone_does_not_know(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    fleet.stack("a host: [one, two]; b host: one; c host: one")
    fleet.recipe("c", 9002)
    said = fleet.run("recipes", "lint", "fleet").expect(2).err
    assert "fleet.yaml:3:" in said
    assert "sa needs one host (nodes of its recipe), and is pinned to 2: one, two" in said
    assert "sb and sc both listen at" in said
    fleet.stack("b host: one; c host: two")
    assert "errors 0, warnings 0" in fleet.run("recipes", "lint", "fleet").expect(0).err
