"""An operator with a real GPU: starts services, keeps them up while they fit, reads what they hold."""

from __future__ import annotations

import csv
import json
import os
import threading
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import docker
import docker.errors
import docker.types
import pynvml
import pytest
import yaml

from sparkctl.world.local.machine import LinuxHost
from tests.gpu import needs, shapes
from tests.support.command_line import Operator, free_port

if TYPE_CHECKING:
    from tests.gpu.needs import Found
    from tests.support.command_line import Done

LABEL: Final = "sparkctl-test-gpu"
"""Of the containers that the tests start themselves."""
_VERSION: Final = "from importlib.metadata import version; print(version('vllm'))"
_KILL: Final = """\
import os, pathlib, signal
for process in pathlib.Path("/proc").glob("[0-9]*/comm"):
    if process.read_text().startswith("VLLM::Engine"):
        os.kill(int(process.parent.name), signal.SIGKILL)
"""
_HOLD: Final = """\
import time, torch
held = torch.empty({bytes}, dtype=torch.uint8, device="cuda")
torch.cuda.synchronize()
print("holding", flush=True)
time.sleep(900)
"""
_LONG_SHARE: Final = 0.75
"""Of the context: the first long prompt."""


class Shape(NamedTuple):
    """A start to try: the model's config, and the limits in tokens. ``eager``: neither compiled nor captured."""

    name: str
    config: str
    context: int
    sequences: int
    eager: bool = False
    batched_tokens: int = 2048

    @property
    def args(self) -> dict[str, object]:
        return {"kv-cache-dtype": "fp8"} | ({"enforce-eager": True} if self.eager else {})


E2B: Final = Shape("gemma-4-e2b-eager", "gemma4-e2b-text", 16384, 4, eager=True)
QWEN_EAGER: Final = Shape("qwen3-8b-eager", "qwen3-8b", 16384, 8, eager=True)
SHAPES: Final = (
    E2B,
    QWEN_EAGER,
    Shape("qwen3-8b", "qwen3-8b", 16384, 8),
    Shape("qwen3-8b-wide-eager", "qwen3-8b", 32768, 4, eager=True, batched_tokens=16384),
    Shape("gemma-4-e4b", "gemma4-e4b-text", 32768, 4),
    Shape("gemma-4-26b-a4b-eager", "gemma4-26b-text", 32768, 4, eager=True),
)


class Held(NamedTuple):
    """What a container's processes hold, in bytes: on the GPU by NVML, on the host without shared pages."""

    gpu_bytes: int
    host_bytes: int

    @property
    def bytes(self) -> int:
        return self.gpu_bytes + self.host_bytes


@dataclass(frozen=True)
class Served:
    """A service that became ready: what was said of it before, what was measured, and what it held then and later."""

    shape: Shape
    name: str
    url: str
    size: dict[str, Any]
    measured: dict[str, Any]
    ready: Held
    after_prompt: Held
    answered: int
    """The tokens of its answer to the long prompt."""


@dataclass
class Servers(Operator):
    """The operator; ``up`` are the services that run, the oldest first."""

    found: Found = field(kw_only=True)
    prefix: str = field(kw_only=True)
    version: str = ""
    kept: Path = Path()
    """The folder for figures and logs."""
    foreign_before: int = 0
    """What others held before the first start."""
    up: dict[Shape, Served] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        library = {name: value for name, value in os.environ.items() if name == "LD_LIBRARY_PATH"}
        return super().environment | library

    def run(self, *arguments: str, timeout: float = 900) -> Done:
        """Run a command to its end; a start on a GPU takes minutes."""
        return super().run(*arguments, timeout=timeout)

    @property
    def client(self) -> docker.DockerClient:
        return docker.DockerClient(base_url=self.found.docker_host, version="auto", timeout=60)

    @property
    def total_bytes(self) -> int:
        """The memory of the GPU: its own, or the host's where NVML reports none."""
        return self.found.gpus[0].total_bytes or LinuxHost().memory().total_bytes

    # --- services ----------------------------------------------------------------------------------------------------

    def recipe(self, shape: Shape, name: str = "", gpus: str = "") -> str:
        """Write the recipe of a shape; return its name. ``gpus`` is the recipe's; by itself what leads to the first."""
        full = f"{self.prefix}-{name or shape.name}"
        model = self.found.folder / "models" / shape.config
        text = {
            "description": f"the shape of {shape.config}, weights of zeros",
            "template": needs.template(self.found),
            "image": self.found.image,
            "vllm": self.version,
            "gpus": gpus or needs.request(self.found),
            "container": {"ipc": "host", "network": "host"},
            "env": {"VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
            | needs.environment(os.environ.get(needs.ENVIRONMENT, "")),
            "model": {"repo": f"test/{shape.config}", "path": str(model), "mount": f"/models/{shape.config}"},
            "serve": {"name": shape.config, "port": free_port()},
            "limits": {"context": shape.context, "sequences": shape.sequences, "batched-tokens": shape.batched_tokens},
            "args": shape.args,
            "ready": {"timeout": "12m"},
        }
        self.write(f"recipes/{full}.yaml", yaml.safe_dump(text, sort_keys=False))
        return full

    def serve(self, shape: Shape) -> Served:
        """Return the service of a shape. It is started where it does not run; others end where it needs their room."""
        if shape not in self.up:
            self.up[shape] = self._start(shape)
        return self.up[shape]

    def write_model(self, shape: Shape) -> None:
        """Write the model's folder."""
        shapes.write(self.found.folder / "models" / shape.config, shape.config)

    def _start(self, shape: Shape) -> Served:
        self.write_model(shape)
        name = self.recipe(shape)
        while not (plan := self.run("plan", name, "--json").json)["fits"]:
            if not self.up:
                pytest.skip(f"{shape.name} does not fit on this machine: {'; '.join(plan['reasons'])}")
            self.stop(next(iter(self.up)))
        size = self.run("size", name, "--json").expect(0).json
        began = time.time()
        told = self.run("up", name).expect(0).err
        seconds = round(time.time() - began, 1)
        (row,) = [row for row in self.run("ps", "--json").expect(0).json if row["name"] == name]
        measured, *_ = self.run("measurements", name, "--json").expect(0).json  # the newest first
        ready = self.held(name)
        answer = complete(row["url"], shape.config, round(shape.context * _LONG_SHARE))
        complete(row["url"], shape.config, shape.context // 2, first=1)
        self.run("status", name)  # which keeps what it holds now: it has read a whole context of prompts
        served = Served(shape, name, row["url"], size, measured, ready, self.held(name), answer)
        (self.kept / f"{shape.name}.log").write_bytes(self.client.containers.get(name).logs(timestamps=True))
        self.figures.setdefault("starts", {})[shape.name] = {
            "limits": shape._asdict(),
            "plan": plan,
            "size": size,
            "measured": measured,
            "ready": ready._asdict(),
            "after_prompt": served.after_prompt._asdict(),
            "up_seconds": seconds,
            "told": told.splitlines(),
            "began": began,
        }
        return served

    def stop(self, shape: Shape) -> None:
        """End the service of a shape."""
        self.run("down", self.up.pop(shape).name).expect(0)

    def doing(self, name: str) -> str:
        """Return what ``ps`` says that a service does."""
        (row,) = [row for row in self.run("ps", "--json").expect(0).json if row["name"] == name]
        return str(row["doing"])

    def foreign_bytes(self, plan: dict[str, Any]) -> int:
        """Return what a plan says that others hold: of the first GPU, or of the memory that it shares with the host."""
        own = [gpu["foreign_bytes"] for gpu in plan["pool"]["gpus"][:1] if gpu["foreign_bytes"] is not None]
        return int(own[0] if own else plan["pool"]["foreign_bytes"])

    # --- what is really there ----------------------------------------------------------------------------------------

    def held(self, name: str) -> Held:
        """Read what a container's processes hold now."""
        table = self.client.containers.get(name).top(ps_args="-eo pid")
        pids = [int(row[0]) for row in table["Processes"] or ()]
        host, on_gpu = LinuxHost(), LinuxHost().gpu_bytes()
        return Held(sum(on_gpu.get(pid, 0) for pid in pids), sum(host.resident_bytes(pid) or 0 for pid in pids))

    def containers(self, name: str) -> list[str]:
        """Return the names of the containers that begin so."""
        return [each.name for each in self.client.containers.list(all=True) if each.name.startswith(name)]

    def kill_engine(self, name: str) -> None:
        """Kill a server's engine core, in its container: whoever runs the tests may not be root."""
        self.client.containers.get(name).exec_run(["python3", "-c", _KILL])

    def hold(self, size: int) -> str:
        """Start a container that is not sparkctl's and holds so many bytes of the GPU; return its name."""
        name = f"{self.prefix}-stranger"
        value = needs.request(self.found)
        cdi = value.removeprefix("cdi:")
        how = (
            docker.types.DeviceRequest(driver="cdi", device_ids=[cdi])
            if cdi != value
            else docker.types.DeviceRequest(count=-1, capabilities=[["gpu"]])
        )
        stranger = self.client.containers.run(
            self.found.image,
            ["-c", _HOLD.format(bytes=size)],
            entrypoint="python3",
            name=name,
            labels=[LABEL],
            device_requests=[how],
            detach=True,
        )
        end = time.monotonic() + 180
        while b"holding" not in stranger.logs():
            stranger.reload()
            assert stranger.status != "exited", stranger.logs().decode()
            assert time.monotonic() < end, "nothing was held within 180 s"
            time.sleep(0.5)
        return name

    def remove(self, name: str) -> None:
        """Remove a container of the tests' own."""
        with suppress(docker.errors.NotFound):
            self.client.containers.get(name).remove(force=True)


def complete(url: str, model: str, prompt_tokens: int, first: int = 0) -> int:
    """Ask for 16 tokens after so many, of which another ``first`` shares no beginning; return how many were written."""
    prompt = [5 + (first + number) % 200 for number in range(prompt_tokens)]
    body = {"model": model, "prompt": prompt, "max_tokens": 16, "temperature": 0, "ignore_eos": True}
    request = urllib.request.Request(  # noqa: S310  (the loopback)
        f"{url}/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=300) as reply:  # noqa: S310  (the loopback)
        return int(json.loads(reply.read())["usage"]["completion_tokens"])


# --- the machine -----------------------------------------------------------------------------------------------------


def vllm_version(client: docker.DockerClient, image: str) -> str:
    """Ask an image which vLLM it has."""
    told = client.containers.run(image, ["-c", _VERSION], entrypoint="python3", remove=True, labels=[LABEL])
    return str(told.decode().split()[-1])


class Sampler(threading.Thread):
    """Writes what the card and its processes hold and what the host has available, twice a second, as CSV."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self._path = path
        self._ended = threading.Event()

    def run(self) -> None:
        """Read until it is ended."""
        host = LinuxHost()
        with self._path.open("w", newline="") as file:
            out = csv.writer(file)
            out.writerow(["time", "card_used_bytes", "mem_available_bytes", "page_cache_bytes", "by_process"])
            while not self._ended.wait(0.5):
                memory = host.memory()
                by_process = " ".join(f"{pid}:{size}" for pid, size in sorted(host.gpu_bytes().items()))
                out.writerow(
                    [f"{time.time():.1f}", card_used(), memory.available_bytes, memory.cached_bytes, by_process]
                )
                file.flush()

    def end(self) -> None:
        """Stop reading."""
        self._ended.set()
        self.join(timeout=5)


def card_used() -> int | None:
    """Return the bytes in use on the first GPU as NVML has them; None where it reports none, as on a GB10."""
    try:
        pynvml.nvmlInit()
        return int(pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByIndex(0)).used)
    except pynvml.NVMLError:
        return None
