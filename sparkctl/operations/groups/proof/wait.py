"""The wait for a group that starts, and the end of all its ranks if the start fails."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sparkctl.base.errors import WaitInterruptedError
from sparkctl.operations.checks import named as checks
from sparkctl.operations.groups import kept, seen
from sparkctl.operations.groups.proof.group_proof import GroupProof, values_of
from sparkctl.operations.services.together import POLL_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.operations.context import World
    from sparkctl.operations.groups.hands import RankHands
    from sparkctl.operations.groups.proof.group_proof import StartedRank
    from sparkctl.operations.hosts.connections import HostWay


def proved(world: World, ranks: Sequence[RankHands], started: Sequence[StartedRank], *, keep: bool) -> None:
    """Wait until the group is ready; whatever fails ends all of it, unless ``keep``.

    Raises:
        NotReadyError, ModError, CheckError, EngineError: as for ``GroupProof.prove``.
        WaitInterruptedError: the operator stopped the wait.
    """
    name, hosts, head = ranks[0].service.name, [one.host for one in ranks], ranks[0]
    proof = GroupProof(started, world.report, values_of(hosts, [one.service for one in ranks]))
    require = checks.require(head.host.world, checks.required_checks(head.host.world, [head.service]))
    end = partial(ended, world, hosts, name, grace_s=0.0)
    try:
        for _ in proof.prove(require):
            head.host.world.ports.clock.sleep(POLL_S)
    except KeyboardInterrupt:
        end()
        raise WaitInterruptedError(f"interrupted while {name} started, and all its ranks are ended") from None
    except BaseException:
        if keep:
            world.report.say(f"{name}: its ranks are kept on {', '.join(host.name for host in hosts)}")
        else:
            end()
        raise


def ended(world: World, hosts: Sequence[HostWay], name: str, *, grace_s: float, all_reached: bool = True) -> bool:
    """End all ranks of a group, and forget it where that was possible on every host; return whether it was.

    A host on which it was not is warned of: what it has is kept in mind, and the next command that knows it ends it.
    ``all_reached``: its other hosts answer, too.
    """
    left = seen.end(hosts, name, world.report, grace_s=grace_s)
    for host, error in left.items():
        world.report.warn(f"{name}: its rank on {host} may still run: {error.message}")
    if not left and all_reached:
        kept.forget(world, name)
    return not left
