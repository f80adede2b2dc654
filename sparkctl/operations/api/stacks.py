"""What the Python API does with a whole stack; ``Spark`` has these methods beside its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.base.lazy import LazyModule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.operations.agent import kept
    from sparkctl.operations.agent import status as agent
    from sparkctl.operations.agent.kept import BoxEvent
    from sparkctl.operations.agent.status import AgentStatus
    from sparkctl.operations.context import World
    from sparkctl.operations.stack import apply as applying
    from sparkctl.operations.stack import diff as differing
    from sparkctl.operations.stack import history
    from sparkctl.operations.stack import rollback as rolling_back
    from sparkctl.operations.stack.apply import AppliedStack
    from sparkctl.operations.stack.diff import StackDiff
    from sparkctl.operations.stack.history import PastApply
    from sparkctl.operations.stack.lock import stack_lock as locking
    from sparkctl.operations.stack.lock import upgrade as upgrading
    from sparkctl.operations.stack.lock.stack_lock import WrittenLock
    from sparkctl.operations.stack.lock.upgrade import Upgraded
    from sparkctl.operations.stack.rollback import RolledBack
    from sparkctl.planning.box.lock_differences import LockDifference
else:
    agent = LazyModule("sparkctl.operations.agent.status")
    kept = LazyModule("sparkctl.operations.agent.kept")
    applying = LazyModule("sparkctl.operations.stack.apply")
    differing = LazyModule("sparkctl.operations.stack.diff")
    locking = LazyModule("sparkctl.operations.stack.lock.stack_lock")
    upgrading = LazyModule("sparkctl.operations.stack.lock.upgrade")
    history = LazyModule("sparkctl.operations.stack.history")
    rolling_back = LazyModule("sparkctl.operations.stack.rollback")


class StackMethods:
    """The methods of a Spark that are about a whole stack."""

    def __init__(self, world: World) -> None:
        self._world = world

    def lock(self, stack: str, *, hashing: bool = False) -> WrittenLock:
        """Write down what is behind the names of a stack, into a file beside it; what is not here by registry and hub.

        Args:
            stack: a stack.
            hashing: read every byte of the models, and hold it against the sums that the hub has.

        Raises:
            InputError: no such stack, something of which nothing can be known, or a damaged file; nothing was written.
            EngineError: the engine is elsewhere.
        """
        return locking.lock(self._world, stack, hashing=hashing)

    def check_lock(self, stack: str, *, hashing: bool = False) -> list[LockDifference]:
        """Return where what is here differs from the lock of a stack. A difference is no error.

        Args:
            stack: a stack.
            hashing: read every byte of the models.

        Raises:
            InputError: no such stack, no lock of it, or one that cannot be used here.
            EngineError: the engine is elsewhere.
        """
        return locking.check(self._world, stack, hashing=hashing)

    def newer(self, stack: str, *services: str, overrides: Sequence[str] = ()) -> Upgraded:
        """Return what an upgrade of a locked stack would change. Nothing is pulled or written.

        Args:
            stack: a stack.
            services: some of its services; all unless some are named.
            overrides: what is laid over the recipes for what comes after: ``image=vllm/vllm-openai:v0.32.0``.

        Raises:
            InputError: no such stack or service, or no lock of it that can be used here.
            EngineError: the engine is elsewhere.
        """
        return upgrading.upgrade(self._world, stack, services, overrides)

    def diff(self, stack: str | None = None, *, mods: bool = False) -> StackDiff:
        """Return how a stack, what was applied last, and what runs differ. Touches nothing.

        A box that differs is no error: ``same`` of the result is False.

        Args:
            stack: a stack; None: the file that was applied last.
            mods: ask the containers whether their mods are in them still.

        Raises:
            InputError: nothing was applied and no stack is named, or a file cannot be used.
        """
        return differing.diff(self._world, stack, mods=mods)

    def apply(self, stack: str, *, prune: bool = False, locked: bool = False) -> AppliedStack:
        """Make a stack so, keep it as a generation, and return that with what was done.

        What is so already is left alone, and gets no new generation.

        Args:
            stack: a stack.
            prune: stop and remove what was applied and is declared no more.
            locked: refuse what differs from the stack's lock.

        Raises:
            DoesNotFitError: the whole does not fit; nothing was touched.
            InputError: a file or a name that cannot be used, a model that is not here, a secret without a value, or a
                service of another stack; nothing was touched.
            EngineError, ModError, NotReadyError, CheckError: as for ``up``; what was changed is undone.
        """
        return applying.apply(self._world, stack, applying.ApplyOptions(prune=prune, locked=locked))

    def agent_status(self) -> AgentStatus:
        """Return whether an agent runs, and where each service of the applied stack stands.

        A box that is not as declared is no error: ``as_declared`` of the result is False.

        Raises:
            InputError: what was applied cannot be read.
        """
        return agent.status(self._world)

    def events(self) -> list[BoxEvent]:
        """Return what the agent, and the guard, did and saw on this host, in the order in which it happened.

        Raises:
            InputError: what is kept cannot be read.
        """
        return kept.events(self._world)

    def history(self) -> list[PastApply]:
        """Return what was applied, the first generation first: what was resolved, how it ended, what it changed.

        Raises:
            InputError: what is kept cannot be read.
        """
        return history.history(self._world)

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
