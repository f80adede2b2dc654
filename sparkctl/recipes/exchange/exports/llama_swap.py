"""A configuration of llama-swap: it starts a service at a request, and stops it when another needs the place.

llama-swap reads a command as words, without a shell, line by line: a word with a line end cannot be written. A ``${…}``
is llama-swap's own macro; if a word contains one, it is split.
"""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import InputError
from sparkctl.base.shown import unseen
from sparkctl.recipes.exchange.exports import promises
from sparkctl.recipes.exchange.exports.docker_run import foreground, left_out
from sparkctl.recipes.exchange.exports.exported import Export, ExportedFile
from sparkctl.recipes.exchange.exports.litellm import asked_by
from sparkctl.recipes.exchange.yaml_text import document, lines, noted
from sparkctl.world.docker_run import grammar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.recipes.exchange.exports.exported import ExportedService, ExportedSet

_TOOL: Final = "llama-swap"
_STOP_S: Final = 30
_LEAST_TIMEOUT_S: Final = 15
"""llama-swap raises smaller values to this (its config-schema.json: healthCheckTimeout)."""
_MOST_OF_A_NAME: Final = 1024
"""Characters of a description there."""


def config(exported: ExportedSet) -> Export:
    """Return one file.

    Raises:
        InputError: a command has a word that llama-swap cannot read.
    """
    exported = exported.with_copies(f"{exported.folder}/") if exported.folder else exported
    timeout = max(_LEAST_TIMEOUT_S, *(round(one.ready_s) for one in exported.services))
    stays = [one.name for one in exported.services if one.by_itself]
    comes = [one.name for one in exported.services if not one.by_itself]
    value: dict[str, object] = {
        "healthCheckTimeout": timeout,
        "unloadTimeout": _STOP_S,
        "models": {one.name: noted(_model(exported, one), *_above(one)) for one in exported.services},
    }
    if len(exported.services) > 1:
        value["groups"] = noted(
            _groups(stays, comes),
            "llama-swap counts no memory: what stays runs beside all others, of the rest one at a time.",
        )
    if stays and any(one.declared is not None for one in exported.services):
        value["hooks"] = {"on_startup": {"preload": stays}}
    told = [f"{route.name}: {route.first}, and for some answers {route.then}" for route in exported.routes]
    more = [f"llama-swap has no routes for reasons: the stack's {'; '.join(told)}."] if told else []
    text = document(value, *promises.header(exported, _TOOL, *more, f"$ llama-swap --config {_TOOL}.yaml"))
    return Export((ExportedFile(f"{_TOOL}.yaml", text),), left_out(exported, _TOOL))


def _above(service: ExportedService) -> list[str]:
    found = [promises.of_secrets(service)] if service.env_file else []
    found += [promises.of_mod(service)] if service.mods else []
    return [*found, promises.of_proof(service)]


def _groups(stays: list[str], comes: list[str]) -> Mapping[str, object]:
    beside = {"swap": False, "exclusive": False, "persistent": True, "members": stays}
    by_turns = {"swap": True, "exclusive": False, "members": comes}
    return {**({"stays": beside} if stays else {}), **({"on-demand": by_turns} if comes else {})}


def _model(exported: ExportedSet, service: ExportedService) -> Mapping[str, object]:
    declared = service.declared
    found: dict[str, object] = {
        "cmd": noted(
            lines(_command(service)), "--rm frees the name for the next start; `sparkctl up` keeps what ended."
        ),
        "cmdStop": f"docker stop --time {_STOP_S} {service.name}",
        "proxy": service.url,
        "checkEndpoint": promises.HEALTH,
        "useModelName": service.served_names[0],
    }
    aliases = [name for name in asked_by(exported, service) if name != service.name]
    found |= {"aliases": aliases} if aliases else {}
    if service.model.description:
        found["description"] = service.model.description.replace("${", "$ {")[:_MOST_OF_A_NAME]
    idle = 0 if declared is None or declared.idle_s is None else round(declared.idle_s)
    found["ttl"] = idle
    if declared is not None and declared.force:
        found["filters"] = {"setParams": _without_macros(service.name, dict(declared.force))}
    if declared is not None and declared.defaults:
        told = f"The stack's defaults ({', '.join(declared.defaults)}) are not here: llama-swap would force them."
        found["ttl"] = noted(idle, told)
    if service.model.context:
        found["capabilities"] = {"context": service.model.context}
    return found


def _without_macros(service: str, value: Mapping[str, object]) -> Mapping[str, object]:
    if "${" in json.dumps(value):
        message = f"{service}: llama-swap reads ${{…}} as a macro, and force has one"
        raise InputError(message, hint="remove it from force of the stack, or export it --as litellm")
    return value


def _command(service: ExportedService) -> str:
    words = foreground(service.spec, removed=True)
    for word in words:
        if "\n" in word or unseen(word):
            message = f"{service.name}: llama-swap reads a command line by line, and cannot take the word {word!r}"
            raise InputError(message, hint="remove the line end, or export it --as compose")
    every = grammar.lines(words)
    return " \\\n  ".join(" ".join(map(_quoted, line)) for line in every)


def _quoted(word: str) -> str:
    """Return a word in POSIX quotes, so that llama-swap sees no macro in it."""
    return shlex.quote(word).replace("${", "$''{")
