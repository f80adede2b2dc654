"""What must be the same on all hosts of a group, and differs: image, vLLM, model's files, mods, flags.

vLLM does not see it: with another context on one rank a group is healthy, answers short prompts, and hangs for ever
with the first long one (seen on 0.32.0).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import InputError
from sparkctl.operations import differences
from sparkctl.operations.hosts import held, same

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkctl.operations.hosts.connections import HostWay
    from sparkctl.operations.memory.asked_set import AskedSet
    from sparkctl.recipes.service import Service

_OF_ONE_RANK: Final = frozenset({"--node-rank", "--headless", "--host", "--api-server-count"})
_OF_ONE_HOST: Final = frozenset({"--gpu-memory-utilization"})
"""Beside --kv-cache-memory-bytes it sizes nothing: so much of the host's memory has to be free at the start."""
_SHOWN: Final = 8


def refuse_different(hosts: Sequence[HostWay], asked: AskedSet, services: Sequence[Service]) -> None:
    """Refuse a group whose hosts differ.

    Raises:
        InputError: each difference, with host and file.
        EngineError: an engine does not answer.
    """
    holds = [
        held.holds(host.world, host.name, held.named(host.world, asked.names, asked.overrides)[0]) for host in hosts
    ]
    found = [str(one) for one in same.differences([one._replace(service=services[0].name) for one in holds])]
    for host, service in zip(hosts[1:], services[1:], strict=True):
        found += [f"{services[0].name}: {line}" for line in _flags(services[0], service, (hosts[0].name, host.name))]
    if found:
        more = [f"  and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
        lines = [f"{services[0].name} is not the same on its hosts:", *(f"  {line}" for line in found[:_SHOWN]), *more]
        hint = f"sparkctl hosts distribute {services[0].recipe_name} brings what is missing or other"
        raise InputError("\n".join(lines), hint=hint)


def _flags(one: Service, other: Service, names: tuple[str, str]) -> Iterator[str]:
    left, right = (differences.flags(service.spec.command) for service in (one, other))
    ignored = _OF_ONE_RANK | (_OF_ONE_HOST if "--kv-cache-memory-bytes" in left else frozenset())
    for flag in sorted({*left, *right} - ignored):
        if left.get(flag) != right.get(flag):
            has = [value if value is not None else "not set" for value in (left.get(flag), right.get(flag))]
            yield f"{flag or 'the model'}: {has[0]} on {names[0]}, {has[1]} on {names[1]}"
