"""The new engine: Debian 13's beside Debian 12's, with CDI and with a stand-in for NVIDIA's runtime hook.

It shares the machine's network, so that the tests reach the ports that it publishes, and must leave the first engine's
alone: a dockerd without a bridge (``--bridge none``) deletes docker0 when it starts, and one that writes iptables
empties the chains of the other. So it has a bridge of its own and writes no iptables; docker-proxy carries what comes
in from 127.0.0.1, and its containers do not reach beyond this machine.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .state import NEW_VARIABLE, State, TestbedError, run, say

SUITE = "trixie"
PACKAGES = ("docker.io", "containerd")
OLDEST = 25
"""Docker 25 was the first with CDI."""

BRIDGE = "sparkctl-new"
BRIDGE_ADDRESS = "10.226.0.1/24"

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

HOOK = """\
#!/bin/sh
# With a program of this name in its PATH dockerd offers --gpus. It is called with `prestart`, and the container's state
# on its standard input; NVIDIA's own then mounts the driver into the container, and this one does nothing.
exec cat >/dev/null
"""
MOUNTED = "mounted by CDI\n"


@dataclass(frozen=True)
class Setup:
    """How dockerd is started: what comes on its command line, and the PATH that it has (None: this process's)."""

    arguments: tuple[str, ...] = ()
    path: str | None = None


def prepare(state: State) -> Setup:
    """Make all that the new engine needs and does not have yet."""
    if shutil.which("ip") is None:
        raise TestbedError("there is no `ip`; on Debian: apt-get install iproute2")
    folders = [state.home / "bin", *_programs(state)]
    configuration = _configure(state)
    _make_bridge()
    path = os.pathsep.join([*map(str, folders), os.environ.get("PATH", os.defpath)])
    return Setup((f"--config-file={configuration}",), path)


def remove_bridge() -> None:
    """Remove the bridge, if it is there."""
    if _bridge_is_there():
        run("ip", "link", "delete", BRIDGE)


def _programs(state: State) -> list[Path]:
    """Return the folders of a newer dockerd and containerd; none where the machine's own are new enough."""
    found = re.search(r"version (\d+)", run("dockerd", "--version"))
    if found and int(found[1]) >= OLDEST:
        return []
    root = state.cache / f"docker-{SUITE}"
    if not root.exists():
        unfinished = root.with_suffix(".part")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        with tempfile.TemporaryDirectory() as scratch:
            for package in _download(Path(scratch)):
                run("dpkg-deb", "--extract", str(package), str(unfinished))
        unfinished.rename(root)
    # The machine's runc is used: a newer one needs a newer libc, which dockerd and containerd do not.
    return [root / "usr" / "sbin", root / "usr" / "bin"]


def _download(folder: Path) -> list[Path]:
    """Fetch the packages from the machine's own mirror, without making it a source of the machine's."""
    say(f"fetching {' and '.join(PACKAGES)} of Debian {SUITE} (60 MB)")
    mirror = _mirror()
    for name in ("state/lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    (folder / "sources.list").write_text(f"deb {signed}{mirror} {SUITE} main\n")
    (folder / "apt.conf").write_text(APT_CONFIGURATION.format(folder=folder))
    apt = ("apt-get", f"--config-file={folder / 'apt.conf'}", "--quiet", "--quiet")
    run(*apt, "update")
    run(*apt, "download", *PACKAGES, folder=folder)
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
        "this machine has neither Docker 25 nor a mirror of Debian to fetch it from; "
        f"set {NEW_VARIABLE} to an engine of Docker 25 or newer with CDI (see tests/testbed/README.md)"
    )


def _configure(state: State) -> Path:
    """Write the configuration, the CDI specification and the hook; return the configuration."""
    folder, mounted = state.home / "cdi", state.home / "cdi-mounted"
    folder.mkdir(parents=True, exist_ok=True)
    mounted.write_text(MOUNTED)
    edits = {
        "env": ["SPARKCTL_TEST_CDI=all"],
        "mounts": [
            {"hostPath": str(mounted), "containerPath": "/opt/sparkctl-test/cdi", "options": ["ro", "nosuid", "bind"]}
        ],
    }
    device = {"name": "all", "containerEdits": edits}
    _write_json(folder / "nvidia.json", {"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": [device]})
    hook = state.home / "bin" / "nvidia-container-runtime-hook"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(HOOK)
    hook.chmod(0o755)
    daemon = {
        "bridge": BRIDGE,
        "iptables": False,
        "ip6tables": False,
        "ip-forward": False,
        "features": {"cdi": True},
        "cdi-spec-dirs": [str(folder)],
    }
    return _write_json(state.home / "daemon.json", daemon)


def _make_bridge() -> None:
    """Make sure of the bridge: dockerd makes none but docker0."""
    if not _bridge_is_there():
        run("ip", "link", "add", "name", BRIDGE, "type", "bridge")
    if BRIDGE_ADDRESS not in run("ip", "-brief", "address", "show", "dev", BRIDGE):
        run("ip", "address", "add", BRIDGE_ADDRESS, "dev", BRIDGE)
    run("ip", "link", "set", BRIDGE, "up")


def _bridge_is_there() -> bool:
    return BRIDGE in [line.split()[0] for line in run("ip", "-brief", "link").splitlines()]


def _write_json(path: Path, value: object) -> Path:
    path.write_text(json.dumps(value, indent=2) + "\n")
    return path
