"""A recipe's file: its keys in the order of the format, comments where a value is not the source's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.base import shown
from sparkctl.recipes.exchange import yaml_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sparkctl.recipes.exchange.fields.made import Made, Path
    from sparkctl.recipes.exchange.stacked import MadeStack

_ORDER: Final = (
    *("description", "extends", "template", "image", "vllm", "model", "cache", "gpus", "secrets", "serve", "limits"),
    *("container", "args", "env", "mods", "speculative", "backend", "memory", "ready", "expect", "checks", "retention"),
)


def recipe_text(made: Made, source: str) -> str:
    """Return the file of a recipe; ``source`` is what it was imported from, as its first line says."""
    order = {key: number for number, key in enumerate(_ORDER)}
    keys = sorted(made.keys, key=lambda key: order.get(key, len(order)))
    noted = {key: _noted((key,), made.keys[key], made.comments) for key in keys}
    return yaml_text.document(noted, *map(_safe, _head(made, source)))


def stack_text(made: MadeStack, source: str) -> str:
    """Return the file of a stack; ``source`` is as for a recipe."""
    return yaml_text.document(made.keys, *map(_safe, _head(made, source)))


def _head(made: Made | MadeStack, source: str) -> Iterator[str]:
    yield f"Imported by sparkctl from {source}."
    if made.leftovers:
        yield "What the source says and this file does not:"
    for number, one in enumerate(made.leftovers, start=1):
        needs = f"; it would take {one.needs}" if one.needs else ""
        yield f"{number}. {one.place}: {one.what}: {one.why}{needs}"


def _safe(text: str) -> str:
    """Return a text of one line without secrets, whatever characters the source has."""
    return shown.one_line(shown.Boundary().hidden(text))


def _noted(path: Path, value: object, comments: Mapping[Path, str]) -> object:
    if isinstance(value, dict):
        value = {key: _noted((*path, str(key)), below, comments) for key, below in value.items()}
    return yaml_text.noted(value, _safe(comments[path])) if path in comments else value
