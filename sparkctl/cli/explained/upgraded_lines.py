"""What is printed of an upgrade of a recipe: lines for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.base.units import GIB, format_gib
from sparkctl.recipes.explained.release import held

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.operations.explained.upgrade import UpgradedService


def lines(found: UpgradedService) -> Iterator[str]:
    """Yield what a release changes for a service."""
    change = found.change
    before, after = change.before.loaded, change.after.loaded
    yield f"{found.service}: vLLM {_pair(str(change.before.version), str(change.after.version))}"
    yield f"  image     {found.note or _pair(before.recipe.image, after.recipe.image)}"
    for note in dict.fromkeys(filter(None, [before.version.note, after.version.note])):
        yield f"  counted   {note}"
    for label, told in (
        ("gone", change.gone),
        ("there", tuple(f"no longer: {text}" for text in change.found)),
        ("announced", change.announced),
        ("choices", change.choices),
        ("default", change.defaults),
        ("mod", change.mods),
        ("unknown", change.unknown),
    ):
        yield from (f"  {label:9} {text}" for text in told)
    for pain in change.hurts:
        yield f"  hurts     {pain.says} ({pain.source})"
        if pain.todo:
            yield f"            → {pain.todo}"
    yield from (f"  heals     {pain.says} ({pain.source})" for pain in change.heals)
    for word in change.words:
        yield f"  word      {word.before or 'nothing'} → {word.after or 'nothing'}"
    yield from _memory(found)


def _memory(found: UpgradedService) -> Iterator[str]:
    change = found.change
    for item in change.items:
        yield f"  memory    {item.item} {item.bytes / GIB:.2f} → {item.instead_bytes / GIB:.2f} GiB"
    before, after = held(change.before), held(change.after)
    if before is not None and after is not None:
        yield f"  held      at most {_pair(format_gib(before.bound_bytes), format_gib(after.bound_bytes))}"
        yield f"  peak      at most {_pair(format_gib(before.peak_bytes), format_gib(after.peak_bytes))}"


def _pair(before: str, after: str) -> str:
    return before if before == after else f"{before} → {after}"
