"""An explanation for a program."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sparkctl.recipes.explained.explanation import Explained, ExplainedWord
    from sparkctl.vllm.known.pains import Pain


def row(found: Explained) -> dict[str, object]:
    """Return an explanation for a program."""
    return {
        "service": found.service,
        "recipe": found.recipe,
        "image": found.image,
        "vllm": str(found.vllm),
        "note": found.note,
        "known": [pain_row(pain) for pain in found.hurts],
        "words": [_word(one) for one in found.words],
    }


def pain_row(pain: Pain) -> dict[str, object]:
    """Return a known problem for a program."""
    return {"id": pain.id, "says": pain.says, "todo": pain.todo or None, "source": pain.source}


def _word(one: ExplainedWord) -> dict[str, object]:
    releases, costs = one.releases, one.costs
    return {
        "part": str(one.word.part),
        "name": one.word.name,
        "value": one.word.value,
        "words": list(one.word.words),
        "from": [{**origin._asdict(), "writer": str(origin.writer)} for origin in one.origins],
        "sums": list(one.sums),
        "does": one.does,
        "help": one.help,
        "since": None if releases is None or releases.first is None else str(releases.first),
        "until": None if releases is None or releases.last is None else str(releases.last),
        "here": None if releases is None else releases.here,
        "default": None if releases is None else releases.default,
        "choices": [] if releases is None else list(releases.choices),
        "memory": {
            "instead": costs.instead or None,
            "items": [cost._asdict() for cost in costs.items],
            "untold": costs.untold or None,
        },
        "known": [pain_row(pain) for pain in one.hurts],
    }
