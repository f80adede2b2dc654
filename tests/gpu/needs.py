"""What the tests on a GPU need of a machine: looked up once, judged by a pure function, said in sentences."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import docker
import docker.errors
import psutil
import requests
from packaging.version import InvalidVersion, Version

from sparkctl.world.local.machine import LinuxHost

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.world.host import Gpu

PREFIX: Final = "SPARKCTL_TEST_GPU_"
IMAGE, DEVICE, ENVIRONMENT, FOLDER, FIGURES, HOST, PROFILE = (
    f"{PREFIX}{name}" for name in ("IMAGE", "DEVICE", "ENV", "FOLDER", "FIGURES", "DOCKER_HOST", "PROFILE")
)
LISTS_CDI: Final = Version("28.2")
"""From this release on, an engine lists the CDI devices that it knows (moby PR #49980)."""
_ONE: Final = "nvidia.com/gpu=0"
_ALL: Final = "nvidia.com/gpu=all"
_SOCKET: Final = "unix:///var/run/docker.sock"
_IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})


@dataclass(frozen=True)
class Found:
    """What a machine has. ``problem`` is why the engine does not answer, "" when it does."""

    image: str
    docker_host: str
    problem: str = ""
    version: str = ""
    entrypoint: tuple[str, ...] | None = None
    """The image's; None: the engine has no such image."""
    devices: tuple[str, ...] = ()
    """The CDI devices that the engine lists."""
    runtimes: tuple[str, ...] = ()
    gpus: tuple[Gpu, ...] = ()
    device: str = ""
    """What the operator wants as the recipe's ``gpus``, "": nothing."""
    folder: Path = Path()
    file_system: str = ""
    figures_file: str = ""
    """A file where the folder for figures is to be, "": none."""


def missing(found: Found) -> list[str]:
    """Return what is missing, a sentence each, with what to do."""
    said = []
    if not found.image:
        said.append(
            f"{IMAGE} names no image: set it to one whose vLLM runs on this machine's GPU, such as "
            "vllm/vllm-openai:v0.20.2"
        )
    if found.figures_file:
        said.append(f"{FIGURES} names {found.figures_file}, which is a file: name a folder")
    if not found.gpus:
        said.append("NVML finds no GPU: install NVIDIA's driver, or let this user read /dev/nvidiactl")
    if found.problem:
        said.append(f"no Docker Engine answers at {found.docker_host}: {found.problem}; set {HOST} to another one's")
        return said
    if found.image and found.entrypoint is None:
        said.append(f"the engine has no image {found.image}: docker pull {found.image}")
    if not request(found):
        said.append(_no_way_in(found))
    if found.file_system in _IN_MEMORY:
        said.append(
            f"{found.folder} is in memory ({found.file_system}), where the holes of the models would fill it when they "
            f"are read: set {FOLDER} to a folder on a disk"
        )
    return said


def _no_way_in(found: Found) -> str:
    """Say why no container gets at a GPU."""
    if _older(found.version):
        return (
            f"Docker {found.version} lists no CDI devices ({LISTS_CDI} and newer do) and has no runtime nvidia: "
            f"install a newer one or the NVIDIA Container Toolkit, or set {DEVICE} to what gpus: is in a recipe"
        )
    return (
        "the engine knows no CDI device nvidia.com/gpu and has no runtime nvidia: install the NVIDIA Container Toolkit "
        "and run sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml"
    )


def _older(version: str) -> bool:
    try:
        return Version(re.sub(r"[+~-].*", "", version)) < LISTS_CDI
    except InvalidVersion:
        return False


def request(found: Found) -> str:
    """Return what a recipe's ``gpus`` has to be to get at the first GPU, "" where nothing leads to one."""
    if found.device:
        return found.device
    for name in (_ONE, _ALL):
        if name in found.devices:
            return f"cdi:{name}"
    return "all" if "nvidia" in found.runtimes else ""


def template(found: Found) -> str:
    """Return the template for the image: one whose entry point is the server takes flags, another takes a command."""
    words = " ".join(found.entrypoint or ())
    return "vllm-openai" if re.search(r"vllm|api_server", words) else "vllm-serve"


def environment(text: str) -> dict[str, str]:
    """Read the variables that every server gets: ``NAME=VALUE NAME=VALUE``."""
    return dict(word.partition("=")[::2] for word in text.split())


def look(variables: Mapping[str, str]) -> Found:
    """Look at this machine."""
    host = variables.get(HOST) or variables.get("DOCKER_HOST") or _SOCKET
    folder = Path(variables.get(FOLDER) or Path.home() / ".cache/sparkctl-test-gpu").expanduser()
    image = variables.get(IMAGE, "")
    figures = variables.get(FIGURES, "")
    common = {
        "folder": folder,
        "file_system": _file_system(folder),
        "device": variables.get(DEVICE, ""),
        "figures_file": figures if Path(figures).is_file() else "",
    }
    gpus = tuple(LinuxHost().gpus())
    try:
        with closing(docker.DockerClient(base_url=host, version="auto", timeout=20)) as client:
            info, version = client.info(), client.version()["Version"]
            entrypoint = _entrypoint(client, image)
    except (docker.errors.DockerException, requests.RequestException, ValueError) as error:
        return Found(image, host, problem=_why(error), gpus=gpus, **common)  # type: ignore[arg-type]
    devices = tuple(each["ID"] for each in info.get("DiscoveredDevices") or () if each.get("Source") == "cdi")
    return Found(
        image,
        host,
        version=version,
        entrypoint=entrypoint,
        devices=devices,
        runtimes=tuple(info.get("Runtimes") or ()),
        gpus=gpus,
        **common,  # type: ignore[arg-type]
    )


def _why(error: BaseException) -> str:
    """Return in a few words why an engine does not answer: what the system said, where it said something."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OSError) and found.strerror:
            return found.strerror
        inner = next((each for each in found.args if isinstance(each, BaseException)), None)
        found = inner or found.__cause__ or found.__context__
    return str(error).partition(chr(10))[0] or type(error).__name__


def _entrypoint(client: docker.DockerClient, image: str) -> tuple[str, ...] | None:
    if not image:
        return None
    try:
        return tuple(client.images.get(image).attrs["Config"].get("Entrypoint") or ())
    except docker.errors.ImageNotFound:
        return None


def _file_system(folder: Path) -> str:
    """Return the kind of file system that a folder is on, or would be on."""
    there = next((str(each) for each in (folder, *folder.parents) if each.exists()), "/")
    mounts = [
        each for each in psutil.disk_partitions(all=True) if f"{there}/".startswith(each.mountpoint.rstrip("/") + "/")
    ]
    return max(mounts, key=lambda each: len(each.mountpoint)).fstype if mounts else ""
