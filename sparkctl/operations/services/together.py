"""Starts that are proved at the same time: one thread looks at each in turn, and a failed one ends no other.

One thread is enough, since a proof mostly waits: a server answers its questions in milliseconds, except the first
completion, the checks that a recipe requires and the first long prompt (``ready.warm``). During one of those the others
continue to load and are looked at later, and no two of them run at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from sparkctl.base.errors import SparkctlError, WaitInterruptedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.world.ports import Clock, Report

# Two looks a second cost nothing beside a start, and "ready" is said at most half a second late.
POLL_S: Final = 0.5


class Proof(Protocol):
    """A wait that continues with each ``next``, and pauses while it can only look again later."""

    def __next__(self) -> None:
        """Go on until the next pause; StopIteration: it has ended well."""

    def throw(self, error: BaseException, /) -> None:
        """Let its pause end with an error."""


class Together:
    """Proofs that run at the same time: ``add`` begins one, ``wait`` waits until all have ended."""

    def __init__(self, clock: Clock, report: Report) -> None:
        self._clock = clock
        self._report = report
        self._going: dict[str, Proof] = {}
        self._failures: list[Exception] = []

    @property
    def going(self) -> bool:
        """Whether some of them go on."""
        return bool(self._going)

    @property
    def failed(self) -> bool:
        """Whether one of them has failed."""
        return bool(self._failures)

    def add(self, service: str, proof: Proof) -> None:
        """Begin the proof of a service.

        Raises:
            WaitInterruptedError, KeyboardInterrupt: as for ``wait``.
        """
        self._going[service] = proof
        self._uninterrupted([service])

    def wait(self) -> None:
        """Wait until each has ended.

        Raises:
            WaitInterruptedError, KeyboardInterrupt: the operator interrupted it, and with it all of them.
            Exception: what the first that failed raised; what others raised was told.
        """
        while self._going:
            self._uninterrupted(list(self._going), pause=True)
        if self._failures:
            first, *others = self._failures
            self._tell(others)
            raise first

    def fail(self, service: str, error: Exception) -> None:
        """Record a failure, which is raised when the others have ended; if some still run, it is reported at once."""
        self._failures.append(error)
        if self._going:
            others = f"{listed(list(self._going))} {'goes' if len(self._going) == 1 else 'go'} on"
            self._report.say(f"{service}: failed, which is told when all have ended: {others}")

    def interrupted(self, error: BaseException, service: str = "") -> BaseException:
        """Interrupt all that go on, and return what is to be raised: ``error`` is what interrupted one of them."""
        told = {service: error} if isinstance(error, WaitInterruptedError) else {}
        while self._going:
            name, proof = self._going.popitem()
            try:
                proof.throw(KeyboardInterrupt())
            except WaitInterruptedError as one:
                told[name] = one
            except KeyboardInterrupt:
                pass
            except Exception as other:  # noqa: BLE001  (it is told)
                self._failures.append(other)
        self._tell(self._failures)
        if len(told) > 1:
            return left_loading(sorted(told))
        return next(iter(told.values()), error)

    def _uninterrupted(self, services: Sequence[str], *, pause: bool = False) -> None:
        """Let proofs go on until each pauses or ends, and ``pause`` then."""
        now = ""
        try:
            for now in services:
                self._step(now)
            if pause and self._going:
                self._clock.sleep(POLL_S)
        except (KeyboardInterrupt, WaitInterruptedError) as error:
            raise self.interrupted(error, now) from None

    def _step(self, service: str) -> None:
        proof = self._going.pop(service)
        try:
            next(proof)
        except StopIteration:
            return
        except WaitInterruptedError:
            raise
        except Exception as error:  # noqa: BLE001  (it is raised when the others have ended)
            self.fail(service, error)
            return
        self._going[service] = proof

    def _tell(self, failures: Sequence[Exception]) -> None:
        for one in failures:
            hint = f" ({one.hint})" if isinstance(one, SparkctlError) and one.hint else ""
            self._report.warn(f"{one}{hint}")


def left_loading(services: Sequence[str]) -> WaitInterruptedError:
    """Return the error for services that nobody waits for any more, and that continue to load."""
    it, goes = ("it", "it goes") if len(services) == 1 else ("them", "they go")
    resume = "; ".join(f"sparkctl attach {name}" for name in services)
    hint = f"resume: {resume}    stop {it}: sparkctl down {' '.join(services)}"
    return WaitInterruptedError(f"stopped waiting for {listed(services)}: {goes} on loading", hint=hint)


def listed(services: Sequence[str]) -> str:
    """Return services as words: one, two and three."""
    *first, last = services
    return f"{', '.join(first)} and {last}" if first else last
