"""The printed form of an explanation: a block of lines for each word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.base.units import GIB
from sparkctl.recipes.explained.origins import Writer
from sparkctl.world.docker_run.spelling import quote

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkctl.recipes.explained.costs import Costs
    from sparkctl.recipes.explained.explanation import Explained, ExplainedWord, InReleases
    from sparkctl.recipes.explained.origins import WordOrigin
    from sparkctl.vllm.known.pains import Pain

_LABEL: Final = "label"


def lines(found: Explained) -> Iterator[str]:
    """Yield the lines of an explanation; the labels, which are sparkctl's own, are one word."""
    yield f"{found.service}: vLLM {found.vllm} in {found.image}"
    if found.note:
        yield f"  {found.note}"
    yield from _hurts(found.hurts)
    labels = [one for one in found.words if one.word.name == _LABEL]
    for one in found.words:
        if one.word.name != _LABEL or one is labels[0]:
            yield ""
            yield from _of_word(one, len(labels) if one.word.name == _LABEL else 1)


def _of_word(one: ExplainedWord, count: int) -> Iterator[str]:
    words = " ".join(map(quote, one.word.words))
    yield (
        f"{one.word.text}, {count} of them" if count > 1 else words or f"{one.word.text}: the command does not have it"
    )
    for origin in one.origins:
        yield f"  from    {_origin(origin)}"
    for text in one.sums:
        yield f"  sum     {text}"
    if one.does is not None:
        yield f"  does    {one.does}"
    if one.releases is not None:
        yield f"  since   {_since(one.releases)}"
    if one.releases is not None and one.releases.default is not None:
        default = one.releases.default
        yield f"  else    {'vLLM works it out when it starts' if default == 'None' else default}"
    if one.releases is not None and one.releases.choices:
        yield f"  may be  {', '.join(one.releases.choices)}"
    if one.help is not None:
        yield f"  help    {one.help}"
    yield from _costs(one.costs)
    yield from _hurts(one.hurts)


def _origin(origin: WordOrigin) -> str:
    if origin.writer in {Writer.SPARKCTL, Writer.TEMPLATE}:
        return " ".join(filter(None, [str(origin.writer), origin.value]))
    written = f"{origin.key}: {origin.value}"
    if origin.writer is Writer.DEFAULT:
        return f"{written}, the default"
    if origin.writer is Writer.FOLLOWS:
        return f"{written}, which nobody wrote: {origin.place}"
    return f"{written} ({origin.writer}, {origin.place})"


def _since(releases: InReleases) -> str:
    if releases.first is None or releases.last is None:
        return "no known release has it"
    first = f"{releases.first}{', the oldest known' if releases.oldest else ''}"
    if releases.here:
        return first
    return f"{first}, until {releases.last}; this release does not have it"


def _costs(found: Costs) -> Iterator[str]:
    for cost in found.items:
        instead = f", {cost.instead_bytes / GIB:.2f} GiB {found.instead}" if found.instead else ""
        yield f"  memory  {cost.item} {cost.bytes / GIB:.2f} GiB{instead}"
    if found.untold:
        yield f"  memory  {found.untold}"
    elif found.instead and not found.items:
        yield f"  memory  the same {found.instead}"


def _hurts(found: Sequence[Pain]) -> Iterator[str]:
    for pain in found:
        yield f"  known   {pain.says} ({pain.source})"
        if pain.todo:
            yield f"          → {pain.todo}"
