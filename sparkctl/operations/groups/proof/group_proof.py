"""The wait for a group: its head's answers, every rank's container, and what each says in its log."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.base.errors import EngineError, NotReadyError
from sparkctl.operations import secrets
from sparkctl.operations.groups.proof.causes import RankLog, explained
from sparkctl.operations.groups.seen import of_container
from sparkctl.operations.start import prepare
from sparkctl.planning.groups.meeting import Ranks
from sparkctl.vllm import phases
from sparkctl.vllm.phases import Phase

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from sparkctl.operations.hosts.connections import HostWay
    from sparkctl.operations.start.start import Begun, Require, Starter
    from sparkctl.recipes.service import Service
    from sparkctl.world.engine import LogTail
    from sparkctl.world.ports import Report


class StartedRank(NamedTuple):
    """A rank that starts: on which host, as which service, by which starter, and the id of its container.

    ``begun`` is None for one that another command has started.
    """

    host: HostWay
    service: Service
    starter: Starter
    container: str
    begun: Begun | None = None


class GroupProof:
    """Waits until a group is ready, or finds which of its ranks fails and why; ``ranks`` are by rank, the head first.

    ``values`` are those of each rank's secrets.
    """

    def __init__(self, ranks: Sequence[StartedRank], report: Report, values: Sequence[Mapping[str, str]]) -> None:
        self._ranks = ranks
        self._report = report
        self._hidden = [tuple(one.values()) for one in values]
        self._meeting = Ranks.of(len(ranks))
        self._phases = [Phase.STARTING] * len(ranks)
        self._clock = ranks[0].host.world.ports.clock
        self._why: dict[int, str] = {}
        self._late: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """The group's name."""
        return self._ranks[0].service.name

    def prove(self, require: Require | None) -> Generator[None, None, None]:
        """Wait; it goes on with each ``next`` and pauses where nothing is to be done but to look again later.

        Raises:
            NotReadyError: a rank ended, or the ranks do not meet, or the head answers wrongly; with the rank that has
                the cause, and its host.
            ModError, CheckError, EngineError: as for ``Starter.prove``.
        """
        head = self._ranks[0]
        proof = (
            head.starter.join(head.service, head.container, require)
            if head.begun is None
            else head.starter.prove(head.service, head.begun, require)
        )
        with suppress(StopIteration):
            tails = [one.host.world.engine.follow(one.container) for one in self._ranks]
            try:
                while True:
                    self._look(tails)
                    self._step(proof)
                    yield
            finally:
                proof.close()
                for tail in tails:
                    tail.close()
        for one in self._ranks[1:]:
            prepare.verify_container(one.host.world.engine, one.service)
        self._look(())

    def _step(self, proof: Generator[None, None, None]) -> None:
        """Let the head's own proof go on; where it fails, the cause may be in another rank's log."""
        try:
            next(proof)
        except NotReadyError as error:
            first = error.message.split("\n", 1)[0].removeprefix(f"{self.name} is not ready: ")
            why = (first.rpartition(" (")[0] if first.endswith(")") else first) or first  # its phase is said again
            late = self._meeting.late(self._clock.monotonic())
            self._why |= dict.fromkeys(late, f"has not come to the others, which wait for it; {why}")
            raise explained(self.name, self._logs(), why) from None

    def _look(self, tails: Sequence[LogTail]) -> None:
        """Look at every rank: each has to run.

        Raises:
            NotReadyError: one ended, or all wait for each other in vain.
        """
        now = self._clock.monotonic()
        for rank, tail in enumerate(tails):
            lines = tail.read()
            self._meeting = self._meeting.with_lines(rank, lines, now)
            self._tell(rank, lines)
        for rank, one in enumerate(self._ranks):
            seen = of_container(one.host.name, one.host.world.engine.container(one.container))
            if not seen.runs:
                self._why[rank] = seen.ended or ("its container is gone" if seen.state is None else f"is {seen.state}")
        if self._why:
            raise explained(self.name, self._logs(), "a rank has ended")
        if self._meeting.in_vain(now):
            raise self._not_met()
        self._tell_late(now)

    def _not_met(self) -> NotReadyError:
        group = self._ranks[0].service.record.group
        where = "" if group is None else f" at {group.head}:{group.port}"
        names = ", ".join(f"rank {rank} on {one.host.name}" for rank, one in enumerate(self._ranks))
        message = f"{self.name} is not ready: its ranks wait for each other and do not meet{where}: {names}"
        hosts = " ".join(one.host.name for one in self._ranks[:2])
        hint = f"sparkctl hosts check {hosts}; does a firewall drop ports of the fabric? all of them have to be open"
        return NotReadyError(message, hint=hint)

    def _tell_late(self, now: float) -> None:
        """Report once each rank that the others have not met so far: it may be slow, or never come."""
        late = self._meeting.late(now)
        for rank in late:
            if rank not in self._late:
                said = f"rank {rank} on {self._ranks[rank].host.name} has not come for a minute, and the others wait"
                self._report.warn(f"{self.name}: {said}: sparkctl logs {self.name} --rank {rank}")
        self._late = late

    def _tell(self, rank: int, lines: Sequence[str]) -> None:
        """Tell where a worker is; the head's own proof tells where that is."""
        detail, fraction = "", None
        for line in lines:
            told = phases.told(line)
            if told.phase is not None and phases.follows(told.phase, self._phases[rank]):
                self._phases[rank] = told.phase
            detail, fraction = (told.detail, told.fraction) if told.detail else (detail, fraction)
        if rank and lines:
            on = f"{self.name} on {self._ranks[rank].host.name}"
            self._report.progress(on, str(self._phases[rank]), detail, fraction)

    def _logs(self) -> list[RankLog]:
        return [
            RankLog(
                rank,
                one.host,
                one.container,
                self._hidden[rank],
                self._why.get(rank, ""),
                ended=rank in self._why,
                phase=self._phases[rank],
            )
            for rank, one in enumerate(self._ranks)
        ]


def values_of(hosts: Sequence[HostWay], services: Sequence[Service]) -> list[dict[str, str]]:
    """Return the values of each rank's secrets."""
    return [host.world.secret_values(service)[0] for host, service in zip(hosts, services, strict=True)]


def key_of(values: Mapping[str, str]) -> str | None:
    """Return the key that a rank's server wants."""
    return values.get(secrets.API_KEY)


def runs(one: StartedRank) -> bool:
    """Return whether a rank's container runs; False where its host does not answer."""
    try:
        there = one.host.world.engine.container(one.container)
    except EngineError:
        return False
    return there is not None and there.state == "running"
