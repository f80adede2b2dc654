"""Servers that a source runs together become a stack."""

from __future__ import annotations

from sparkctl.base.document import load
from sparkctl.base.errors import Place
from sparkctl.base.validation import validate
from sparkctl.base.yaml_nodes import text_of
from sparkctl.recipes.exchange.stacked import KnownRecipe, SourceService, SourceStack, stack_of
from sparkctl.recipes.stack import Stack

PLACE = Place("c.yaml", 3, 1)
KNOWN = (KnownRecipe("a", ("org/A",), 8001), KnownRecipe("b", ("served",), 8002), KnownRecipe("c", ("served",), 8003))


def test_launches_are_services_by_their_recipes() -> None:
    """What became no recipe is not in the stack; a service needs no name that it has anyway."""
    source = SourceStack(
        "s",
        (
            SourceService(PLACE, {"start": "on-demand", "idle": "60s", "names": ["org/A", "fast"]}, "launch-a"),
            SourceService(PLACE, {"names": ["a"]}, "refused"),
        ),
        {"gateway": {}},
    )
    made = stack_of(source, {"launch-a": "a"}, KNOWN)
    assert made.keys == {
        "services": {"a": {"recipe": "a", "start": "on-demand", "idle": "60s", "names": ["fast"]}},
        "gateway": {},
    }
    assert made.leftovers == ()
    assert validate(load(text_of(dict(made.keys)), "s.yaml"), Stack).services["a"].names == ("fast",)


def test_servers_that_run_already_are_found_by_name_and_port() -> None:
    """The name decides, the port among several of that name; what nobody serves stays over."""
    source = SourceStack(
        "s",
        (
            SourceService(PLACE, {"names": ["one"]}, None, "served", 8003),
            SourceService(PLACE, {"names": ["two"], "defaults": {"top_p": 1}}, None, "served", 8003),
            SourceService(PLACE, {"names": ["three"]}, None, "other", 8001),
            SourceService(PLACE, {"names": ["four"]}, None, "served", 9),
            SourceService(PLACE, {"names": ["five"]}, None, "nobody"),
        ),
    )
    made = stack_of(source, {}, KNOWN)
    assert made.keys == {
        "services": {
            "c": {"recipe": "c", "names": ["one", "two"], "defaults": {"top_p": 1}},
            "a": {"recipe": "a", "names": ["three"]},
        }
    }
    assert [left.what for left in made.leftovers] == ["served at port 9", "nobody"]


def test_without_services_there_is_no_stack() -> None:
    """No keys."""
    assert stack_of(SourceStack("s", ()), {}).keys == {}
