"""The kinds of GPU that are known, and the profiles of hosts with them."""

from __future__ import annotations

import pytest

from sparkctl.memory import cards
from sparkctl.memory.pool import HostProfile
from sparkctl.recipes.catalog import Catalog, Root, shipped_root

CATALOG = Catalog([Root(shipped_root(), "shipped")])
HOSTS = [entry.name for entry in CATALOG.entries("host")]


def test_a_card_is_found_by_its_key_and_by_what_nvml_calls_it() -> None:
    for card in cards.CARDS:
        assert cards.known(card.key) is card
        assert all(cards.known(name) is card for name in card.names)
        assert card.source
        assert card.bytes_per_second
    assert cards.known("NVIDIA GB10") is cards.GB10
    assert [card.key for card in cards.CARDS if card.unified] == ["gb10"]
    assert cards.known("NVIDIA GeForce RTX 9999") is None


@pytest.mark.parametrize("name", HOSTS)
def test_every_shipped_profile_names_a_card_that_is_known(name: str) -> None:
    profile = CATALOG.load("host", name, HostProfile)
    assert cards.known(profile.gpu) == profile.card
    assert profile.sources.total


def test_a_profile_of_another_card_says_its_bandwidth() -> None:
    unknown = HostProfile.model_validate({"gpu": "NVIDIA X", "bandwidth": "504 GB", "total": "12 GiB", "reserve": 0})
    assert unknown.card == cards.Card("NVIDIA X", ("NVIDIA X",), 504 * 10**9, "the host's profile")
    slower = HostProfile.model_validate({"bandwidth": "200 GB", "total": "119 GiB", "sources": {"bandwidth": "b"}})
    assert slower.card == cards.GB10._replace(bytes_per_second=200 * 10**9, source="b")
    assert HostProfile.model_validate({"total": "119 GiB"}).card is cards.GB10
