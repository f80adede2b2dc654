"""The new engine: Debian 13's beside Debian 12's, with CDI and with a stand-in for NVIDIA's runtime hook.

It shares the machine's network, so that the tests reach the ports that it publishes, and must leave the first engine's
alone: a dockerd without a bridge (``--bridge none``) deletes docker0 when it starts, and one that writes iptables
empties the chains of the other. So it has a bridge of its own and writes no iptables; docker-proxy carries what comes
in from 127.0.0.1, and its containers do not reach beyond this machine.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import debian
from .debian import SUITE
from .state import State, TestbedError, run

if TYPE_CHECKING:
    from pathlib import Path

PACKAGES = ("docker.io", "containerd")
OLDEST = 25
"""Docker 25 was the first with CDI."""

BRIDGE = "sparkctl-new"
BRIDGE_ADDRESS = "10.226.0.1/24"

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
    root = debian.unpacked(state, f"docker-{SUITE}", PACKAGES)
    # The machine's runc is used: a newer one needs a newer libc, which dockerd and containerd do not.
    return [root / "usr" / "sbin", root / "usr" / "bin"]


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
