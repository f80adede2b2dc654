"""Configurations of LiteLLM's proxy: the names of servers on this host."""

from __future__ import annotations

import pytest

from sparkctl.base.errors import ProblemsError
from sparkctl.recipes.exchange.material import Material
from sparkctl.recipes.exchange.sources.litellm import read, recognises, stack
from tests.support.paths import EXCHANGE

CONFIG = (EXCHANGE / "litellm.yaml").read_text()


def test_servers_of_this_host_are_services() -> None:
    """By the name that the server has, and its port; how it is asked is the stack's."""
    found = stack(Material(CONFIG, "litellm.yaml"))
    assert [(one.served, one.port, dict(one.keys)) for one in found.services] == [
        ("org/Model-A", 8001, {"names": ["fast"], "defaults": {"temperature": 0.2}}),
        ("served", 8002, {}),
        ("org/Model-B", None, {"names": ["in-a-container"]}),
    ]
    assert read(Material(CONFIG, "litellm.yaml")) == []


def test_what_points_elsewhere_stays_over() -> None:
    """Providers, other hosts, patterns, and LiteLLM's own settings; no key is shown."""
    found = stack(Material(CONFIG, "litellm.yaml"))
    assert [f"{left.place.line}: {left.what}" for left in found.leftovers] == [
        "8: model_list.litellm_params.rpm: 10",
        "10: model_name: claude-*",
        "12: gpt: gpt-4o",
        "14: other: openai/x",
        "16: bad: openai/x",
        "18: a model without its name or its model",
        '21: general_settings: {"master_key": "(a secret)"}',
    ]
    assert "sk-0123456789abcdef" not in repr(found)


@pytest.mark.parametrize("text", ["model_list: [\n", "model_list: &a [*a]\n"])
def test_what_is_no_yaml_raises(text: str) -> None:
    """With its place."""
    with pytest.raises(ProblemsError):
        stack(Material(text, "c.yaml"))


def test_it_is_recognised_by_its_list() -> None:
    """A list of models with LiteLLM's own key."""
    assert recognises(Material(CONFIG, "c.yaml"))
    assert not recognises(Material("model_list: []\n", "c.yaml"))
