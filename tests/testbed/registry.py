"""A registry of images on this machine: what is pushed to 127.0.0.1 needs no certificate."""

from __future__ import annotations

import http.client
import shutil
from typing import TYPE_CHECKING

from .daemon import Daemon
from .state import State, TestbedError, say

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = "docker-registry"
CONFIGURATION = """\
version: 0.1
log: {{level: warn}}
storage:
  filesystem: {{rootdirectory: {storage}}}
  delete: {{enabled: true}}
http: {{addr: "127.0.0.1:{port}"}}
"""


def start(state: State, port: int) -> str:
    """Make sure that a registry answers on this port; return its address."""
    address = f"127.0.0.1:{port}"
    daemon = _daemon(state, port)
    if daemon.pid() is not None and _answers(port):
        return address
    if _answers(port):
        raise TestbedError(f"something else answers on {address}; choose another port")
    if shutil.which(PROGRAM) is None:
        raise TestbedError(f"there is no `{PROGRAM}`; on Debian: apt-get install docker-registry")
    folder = _folder(state, port)
    folder.mkdir(parents=True, exist_ok=True)
    configuration = folder / "config.yml"
    configuration.write_text(CONFIGURATION.format(storage=folder / "images", port=port))
    say(f"starting {PROGRAM} on {address}")
    daemon.start(["serve", str(configuration)], lambda: _answers(port))
    return address


def stop(state: State, port: int) -> None:
    """Stop the registry of this port and forget what it holds."""
    _daemon(state, port).stop()
    shutil.rmtree(_folder(state, port), ignore_errors=True)


def stop_all(state: State) -> None:
    """Stop every registry of this testbed."""
    for folder in state.root.glob("registry-*"):
        stop(state, int(folder.name.removeprefix("registry-")))


def _folder(state: State, port: int) -> Path:
    return state.root / f"registry-{port}"


def _daemon(state: State, port: int) -> Daemon:
    folder = _folder(state, port)
    return Daemon(PROGRAM, pidfile=folder / "registry.pid", log=folder / "registry.log")


def _answers(port: int) -> bool:
    """Tell whether a program that speaks HTTP listens on this port."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/v2/")
        connection.getresponse()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True
