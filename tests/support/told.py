"""A report that keeps what it is told, and by which threads."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass
class Told:
    """A report that keeps what it is told."""

    texts: list[str] = field(default_factory=list)
    fractions: list[float | None] = field(default_factory=list)
    facts: list[Mapping[str, float | None] | None] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)

    def say(self, text: str) -> None:
        self.threads.add(threading.get_ident())
        self.texts.append(text)

    def warn(self, text: str) -> None:
        self.say(text)

    def progress(
        self,
        service: str,
        phase: str,
        tail: str,
        fraction: float | None = None,
        facts: Mapping[str, float | None] | None = None,
    ) -> None:
        self.say(f"{service}: {phase}: {tail}")
        self.fractions.append(fraction)
        self.facts.append(facts)
