"""The variables of a server as keys of its recipe, once everything else that may set the same is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.recipes import values
from sparkctl.recipes.exchange.fields.options import given_by, is_first, without_value
from sparkctl.recipes.exchange.fields.ranks import of_group
from sparkctl.recipes.exchange.material import unknowns

if TYPE_CHECKING:
    from sparkctl.recipes.exchange.fields.draft import Draft
    from sparkctl.recipes.exchange.fields.options import Setup

_WHICH_GPUS: Final = frozenset({"CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"})


def place_env(draft: Draft, setup: Setup) -> None:
    """Put the variables that are left into ``env``."""
    for name, (value, item) in setup.env.items():
        if (why := of_group(draft, name)) is not None:
            draft.explain(item, why)
            continue
        if missing := unknowns(value or ""):
            draft.leave(item, without_value(missing), given_by(missing))
            continue
        if name in _WHICH_GPUS and not is_first(value or ""):
            draft.explain(item, "a Spark has one GPU, and the recipe takes it")
            continue
        try:
            values.variable(name)
        except ValueError:
            draft.leave(item, "it is no name of a variable", None)
            continue
        draft.put(("env", name), scalar(value or ""), item)


def scalar(text: str) -> str | int:
    """Return a variable's value as a recipe writes it: a number where that is the same text again."""
    most = 15
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= most and str(int(text)) == text else text
