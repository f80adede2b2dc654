"""Several "Sparks" on one machine: each has namespaces of its own with a dockerd and an sshd, as one host has.

What two of them do not share: network, mounts, name, IPC, processes, /dev/shm, /run, the home of root, the engine and
its images, MemTotal (a Spark's: 127600748 kB), the machine's id. The operator's way there is an ssh to 10.213.N.2; the
"fabric" is two switches in a namespace of their own, on which a host has the interfaces of a ConnectX-7's twins.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
import uuid
from typing import TYPE_CHECKING, Final

from .images import STANDIN, image_id
from .state import State, TestbedError, run, say

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NAMES: Final = ("spark-a", "spark-b", "spark-c")
VARIABLE: Final = "SPARKCTL_TEST_HOSTS"
MEM_TOTAL_KB: Final = 127_600_748
"""MemTotal of a DGX Spark, as its owners show it."""
PACKAGES: Final = ("openssh-server", "libwrap0")
COPYING: Final = ("rsync", "libpopt0")
"""rsync, which the hosts have on their paths and the machine need not have."""
START_SECONDS: Final = 30.0
SWITCHES: Final = "sparkctl-fabric"
FABRIC: Final = (("enp1s0f1np1", "10.214.0"), ("enP2p1s0f1np1", "10.214.1"))
_FLAGS: Final = ("--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--mount-proc", "--kill-child")


def folder(state: State) -> Path:
    """Return where the hosts are."""
    return state.root / "hosts"


def up(state: State, count: int, more: Sequence[str] = ()) -> list[str]:
    """Start hosts that do not run; return the names of all that are wanted.

    Each has the stand-in's image, and ``more`` of those of the machine's own engine.
    """
    unpacked = _unpacked(state, "sshd", PACKAGES)
    _keys(state)
    wanted = list(NAMES[:count])
    _rsync(state, wanted)
    _switches()
    for number, name in enumerate(wanted, start=1):
        if pid(state, name) is None:
            start(state, name, number, unpacked)
    for name in wanted:
        _ready(state, name)
    _images(state, wanted, (STANDIN, *more))
    return wanted


def down(state: State) -> None:
    """End all hosts; their engines' images stay."""
    for name in NAMES:
        stop(state, name)
    subprocess.run(["ip", "netns", "delete", SWITCHES], capture_output=True, check=False)


def pid(state: State, name: str) -> int | None:
    """Return the process 1 of a host as this machine numbers it, None where it does not run."""
    file = folder(state) / name / "pid"
    try:
        found = int(file.read_text())
        os.kill(found, 0)
    except (OSError, ValueError):
        return None
    return found


def stop(state: State, name: str) -> None:
    """End a host at once, as a power cut does: everything in it is killed by the kernel."""
    found = pid(state, name)
    if found is None:
        return
    os.kill(found, signal.SIGKILL)
    (folder(state) / name / "pid").unlink(missing_ok=True)
    subprocess.run(["ip", "link", "delete", f"spk-{name[-1]}"], capture_output=True, check=False)
    say(f"{name} ended")


def start(state: State, name: str, number: int, unpacked: Path) -> None:
    """Start one host, and give it its interfaces."""
    home = folder(state) / name
    for each in ("root/.ssh", "data", "cgroup"):
        (home / each).mkdir(parents=True, exist_ok=True)
    shutil.copy(folder(state) / "key.pub", home / "root/.ssh/authorized_keys")
    if not (home / "machine-id").exists():
        (home / "machine-id").write_text(f"{uuid.uuid4().hex}\n")
    (home / "pid").unlink(missing_ok=True)
    script = (state_script(), str(home), name, str(MEM_TOTAL_KB), str(unpacked))
    with (home / "host.log").open("ab") as log:
        outer = subprocess.Popen(
            ["unshare", *_FLAGS, "/bin/sh", *script],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/",
        )  # fmt: skip
    inner = _child(outer.pid)
    (home / "pid").write_text(f"{inner}\n")
    _interfaces(name, number, inner)


def state_script() -> str:
    """Return the script that is process 1 of a host."""
    return str(__file__).replace("hosts.py", "host_inside.sh")


def options(state: State) -> list[str]:
    """Return the lines of an ssh configuration with which the hosts are reached by their names."""
    where = folder(state)
    lines = []
    for number, name in enumerate(NAMES, start=1):
        lines += [
            f"Host {name}",
            f"  HostName 10.213.{number}.2",
            "  User root",
            f"  IdentityFile {where}/key",
            "  IdentitiesOnly yes",
            "  KexAlgorithms curve25519-sha256",  # the default's other half, against quantum computers, computes longer
            f"  UserKnownHostsFile {where}/known_hosts",
        ]
    return lines


def _child(outer: int) -> int:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        found = run("cat", f"/proc/{outer}/task/{outer}/children").split()
        if found:
            return int(found[0])
        time.sleep(0.02)
    raise TestbedError("a host did not start")


def _interfaces(name: str, number: int, inner: int) -> None:
    management, letter = f"spk-{name[-1]}", name[-1]
    subprocess.run(["ip", "link", "delete", management], capture_output=True, check=False)
    run("ip", "link", "add", management, "type", "veth", "peer", "name", "enP7s7", "netns", str(inner))
    run("ip", "address", "add", f"10.213.{number}.1/30", "dev", management)
    run("ip", "link", "set", management, "up")
    inside = ("nsenter", f"--net=/proc/{inner}/ns/net", "ip")
    run(*inside, "address", "add", f"10.213.{number}.2/30", "dev", "enP7s7")
    run(*inside, "link", "set", "enP7s7", "up")
    run(*inside, "route", "add", "default", "via", f"10.213.{number}.1")
    for index, (interface, subnet) in enumerate(FABRIC):
        port = f"port-{letter}{index}"
        switch = ("ip", "-n", SWITCHES)
        subprocess.run([*switch, "link", "delete", port], capture_output=True, check=False)
        run(*switch, "link", "add", port, "type", "veth", "peer", "name", interface, "netns", str(inner))
        run(*switch, "link", "set", port, "master", f"fabric{index}", "up", "mtu", "9000")
        run(*inside, "link", "set", interface, "mtu", "9000", "up")
        run(*inside, "address", "add", f"{subnet}.{number}/24", "dev", interface)


def _switches() -> None:
    if SWITCHES in run("ip", "netns", "list").split():
        return
    run("ip", "netns", "add", SWITCHES)
    for index in range(len(FABRIC)):
        run("ip", "-n", SWITCHES, "link", "add", f"fabric{index}", "mtu", "9000", "type", "bridge")
        run("ip", "-n", SWITCHES, "link", "set", f"fabric{index}", "up")


def _keys(state: State) -> None:
    """Make the operator's key, each host's own, and the file of keys that the operator knows."""
    where = folder(state)
    where.mkdir(parents=True, exist_ok=True)
    made = [where / "key", *(where / name / "host_key" for name in NAMES)]
    for key in made:
        key.parent.mkdir(parents=True, exist_ok=True)
        if not key.exists():
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
    publics = [(where / name / "host_key.pub").read_text().split()[:2] for name in NAMES]
    lines = [f"10.213.{number}.2 {' '.join(words)}" for number, words in enumerate(publics, start=1)]
    (where / "known_hosts").write_text("\n".join(lines) + "\n")
    (where / "ssh_config").write_text("\n".join(options(state)) + "\n")


def _rsync(state: State, names: Sequence[str]) -> None:
    """Put rsync on the path of whoever logs in to a host: its bash reads .bashrc for a command of ssh, too."""
    unpacked = _unpacked(state, "rsync", COPYING)
    program = unpacked / "bin/rsync"
    libraries = next(unpacked.rglob("libpopt.so.0")).parent
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH={libraries} exec {unpacked}/usr/bin/rsync "$@"\n')
    program.chmod(0o755)
    for name in names:
        (folder(state) / name / "root").mkdir(parents=True, exist_ok=True)
        (folder(state) / name / "root/.bashrc").write_text(f"PATH={program.parent}:$PATH\n")


def _unpacked(state: State, name: str, packages: Sequence[str]) -> Path:
    """Return the folder with packages of this machine's own Debian, unpacked and not installed."""
    found = state.cache / name
    if not found.exists():
        part = found.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        say(f"fetching {' and '.join(packages)}")
        run("apt-get", "--quiet", "--quiet", "download", *packages, folder=part)
        for package in sorted(part.glob("*.deb")):
            run("dpkg-deb", "--extract", str(package), str(part))
        part.rename(found)
    return found


def ssh(state: State, name: str, *words: str, wait_s: float = 10.0) -> bool:
    """Run a command on a host; whether it went well."""
    done = _asked(state, name, words, wait_s)
    return done is not None and done.returncode == 0


def said(state: State, name: str, *words: str, wait_s: float = 10.0) -> str:
    """Run a command on a host, and return what it prints."""
    done = _asked(state, name, words, wait_s)
    return "" if done is None else done.stdout.decode(errors="replace")


def _asked(state: State, name: str, words: Sequence[str], wait_s: float) -> subprocess.CompletedProcess[bytes] | None:
    command = ["ssh", "-F", str(folder(state) / "ssh_config"), "-o", "BatchMode=yes", "-o", "ConnectTimeout=2", name]
    try:
        return subprocess.run([*command, *words], capture_output=True, check=False, timeout=wait_s)
    except subprocess.TimeoutExpired:
        return None


def _ready(state: State, name: str) -> None:
    until = time.monotonic() + START_SECONDS
    while not ssh(state, name, "docker", "version", "--format", "up"):
        if time.monotonic() > until:
            tail = (folder(state) / name / "host.log").read_text()[-1000:]
            raise TestbedError(f"{name} did not come up within {START_SECONDS:g} s\n{tail}")
        time.sleep(0.1)


def _images(state: State, names: Sequence[str], images: Sequence[str]) -> None:
    """Give each host the images that it has not as the machine's own engine has them, without a file between."""
    for tag in images:
        own = image_id(state, tag)
        for name in names if own is not None else ():
            if f'"{own}"' in said(state, name, "docker", "image", "inspect", tag):
                continue
            say(f"{name}: loading {tag}")
            words = ["docker", "--host", state.docker_host, "save", tag]
            load = ["ssh", "-F", str(folder(state) / "ssh_config"), name, "docker", "load"]
            with subprocess.Popen(words, stdout=subprocess.PIPE) as saved:
                subprocess.run(load, stdin=saved.stdout, check=True, capture_output=True)
