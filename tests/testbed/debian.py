"""Packages of a newer Debian, unpacked beside this machine's: it gets no other source, and nothing is installed."""

from __future__ import annotations

import platform
import shutil
import tempfile
from pathlib import Path

from .state import COMPOSE_VARIABLE, NEW_VARIABLE, QUADLET_VARIABLE, State, TestbedError, run, say

SUITE = "trixie"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
APT_CONFIGURATION = """\
// Of the machine's own configuration everything holds but its sources, its preferences and what it has installed.
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
APT::Sandbox::User "root";
Dir::Etc::sourcelist "{folder}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State "{folder}/state";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/cache";
"""


def unpacked(state: State, name: str, packages: tuple[str, ...]) -> Path:
    """Return the folder of the cache with what these packages hold, fetched at the first time."""
    root = state.cache / name
    if not root.exists():
        unfinished = root.with_suffix(".part")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        with tempfile.TemporaryDirectory() as scratch:
            for package in _download(Path(scratch), packages):
                run("dpkg-deb", "--extract", str(package), str(unfinished))
        unfinished.rename(root)
    return root


def _download(folder: Path, packages: tuple[str, ...]) -> list[Path]:
    """Fetch the packages from the machine's own mirror, without making it a source of the machine's."""
    say(f"fetching {' and '.join(packages)} of Debian {SUITE}")
    mirror = _mirror()
    for name in ("state/lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    (folder / "sources.list").write_text(f"deb {signed}{mirror} {SUITE} main\n")
    (folder / "apt.conf").write_text(APT_CONFIGURATION.format(folder=folder))
    apt = ("apt-get", f"--config-file={folder / 'apt.conf'}", "--quiet", "--quiet")
    run(*apt, "update")
    run(*apt, "download", *packages, folder=folder)
    return sorted(folder.glob("*.deb"))


def _mirror() -> str:
    """Return where this machine gets its Debian from."""
    codename = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    if shutil.which("apt-get"):
        form = "$(RELEASE) $(COMPONENT) $(REPO_URI)"
        targets = run("apt-get", "indextargets", "--no-release-info", "--format", form, "Created-By: Packages")
        for line in targets.splitlines():
            release, component, mirror = line.split(maxsplit=2)
            if (release, component) == (codename, "main"):
                return mirror
    raise TestbedError(
        f"this machine has no mirror of Debian to fetch packages of {SUITE} from; set instead {NEW_VARIABLE} to an "
        f"engine of Docker 25 or newer with CDI, or {COMPOSE_VARIABLE} and {QUADLET_VARIABLE} to programs "
        "(see tests/testbed/README.md)"
    )
