"""What the Python API offers of a whole stack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.base.lazy import LazyModule

if TYPE_CHECKING:
    from sparkctl.operations.context import World
    from sparkctl.operations.stack import past
    from sparkctl.operations.stack import rollback as rolling_back
    from sparkctl.operations.stack.past import PastApply
    from sparkctl.operations.stack.rollback import RolledBack
else:
    past = LazyModule("sparkctl.operations.stack.past")
    rolling_back = LazyModule("sparkctl.operations.stack.rollback")


class StackMethods:
    """What a ``Spark`` does with the stack that is applied to it."""

    def __init__(self, world: World) -> None:
        self._world = world

    def history(self) -> list[PastApply]:
        """Return what was applied, the first generation first: what was resolved, how it ended, what it changed.

        Raises:
            InputError: what is kept cannot be read.
        """
        return past.history(self._world)

    def rollback(self, number: int | None = None, *, prune: bool = False, dry_run: bool = False) -> RolledBack:
        """Bring a generation back as a new one: the same commands, and the same images also when tags moved on.

        Args:
            number: the generation; None: the applied one before the last applied.
            prune: stop and remove services that came later.
            dry_run: only say what differs and what would be done.

        Raises:
            InputError: no such generation, or it cannot be used any more; nothing was touched.
            EngineError: an image is gone from the engine and its registry, or the engine refuses.
            DoesNotFitError: it does not fit; nothing was touched.
            ModError, NotReadyError, CheckError: as for ``up``; what was changed is undone.
        """
        return rolling_back.rollback(self._world, number, prune=prune, dry_run=dry_run)
