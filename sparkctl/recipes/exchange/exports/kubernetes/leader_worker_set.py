"""A model over several hosts as a LeaderWorkerSet of Kubernetes: one pod a host, alike but for rank and addresses.

The object is kubernetes-sigs/lws' (``leaderworkerset.x-k8s.io/v1``). Its controller gives each pod its place in the
group (``LWS_WORKER_INDEX``) and the leader's name (``LWS_LEADER_ADDRESS``), and makes all pods anew when one of them
starts again: half a group serves nothing. Ranks find each other by vLLM's own multiprocessing (``--nnodes``).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.errors import InputError
from sparkctl.recipes.exchange.exports.kubernetes.nodes import HOST_LABEL, affinity_of, spread_label
from sparkctl.recipes.exchange.exports.kubernetes.pod import probes
from sparkctl.recipes.exchange.yaml_text import noted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sparkctl.recipes.exchange.exports.exported import ExportedHost, ExportedService

API: Final = "leaderworkerset.x-k8s.io/v1"
LONGEST: Final = 50
"""Characters of its name: pods and StatefulSets add a number, and these a hash (labels have 63)."""
_COMPONENT: Final = "app.kubernetes.io/component"
_LEADER, _WORKER = "leader", "worker"
_ADDRESS: Final = "LWS_LEADER_ADDRESS"
_MASTER_PORT: Final = 29501
"""vLLM's own default (0.32.0, --master-port); further groups in a file use the next ports."""
_SHM: Final = 1024**3
"""Bytes of /dev/shm of each rank: vLLM's rings take 160 and 24 MiB (VLLM_MQ_MAX_CHUNK_BYTES_MB 16, 10 chunks)."""
_EVERYWHERE: Final = "0.0.0.0"  # noqa: S104  (a Service reaches the pod at its node's address)
_OF_HEAD: Final = ("--api-server-count", "-asc")
_DIAL: Final = "import socket; socket.create_connection(({address!r}, {port}), 5).close()"
_DIAL_NAME: Final = 'import os, socket; socket.create_connection((os.environ["LWS_LEADER_ADDRESS"], {port}), 5).close()'


def of_rank(service: ExportedService) -> ExportedService:
    """Return a service as each of its ranks runs in a cluster: on its host's network, with a /dev/shm of its own.

    Raises:
        InputError: its container starts something else than a server of vLLM.
    """
    spec = service.spec
    words = [*([spec.entrypoint] if spec.entrypoint else []), *spec.command]
    first = words[0] if words else "what its image has"
    if words[:2] != ["vllm", "serve"] and first != "serve" and not first.startswith("-"):
        message = f"{service.name}: only a server of vLLM has ranks on several hosts, and this starts {first}"
        raise InputError(message, hint="write a template whose command is `vllm serve …`, or the server's flags")
    port = service.url.rpartition(":")[2]
    command = (*_without(spec.command, ("--host", "--port")), "--host", _EVERYWHERE, "--port", port)
    rights = tuple(dict.fromkeys((*spec.cap_add, "IPC_LOCK")))
    found = replace(
        spec,
        command=command,
        network="host",
        ports=(),
        ipc="",
        shm_size=_SHM if spec.shm_size is None else spec.shm_size,
        cap_add=rights,
    )
    return replace(service, spec=found, inside=f"{service.url.partition('://')[0]}://127.0.0.1:{port}")


def _without(words: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return words without these flags and their values."""
    found: list[str] = []
    skipped = False
    for word in words:
        if skipped:
            skipped = False
        elif word in names:
            skipped = True
        elif word.partition("=")[0] not in names:
            found.append(word)
    return found


class RankPod(NamedTuple):
    """The common parts of all ranks' pods: ``spec`` without the container, the head's ``container``, their labels.

    ``worker_resources`` are the resources of a worker, which has no server and no engine core.
    """

    spec: Mapping[str, object]
    container: Mapping[str, object]
    labels: Mapping[str, object]
    worker_resources: object


def group(service: ExportedService, pod: RankPod, place: int, replicas: object) -> Mapping[str, object]:
    """Return the ``spec`` of the object.

    ``place`` is the number of the group in its file; ``replicas`` is 1, or 0 until somebody asks for the service.
    """
    port = _MASTER_PORT + place
    leader, worker = _template(service, _LEADER, port, pod), _template(service, _WORKER, port, pod)
    return {
        "replicas": replicas,
        "startupPolicy": noted("LeaderCreated", "The leader is ready only when all workers have joined it."),
        # Two instances of a service never run beside each other: there is memory for one.
        "rolloutStrategy": {
            "type": "RollingUpdate",
            "rollingUpdateConfiguration": {"maxUnavailable": 1, "maxSurge": 0},
        },
        "leaderWorkerTemplate": {
            "size": service.nodes,
            "restartPolicy": noted(
                "RecreateGroupOnPodRestart", "One rank that ends ends all: what is left would wait for ever."
            ),
            "leaderTemplate": leader,
            "workerTemplate": worker,
        },
    }


def selector(labels: Mapping[str, object]) -> Mapping[str, object]:
    """Return the labels of the pod that answers requests."""
    return {**labels, _COMPONENT: _LEADER}


def about(service: ExportedService) -> Iterator[str]:
    """Yield what an operator has to know and to do before a group starts."""
    yield (
        f"{service.name}: {service.nodes} pods, each on a node of its own, with the controller of kubernetes-sigs/lws; "
        "this has to print it:"
    )
    yield "$ kubectl get crd leaderworkersets.leaderworkerset.x-k8s.io"
    yield (
        "Models, caches and images are the same on each of these nodes, at the same paths: sparkctl compares them "
        "before a start, and here nobody does."
    )
    yield (
        "Ranks talk over the nodes' own network, unencrypted, and trust whoever reaches their ports: it has to be "
        f"private. The server answers at every address of its node, port {service.url.rpartition(':')[2]}."
    )
    yield (
        "RDMA: Kubernetes gives a container no devices of the host. Add the resource of your RDMA device plugin beside "
        "nvidia.com/gpu; without it NCCL uses TCP and says NET/Socket in its log, with it NET/IB."
    )
    if not any(host.interface for host in service.hosts):
        yield (
            "No fabric is known: vLLM and NCCL choose interfaces by themselves. --hosts with hosts of hosts.yaml names "
            "them, or set GLOO_SOCKET_IFNAME, TP_SOCKET_IFNAME, NCCL_SOCKET_IFNAME and NCCL_IB_HCA in the recipe."
        )


def _template(service: ExportedService, part: str, port: int, pod: RankPod) -> Mapping[str, object]:
    """Return the pod's template of the leader, or of all workers."""
    hosts = service.hosts[:1] if part == _LEADER else service.hosts[1:]
    spec = {**pod.spec, "affinity": affinity_of(service, hosts, pod.labels)}
    if len(hosts) == 1:
        spec["nodeSelector"] = {HOST_LABEL: hosts[0].name}
    own = {} if part == _LEADER else {"resources": pod.worker_resources}
    spec["containers"] = [_container(service, part, port, {**pod.container, **own})]
    return {"metadata": {"labels": {**pod.labels, **spread_label(service), _COMPONENT: part}}, "spec": spec}


def _container(service: ExportedService, part: str, port: int, container: Mapping[str, object]) -> Mapping[str, object]:
    """Return a rank's container: its flags after the others, its variables, and its liveness probe."""
    head = service.hosts[0].address if service.hosts else ""
    args = container["args"] if isinstance(container["args"], list) else []
    words = [*args, "--nnodes", str(service.nodes), "--node-rank", "$(LWS_WORKER_INDEX)"]
    words += ["--master-addr", head or f"$({_ADDRESS})", "--master-port", str(port)]
    env = container.get("env", [])
    found = {**container, "args": words, "env": [*(env if isinstance(env, list) else []), *_own(service, part)]}
    if part == _LEADER:
        return found
    del found["ports"]
    found["args"] = [*_without(words, _OF_HEAD), "--headless"]
    dial = _DIAL.format(address=head, port=port) if head else _DIAL_NAME.format(port=port)
    told = "A worker has no HTTP: it lives as long as its leader's port answers, which ends with the leader."
    asks = {"exec": {"command": ["python3", "-c", dial]}}
    return {**found, **probes(service, asks, told)}


def _own(service: ExportedService, part: str) -> Iterator[object]:
    """Yield the variables for a rank's address and interfaces, except those that the recipe sets."""
    said = {name for name, _ in service.spec.env}
    hosts = service.hosts[:1] if part == _LEADER else service.hosts[1:]
    one = _alike(service, hosts)
    found: dict[str, object] = {"VLLM_HOST_IP": {"valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}}
    if one is not None and one.interface:
        if len(hosts) == 1:
            found["VLLM_HOST_IP"] = {"value": one.address}
        names = ("GLOO_SOCKET_IFNAME", "TP_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
        found |= {name: {"value": one.interface} for name in names}
        found |= {"NCCL_IB_HCA": {"value": ",".join(one.hca)}} if one.hca else {}
    for name, value in found.items():
        if name not in said and isinstance(value, dict):
            yield {"name": name, **value}


def _alike(service: ExportedService, hosts: Sequence[ExportedHost]) -> ExportedHost | None:
    """Return a host whose interface names apply to all of these: they share one template.

    Raises:
        InputError: theirs differ.
    """
    for host in hosts[1:]:
        if (host.interface, host.hca) != (hosts[0].interface, hosts[0].hca):
            message = (
                f"{service.name}: the workers {hosts[0].name} and {host.name} have other names of interfaces "
                f"({hosts[0].interface or 'none'} and {host.interface or 'none'}), and share one template in Kubernetes"
            )
            hint = "cable the same port on each, or give the interfaces one name (netplan: set-name), then `hosts add`"
            raise InputError(message, hint=hint)
    return hosts[0] if hosts else None
