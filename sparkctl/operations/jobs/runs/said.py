"""What a job's script says while it runs: one line of JSON for each phase, and the bars of the tools between. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeGuard

from sparkctl.base.bounded import JsonBounds, UnreadableError, read_json
from sparkctl.base.shown import plain

if TYPE_CHECKING:
    from collections.abc import Iterable

DONE: Final = "done"
"""The last phase: without it an exit code of 0 proves nothing."""
_BOUNDS: Final = JsonBounds(size=65_536, depth=8, parts=2_000)
_PHASE: Final = re.compile(r'\{\s*"phase"\s*:')
_NAME: Final = re.compile(r"[a-z][a-z0-9 _-]{0,39}")
_BAR: Final = re.compile(r"(?:^|[\s:|])(100|\d{1,2})%\|")
"""How tqdm draws a bar: `Saving: 45%|████ | 3/7 [00:01<00:02]` (tqdm 4, std.py, format_meter)."""
_MOST_PACKAGES: Final = 500


@dataclass(slots=True)
class Said:
    """What was said so far. ``fraction`` is how far the last bar of this phase was, None where none was drawn.

    ``layers`` are those that were quantized, ``resident_bytes`` the most that the script's process held by its own
    count, and ``versions`` those of the packages that it used; None and {}: it did not say.
    """

    phase: str = ""
    phases: list[str] = field(default_factory=list)
    fraction: float | None = None
    tail: str = ""
    layers: int | None = None
    resident_bytes: int | None = None
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        """Whether the script said that all is made."""
        return bool(self.phases) and self.phases[-1] == DONE

    def read(self, lines: Iterable[str]) -> None:
        """Take note of lines, as the log has them: both streams, and bars that end in a carriage return."""
        for line in lines:
            text = plain(line).strip()
            said = _phase_line(text)
            if said is not None:
                self._note(said)
            elif text:
                self.tail = text
                found = _BAR.search(text)
                self.fraction = int(found[1]) / 100 if found else self.fraction

    def _note(self, said: dict[str, object]) -> None:
        phase = str(said["phase"])
        if phase != self.phase:
            self.phase, self.fraction = phase, None
            self.phases.append(phase)
        layers, resident, versions = said.get("layers"), said.get("resident_bytes"), said.get("versions")
        if _is_count(layers):
            self.layers = layers
        if _is_count(resident):
            self.resident_bytes = max(resident, self.resident_bytes or 0)
        if isinstance(versions, dict):
            known = {str(name): one for name, one in versions.items() if isinstance(one, str)}
            self.versions |= dict(list(known.items())[:_MOST_PACKAGES])


def is_phase(line: str) -> bool:
    """Return whether a line of a log says a phase, and nothing for a person."""
    return _phase_line(line.strip()) is not None


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _phase_line(text: str) -> dict[str, object] | None:
    """Return what a phase's line says; None for any other line. A bar without a line end may stand before it."""
    found = _PHASE.search(text) if text.endswith("}") else None
    if found is None:
        return None
    try:
        value = read_json(text[found.start() :], _BOUNDS)
    except UnreadableError:
        return None
    if not isinstance(value, dict) or not isinstance(value.get("phase"), str):
        return None
    return value if _NAME.fullmatch(value["phase"]) else None
