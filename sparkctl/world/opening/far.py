"""What is opened on another host, for the life of one command there: its machine, its models, its files, its locks.

This module and what it imports are sent to that host (``remote.SENT``): the standard library is all that they may use.
"""

from __future__ import annotations

import base64
import sys
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sparkctl.world.local.bare.machine import BareHost
from sparkctl.world.local.copying.disk import CopyDisk
from sparkctl.world.local.disk import DiskFiles
from sparkctl.world.local.locks import FileLocks, shared_folder
from sparkctl.world.local.models.folders import DiskModels
from sparkctl.world.local.models.said import said
from sparkctl.world.remote.far.serving import serve, watched

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.world.host import Link
    from sparkctl.world.remote.far.serving import Answer, Telling

ENGINE: Final = Path("/var/run/docker.sock")
"""The socket of the host's engine: who may write to it may open its lock."""


class FarLocks:
    """The locks of this host, held by number: each until it is let go, or this process ends."""

    def __init__(self, folder: Path, door: Path) -> None:
        self._folder = folder
        self._door = door
        self._held: dict[int, ExitStack] = {}
        self._numbers = count(1)

    def hold(self, told: Telling, engine_id: str, who: str, longest_s: float) -> int:
        """Hold an engine's lock, and return its number; who holds it meanwhile is told."""
        held = ExitStack()
        held.enter_context(self._locks(who, longest_s).hold(engine_id, waiting=told.tell))
        return self._keep(held)

    def work_on(self, _: Telling, engine_id: str, service: str) -> int | None:
        """Say that a service is worked on, and return the number of that; None: another command works on it."""
        held = ExitStack()
        if not held.enter_context(self._locks("").work_on(engine_id, service)):
            held.close()
            return None
        return self._keep(held)

    def worked_on(self, _: Telling, engine_id: str, service: str) -> bool:
        """Return whether a command that runs works on a service."""
        return self._locks("").worked_on(engine_id, service)

    def let_go(self, _: Telling, number: int) -> None:
        """Let go of what has this number."""
        held = self._held.pop(number, None)
        if held is not None:
            held.close()

    def me(self, _: Telling) -> str:
        """Return this process: it lives as long as the command that asks."""
        return self._locks("").me

    def lives(self, _: Telling, process: str) -> bool | None:
        """Return whether a process of this host still runs."""
        return self._locks("").lives(process)

    def _locks(self, who: str, longest_s: float = 600.0) -> FileLocks:
        return FileLocks(self._folder, who, door=self._door, longest_s=longest_s)

    def _keep(self, held: ExitStack) -> int:
        number = next(self._numbers)
        self._held[number] = held
        return number


def known(host: BareHost, locks: FarLocks) -> dict[str, Answer]:
    """Return what can be asked of this host, by name."""
    models, files, copies = DiskModels(), DiskFiles(), CopyDisk()
    found: dict[str, Any] = {f"host.{name}": _of(getattr(host, name)) for name in _PLAIN}
    found |= {
        "host.identity": _of(lambda pid: _each(host.identity(pid))),
        "host.disk_free_bytes": _of(lambda path: host.disk_free_bytes(Path(path))),
        "host.facts": _of(lambda: host.facts()._asdict()),
        "models.folder_problem": _of(lambda path: models.folder_problem(Path(path))),
        "models.cached": _of(lambda cache, *more: _text(models.cached(Path(cache), *more))),
        "models.cache_problem": _of(lambda cache, *more: models.cache_problem(Path(cache), *more)),
        "models.file_problem": _of(lambda path: models.file_problem(Path(path))),
        "models.links": _of(lambda root, below: [_link(one) for one in models.links(Path(root), Path(below))]),
        "models.recorded": _of(lambda folder: models.recorded(Path(folder))),
        "models.said": _of(
            lambda folder: [[one.name, one.length, _coded(one.beginning)] for one in said(Path(folder))]
        ),
        "models.summed": lambda told, file, kind: models.summed(Path(file), kind, told.tell),
        "files.write": _of(lambda path, content, mode: files.write(Path(path), _bytes(content), mode=mode)),
        "files.create": _of(lambda path, content, mode: files.create(Path(path), _bytes(content), mode=mode)),
        "files.write_folder": _of(
            lambda path, contents, replace: files.write_folder(
                Path(path), {name: _bytes(content) for name, content in contents.items()}, replace=replace
            )
        ),
        "files.make_folder": _of(lambda path, shared: files.make_folder(Path(path), shared=shared)),
        "files.remove": _of(lambda path: files.remove(Path(path))),
        "files.content": _of(lambda path: _coded(files.content(Path(path)))),
        "files.names": _of(lambda folder: files.names(Path(folder))),
        "files.sweep": _of(lambda folder: [str(path) for path in files.sweep(Path(folder))]),
        "copies.files": _of(lambda folder: copies.files(Path(folder))),
        "copies.sizes": _of(lambda paths: copies.sizes([Path(path) for path in paths])),
        "copies.begin": _of(lambda path: copies.begin(Path(path))),
        "copies.finish": _of(lambda partial, path, changed: copies.finish(Path(partial), Path(path), changed)),
        "copies.link": _of(lambda path, text: copies.link(Path(path), text)),
        "copies.remove": _of(lambda path: copies.remove(Path(path))),
    }
    for name in ("hold", "work_on", "worked_on", "let_go", "me", "lives"):
        found[f"locks.{name}"] = getattr(locks, name)
    return found


_PLAIN: Final = (
    "memory", "gpus", "gpu_bytes", "gpu_processes", "resident_bytes", "others_bytes", "activity", "port_taken",
    "has_address", "program_runs", "drop_caches", "reaches",
)  # fmt: skip
"""What a host answers in values that JSON has, given values that JSON has."""


def _of(ask: Callable[..., Any]) -> Answer:
    return lambda _, *given: ask(*given)


def _each(found: tuple[Any, ...] | None) -> list[Any] | None:
    return None if found is None else list(found)


def _link(one: Link) -> list[str]:
    return [str(one.path), one.text, str(one.real)]


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _bytes(content: str) -> bytes:
    return base64.b64decode(content)


def _coded(content: bytes | None) -> str | None:
    return None if content is None else base64.b64encode(content).decode()


def main() -> None:
    """Answer on stdin and stdout until the command that asks has ended."""
    answers = known(BareHost(), FarLocks(shared_folder(), ENGINE))
    serve(watched(sys.stdin.buffer), sys.stdout.buffer, answers)
