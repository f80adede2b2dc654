"""Objects of Kubernetes for one node: a Deployment and a Service for each service, and its mods as a ConfigMap.

They are of the versions ``apps/v1`` and ``v1``. What is on this host comes in by ``hostPath``: models, caches and
certificates are where they are, so the pods belong on this node. Secrets are named, and made by a command that stands
in a comment. What Kubernetes has no word for stands in a comment, too.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING, Any, Final

from sparkctl.base.errors import InputError
from sparkctl.base.units import format_gib
from sparkctl.recipes.exchange.comments import comment
from sparkctl.recipes.exchange.exports import promises
from sparkctl.recipes.exchange.exports.exported import Export, ExportedFile
from sparkctl.recipes.exchange.exports.pod import container, pod_options, unsaid
from sparkctl.recipes.exchange.yaml_text import document, noted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.recipes.exchange.exports.exported import ExportedService, ExportedSet
    from sparkctl.world.spec import Mount

_TOOL: Final = "Kubernetes"
_LONGEST: Final = 63
"""Characters of a label of DNS (RFC 1123)."""
_MOST_OF_A_MAP: Final = 1024 * 1024 - 4096
"""Bytes of a ConfigMap: a MiB, less what else stands in it (Kubernetes documentation, ConfigMap: motivation)."""
_SHM: Final = "/dev/shm"  # noqa: S108  (a path in the container)


def manifests(exported: ExportedSet) -> Export:
    """Return one file with the objects of all services.

    Raises:
        InputError: two services get one name there, or a mod's files are larger than a ConfigMap may be.
    """
    names = _names(exported)
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
        *up,
        "Paths of hostPath are those of this host: with several nodes, bind the pods to it by a nodeSelector.",
        "nvidia.com/gpu wants NVIDIA's device plugin (or GPU operator), which gives a whole GPU to one pod.",
    ]
    if len([one for one in exported.services if one.spec.gpus is not None]) > 1:
        found.append("For several pods on one GPU it has to share it: timeSlicing with replicas in its configuration.")
    return tuple(found)


def _names(exported: ExportedSet) -> Mapping[str, str]:
    """Return what each service is called: a Service's name is a label of DNS that begins with a letter."""
    found: dict[str, str] = {}
    for service in exported.services:
        name = _dns(service.name)
        other = next((one for one, taken in found.items() if taken == name), None)
        if other is not None:
            message = f"{other} and {service.name} would both be called {name} in Kubernetes"
            raise InputError(message, hint="give one of them another name in the stack")
        found[service.name] = name
    return found


def _dns(name: str) -> str:
    text = re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")
    text = text if text[:1].isalpha() else f"vllm-{text}".rstrip("-")
    if len(text) <= _LONGEST:
        return text
    return f"{text[: _LONGEST - 9].rstrip('-')}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


_Object = tuple[dict[str, object], tuple[str, ...]]


def _objects(exported: ExportedSet, service: ExportedService, name: str) -> list[_Object]:
    found = [_deployment(exported, service, name), _service(service, name)]
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


def _deployment(exported: ExportedSet, service: ExportedService, name: str) -> _Object:
    waits = exported.waits_for(service)
    mounts, volumes = _volumes(service, name)
    pod: dict[str, object] = dict(pod_options(service))
    pod["containers"] = [container(service, name, mounts, _resources(service))]
    if volumes:
        pod["volumes"] = volumes
    replicas: object = 1
    if not service.by_itself:
        replicas = noted(0, *promises.of_stack(service)[1:], f"$ kubectl scale deployment/{name} --replicas=1")
    spec = {
        "replicas": replicas,
        # Two of one service never run beside each other: the memory is that of one.
        "strategy": {"type": "Recreate"},
        "progressDeadlineSeconds": round(service.ready_s) + 60,
        "selector": {"matchLabels": _labels(name)},
        "template": {"metadata": {"labels": _labels(name)}, "spec": pod},
    }
    about = [f"The service {service.name}."] if name != service.name else []
    if waits:
        told = ", ".join(one for one, _ in waits)
        about.append(f"Kubernetes keeps no order: sparkctl starts {service.name} after {told}. Apply that first.")
    about += [f"Kubernetes has no word for: {'; '.join(unsaid(service))}."] if unsaid(service) else []
    meta = {"name": name, "labels": _labels(name)}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}, tuple(about)


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
    spec = {
        "selector": _labels(name),
        "ports": [{"name": "https" if service.encrypted else "http", "port": port, "targetPort": port}],
    }
    outside = f"Inside of the cluster: {service.url.partition(':')[0]}://{name}:{port}/v1 as {service.served_names[0]}."
    about = (
        outside,
        f"`sparkctl up` serves it at {service.url}, as does:",
        f"$ kubectl port-forward service/{name} {service.url.rpartition(':')[2]}:{port}",
    )
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": _labels(name)},
        "spec": spec,
    }, about
