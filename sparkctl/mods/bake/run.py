"""Baking, the acting side: run a community mod's script once in a throwaway container and read its changes.

It runs as the community runners run it (eugr/spark-vllm-docker, launch-cluster.sh; spark-arena/sparkrun, core/mods.py):
the folder is /workspace/mods/NAME, bash runs run.sh there, and WORKSPACE_DIR is the container's start folder.
"""

from __future__ import annotations

import posixpath
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.errors import EngineError, ModError
from sparkctl.base.shown import plain
from sparkctl.base.units import GIB, format_bytes, format_duration
from sparkctl.mods.bake import folder, judge
from sparkctl.mods.bake.judge import FileChange, Judged, PathRemark, ScriptFolders
from sparkctl.world.spec import ContainerSpec, HealthCheck
from sparkctl.world.throwaway import throwaway

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.mods.bake.folder import ScriptedMod
    from sparkctl.world.engine import Container, Engine, Image
    from sparkctl.world.ports import Clock, Ports, Report
    from sparkctl.world.workbench import Workbench

PURPOSE: Final = "bake"
"""What its throwaway containers are for, in their labels."""
MODS: Final = "/workspace/mods"
MEMORY_BYTES: Final = 8 * GIB
"""A bound of ours: the pool is shared with the running services, and no patch needs this much."""
_PIDS: Final = 4096
_LOG: Final = (("max-file", "1"), ("max-size", "1m"))
_LAST_LINES: Final = 40
_NO_PROGRAM: Final = (126, 127)  # as a shell counts: it cannot be run, there is none
_LOOK_S: Final = 0.2
_SHELLS: Final = {"", "/bin/bash", "/bin/sh", "/usr/bin/env bash", "/usr/bin/bash"}
_BASH: Final = ("/bin/bash", "/usr/bin/bash", "/usr/local/bin/bash")


class Order(NamedTuple):
    """What to bake.

    ``image`` is as the operator names it, ``container`` our name for the one that runs, ``roots`` are folders of
    packages besides those of the usual names, and ``env`` is as ``docker run --env`` has it.
    """

    mod: ScriptedMod
    image: str
    network: bool
    timeout_s: float
    container: str
    roots: tuple[str, ...] = ()
    env: tuple[tuple[str, str | None], ...] = ()


@dataclass(frozen=True, slots=True)
class Baked:
    """A script that succeeded: the verdict on its changes, its last lines, and the image's id."""

    judged: Judged
    lines: tuple[str, ...]
    image_id: str


def bake(ports: Ports, report: Report, order: Order) -> Baked:
    """Run the script and return its changes. The containers made for it are always removed.

    Raises:
        EngineError: a simulated engine, no such image, or the engine refuses.
        ModError: the image has no bash, or the script failed or did not end in time; its last lines are in it.
    """
    if ports.bench is None:
        message = "a simulated engine runs no images: nothing can be baked in it"
        raise EngineError(message, hint="name a real one: sparkctl --engine docker mods bake …")
    image = ports.engine.image(order.image)
    if image is None:
        message = f"the engine does not have the image {order.image}"
        raise EngineError(message, hint=f"fetch it: docker pull {order.image}")
    engine, me = ports.engine, ports.locks.me
    with (
        throwaway(engine, _spec(order, image, f"{order.container}-before"), PURPOSE, me) as before,
        throwaway(engine, _spec(order, image, order.container), PURPOSE, me) as container,
    ):
        _refuse_no_bash(ports.bench, before, order.image)
        own = f"{MODS}/{order.mod.name}"
        ports.bench.unpack(container, folder.pack(order.mod, own))
        report.progress(order.mod.name, f"running {folder.SCRIPT} in {order.image}", "")
        ports.engine.start(container)
        lines = _ended(ports.engine, ports.clock, report, container, order)
        place = ScriptFolders(ports.bench.workdir(container), own, order.roots)
        judged = _judged(ports.bench, report, (before, container), place)
        return Baked(judged, lines, image.id)


def _spec(order: Order, image: Image, name: str) -> ContainerSpec:
    """Return the container's spec, with the image by its id, since a tag may move between the two containers."""
    own = shlex.quote(f"{MODS}/{order.mod.name}")
    return ContainerSpec(
        image=image.id,
        name=name,
        entrypoint="bash",
        command=("-c", f"export WORKSPACE_DIR=$PWD && cd {own} && ./{folder.SCRIPT}"),
        env=order.env,
        network="" if order.network else "none",
        memory=MEMORY_BYTES,
        memory_swap=MEMORY_BYTES,
        pids_limit=_PIDS,
        log_driver="json-file",
        log_opts=_LOG,
        health=HealthCheck(disable=True),
    )


def _refuse_no_bash(bench: Workbench, container: str, image: str) -> None:
    if not any(bench.entry(container, path, most_bytes=0) for path in _BASH):
        message = f"{image} has no bash, with which community mods are run"
        raise ModError(message, hint="name the image that serves: the vLLM images have bash")


def _ended(engine: Engine, clock: Clock, report: Report, container: str, order: Order) -> tuple[str, ...]:
    """Wait for the script's end and return its last lines.

    Raises:
        ModError: it failed, or did not end in time.
    """
    tail = engine.follow(container)
    began, last = clock.monotonic(), ""
    try:
        while True:
            now = engine.container(container)
            if now is None:
                raise EngineError(f"the container {order.container} was removed by somebody else")
            if now.state in {"exited", "dead"}:
                lines = _last_lines(engine, container)
                _refuse_failure(now, lines, order)
                return lines
            took = clock.monotonic() - began
            if took >= order.timeout_s:
                lines = _last_lines(engine, container)
                message = f"run.sh did not end within {format_duration(order.timeout_s)}"
                hint = "give it longer with --timeout, if it does something; no mod was made"
                raise ModError(_with_lines(message, lines), hint=hint)
            last = plain(next(reversed(tail.read()), last))
            report.progress(order.mod.name, f"running run.sh in {order.image}", f"{format_duration(took)}  {last}")
            clock.sleep(_LOOK_S)
    finally:
        tail.close()


def _last_lines(engine: Engine, container: str) -> tuple[str, ...]:
    return tuple(map(plain, engine.logs(container, tail=_LAST_LINES)))


def _refuse_failure(ended: Container, lines: Sequence[str], order: Order) -> None:
    if ended.exit_code == 0:
        return
    message = f"run.sh failed with exit code {ended.exit_code}"
    hint = "no mod was made"
    if not order.network and judge.missed_network(lines):
        hint = "no mod was made; the script had no network, which --network gives"
    if ended.exit_code in _NO_PROGRAM:
        wants = f" (the script itself wants {order.mod.interpreter})" if order.mod.interpreter not in _SHELLS else ""
        hint = f"no mod was made; the image lacks a program{wants}: name the image that serves"
    if ended.oom_killed:
        message = f"run.sh was killed: it needs more than {format_bytes(MEMORY_BYTES)} of memory"
        hint = "no mod was made; what needs so much belongs into an image"
    raise ModError(_with_lines(message, lines), hint=hint)


def _with_lines(message: str, lines: Sequence[str]) -> str:
    if not lines:
        return f"{message}; it printed nothing"
    return "\n".join([f"{message}; its last lines:", *(f"  {line}" for line in lines)])


def _judged(bench: Workbench, report: Report, containers: tuple[str, str], place: ScriptFolders) -> Judged:
    """Return the verdict on the changes. A container that was never started shows the image as it was."""
    before, after = containers
    all_changes = bench.changes(after)
    found = judge.sort_paths(all_changes, place)
    deleted = {change.path for change in all_changes if change.kind == "deleted"}
    changes = []
    for number, path in enumerate(found.look):
        report.progress(posixpath.basename(place.own), "reading what it changed", path, number / len(found.look))
        changes.append(_change(bench, before, after, path))
    remade = [c for c in changes if c.path in deleted and c.after is not None and c.after.kind == "folder"]
    why = "was deleted and made again: what is missing in it now cannot be expressed"
    judged = judge.judge([change for change in changes if change not in remade], found)
    again = tuple(PathRemark(change.path, why) for change in remade)
    return Judged(judged.files, judged.refused + again, judged.ignored)


def _change(bench: Workbench, before: str, after: str, path: str) -> FileChange:
    most = judge.LARGEST_BYTES
    return FileChange(path, bench.entry(before, path, most_bytes=most), bench.entry(after, path, most_bytes=most))
