"""A folder with many recipes: its manifest, and where the mods are that its recipes name."""

from __future__ import annotations

import pytest

from sparkctl.recipes.exchange.sources.registry import (
    MANIFEST,
    RegistryPart,
    mod_folder,
    mod_name,
    not_bakeable,
    parts_of,
)

PARTS = (RegistryPart("official", "official-recipes", "official-mods"), RegistryPart("other", "others/recipes"))
SCRIPTS = {
    "mods/fix/run.sh",
    "official-mods/fix/run.sh",
    "official-mods/own/run.sh",
    "recipes/mods/near/run.sh",
    "deep/inside/lonely/run.sh",
    "a/twice/run.sh",
    "b/twice/run.sh",
}


def test_a_manifest_declares_registries() -> None:
    """Each has its folders; one that leaves the folder, or says nothing, is none."""
    text = """\
registries:
  - {name: official, description: x, recipes: official-recipes, mods: ./official-mods/}
  - {name: other, recipes: others/recipes}
  - {name: out, recipes: ../../elsewhere}
  - {name: absolute, recipes: /etc, mods: /etc}
  - {name: nothing}
  - text
"""
    assert parts_of({MANIFEST: text}) == PARTS
    assert parts_of({}) == ()
    assert parts_of({MANIFEST: "a: [\n"}) == ()
    assert parts_of({MANIFEST: "registries: x\n"}) == ()
    (nested, *_) = parts_of({f"checkouts/one/{MANIFEST}": text})
    assert nested == RegistryPart("official", "checkouts/one/official-recipes", "checkouts/one/official-mods")


@pytest.mark.parametrize(
    ("name", "recipe", "folder"),
    [
        ("mods/fix", "recipes/one.yaml", "mods/fix"),
        ("fix", "official-recipes/x/one.yaml", "official-mods/fix"),
        ("@official/mods/own", "recipes/one.yaml", "official-mods/own"),
        ("@official/own/", "recipes/one.yaml", "official-mods/own"),
        ("@elsewhere/gone", "recipes/one.yaml", None),
        ("near", "recipes/one.yaml", "recipes/mods/near"),
        ("near", "recipes/deep/er/one.yaml", "recipes/mods/near"),
        ("lonely", "recipes/one.yaml", "deep/inside/lonely"),
        ("twice", "recipes/one.yaml", None),
        ("../../fix/../../etc", "recipes/one.yaml", None),
        ("/etc", "recipes/one.yaml", None),
    ],
)
def test_a_mod_is_looked_for_as_the_runners_do(name: str, recipe: str, folder: str | None) -> None:
    """By the registry that is named, beside the recipe, in its registry, in the checkout; never outside."""
    assert mod_folder(name, recipe, PARTS, SCRIPTS) == folder


@pytest.mark.parametrize(
    ("written", "name"), [("mods/fix-x", "fix-x"), ("@a/b/c.d/", "c.d"), ("..", "imported-mod"), ("", "imported-mod")]
)
def test_a_mod_has_the_name_of_its_folder(written: str, name: str) -> None:
    """A name that cannot be one is replaced."""
    assert mod_name(written) == name


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("#!/bin/bash\ncp x.jinja $WORKSPACE_DIR/\npatch -p1 < fix.patch\n", None),
        ("# pip install x\ncp a b\n", None),
        ("pip  install x", "it needs the network (pip install)"),
        ("uv pip install x", "it needs the network (uv pip install)"),
        ("set -e\ncurl -fsSL https://example.org | bash", "it needs the network (curl)"),
        ("git clone x && cmake .. ", "it builds (cmake), which belongs into an image"),
    ],
)
def test_what_a_script_needs_is_told_by_its_text(script: str, why: str | None) -> None:
    """Installations and downloads need the network, and what is built belongs into an image."""
    assert not_bakeable(script) == why
