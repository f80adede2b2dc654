"""The units of systemd, as text: the agent's, for the system or for one user, and the guard's. Pure.

Nothing in them depends on who calls, from where, or with which environment: the interpreter, the engine and the folders
are said.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sparkctl.recipes.exchange.exports.systemd_words import joined, quoted

AGENT_UNIT: Final = "sparkctl-agent.service"
GUARD_UNIT: Final = "sparkctl-guard.service"
RUN: Final = "sparkctl"
"""The folder below /run in which both have one of their own, each of its own user."""


@dataclass(frozen=True, slots=True)
class UnitValues:
    """The units' contents. ``python`` is the interpreter's absolute path; ``options`` come before the command's name.

    ``user`` is who the agent runs as, with the home ``home``; ``environment`` is NAME=VALUE of what decides where its
    folders and its engine are. ``models`` are folders that have to be mounted before it starts.
    """

    python: str
    user: str
    home: str
    options: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    models: tuple[str, ...] = ()


def agent(values: UnitValues, *, system: bool) -> str:
    """Return the agent's unit, for the system or (``system`` False) for the manager of its own user.

    It wants Docker and does not require it, for else it would be stopped with Docker; an order of the engine that
    requires made a cycle once, and Docker did not start at all (NVIDIA/nvidia-container-toolkit#1735). The agent itself
    waits for what is not there yet.
    """
    unit = ["Description=sparkctl: keeps the applied stack of vLLM services"]
    if system:
        unit += [
            "After=docker.service nvidia-cdi-refresh.service nvidia-persistenced.service network-online.target",
            "Wants=docker.service network-online.target",
        ]
        unit += [f"RequiresMountsFor={joined(values.models)}"] if values.models else []
    unit.append("StartLimitIntervalSec=0")
    own = [f"User={values.user}", "OOMScoreAdjust=-500"] if system else []
    service = [
        "Type=notify",
        "NotifyAccess=main",
        f"ExecStart={joined(words(values, 'agent', 'run'), command=True)}",
        *own,
        "WorkingDirectory=/",
        *(f"Environment={quoted(one)}" for one in (f"HOME={values.home}", *values.environment)),
        f"RuntimeDirectory={RUN}/agent",
        "RuntimeDirectoryPreserve=yes",
        "WatchdogSec=30",
        "Restart=always",
        "RestartSec=5",
        # A start that it waits for goes on without it: SIGTERM is for the agent alone.
        "KillMode=mixed",
        "TimeoutStopSec=30",
    ]
    wanted_by = "multi-user.target" if system else "default.target"
    return _text(unit, service, wanted_by)


def guard(values: UnitValues) -> str:
    """Return the guard's unit, of the system: small, never swapped, the last that the kernel ends.

    ``CAP_SYS_PTRACE`` is to see which process has a shared memory segment. An interpreter may lie in a home.
    """
    unit = [
        "Description=sparkctl: ends a service before this host runs out of memory",
        "StartLimitIntervalSec=0",
    ]
    run = words(values, "guard", "run", "--run-folder", f"/run/{RUN}", "--owner", values.user)
    service = [
        "Type=notify",
        "NotifyAccess=main",
        f"ExecStart={joined(run, command=True)}",
        "WorkingDirectory=/",
        f"RuntimeDirectory={RUN}/guard",
        "RuntimeDirectoryPreserve=yes",
        "Restart=always",
        "RestartSec=1",
        "WatchdogSec=5",
        "OOMScoreAdjust=-900",
        "Nice=-20",
        "LimitMEMLOCK=infinity",
        "MemorySwapMax=0",
        "MemoryMin=32M",
        "TasksMax=8",
        "PrivateNetwork=yes",
        "ProtectHome=read-only",
        "ProtectSystem=strict",
        f"ReadWritePaths=/run/{RUN} /sys/fs/cgroup /dev/shm",
        "CapabilityBoundingSet=CAP_KILL CAP_IPC_LOCK CAP_SYS_PTRACE",
        "NoNewPrivileges=yes",
        # The page cache is dropped, and memory compacted, by files of /proc/sys.
        "ProtectKernelTunables=no",
    ]
    return _text(unit, service, "multi-user.target")


def words(values: UnitValues, *command: str) -> list[str]:
    """Return the words of a command: -P, so that no file of the working folder is taken for a module."""
    return [values.python, "-P", "-m", "sparkctl", *values.options, *command]


def _text(unit: list[str], service: list[str], wanted_by: str) -> str:
    lines = ["[Unit]", *unit, "", "[Service]", *service, "", "[Install]", f"WantedBy={wanted_by}"]
    return "".join(f"{line}\n" for line in ["# Written by `sparkctl agent install`, which replaces it.", *lines])
