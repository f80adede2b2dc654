"""What sparkctl does and another tool does not, in sentences for the files; how other tools check a server's health."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from sparkctl.base.units import format_duration, format_gib
from sparkctl.recipes.host_side.caches import COMPILED
from sparkctl.vllm.server import Route
from sparkctl.world.docker_run.spelling import quote

if TYPE_CHECKING:
    from sparkctl.recipes.exchange.exports.exported import ExportedService, ExportedSet
    from sparkctl.world.spec import Mount

HEALTH: Final = Route.HEALTH.value
"""Where a vLLM shows that it serves; no key is needed there (vLLM 0.32.0, entrypoints/openai/server_utils.py)."""
HEALTH_PERIOD_S: Final = 10
"""How often the health is checked, in seconds: a choice."""


_ASK: Final = 'import urllib.request as r; r.urlopen("{url}", timeout=5)'
_ASK_TLS: Final = (
    'import ssl, urllib.request as r; r.urlopen("{url}", timeout=5, context=ssl._create_unverified_context())'
)


def header(exported: ExportedSet, tool: str, *more: str) -> tuple[str, ...]:
    """Return the head of a file: what made it, and what the tool does not do."""
    made = f"Written by `{exported.asked}`: change the recipe and write it again, rather than this file."
    return made, *promises(exported, tool), *more


def promises(exported: ExportedSet, tool: str) -> tuple[str, ...]:
    """Return what `sparkctl up` does for these services and the tool does not."""
    total = sum(one.claim_bytes for one in exported.services)
    names = ", ".join(map(_claim, exported.services))
    added = f" (together {format_gib(total)})" if len(exported.services) > 1 else ""
    up = f"sparkctl up {quote(exported.found_by or exported.name)}"
    if len(exported.services) == 1 and exported.services[0].nodes > 1:
        up += f" --hosts {','.join(host.name for host in exported.services[0].hosts) or 'HEAD,HOST'}"
    told = [
        f"{tool} looks at no memory: it starts whatever else runs. What sparkctl admits is {names}{added}.",
        f"`{up}` starts the same only where that fits, and watches until a prompt is answered.",
    ]
    if exported.gateway:
        told.append(
            f"The stack's gateway at {exported.gateway} is sparkctl's alone: here clients ask each service at its own "
            "address, with the key of its own."
        )
    return tuple(told)


def _claim(service: ExportedService) -> str:
    on_each = "" if service.nodes == 1 else f" on each of {service.nodes} hosts"
    return f"{service.name} {format_gib(service.claim_bytes)}{on_each}"


def of_proof(service: ExportedService) -> str:
    """Return how little a check of health proves."""
    within = format_duration(service.ready_s)
    return (
        f"It serves when {HEALTH} answers, within {within}; sparkctl has it answer a prompt before it counts as ready."
    )


def of_order(service: ExportedService, tool: str) -> str:
    """Return why it waits for the one before it."""
    return (
        f"{service.name} waits for the one before it: two that load at once may take more memory than there is. "
        f"sparkctl starts them together where their peaks fit; {tool} cannot know."
    )


def of_secrets(service: ExportedService) -> str:
    """Return where the values of secrets are."""
    names = ", ".join(service.secrets) or "the secrets"
    return (
        f"Values of {names}: NAME=value a line, mode 600. `sparkctl render {service.recipe} --stage` writes the file."
    )


def of_mod(service: ExportedService) -> str:
    """Return what is not checked about a mod."""
    names = ", ".join(dict.fromkeys(one.mod for one in service.mods))
    return (
        f"Laid over files of the image: {names}. sparkctl compares the files that they cover, and those in the running "
        "container, with their checksums; here nobody does."
    )


def of_caches(service: ExportedService) -> str:
    """Return what differs in where a server keeps what it compiled."""
    return (
        "What the server compiles is kept by the image's tag here; `sparkctl up` keeps it by the image's id, "
        f"so that another image behind the same tag compiles anew ({service.spec.image})."
    )


def of_stack(service: ExportedService) -> tuple[str, ...]:
    """Return the stack's settings for a service that only the agent applies."""
    declared = service.declared
    if declared is None:
        return ()
    again = declared.restarts
    wait = f"{format_duration(again.first_s)}, then twice as long up to {format_duration(again.most_s)}"
    found = [f"The agent of sparkctl starts it again when it ended: after {wait}."]
    if not service.by_itself:
        idle = "" if declared.idle_s is None else f" and stops it after {format_duration(declared.idle_s)} without one"
        found = [f"start: {declared.start}. The agent of sparkctl starts it at a request{idle}; here you start it."]
        if declared.start.value == "manual":
            found = ["start: manual. It starts when you say so."]
    return tuple(found)


def asking(service: ExportedService) -> tuple[str, ...]:
    """Return a command that checks the server from inside of the container, with the Python of every vLLM image.

    It exits with 0 if the server says that it serves. The certificate need not be valid for the address inside.
    """
    program = _ASK_TLS if service.encrypted else _ASK
    return ("python3", "-c", program.format(url=f"{service.inside}{HEALTH}"))


def is_by_tag(mount: Mount) -> bool:
    """Return whether a mount is the folder of compiled files that belongs to the image's tag."""
    return mount.target == COMPILED and mount.source is not None and PurePosixPath(mount.source).name == "by-tag"
