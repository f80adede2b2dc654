"""Images that are built on the host, and one in their place."""

from __future__ import annotations

import pytest

from sparkctl.recipes.exchange.images import is_built_here, with_published
from sparkctl.recipes.exchange.sources import eugr
from tests.support.launches import left, only
from tests.support.paths import EXCHANGE

RECIPE = (EXCHANGE / "eugr.yaml").read_text()


@pytest.mark.parametrize(
    ("image", "built"),
    [
        ("vllm-node", True),
        ("vllm-node-tf5:latest", True),
        ("my-local-vllm:1", True),
        ("vllm/vllm-openai:v0.20.2", False),
        ("vllm-nodes", False),
        ("ghcr/vllm-node", False),
    ],
)
def test_an_image_that_is_built_here_is_known_by_its_name(image: str, *, built: bool) -> None:
    """A name that the community's builds have, or that says so."""
    assert is_built_here(image) is built


def test_another_one_may_stand_in_its_place() -> None:
    """That is said, and nothing of it stays over; a published one stays."""
    launch = only(eugr.read, RECIPE)
    chosen = with_published(launch, "vllm/vllm-openai:v0.33.0")
    assert chosen.image is not None
    assert chosen.image.text == "vllm/vllm-openai:v0.33.0"
    assert not any("container:" in one for one in left(chosen))
    assert chosen.notes[-1] == "vllm-node, which is built on a host, is vllm/vllm-openai:v0.33.0 here (--image)"
    assert with_published(launch, None) == launch
    published = only(eugr.read, RECIPE.replace("container: vllm-node", "container: a/b:1"))
    assert with_published(published, "c:1") == published
