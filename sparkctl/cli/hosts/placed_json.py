"""A stack over its hosts, for a program."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sparkctl.operations.stack.over_hosts.placing import PlacedHost, PlacedStack


def row(placed: PlacedStack) -> dict[str, object]:
    """Return it for a program."""
    return {
        "stack": placed.stack.name,
        "fits": placed.fits,
        "hosts": [_host(one) for one in placed.hosts],
        "services": [
            {
                "name": name,
                "recipe": wanted[0].recipe,
                "hosts": list(placed.placement.where.get(name, ())),
                "was_on": list(placed.at[name]),
                "action": str(placed.action(name)),
                "ranks": [{"steady_bytes": one.steady_bytes, "peak_bytes": one.peak_bytes} for one in wanted],
            }
            for name, wanted in placed.wanted.items()
        ],
        "refused": [
            {
                "service": one.service,
                "host": one.host or None,
                "missing_bytes": one.missing_bytes if one.host else None,
                "free_bytes": one.free_bytes if one.host else None,
                "why": str(one),
            }
            for one in placed.placement.refused
        ],
    }


def _host(host: PlacedHost) -> dict[str, object]:
    pool = None if host.seen is None else host.seen.pool
    return {
        "name": host.name,
        "answers": pool is not None,
        "why": None if host.why is None else host.why.message,
        "total_bytes": None if pool is None else pool.total_bytes,
        "available_bytes": None if pool is None else pool.available_bytes,
        "reserve_bytes": None if pool is None else pool.reserve_bytes,
        "services": list(host.services),
        "leaves": list(host.leaves),
    }
