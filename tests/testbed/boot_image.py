"""An image of a whole host: this machine's own Debian with systemd and Docker, to be booted in a container.

It has no sparkctl: a test mounts the interpreter that runs it, which is why it is the Debian of this machine.
"""

from __future__ import annotations

import os
import platform
import shutil
from typing import TYPE_CHECKING

from . import images
from .engine import docker
from .state import State, TestbedError, say

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = "sparkctl-test/boot:latest"
PACKAGES = (
    "systemd",
    "systemd-sysv",
    "python3-minimal",
    "libpython3-stdlib",
    "ca-certificates",
    "procps",
    "iproute2",
    "iptables",
    "docker.io",
)
MASKED = (
    "systemd-sysctl.service",
    "systemd-modules-load.service",
    "systemd-binfmt.service",
    "proc-sys-fs-binfmt_misc.automount",
    "systemd-udevd.service",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
)
"""What would change the machine that the container runs on, or ask the network."""
BOOT = """\
#!/bin/sh
# A container gets cgroups that it may only read, and the boot of the machine below it.
for each in /sys/fs/cgroup /sys/fs/cgroup/*/; do
    mount -o remount,bind,rw "$each" 2>/dev/null
done
cat /proc/sys/kernel/random/uuid >/run/boot-id
mount --bind /run/boot-id /proc/sys/kernel/random/boot_id
# The page cache is the machine's.
mount --bind /dev/null /proc/sys/vm/drop_caches
mount --bind /dev/null /proc/sys/vm/compact_memory
exec /sbin/init
"""


def build(state: State) -> str:
    """Build the image, where that has changed, and return its name."""
    if shutil.which("debootstrap") is None or os.geteuid() != 0:
        raise TestbedError("a host is built by debootstrap, as root; on Debian: apt-get install debootstrap")
    suite = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    # Since Debian 13 the command line is a package of its own.
    packages = PACKAGES if suite == "bookworm" else (*PACKAGES, "docker-cli")
    inputs = images.fingerprint(suite, *packages, *images.BASE_UNNEEDED, *MASKED, BOOT)
    if not images.is_current(state, IMAGE, inputs):
        archive = images.root_archive(state, images.Root("boot", suite, packages, inputs), _finish)
        say(f"importing {IMAGE}")
        docker(
            state,
            "import",
            "--change",
            f"LABEL {images.INPUTS_LABEL}={inputs}",
            "--change",
            "ENV container=docker",
            "--change",
            'CMD ["/boot.sh"]',
            str(archive),
            IMAGE,
        )
    return IMAGE


def _finish(root: Path) -> None:
    script = root / "boot.sh"
    script.write_text(BOOT)
    script.chmod(0o755)
    for unit in MASKED:
        (root / "etc/systemd/system" / unit).symlink_to("/dev/null")
