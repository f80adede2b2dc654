"""The exported files, by the tool that they are for: the one table of writers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import InputError
from sparkctl.recipes.exchange.exports import (
    compose,
    docker_run,
    litellm,
    llama_swap,
    quadlet,
    sparkrun,
    systemd,
)
from sparkctl.recipes.exchange.exports.exported import ExportTarget, refuse_unwritable
from sparkctl.recipes.exchange.exports.kubernetes import manifests

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sparkctl.recipes.exchange.exports.exported import Export, ExportedSet

WRITERS: Final[Mapping[ExportTarget, Callable[[ExportedSet], Export]]] = {
    ExportTarget.COMPOSE: compose.compose,
    ExportTarget.SYSTEMD: systemd.units,
    ExportTarget.QUADLET: quadlet.containers,
    ExportTarget.KUBERNETES: manifests.manifests,
    ExportTarget.LITELLM: litellm.config,
    ExportTarget.LLAMA_SWAP: llama_swap.config,
    ExportTarget.SPARKRUN: sparkrun.recipes,
    ExportTarget.DOCKER_RUN: docker_run.script,
}
STARTS_NOTHING: Final = frozenset({ExportTarget.LITELLM})
"""Tools that start no containers, and need no files of mods."""
_OF_SEVERAL_HOSTS: Final = frozenset({ExportTarget.KUBERNETES, ExportTarget.SPARKRUN, ExportTarget.LITELLM})
"""Tools that support a model over several hosts, or need not."""


def written(exported: ExportedSet, target: ExportTarget) -> Export:
    """Return the files of services for a tool.

    Raises:
        InputError: two services cannot run beside each other, the tool does not accept one of their names or words, or
            several hosts share the model and the tool starts containers of one host only.
    """
    exported.refuse_two_on_one_port()
    groups = [one for one in exported.services if one.nodes > 1]
    if groups and target not in _OF_SEVERAL_HOSTS:
        message = f"{groups[0].name}: {groups[0].nodes} hosts share its model, and {target.value} starts those of one"
        raise InputError(message, hint="--as kubernetes writes the group, --as sparkrun a recipe for several hosts")
    names = list(dict.fromkeys(host.name for one in exported.services for host in (*one.hosts, *one.among)))
    if len(exported.services) > 1 and len(names) > 1 and target not in _OF_SEVERAL_HOSTS:
        message = f"{exported.name} runs on {', '.join(names)}, and {target.value} starts all of it on one host"
        raise InputError(message, hint=f"export its services: {exported.found_by}:{exported.services[0].name}")
    for service in exported.services:
        spec = service.spec
        texts = [one for pair in (*spec.env, *spec.labels) for one in pair if one is not None]
        paths = [mount.source or "" for mount in spec.mounts]
        refuse_unwritable(service.name, [*spec.command, *texts, *paths, *spec.env_files], target.value)
    return WRITERS[target](exported)
