"""systemd's manager of this host, or of one user: asked by its own command."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Final

from sparkctl.world.ports import Account

_RUNS: Final = Path("/run/systemd/system")
"""There where systemd is what started this host (sd_booted(3))."""
LONGEST_S: Final = 60.0


class SystemdManager:
    """Asks systemctl."""

    @property
    def runs(self) -> bool:
        """Whether systemd manages this host."""
        return _RUNS.is_dir() and shutil.which("systemctl") is not None

    def ask(self, *words: str, user: bool) -> str:
        """Give systemctl these words; return "", or why it refuses."""
        own = ["--user"] if user else []
        try:
            done = subprocess.run(  # noqa: S603  (words of ours, without a shell)
                ["systemctl", *own, *words],  # noqa: S607  (the one of this host)
                capture_output=True,
                text=True,
                check=False,
                timeout=LONGEST_S,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        return "" if done.returncode == 0 else done.stderr.strip() or f"exit code {done.returncode}"

    def account(self, name: str | None) -> Account | None:
        """Return a user of this host, None where there is none of this name; without a name this process's user."""
        try:
            found = pwd.getpwuid(os.getuid()) if name is None else pwd.getpwnam(name)
        except KeyError:
            return None
        name = found.pw_name
        groups = {one.gr_name for one in grp.getgrall() if name in one.gr_mem}
        with suppress(KeyError):  # a number that no group has
            groups.add(grp.getgrgid(found.pw_gid).gr_name)
        return Account(name, found.pw_uid, Path(found.pw_dir), frozenset(groups))
