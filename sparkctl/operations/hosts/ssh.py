"""The ways of a world to other hosts, unless a test gives it others: ssh, and this machine's folders about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.base.lazy import LazyModule

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sparkctl.world.opening import remote
    from sparkctl.world.ports import Store
else:
    remote = LazyModule("sparkctl.world.opening.remote")


def by_ssh(name: str, target: str, *, tell: Callable[[str], None], within_s: float) -> remote.RemoteSpark:
    """Connect by the operator's ssh; raises EngineError where the host is not reached."""
    return remote.RemoteSpark(name, target, tell=tell, within_s=within_s)


def kept_of(folder: Path) -> Store:
    """Return what is kept in a folder of this machine about another host, which need not answer."""
    return remote.kept(folder)
