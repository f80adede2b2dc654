"""What is told of one host among several: each sentence begins with the host's name."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sparkctl.base.errors import SparkctlError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sparkctl.world.ports import Report


@contextmanager
def said_of_host(host: str) -> Iterator[None]:
    """Let what fails on a host say which host it is: an engine's own message does not know its name."""
    try:
        yield
    except SparkctlError as error:
        if not error.message.startswith((f"{host}:", f"{host} ")):
            error.message = f"{host}: {error.message}"
            error.args = (error.message,)
        raise


class HostReport:
    """Reports events on one host to the report for all hosts."""

    def __init__(self, host: str, report: Report) -> None:
        self._host = host
        self._report = report

    def say(self, text: str) -> None:
        """Tell what was done."""
        self._report.say(f"{self._host}: {text}")

    def warn(self, text: str) -> None:
        """Tell what may be wrong."""
        self._report.warn(f"{self._host}: {text}")

    def progress(
        self,
        service: str,
        phase: str,
        tail: str,
        fraction: float | None = None,
        facts: Mapping[str, float | None] | None = None,
    ) -> None:
        """Tell where a start or a pull is; the service has its host's name before its own."""
        self._report.progress(f"{self._host}: {service}", phase, tail, fraction, facts)
