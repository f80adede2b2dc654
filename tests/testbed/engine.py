"""The Docker Engines of the testbed's own: the first, and the new one beside it."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace

from . import new_engine
from .daemon import Daemon
from .state import State, TestbedError, say

SYSTEM_HOST = "unix:///var/run/docker.sock"
LONGEST_SOCKET_PATH = 100  # the kernel takes 107 bytes


def docker(state: State, *words: str) -> str:
    """Run one `docker` command on the testbed's engine and return what it printed."""
    command = ["docker", "--host", state.docker_host, *words]
    # The engine of Debian 12 has the classic builder only, and the command line must not look for another.
    environment = {**os.environ, "DOCKER_BUILDKIT": "0"}
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env=environment
        )
    except FileNotFoundError:
        raise TestbedError("there is no `docker` command; on Debian: apt-get install docker.io") from None
    if done.returncode != 0:
        output = (done.stdout[-2000:] + done.stderr[-2000:]).strip()
        raise TestbedError(f"`docker {' '.join(words)}` failed ({done.returncode})\n{output}")
    return done.stdout


def answers(host: str) -> bool:
    """Tell whether an engine is listening at this address."""
    probe = ["docker", "--host", host, "version", "--format", "{{.Server.Version}}"]
    try:
        return subprocess.run(probe, capture_output=True, check=False, timeout=30).returncode == 0
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False


def up(state: State) -> str:
    """Make sure that an engine answers; return its address."""
    if answers(state.docker_host):
        return state.docker_host
    if state.chosen_host:
        raise TestbedError(f"{state.variable} is {state.chosen_host}, and no engine answers there")
    _refuse_what_cannot_work(state)
    setup = new_engine.prepare(state) if state.new else new_engine.Setup()
    daemon = replace(_daemon(state), path=setup.path)
    say(f"starting dockerd, log in {daemon.log}")
    for left in (daemon, _containerd(state)):
        # A pidfile from before a crash can name a process that is something else now, or a dead one not yet reaped;
        # dockerd takes either for the real one. A containerd that outlived its dockerd holds what the next one needs.
        left.stop()
        left.pidfile.unlink(missing_ok=True)
    daemon.start(
        [
            f"--data-root={state.home / 'data'}",
            "--max-download-attempts=2",  # a registry that is gone is a test's, and need not come back
            f"--exec-root={state.home / 'run'}",
            f"--pidfile={daemon.pidfile}",
            f"--host={state.own_host}",
            *setup.arguments,
        ],
        lambda: answers(state.own_host),
    )
    return state.own_host


def down(state: State) -> None:
    """Stop the testbed's own engine, and with it every container it runs."""
    if not _daemon(state).stop():
        say(f"{'the new' if state.new else 'no'} engine of the testbed {'does not run' if state.new else 'runs'}")
    if state.new:
        new_engine.remove_bridge()


def _daemon(state: State) -> Daemon:
    return Daemon("dockerd", pidfile=state.home / "docker.pid", log=state.home / "docker.log")


def _containerd(state: State) -> Daemon:
    folder = state.home / "run" / "containerd"
    return Daemon("containerd", pidfile=folder / "containerd.pid", log=state.home / "docker.log")


def _refuse_what_cannot_work(state: State) -> None:
    """Name the obstacle before dockerd buries it in its log."""
    for program in ("docker", "dockerd", "iptables"):
        if shutil.which(program) is None:
            raise TestbedError(f"there is no `{program}`; on Debian: apt-get install docker.io iptables")
    if os.geteuid() != 0:
        raise TestbedError(f"dockerd needs root; or set {state.variable} to an engine that already runs")
    if len(str(state.socket)) > LONGEST_SOCKET_PATH:
        raise TestbedError(f"{state.socket} is too long for a socket; set SPARKCTL_TESTBED to a shorter folder")
    if not state.new and answers(SYSTEM_HOST):
        # Two engines on the bridge docker0 give one address to two containers.
        raise TestbedError(
            "this machine already runs an engine, and a second would share its bridge; "
            f"use the first: export SPARKCTL_TEST_DOCKER_HOST={SYSTEM_HOST}"
        )
