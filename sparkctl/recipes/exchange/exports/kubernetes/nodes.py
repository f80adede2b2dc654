"""The nodes of a cluster on which pods may run: the hosts of hosts.yaml, known by a label of the node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.recipes.exchange.exports.exported import ExportedHost, ExportedService

HOST_LABEL: Final = "sparkctl.host"
"""The label of a node that says which host of hosts.yaml it is."""
_SPREAD_LABEL: Final = "sparkctl.spread"
_ALWAYS: Final = "requiredDuringSchedulingIgnoredDuringExecution"
_NODE: Final = "kubernetes.io/hostname"


def spread_label(service: ExportedService) -> Mapping[str, object]:
    """Return the pod label by which a pod keeps away from others with the same word."""
    return {_SPREAD_LABEL: service.spread} if service.spread else {}


def affinity_of(
    service: ExportedService, hosts: Sequence[ExportedHost] = (), apart: Mapping[str, object] | None = None
) -> Mapping[str, object]:
    """Return where a pod may run: on one of ``hosts``, or on those that its service may use; {} is anywhere.

    No two pods with the labels ``apart`` run on one node, nor do two with the same ``spread``.
    """
    found: dict[str, object] = {}
    names = [host.name for host in (hosts or service.among)]
    if len(names) > 1:
        terms = [{"matchExpressions": [{"key": HOST_LABEL, "operator": "In", "values": names}]}]
        found["nodeAffinity"] = {_ALWAYS: {"nodeSelectorTerms": terms}}
    away = [dict(labels) for labels in (apart or {}, spread_label(service)) if labels]
    if away:
        found["podAntiAffinity"] = {
            _ALWAYS: [{"labelSelector": {"matchLabels": labels}, "topologyKey": _NODE} for labels in away]
        }
    return found
