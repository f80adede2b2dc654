"""The parts of a Kubernetes pod that follow from a container: its process, its probes, its rights."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sparkctl.recipes.exchange.exports import promises
from sparkctl.recipes.exchange.yaml_text import noted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sparkctl.recipes.exchange.exports.exported import ExportedService
    from sparkctl.world.spec import ContainerSpec

_USER: Final = re.compile(r"(\d{1,9})(?::(\d{1,9}))?")
_NAME_OF_VARIABLE: Final = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
_STARTS: Final = 10
"""Seconds between two probes of a start."""
_ALIVE: Final = 30
"""Seconds between two liveness probes; three without an answer end the server: a choice."""
_PATIENCE: Final = 10
"""Seconds that a server has to answer a probe: a busy one takes more than Kubernetes' own 1 s."""
_GPU_RUNTIME: Final = "nvidia"
"""The RuntimeClass of NVIDIA's container runtime, as the GPU operator and k3s make it."""


def container(service: ExportedService, name: str, mounts: Sequence[object], resources: object) -> Mapping[str, object]:
    """Return the pod's container."""
    spec = service.spec
    found: dict[str, object] = {"name": "vllm", "image": spec.image}
    if spec.pull:
        found["imagePullPolicy"] = {"always": "Always", "never": "Never"}.get(spec.pull, "IfNotPresent")
    else:
        found["imagePullPolicy"] = "IfNotPresent"
    if spec.entrypoint:
        found["command"] = [_text(spec.entrypoint)]
    elif spec.entrypoint == "" and spec.command:
        found["command"] = [_text(spec.command[0])]
    words = spec.command[1:] if spec.entrypoint == "" else spec.command
    if words:
        found["args"] = [_text(word) for word in words]
    if spec.workdir:
        found["workingDir"] = spec.workdir
    found |= {key: True for key, on in (("stdin", spec.interactive), ("tty", spec.tty)) if on}
    port = int(service.inside.rpartition(":")[2])
    found["ports"] = [{"name": "http", "containerPort": port}]
    env = list(_environment(service, name))
    found |= {"env": env} if env else {}
    found |= {"resources": resources} if resources else {}
    found |= {"volumeMounts": list(mounts)} if mounts else {}
    rights = _rights(spec)
    found |= {"securityContext": rights} if rights else {}
    return {**found, **_probes(service)}


def _environment(service: ExportedService, name: str) -> Iterator[object]:
    """Yield variables, and for each secret where its value is."""
    made: tuple[str, ...] = (
        "The secret is made by:",
        f"$ kubectl create secret generic {name}-secrets --from-env-file={service.env_file or 'FILE'}",
        promises.of_secrets(service),
    )
    for secret in service.secrets:
        reference = {"name": secret, "valueFrom": {"secretKeyRef": {"name": f"{name}-secrets", "key": secret}}}
        yield noted(reference, *made) if made else reference
        made = ()
    for variable, value in service.spec.env:
        if value is not None and _NAME_OF_VARIABLE.fullmatch(variable):
            yield {"name": variable, "value": _text(value)}


def _probes(service: ExportedService) -> Mapping[str, object]:
    get = {"path": promises.HEALTH, "port": "http", **({"scheme": "HTTPS"} if service.encrypted else {})}
    return probes(service, {"httpGet": get}, promises.of_proof(service))


def probes(service: ExportedService, asks: Mapping[str, object], *about: str) -> Mapping[str, object]:
    """Return the three probes of a container, which ask the same; ``about`` are the comments above the first."""
    start = {**asks, "periodSeconds": _STARTS, "timeoutSeconds": _PATIENCE}
    start["failureThreshold"] = max(1, round(service.ready_s / _STARTS))
    every = {**asks, "periodSeconds": promises.HEALTH_PERIOD_S, "timeoutSeconds": _PATIENCE, "failureThreshold": 3}
    return {
        "startupProbe": noted(start, *about),
        "readinessProbe": every,
        "livenessProbe": {**every, "periodSeconds": _ALIVE},
    }


def _rights(spec: ContainerSpec) -> Mapping[str, object]:
    found: dict[str, object] = {}
    if spec.privileged:
        found["privileged"] = True
    user = _USER.fullmatch(spec.user)
    if user:
        found["runAsUser"] = int(user[1])
        found |= {"runAsGroup": int(user[2])} if user[2] else {}
    if spec.cap_add or spec.cap_drop:
        given = {"add": spec.cap_add, "drop": spec.cap_drop}
        found["capabilities"] = {
            key: [one.removeprefix("CAP_") for one in value] for key, value in given.items() if value
        }
    if spec.read_only:
        found["readOnlyRootFilesystem"] = True
    return found


def pod_options(service: ExportedService) -> Iterator[tuple[str, object]]:
    """Yield what concerns the whole pod."""
    spec = service.spec
    yield "enableServiceLinks", False
    if spec.runtime or spec.gpus is not None or spec.cdi_devices:
        yield "runtimeClassName", spec.runtime or _GPU_RUNTIME
    yield from _of_host(spec)
    if spec.hostname:
        yield "hostname", spec.hostname
    if spec.extra_hosts:
        pairs = (one.partition(":") for one in spec.extra_hosts)
        yield "hostAliases", [{"ip": ip, "hostnames": [name]} for name, _, ip in pairs if ip != "host-gateway"]
    if spec.stop_timeout is not None and spec.stop_timeout >= 0:
        yield "terminationGracePeriodSeconds", spec.stop_timeout
    if spec.sysctls:
        yield "securityContext", {"sysctls": [{"name": name, "value": value} for name, value in spec.sysctls]}


def _of_host(spec: ContainerSpec) -> Iterator[tuple[str, object]]:
    """Yield which of the host's own namespaces a pod shares."""
    if spec.network == "host":
        yield "hostNetwork", True
        yield "dnsPolicy", "ClusterFirstWithHostNet"
    yield from ((key, True) for key, value in (("hostIPC", spec.ipc), ("hostPID", spec.pid)) if value == "host")


def unsaid(service: ExportedService) -> list[str]:
    """Return the docker options of a container that Kubernetes cannot express, in words."""
    spec = service.spec
    given = {
        "--ulimit (the runtime's own limits hold)": spec.ulimits,
        "--oom-score-adj (it follows from requests and limits)": spec.oom_score_adj is not None,
        "--restart no (it is started again)": not spec.restart,
        "--device (a device plugin gives devices)": spec.devices,
        "--init": spec.init,
        "--dns": spec.dns,
        "--group-add": spec.group_add,
        "--security-opt": spec.security_opt,
        "--memory-swap": spec.memory_swap is not None,
        "--memory-reservation": spec.memory_reservation is not None,
        "--cpus": spec.cpus,
        "--cpuset-cpus": spec.cpuset_cpus,
        "--pids-limit": spec.pids_limit is not None,
        "--log-driver and --log-opt": spec.log_driver or spec.log_opts,
        "--stop-signal": spec.stop_signal,
        "--platform": spec.platform,
        "--health-cmd (the probes ask the server)": spec.health is not None,
        "--rm": spec.auto_remove,
        f"--user {spec.user} (it wants numbers)": spec.user and not _USER.fullmatch(spec.user),
        f"--network {spec.network}": spec.network not in ("", "host", "bridge", "default"),
        f"--ipc {spec.ipc}": spec.ipc not in ("", "host", "private", "shareable"),
        f"--pid {spec.pid}": spec.pid not in ("", "host"),
        "GPUs by their number (--gpus device=…): the device plugin chooses them": spec.gpus and spec.gpus.device_ids,
        "the labels of sparkctl, so that `sparkctl ps` does not list it": spec.labels,
        f"the address {service.url}: a Service is reached inside of the cluster": spec.ports,
    }
    odd = [name for name, value in spec.env if value is None or not _NAME_OF_VARIABLE.fullmatch(name)]
    given |= {f"--env {name} with no value, or a name that it does not take": True for name in odd}
    return [told for told, on in given.items() if on]


def _text(text: str) -> str:
    """Return a text as Kubernetes reads it: ``$(NAME)`` is a variable there, and ``$$`` a dollar."""
    return text.replace("$", "$$")
