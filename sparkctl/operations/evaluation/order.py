"""The container that asks: what lm-eval is told, and what it may see and do. Pure.

It reaches the server on this host's own address, so it has the host's network; else it is as narrow as a job's
(``recipes.job.confined``), and sees of the host the script, the suite's files, and two folders of its own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sparkctl.base.units import GIB
from sparkctl.operations.evaluation.outputs import PLACEHOLDER
from sparkctl.recipes.job.confined import ENVIRONMENT, OUTPUT, ScriptCall, confined
from sparkctl.vllm.server import Route
from sparkctl.world.spec import HealthCheck, Mount

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sparkctl.operations.evaluation.suite import SuiteTask
    from sparkctl.operations.evaluation.suite_files import LoadedSuite
    from sparkctl.recipes.job.confined import ScriptCode
    from sparkctl.world.spec import ContainerSpec

CLAIM_BYTES: Final = 280 * 1024 * 1024
"""The memory of lm-eval 0.4.13 itself: 0.26 GiB, measured on a machine without a GPU."""
MEMORY_BYTES: Final = 4 * GIB
"""The most memory that it may take: a bound of ours, for suites with large data."""
CACHE: Final = "/cache"
"""Where the data that was fetched from the hub, and nltk's, are in the container."""
CERTIFICATE: Final = "/suite/certificate.pem"
KEY: Final = "OPENAI_API_KEY"
"""The variable from which lm-eval takes the server's key."""


class AskedModel(NamedTuple):
    """The server that is asked: its address, its model's name there, the operator's key, and its certificate's file."""

    url: str
    model: str
    key: str | None = None
    certificate: str | None = None


class AskOrder(NamedTuple):
    """One run of lm-eval. ``server`` None: the tasks are loaded and nothing is asked.

    ``image`` is the id to run; ``code`` the staged copies of the script, and ``files`` those of the suite's files
    by where they are in the container; ``output`` and ``cache`` are the folders that it writes; ``user`` is UID:GID.
    ``network``: it may fetch what is missing from the hub.
    """

    loaded: LoadedSuite
    image: str
    container: str
    user: str
    code: ScriptCode
    files: Mapping[str, Path]
    output: Path
    cache: Path
    labels: Mapping[str, str]
    server: AskedModel | None = None
    network: bool = False
    again: bool = False


def spec(order: AskOrder) -> ContainerSpec:
    """Return the container of a run."""
    given = {"output": OUTPUT, "with": parameters(order)}
    call = ScriptCall(order.image, order.container, order.user, given, order.labels, MEMORY_BYTES)
    return replace(
        confined(call),
        env=tuple(_environment(order).items()),
        mounts=_mounts(order),
        # A server listens on the host's own address; what is only loaded needs no network, unless it is fetched.
        network="host" if order.server is not None or order.network else "none",
        health=HealthCheck(disable=True),
    )


def parameters(order: AskOrder) -> dict[str, Any]:
    """Return what the script is told (jobs/lm-eval.yaml)."""
    suite = order.loaded.suite
    told: dict[str, Any] = {
        "tasks": [_task(order.loaded, name, task) for name, task in suite.tasks.items()],
        "concurrency": suite.concurrency,
        "tokens": suite.tokens,
        "seed": suite.seed,
        "timeout": suite.timeout,
        "retries": suite.retries,
    }
    if suite.questions is not None:
        told["questions"] = suite.questions
    if order.network:
        told["network"] = True
    if order.server is not None:
        told |= {"model": order.server.model, "url": f"{order.server.url}{Route.CHAT}"}
        told |= {"again": True} if order.again else {}
    return told


def _task(loaded: LoadedSuite, name: str, task: SuiteTask) -> dict[str, Any]:
    files = loaded.of_task(name)
    told: dict[str, Any] = {"name": name, "task": name if "" in files else task.task or name}
    if "" in files:
        told |= {"file": files[""].target}
    if task.fewshot is not None:
        told["fewshot"] = task.fewshot
    if task.nltk:
        told["nltk"] = list(task.nltk)
    data = {split: file.target for split, file in files.items() if split}
    return told | ({"data": data} if data else {})


def _environment(order: AskOrder) -> dict[str, str]:
    """Return the variables. Of the hub nothing is fetched unless the operator said so; the key is in no command."""
    found = dict(ENVIRONMENT) | {
        "HF_HOME": CACHE,
        "NLTK_DATA": f"{CACHE}/nltk",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NVIDIA_VISIBLE_DEVICES": "void",  # where every container gets the GPUs, this one needs none
        PLACEHOLDER: PLACEHOLDER,
    }
    if order.network:
        del found["HF_HUB_OFFLINE"]
    server = order.server
    if server is not None and server.key is not None:
        found[KEY] = server.key
    if server is not None and server.certificate is not None:
        found |= {"SSL_CERT_FILE": CERTIFICATE, "REQUESTS_CA_BUNDLE": CERTIFICATE}
    return found


def _mounts(order: AskOrder) -> tuple[Mount, ...]:
    read = {target: str(path) for target, path in order.files.items()}
    if order.server is not None and order.server.certificate is not None:
        read[CERTIFICATE] = order.server.certificate
    written = {OUTPUT: order.output, CACHE: order.cache}
    mounts = [Mount(target, path, read_only=True) for target, path in read.items()]
    return (*order.code.mounts(), *mounts, *(Mount(target, str(path)) for target, path in written.items()))
