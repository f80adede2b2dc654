"""The commands of ``docker run``, as a script: what `sparkctl render` prints, one service after another."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sparkctl.recipes.exchange.comments import comment
from sparkctl.recipes.exchange.exports import promises
from sparkctl.recipes.exchange.exports.exported import Export, ExportedFile
from sparkctl.world.docker_run import grammar
from sparkctl.world.docker_run.spelling import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.recipes.exchange.exports.exported import ExportedService, ExportedSet
    from sparkctl.world.spec import ContainerSpec

_TOOL: Final = "docker run"


def script(exported: ExportedSet) -> Export:
    """Return a shell script that starts all services that start by themselves; the others are in comments."""
    exported = exported.with_copies(f"{exported.folder}/") if exported.folder else exported
    lines = ["#!/usr/bin/env bash", *comment(*promises.header(exported, _TOOL)), "set -eu"]
    for service in exported.services:
        lines += ["", *_service(exported, service)]
    return Export((ExportedFile(f"{exported.name}.sh", "\n".join(lines) + "\n"),))


def _service(exported: ExportedSet, service: ExportedService) -> Iterator[str]:
    yield from comment(*about(service))
    text = grammar.shell_text(grammar.words(service.spec))
    if not service.by_itself:
        yield from (f"# {line}" for line in text.split("\n"))
        return
    yield text
    if any(service.name == name for one in exported.services for name, _ in exported.waits_for(one)):
        yield from comment(promises.of_proof(service))
        ask = " ".join(map(quote, ("docker", "exec", service.name, *promises.asking(service))))
        yield f"until {ask} 2>/dev/null; do sleep 5; done"


def about(service: ExportedService) -> tuple[str, ...]:
    """Return what a reader should know about a service before running its command."""
    found = [*promises.of_stack(service)]
    found += [promises.of_secrets(service)] if service.env_file else []
    found += [promises.of_mod(service)] if service.mods else []
    return tuple(found)


def foreground(spec: ContainerSpec, *, removed: bool) -> list[str]:
    """Return the words for a program that keeps ``docker run`` running, and starts it again by itself.

    ``removed``: the container is removed when it ends, so that its name is free for the next one.
    """
    own = grammar.words(
        replace(spec, restart="", auto_remove=removed or spec.auto_remove, interactive=False, tty=False)
    )
    return [word for place, word in enumerate(own) if (place, word) != (2, "--detach")]


def left_out(exported: ExportedSet, tool: str) -> tuple[str, ...]:
    """Return in sentences what such a program's containers do not get."""
    found = [
        f"{one.name}: {tool} starts it again, and not docker: --restart"
        for one in exported.services
        if one.spec.restart
    ]
    terminal = [one.name for one in exported.services if one.spec.tty or one.spec.interactive]
    found += [f"{name}: {tool} has no terminal to give: --tty" for name in terminal]
    return tuple(f"{one} is left out" for one in found)
