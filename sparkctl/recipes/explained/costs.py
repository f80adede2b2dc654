"""The cost of a word of a command in memory: a second estimate, without the word or with half of its value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.document import Node
from sparkctl.base.errors import InputError, Place
from sparkctl.base.validation import validate
from sparkctl.memory.beside.classified import COUNTED, UNCOUNTED, UNCOUNTED_VARIABLES
from sparkctl.memory.footprint import KV_CACHE, WEIGHTS
from sparkctl.recipes import layers
from sparkctl.recipes.explained.keys import SERVER_KEYS
from sparkctl.recipes.explained.rendered import CommandPart
from sparkctl.recipes.layers import Override
from sparkctl.recipes.recipe import Recipe
from sparkctl.recipes.sizing.estimate import estimate
from sparkctl.vllm.flags import LINEAR_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from sparkctl.base.document import KeyPath
    from sparkctl.memory.items import Item
    from sparkctl.recipes.explained.rendered import RenderedWord
    from sparkctl.recipes.service import Service


class ItemCost(NamedTuple):
    """An item of the estimate, in bytes: as it is, and as it would be."""

    item: str
    bytes: int
    instead_bytes: int


class Costs(NamedTuple):
    """The cost of a word. ``instead`` says what the items were compared with, "" if they are the word's own.

    ``untold`` is a sentence on what no item counts, or why nothing could be compared; "" where all is told.
    """

    instead: str = ""
    items: tuple[ItemCost, ...] = ()
    untold: str = ""


_WHOLE: Final = {"model": (WEIGHTS,), "kv-cache-memory-bytes": (KV_CACHE,)}
"""Words to which items belong as they are."""
_HALVED: Final = frozenset({"max-model-len", "max-num-batched-tokens", "max-num-seqs"})
"""Numbers that every server has: there is no server without them to compare with."""
_LEFT_OUT: Final = frozenset(
    {"attention-backend", "limit-mm-per-prompt", "linear-backend", "moe-backend", "speculative-config"}
)
"""Words that no server has without their keys."""
_BESIDE: Final[dict[str, tuple[KeyPath, ...]]] = {"speculative-config": (("ready", "acceptance"),)}
"""Keys that go with those of a word: what drafts have to reach."""
_HERE: Final = Place("explain", 0, 0)


def costs(word: RenderedWord, service: Service) -> Costs:
    """Return the memory cost of a word of a service's command; nothing if it has none."""
    if word.part is CommandPart.VARIABLE:
        return _of_variable(word.name, service)
    return _of_flag(word.name, service) if word.part is CommandPart.SERVER else Costs()


def _of_flag(written: str, service: Service) -> Costs:
    name = written.partition(".")[0]
    if name in _WHOLE:
        return _whole(service, _WHOLE[name])
    if name not in COUNTED:
        why = UNCOUNTED.get(name)
        return Costs(untold=f"it takes memory that no item counts: {why}" if why else "")
    if name in _HALVED:
        return _halved(service, SERVER_KEYS[name][0])
    if name == "gpu-memory-utilization":
        return _of_fraction(service)
    if name in _LEFT_OUT:
        return _without(service, (*SERVER_KEYS[name], *_BESIDE.get(name, ())))
    return _without(service, [("args", written)]) if written in service.recipe.args else Costs()


def _whole(service: Service, names: Collection[str]) -> Costs:
    """Return items as they are."""
    items = [item for item in service.footprint.items if item.name in names]
    return Costs(items=tuple(ItemCost(item.name, item.bytes, 0) for item in items))


def _of_variable(name: str, service: Service) -> Costs:
    if name in UNCOUNTED_VARIABLES:
        return Costs(untold=f"it takes memory that no item counts: {UNCOUNTED_VARIABLES[name]}")
    if name == LINEAR_VARIABLE and name not in service.recipe.env:
        return _without(service, [("backend", "linear")])
    return _without(service, [("env", name)]) if name in service.recipe.env else Costs()


def _of_fraction(service: Service) -> Costs:
    """Return what a fraction sizes: the cache where the operator gives the fraction, else nothing."""
    if service.footprint.utilization is None:
        return Costs(untold="it sizes nothing here: vLLM checks at its start that so much is free")
    return _whole(service, (KV_CACHE,))


def _halved(service: Service, path: KeyPath) -> Costs:
    value = getattr(service.recipe.limits, str(path[1]).replace("-", "_"))
    half = value // 2
    if half == 0:
        return Costs(untold="one is the least")
    return _compared(service, [Override(path, Node(half, _HERE, _HERE, str(half)))], f"with {half:,}")


def _without(service: Service, paths: Iterable[KeyPath]) -> Costs:
    document = service.resizer.loaded.document
    there = [path for path in paths if document.given(path) is not None]
    return _compared(service, [Override(path, Node(None, _HERE, _HERE)) for path in there], "without it")


def _compared(service: Service, overrides: list[Override], instead: str) -> Costs:
    """Return the items that are others once something is laid over the recipe."""
    of = service.resizer
    try:
        recipe = validate(layers.with_overrides(of.loaded.document, overrides), Recipe)
        other = estimate(recipe, of.facts, of.draft, of.loaded.version.memory, of.profile, once=of.once)
    except InputError as error:
        why = error.message.splitlines()[0].removeprefix("explain: ")
        return Costs(untold=f"{instead} it cannot be estimated: {why}")
    return Costs(instead, tuple(differing(service.footprint.items, other.items)))


def differing(items: Iterable[Item], others: Iterable[Item]) -> list[ItemCost]:
    """Return the items of two estimates that differ, those of both in the order of the first."""
    mine, theirs = _by_name(items), _by_name(others)
    names = [*mine, *(name for name in theirs if name not in mine)]
    found = [ItemCost(name, mine.get(name, 0), theirs.get(name, 0)) for name in names]
    return [one for one in found if one.bytes != one.instead_bytes]


def _by_name(items: Iterable[Item]) -> dict[str, int]:
    found: dict[str, int] = {}
    for item in items:
        found[item.name] = found.get(item.name, 0) + item.bytes
    return found
