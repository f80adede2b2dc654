"""A registry of images on this machine, and images of a few bytes in it."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx

from tests.support.command_line import free_port
from tests.support.engine_bench import until
from tests.support.engine_fixtures import not_here

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def registry(docker_host: str, folder: Path) -> Iterator[int]:
    """Start a registry that keeps its images in a folder, and yield its port on 127.0.0.1."""
    if not docker_host.startswith("unix://"):
        not_here("registry", "the engine of the tests has no socket on this machine, and so no way to a registry here")
    if shutil.which("docker-registry") is None:
        not_here("registry", "there is no docker-registry; on Debian: apt-get install docker-registry")
    port = free_port()
    (folder / "config.yml").write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}/images}}}}\nhttp: {{addr: 127.0.0.1:{port}}}\n"
    )
    with (folder / "log").open("wb") as log:
        words = ["docker-registry", "serve", str(folder / "config.yml")]
        process = subprocess.Popen(words, stdout=log, stderr=log)
        try:
            until(lambda: _answers(port))
            yield port
        finally:
            process.terminate()
            process.wait()


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/v2/").is_success
    except httpx.TransportError:
        return False


def docker(docker_host: str, *words: str, check: bool = True) -> str:
    """Run the docker command line with the builder that every engine of the tests has; return what it prints."""
    environment = {**os.environ, "DOCKER_BUILDKIT": "0"}
    words = ("docker", "--host", docker_host, *words)
    return subprocess.run(words, env=environment, check=check, capture_output=True, text=True).stdout.strip()


def push(docker_host: str, reference: str, folder: Path) -> None:
    """Build the image of a folder under a name, push it, and remove the name from the engine."""
    docker(docker_host, "build", "--quiet", "--tag", reference, str(folder))
    docker(docker_host, "push", reference)
    docker(docker_host, "rmi", "--force", reference)
