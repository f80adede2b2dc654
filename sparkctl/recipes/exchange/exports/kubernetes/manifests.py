"""Objects of Kubernetes: a Deployment and a Service for each service, and its mods as a ConfigMap.

Their versions are ``apps/v1`` and ``v1``; a model over several hosts is a LeaderWorkerSet instead of a Deployment.
Files of a host are mounted by ``hostPath``: models, caches and certificates stay where they are, so the pods belong on
their nodes. Secrets are named; a command in a comment creates them. A comment also names what Kubernetes cannot
express.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from sparkctl.base.errors import InputError
from sparkctl.base.units import format_gib
from sparkctl.recipes.exchange.comments import comment
from sparkctl.recipes.exchange.exports import promises
from sparkctl.recipes.exchange.exports.exported import Export, ExportedFile
from sparkctl.recipes.exchange.exports.kubernetes import leader_worker_set
from sparkctl.recipes.exchange.exports.kubernetes.leader_worker_set import RankPod
from sparkctl.recipes.exchange.exports.kubernetes.nodes import HOST_LABEL, affinity_of, spread_label
from sparkctl.recipes.exchange.exports.kubernetes.pod import container, pod_options, unsaid
from sparkctl.recipes.exchange.yaml_text import document, noted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sparkctl.recipes.exchange.exports.exported import ExportedService, ExportedSet
    from sparkctl.world.spec import Mount

_TOOL: Final = "Kubernetes"
_LONGEST: Final = 63
"""Characters of a label of DNS (RFC 1123)."""
_MOST_OF_A_MAP: Final = 1024 * 1024 - 4096
"""Bytes of a ConfigMap's data: a MiB, less its other contents (Kubernetes documentation, ConfigMap: motivation)."""
_SHM: Final = "/dev/shm"  # noqa: S108  (a path in the container)
_RESERVED: Final = (
    "What the system needs is kept back by the kubelet of each node (systemReserved in its configuration), and the "
    "peak of a start is counted by nobody: start one after another."
)
_GPUS: Final = (
    "nvidia.com/gpu wants NVIDIA's device plugin (or GPU operator), which gives a whole GPU to one pod, and "
    "runtimeClassName its RuntimeClass: leave that out where nvidia is the node's default runtime."
)
_LABEL: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
"""The value of a label (Kubernetes documentation, Labels and Selectors)."""


def manifests(exported: ExportedSet) -> Export:
    """Return one file with the objects of all services.

    Raises:
        InputError: two services get one name there, a mod's files are larger than a ConfigMap may be, or workers of a
            group differ in what their one template says.
    """
    names = _names(exported)
    of_ranks = [leader_worker_set.of_rank(one) if one.nodes > 1 else one for one in exported.services]
    exported = replace(exported, services=tuple(of_ranks))
    documents = []
    for service in exported.services:
        name = names[service.name]
        documents += [document(config, *about) for config, about in _objects(exported, service, name)]
    head = "".join(f"{line}\n" for line in comment(*_about(exported)))
    notes = tuple(f"{one.name}: Kubernetes: {told}" for one in exported.services for told in unsaid(one))
    return Export((ExportedFile(f"{_dns(exported.name)}.yaml", head + "---\n" + "---\n".join(documents)),), notes)


def _about(exported: ExportedSet) -> tuple[str, ...]:
    made, _, *up = promises.header(exported, _TOOL)
    found = [
        made,
        "Kubernetes adds up what pods request, and looks at no memory of a GPU: each requests what sparkctl admits.",
        _RESERVED,
        *up,
        *_nodes(exported),
        _GPUS,
    ]
    if len([one for one in exported.services if one.spec.gpus is not None]) > 1:
        found.append("For several pods on one GPU it has to share it: timeSlicing with replicas in its configuration.")
    for service in exported.services:
        found += leader_worker_set.about(service) if service.nodes > 1 else ()
    return tuple(found)


def _nodes(exported: ExportedSet) -> Iterator[str]:
    """Yield how the operator tells Kubernetes which node is which host."""
    hosts = dict.fromkeys(host.name for one in exported.services for host in (*one.hosts, *one.among))
    if len(hosts) == 0:
        yield "Paths of hostPath are those of this host: with several nodes, bind the pods to it by a nodeSelector."
        return
    for name in hosts:
        if not _LABEL.fullmatch(name):
            message = f"the host {name} of hosts.yaml has a name that no label of Kubernetes can have"
            raise InputError(message, hint="letters, digits, _ . - between a letter or digit at both ends, at most 63")
    yield "Paths of hostPath are those of the host that a service is bound to. Say once which node is which host:"
    yield from (f"$ kubectl label node NODE-OF-{name} {HOST_LABEL}={name}" for name in hosts)


def _names(exported: ExportedSet) -> Mapping[str, str]:
    """Return the name of each service: a Service's name is a DNS label that begins with a letter."""
    found: dict[str, str] = {}
    for service in exported.services:
        name = _dns(service.name, leader_worker_set.LONGEST if service.nodes > 1 else _LONGEST)
        other = next((one for one, taken in found.items() if taken == name), None)
        if other is not None:
            message = f"{other} and {service.name} would both be called {name} in Kubernetes"
            raise InputError(message, hint="give one of them another name in the stack")
        found[service.name] = name
    return found


def _dns(name: str, most: int = _LONGEST) -> str:
    text = re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")
    text = text if text[:1].isalpha() else f"vllm-{text}".rstrip("-")
    if len(text) <= most:
        return text
    return f"{text[: most - 9].rstrip('-')}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


_Object = tuple[dict[str, object], tuple[str, ...]]


def _objects(exported: ExportedSet, service: ExportedService, name: str) -> list[_Object]:
    found = [_workload(exported, service, name), _service(service, name)]
    carried = [one for one in service.mods if one.content is not None]
    if carried:
        size = sum(len(one.content or b"") for one in carried)
        if size > _MOST_OF_A_MAP * 3 // 4:  # written as base64
            raise InputError(f"{service.name}: its mods have {size} bytes, and a ConfigMap holds a MiB of base64")
        data = {one.file: base64.b64encode(one.content or b"").decode() for one in carried}
        meta = {"name": f"{name}-mods", "labels": _labels(name)}
        config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "immutable": True, "binaryData": data}
        found.insert(0, (config, (promises.of_mod(service),)))
    return found


def _labels(name: str) -> Mapping[str, object]:
    return {"app.kubernetes.io/name": name}


def _workload(exported: ExportedSet, service: ExportedService, name: str) -> _Object:
    """Return the object that keeps a service's pods: a Deployment, or for several hosts a LeaderWorkerSet."""
    mounts, volumes = _volumes(service, name)
    pod: dict[str, object] = dict(pod_options(service))
    made = container(service, name, mounts, _resources(service))
    pod["containers"] = [made]
    if volumes:
        pod["volumes"] = volumes
    kind, api = ("LeaderWorkerSet", leader_worker_set.API) if service.nodes > 1 else ("Deployment", "apps/v1")
    replicas: object = 1
    if not service.by_itself:
        scale = f"$ kubectl scale {kind.lower()}/{name} --replicas=1"
        replicas = noted(0, *promises.of_stack(service)[1:], scale)
    if service.nodes > 1:
        place = [one.name for one in exported.services if one.nodes > 1].index(service.name)
        worker = _resources(replace(service, claim_bytes=service.worker_bytes or service.claim_bytes))
        spec = leader_worker_set.group(service, RankPod(pod, made, _labels(name), worker), place, replicas)
    else:
        spec = _deployment(service, name, pod, replicas)
    meta = {"name": name, "labels": _labels(name)}
    told = tuple(_of_workload(exported, service, name))
    return {"apiVersion": api, "kind": kind, "metadata": meta, "spec": spec}, told


def _deployment(
    service: ExportedService, name: str, pod: Mapping[str, object], replicas: object
) -> Mapping[str, object]:
    bound = {"nodeSelector": {HOST_LABEL: service.hosts[0].name}} if service.hosts else {}
    affinity = affinity_of(service)
    labels = {**_labels(name), **spread_label(service)}
    return {
        "replicas": replicas,
        # Two instances of a service never run beside each other: there is memory for one.
        "strategy": {"type": "Recreate"},
        "progressDeadlineSeconds": round(service.ready_s) + 60,
        "selector": {"matchLabels": _labels(name)},
        "template": {
            "metadata": {"labels": labels},
            "spec": {**pod, **({"affinity": affinity} if affinity else {}), **bound},
        },
    }


def _of_workload(exported: ExportedSet, service: ExportedService, name: str) -> Iterator[str]:
    waits = exported.waits_for(service)
    if name != service.name:
        yield f"The service {service.name}."
    if waits:
        told = ", ".join(one for one, _ in waits)
        yield f"Kubernetes keeps no order: sparkctl starts {service.name} after {told}. Apply that first."
    if unsaid(service):
        yield f"Kubernetes has no word for: {'; '.join(unsaid(service))}."


def _resources(service: ExportedService) -> object:
    spec = service.spec
    limits: dict[str, Any] = {}
    if spec.gpus is not None:
        limits["nvidia.com/gpu"] = len(spec.gpus.device_ids) or max(1, spec.gpus.count)
    elif spec.cdi_devices:
        limits["nvidia.com/gpu"] = len(spec.cdi_devices)
    if spec.memory is not None:
        limits["memory"] = str(spec.memory)
    requests: dict[str, object] = {}
    if service.claim_bytes:
        told = f"{format_gib(service.claim_bytes)} of what the host and its GPU share: the scheduler adds these up."
        asked = min(service.claim_bytes, service.claim_bytes if spec.memory is None else spec.memory)
        requests["memory"] = noted(f"{asked // 1024**2}Mi", told)
    return {**({"requests": requests} if requests else {}), **({"limits": limits} if limits else {})}


def _volumes(service: ExportedService, name: str) -> tuple[list[object], list[object]]:
    mounts: list[object] = []
    volumes: dict[str, object] = {}
    carried = {one.target: one.file for one in service.mods if one.content is not None}
    for mount in service.spec.mounts:
        if mount.target in carried:
            told = {"name": "mods", "mountPath": mount.target, "subPath": carried[mount.target], "readOnly": True}
            mounts.append(told)
            volumes["mods"] = {"name": "mods", "configMap": {"name": f"{name}-mods"}}
            continue
        key = f"v{len(volumes)}"
        read_only = {"readOnly": True} if mount.read_only else {}
        mounts.append({"name": key, "mountPath": mount.target, **read_only})
        volumes[key] = {"name": key, **_source(mount)}
    for target, _ in service.spec.tmpfs:
        key = f"v{len(volumes)}"
        mounts.append({"name": key, "mountPath": target})
        volumes[key] = {"name": key, "emptyDir": {"medium": "Memory"}}
    if service.spec.shm_size is not None and service.spec.ipc != "host":
        mounts.append({"name": "shm", "mountPath": _SHM})
        volumes["shm"] = {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": str(service.spec.shm_size)}}
    return mounts, list(volumes.values())


def _source(mount: Mount) -> Mapping[str, object]:
    if mount.kind == "tmpfs" or mount.source is None:
        return {"emptyDir": {"medium": "Memory"} if mount.kind == "tmpfs" else {}}
    if mount.kind == "volume":
        return {"persistentVolumeClaim": {"claimName": _dns(mount.source)}}
    made = {"type": "DirectoryOrCreate"} if mount.create_source else {}
    return {"hostPath": {"path": mount.source, **made}}


def _service(service: ExportedService, name: str) -> _Object:
    port = int(service.inside.rpartition(":")[2])
    called, found_by = name, _labels(name)
    if service.nodes > 1:  # the controller gives its own Service the group's name
        called, found_by = f"{name}-leader", leader_worker_set.selector(_labels(name))
    spec = {
        "selector": found_by,
        "ports": [{"name": "https" if service.encrypted else "http", "port": port, "targetPort": port}],
    }
    scheme = service.url.partition(":")[0]
    about = (
        f"Inside of the cluster: {scheme}://{called}:{port}/v1 as {service.served_names[0]}.",
        f"`sparkctl up` serves it at {service.url}, as does:",
        f"$ kubectl port-forward service/{called} {service.url.rpartition(':')[2]}:{port}",
    )
    meta = {"name": called, "labels": _labels(name)}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}, about
