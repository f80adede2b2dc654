"""The mods that a source names: those that are here go into the recipe."""

from __future__ import annotations

from sparkctl.base.errors import Place
from sparkctl.recipes.exchange.launch import Launch, Word
from sparkctl.recipes.exchange.mods import SourceMod, settled


def test_each_mod_is_in_the_recipe_or_left_over() -> None:
    """A mod of the catalog by its name, once; the others say where they are and what they need."""
    place = Place("r.yaml", 4, 5)
    words = tuple(Word(text, place) for text in ("mods/a", "@x/a", "b", "c", "d"))
    launch = Launch("r", "eugr recipe", place, image=Word("vllm-node", place), mods=words, keys={"description": "x"})
    found = settled(
        launch,
        {
            "mods/a": SourceMod("a"),
            "@x/a": SourceMod("a"),
            "b": SourceMod(None, "it is not baked yet", "/r/mods/b"),
            "c": SourceMod(None, "it needs the network (curl)", "/r/mods/c", network=True),
        },
    )
    assert found.keys == {"description": "x", "mods": ["a"]}
    assert found.mods == ()
    assert [(left.what, left.why, left.needs) for left in found.leftovers] == [
        (
            "mods: b",
            "it is not baked yet",
            "sparkctl mods bake /r/mods/b --image vllm-node; then its name under mods:",
        ),
        (
            "mods: c",
            "it needs the network (curl)",
            "sparkctl mods bake /r/mods/c --image vllm-node --network; then its name under mods:",
        ),
        ("mods: d", "no folder of this name is beside it", "the folder of the mod, and `sparkctl mods bake`"),
    ]


def test_without_mods_nothing_changes() -> None:
    """No key, no leftover."""
    launch = Launch("r", "eugr recipe", Place("r.yaml", 1, 1))
    assert settled(launch, {}) == launch
