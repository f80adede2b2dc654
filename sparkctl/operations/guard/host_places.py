"""The run folder of this host, as the commands find it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.base import regular_file
from sparkctl.operations.guard.alone import places

if TYPE_CHECKING:
    from collections.abc import Mapping


def of_host(environ: Mapping[str, str], state: Path) -> Path:
    """Return where guard, agent and commands meet: of the system where it has such a folder, else of this user.

    ``state`` is the operator's state folder.
    """
    system = regular_file.is_folder(Path(places.SYSTEM))
    return Path(places.run_folder(environ, str(state), os.getuid(), system=system))
