"""Texts in double quotes, as YAML has them."""

from __future__ import annotations

import yaml
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.base.shown import unseen
from sparkctl.recipes.exchange.yaml_text import quoted


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_a_quoted_text_is_one_line_that_is_seen_and_read_back_unchanged(text: str) -> None:
    shown = quoted(text)
    assert not any(unseen(one) for one in shown)
    assert yaml.safe_load(shown) == text
