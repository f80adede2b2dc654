"""The services on all hosts, and why some hosts do not answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sparkctl.operations.hosts.answers import asked, refuse_twice
from sparkctl.operations.hosts.listed import hosts
from sparkctl.operations.jobs.memory.running import jobs_now
from sparkctl.operations.status.services import absent, services

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.operations.context import World
    from sparkctl.operations.hosts.answers import HostAnswer
    from sparkctl.operations.jobs.memory.running import RunningJob
    from sparkctl.operations.status.services import ServiceNow
    from sparkctl.planning.agent.observation import Standing


class OnHost(NamedTuple):
    """A host's services, its jobs, and the applied services that are not there."""

    services: Sequence[ServiceNow]
    jobs: Sequence[RunningJob]
    absent: Sequence[tuple[str, Standing]] = ()


def on_host(world: World) -> OnHost:
    """Return what is deployed on one host.

    Raises:
        EngineError: its engine does not answer.
    """
    found = services(world)
    return OnHost(found, jobs_now(world), absent(world, found))


def everywhere(world: World) -> list[HostAnswer[OnHost]]:
    """Return what is deployed on each host of the file, in its order; all are asked at once.

    Raises:
        InputError: there are no hosts, or two names are one machine.
    """
    answers = asked(world, hosts(world).some(), lambda there, _: on_host(there))
    refuse_twice(answers)
    return answers
