"""A server as it is to start: what known pains and changed defaults depend on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from packaging.version import Version

TRUE: Final = "true"
FALSE: Final = "false"
"""The values of a switch: on by its name, off by its ``--no-`` form."""
WINDOWS: Final = "windows"
STATES: Final = "states"
"""The layers that matter to known problems: those with a sliding window or a recurrent state."""


class PlannedServer(NamedTuple):
    """A server that is to start. ``flags`` are by their names without dashes, a switch is ``true`` or ``false``.

    ``options`` are those of ``docker run`` with all their values. ``model_type`` is as in config.json, "" where it is
    not known; ``types`` is what layers the model has: windows, states.
    """

    version: Version
    image: str
    flags: Mapping[str, str]
    variables: Mapping[str, str]
    options: Mapping[str, tuple[str, ...]]
    model_type: str = ""
    types: frozenset[str] = frozenset()
