"""A stack that was applied, put into a store by hand: what `apply` keeps, without its changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from sparkctl.planning.box.declared import DeclaredService, Restarts, StartMode
from sparkctl.planning.box.generation import APPLIED, GenerationEnd, KeptGeneration, KeptService
from sparkctl.world.ports import StoredRecord

if TYPE_CHECKING:
    from sparkctl.world.ports import Store

RESTARTS = Restarts(10.0, 300.0, 3, 1800.0)


def declared(
    name: str, priority: int = 0, start: StartMode = StartMode.ALWAYS, after: tuple[str, ...] = ()
) -> DeclaredService:
    """Return what a stack says of a service."""
    return DeclaredService(name, start, priority, False, after, None, 60.0, RESTARTS)


def keep(store: Store, generation: KeptGeneration, outcome: str = APPLIED) -> None:
    """Keep a generation and how it ended."""
    text = TypeAdapter(KeptGeneration).dump_json(generation).decode()
    store.add(StoredRecord("generation", generation.at, "", "", "", text))
    end = TypeAdapter(GenerationEnd).dump_json(GenerationEnd(generation.number, outcome, generation.at + 1)).decode()
    store.add(StoredRecord("generation-end", generation.at + 1, "", "", "", end))


def keep_names(store: Store, *names: str, number: int = 1, outcome: str = APPLIED) -> None:
    """Keep a generation of services of which only the names count."""
    services = tuple(KeptService(declared(name), name, "", (), "", "image", "") for name in names)
    keep(store, KeptGeneration(number, "box", "box.yaml", 1.0, "operator", services), outcome)
