"""Units of systemd that keep ``docker run`` running: one a service, and a target for a stack.

The values of secrets stay in the env-file that `docker run` reads, as for `sparkctl up`: systemd's ``EnvironmentFile=``
would interpret quotes and backslashes in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.base.shown import one_line
from sparkctl.recipes.exchange.comments import comment
from sparkctl.recipes.exchange.exports import promises
from sparkctl.recipes.exchange.exports.docker_run import about, foreground, left_out
from sparkctl.recipes.exchange.exports.exported import Export, ExportedFile
from sparkctl.recipes.exchange.exports.systemd_words import joined, quoted
from sparkctl.world.docker_run import grammar
from sparkctl.world.docker_run.spelling import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sparkctl.recipes.exchange.exports.exported import ExportedService, ExportedSet

_TOOL: Final = "systemd"
_DOCKER: Final = "/usr/bin/docker"
_STOP_S: Final = 30
"""How long a server gets to end (seconds), as in the agent's own unit; docker's default is 10."""


def units(exported: ExportedSet) -> Export:
    """Return a unit for each service, and for several a target that starts them."""
    exported = exported.with_copies(f"{exported.folder}/") if exported.folder else exported
    several = len(exported.services) > 1
    files = [ExportedFile(f"{unit(one.name)}.service", _unit(exported, one)) for one in exported.services]
    if several:
        files.append(ExportedFile(f"{unit(exported.name)}.target", _target(exported)))
    return Export(tuple(files), left_out(exported, _TOOL))


def unit(name: str) -> str:
    """Return the name of a service's unit, which no other program uses."""
    return f"vllm-{name}"


def _unit(exported: ExportedSet, service: ExportedService) -> str:
    lines = [*comment(*promises.header(exported, _TOOL)), "[Unit]", *_order(exported, service)]
    lines += ["", "[Service]", "Type=exec", *_process(service), *restarts(service)]
    lines += [f"TimeoutStartSec={round(service.ready_s)}", f"TimeoutStopSec={_STOP_S + 10}"]
    if service.by_itself:
        several = len(exported.services) > 1
        lines += [
            "",
            "[Install]",
            f"WantedBy={unit(exported.name)}.target" if several else "WantedBy=multi-user.target",
        ]
    return _text(lines)


def _order(exported: ExportedSet, service: ExportedService) -> Iterator[str]:
    yield f"Description={description(service)}"
    waits = exported.waits_for(service)
    if any(not needed for _, needed in waits):
        yield from comment(promises.of_order(service, _TOOL))
    yield f"After=docker.service network-online.target{''.join(f' {unit(name)}.service' for name, _ in waits)}"
    yield "Wants=docker.service network-online.target"
    needed = [f"{unit(name)}.service" for name, must in waits if must]
    if needed:
        yield f"Requires={' '.join(needed)}"
    if len(exported.services) > 1:
        yield f"PartOf={unit(exported.name)}.target"
    yield from bounds(service)


def description(service: ExportedService) -> str:
    """Return the line that systemd shows of a service."""
    told = one_line(service.model.description)
    return f"vLLM: {service.name}{f' ({told})' if told else ''}".replace("%", "%%").rstrip("\\")


def bounds(service: ExportedService) -> Iterator[str]:
    """Yield how often a service may fail before nobody starts it again."""
    if service.declared is not None:
        again = service.declared.restarts
        yield f"StartLimitIntervalSec={round(again.within_s)}"
        yield f"StartLimitBurst={again.attempts}"


def restarts(service: ExportedService) -> Iterator[str]:
    """Yield whether and when a service is started again."""
    if service.declared is None:
        policy = {"always": "always", "unless-stopped": "always"}.get(service.spec.restart.partition(":")[0], "no")
        yield f"Restart={'on-failure' if service.spec.restart.startswith('on-failure') else policy}"
        return
    yield from comment(
        "The agent waits twice as long each time; systemd does so since 254: RestartSteps= and RestartMaxDelaySec=."
    )
    yield "Restart=always" if service.by_itself else "Restart=no"
    yield f"RestartSec={round(service.declared.restarts.first_s)}"


def _process(service: ExportedService) -> Iterator[str]:
    yield from comment(*about(service))
    yield from comment("A container that ended is removed; one that runs keeps its name, and this one does not start.")
    yield f"ExecStartPre=-{joined([_DOCKER, 'rm', service.name], command=True)}"
    words = [_DOCKER, *foreground(service.spec, removed=False)[1:]]
    lines = [joined(line, command=True) for line in grammar.lines(["docker", *words[1:]])]
    first = lines[0].removeprefix("docker")
    yield " \\\n  ".join([f"ExecStart={_DOCKER}{first}", *lines[1:]])
    yield from comment(promises.of_proof(service))
    ask = " ".join(map(quote, (_DOCKER, "exec", service.name, *promises.asking(service))))
    waiting = f"until {ask} 2>/dev/null; do sleep 5; done"
    yield f"ExecStartPost=/bin/sh -c {quoted(waiting, command=True)}"
    stop = service.spec.stop_timeout if service.spec.stop_timeout is not None else _STOP_S
    yield f"ExecStop={joined([_DOCKER, 'stop', '--time', str(stop), service.name], command=True)}"


def _target(exported: ExportedSet) -> str:
    return _text(
        [
            *comment(*promises.header(exported, _TOOL)),
            "[Unit]",
            f"Description=vLLM: the stack {exported.name}",
            "",
            "[Install]",
            "WantedBy=multi-user.target",
        ]
    )


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
