"""Where the guard, the agent and the commands of a host meet: the run folder, which is empty after a reboot.

The guard writes in ``guard/`` of it and the agent in ``agent/``, so that the two may be of different users.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

SYSTEM: Final = "/run/sparkctl"
VARIABLE: Final = "SPARKCTL_RUN_FOLDER"
"""Names another run folder: of a second guard, or of a test."""


def run_folder(environ: Mapping[str, str], state: str, uid: int, *, system: bool) -> str:
    """Return the run folder of a user, whose state folder is ``state``; ``system``: the system's guard has one here.

    The system's where there is one, and root's in any case; else the session's (XDG_RUNTIME_DIR); else in the state.
    """
    named = environ.get(VARIABLE, "")
    if named.startswith("/"):
        return named.rstrip("/") or "/"
    if uid == 0 or system:
        return SYSTEM
    session = environ.get("XDG_RUNTIME_DIR", "")
    return f"{session.rstrip('/')}/sparkctl" if session.startswith("/") else f"{state}/run"


class Places:
    """The files of a run folder."""

    __slots__ = ("actions", "folder", "state", "victims")

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.state = f"{folder}/guard/state"
        self.actions = f"{folder}/guard/actions.jsonl"
        self.victims = f"{folder}/agent/victims.json"

    @property
    def own(self) -> str:
        """The folder that the guard writes in."""
        return f"{self.folder}/guard"
