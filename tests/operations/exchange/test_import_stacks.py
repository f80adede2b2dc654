"""Stacks out of files of other tools: written below the recipes that they run together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.operations.exchange import importing
from sparkctl.operations.exchange.import_stacks import imported_stack, known_recipes, made_recipe
from sparkctl.recipes.exchange.fields.made import Made
from sparkctl.recipes.exchange.launch import Leftover
from sparkctl.recipes.exchange.material import Material
from sparkctl.recipes.exchange.sources import litellm
from sparkctl.recipes.exchange.stacked import KnownRecipe, SourceService, SourceStack
from tests.support.fake_world import FakeSpark
from tests.support.fakes import FakeReport
from tests.support.paths import EXCHANGE

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.operations.exchange.importing import Imports

COMPOSE = """\
services:
  first:
    image: vllm/vllm-openai:v0.20.2
    command: --model org/first
    ports: ["8001:8000"]
  second:
    image: vllm/vllm-openai:v0.20.2
    command: --model org/second
    depends_on: [first, database]
  database: {image: postgres}
"""


def of(name: str, text: str, tmp_path: Path, known: tuple[KnownRecipe, ...] = ()) -> Imports:
    """Return what is imported of one file."""
    (tmp_path / name).write_text(text)
    return importing.read(str(tmp_path / name), known=lambda: known)


def test_models_of_llama_swap_become_a_stack(tmp_path: Path) -> None:
    """What was refused is not in it; with a gateway each service listens at this host alone."""
    found = of("swap.yaml", (EXCHANGE / "llama-swap.yaml").read_text(), tmp_path)
    (stack,) = found.stacks
    assert (stack.name, stack.form, stack.usable) == ("swap", "llama-swap configuration", True)
    services = stack.made.keys["services"]
    assert list(services) == ["model-a", "model-b", "model-c"]
    assert services["model-a"] == {
        "recipe": "model-a",
        "start": "on-demand",
        "idle": "600s",
        "names": ["a"],
        "force": {"top_p": 0.9},
        "set": {"serve.bind": "127.0.0.1"},
    }
    assert "# 1." in stack.text()
    assert 'recipe: "../model-a.yaml"' in stack.text(["model-a"])
    assert 'recipe: "../model-a.yaml"' not in stack.text(["another"])


def test_services_of_a_compose_file_come_after_each_other(tmp_path: Path) -> None:
    """By the names of their recipes; one service alone is no stack."""
    found = of("compose.yaml", COMPOSE, tmp_path)
    (stack,) = found.stacks
    assert stack.made.keys["services"] == {
        "first": {"recipe": "first"},
        "second": {"recipe": "second", "after": ["first"]},
    }
    alone = of("compose.yaml", COMPOSE[: COMPOSE.index("  second")], tmp_path)
    assert alone.stacks == ()


def test_names_of_litellm_are_those_of_recipes_that_are_here(tmp_path: Path) -> None:
    """It starts nothing itself: what serves the name is found, or told."""
    text = (EXCHANGE / "litellm.yaml").read_text()
    found = of("proxy.yaml", text, tmp_path, (KnownRecipe("mine", ("org/Model-A",), 8001),))
    assert found.recipes == ()
    (stack,) = found.stacks
    assert stack.made.keys["services"] == {
        "mine": {"recipe": "mine", "names": ["fast"], "defaults": {"temperature": 0.2}}
    }
    nothing = of("proxy.yaml", text, tmp_path)
    assert [one.usable for one in nothing.stacks] == [False]
    (count,) = importing.counted(nothing)
    assert (count.form, count.files, count.imported) == ("LiteLLM configuration", 1, 0)
    assert count.leftovers["no recipe here serves it under this name or at this port"] == 3


@pytest.mark.parametrize("folder", [None, "out"])
def test_stacks_are_written_with_their_recipes(tmp_path: Path, folder: str | None) -> None:
    """All or none; in a folder of one's own a stack names files beside it."""
    world = FakeSpark(tmp_path / "home").world(FakeReport())
    found = of("swap.yaml", (EXCHANGE / "llama-swap.yaml").read_text(), tmp_path)
    paths = importing.write(world, found, folder and str(tmp_path / folder))
    assert [path.name for path in paths] == ["model-a.yaml", "model-b.yaml", "model-c.yaml", "swap.yaml"]
    assert paths[-1].parent == paths[0].parent / "stacks"
    assert ("../model-a.yaml" in paths[-1].read_text()) is (folder is not None)


def test_a_stack_that_sparkctl_refuses_is_told() -> None:
    """It is not written, and its problem is among what stays over; a taken name is left to whoever has it."""
    source = SourceStack("s", (SourceService(Material("", "f").place(1), {"idle": "60s"}, "a"),))
    found = imported_stack("x", lambda _material: source, Material("", "f"), {"a": "one"}, (), {"s"})
    assert found is not None
    assert not found.usable
    assert found.name == "s-stack"
    assert "idle" in found.made.leftovers[-1].what or "on-demand" in found.made.leftovers[-1].what
    assert isinstance(found.made.leftovers[-1], Leftover)
    assert imported_stack("x", litellm.stack, Material("model_list: [", "f"), {}) is None


def test_recipes_are_known_by_their_names_and_places(tmp_path: Path) -> None:
    """Those of the catalog, and those that were just made."""
    shipped = {one.name: one for one in known_recipes(FakeSpark(tmp_path).world(FakeReport()))}
    assert shipped["e4b-nvfp4"].served[0] == "gemma-4-e4b"
    made = Made("x", {"serve": {"name": "n", "aliases": ["m"], "port": 8001, "bind": "0.0.0.0"}})  # noqa: S104
    assert made_recipe("x", made) == KnownRecipe("x", ("n", "m"), 8001, "0.0.0.0")  # noqa: S104
    assert made_recipe("y", Made("y", {})) == KnownRecipe("y")


def test_the_command_says_what_became_of_a_file(tmp_path: Path) -> None:
    """The stack comes after its recipes, with what stays over, and passes sparkctl's own check."""
    spark = FakeSpark(tmp_path / "home")
    done = spark.run("import", str(EXCHANGE / "llama-swap.yaml")).expect(0)
    assert f"{spark.folder}/recipes/stacks/llama-swap.yaml\n  1. " in done.out
    assert "errors 0" in done.err
    assert "sk-0123456789abcdef" not in done.out + done.err
    assert spark.run("recipes", "lint", "llama-swap").expect(0)
    again = FakeSpark(tmp_path / "other").run("import", str(EXCHANGE / "llama-swap.yaml"), "--json").expect(0).json
    assert [one["name"] for one in again["stacks"]] == ["llama-swap"]


def test_the_command_refuses_what_becomes_nothing(tmp_path: Path) -> None:
    """With what there was, and why."""
    done = FakeSpark(tmp_path).run("import", str(EXCHANGE / "litellm.yaml")).expect(2)
    assert "no recipe here serves it under this name or at this port" in done.err
    assert "sk-0123456789abcdef" not in done.err


def test_a_variant_is_chosen_by_its_name(tmp_path: Path) -> None:
    """The one that fits, unless another one is asked for."""
    file = str(EXCHANGE / "vllm-recipe.yaml")
    one = FakeSpark(tmp_path / "one").run("import", file, "--json").expect(0).json
    assert any("this is the variant fp8" in note for note in one["recipes"][0]["notes"])
    other = FakeSpark(tmp_path / "two").run("import", file, "--variant", "nvfp4", "--json").expect(0).json
    assert any("this is the variant nvfp4" in note for note in other["recipes"][0]["notes"])
