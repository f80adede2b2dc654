"""Fetching images: the progress over the layers, and what a registry may do, on a real engine and a real registry."""

from __future__ import annotations

import io
import os
import tarfile
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import EngineError
from sparkctl.world.docker.errors import refusal
from sparkctl.world.docker.pull import RULES, Layers
from tests.support import registry as registries
from tests.support.command_line import free_port
from tests.support.engine_fixtures import BOTH
from tests.support.way import Way, to_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.world.docker.engine import DockerEngine
    from sparkctl.world.engine import PullProgress

pytestmark = BOTH

MIB = 2**20
BIG = 24 * MIB


def event(name: str, status: str, current: int = 0, total: int = 0) -> dict[str, object]:
    detail = {"current": current, "total": total} if total else {}
    return {"id": name, "status": status, "progressDetail": detail}


def test_the_progress_is_the_sum_of_the_layers_and_its_total_is_told_when_all_are_known() -> None:
    layers = Layers()
    seen: list[PullProgress] = []
    for each in (
        {"id": "1", "status": "Pulling from library/x"},
        event("a", "Already exists"),
        event("b", "Pulling fs layer"),
        event("c", "Pulling fs layer"),
        event("d", "Pulling fs layer"),
        event("b", "Downloading", 40, 100),
        event("c", "Downloading", 10, 50),
        event("d", "Download complete"),  # too small for a word about its size
        event("b", "Download complete"),
        event("c", "Download complete"),
        event("b", "Extracting", 32, 100),
        event("b", "Pull complete"),
        event("c", "Pull complete"),
        event("d", "Pull complete"),
        {"status": "Digest: sha256:5541"},
    ):
        progress = layers.update(each)
        if progress is not None:
            seen.append(progress)

    assert [(p.current_bytes, p.total_bytes) for p in seen[4:8]] == [(40, 0), (50, 0), (50, 150), (110, 150)]
    assert seen[4].text == "downloading, 1 of 4 layers there"
    assert seen[9].text == "unpacking, 1 of 4 layers there"
    assert seen[-1] == (150, 150, "unpacking, 4 of 4 layers there")


def test_a_layer_that_is_fetched_again_starts_at_nothing() -> None:
    layers = Layers()
    layers.update(event("a", "Downloading", 100, 100))

    assert layers.update(event("a", "Retrying in 5 seconds")) == (0, 100, "retrying in 5 seconds, 0 of 1 layers there")
    assert layers.update(event("a", "Downloading", 1, 100)) == (1, 100, "downloading, 0 of 1 layers there")


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("manifest for x:2 not found: manifest unknown: manifest unknown", "the registry has no such tag"),
        (
            "pull access denied for x, repository does not exist or may require 'docker login': denied",
            "the registry knows no such image, or wants a login for it",
        ),
        ("unauthorized: authentication required", "the registry knows no such image, or wants a login for it"),
        ("toomanyrequests: You have reached your pull rate limit", "the registry refuses more requests for now"),
        (
            'Get "https://x.invalid/v2/": dial tcp: lookup x.invalid on 10.0.0.1:53: no such host',
            "the registry's host name is not known: no network, or a mistake in the name",
        ),
        (
            'Get "http://127.0.0.1:5/v2/": dial tcp 127.0.0.1:5: connect: connection refused',
            "the registry does not answer (connection refused)",
        ),
        ("unexpected EOF", "the connection to the registry broke off (unexpected EOF)"),
        (
            "net/http: request canceled (Client.Timeout exceeded while awaiting headers)",
            "the connection to the registry broke off (Client.Timeout exceeded)",
        ),
        (
            "no matching manifest for linux/arm64/v8 in the manifest list entries",
            "the registry does not have it for linux/arm64/v8",
        ),
        (
            'Get "https://10.0.0.1:5000/v2/": http: server gave HTTP response to HTTPS client',
            "the registry speaks plain HTTP, which the engine accepts only from 127.0.0.1",
        ),
        (
            "write /var/lib/docker/tmp/GetImageBlob1: no space left on device",
            "the engine's disk is full (write /var/lib/docker/tmp/GetImageBlob1: no space left on device)",
        ),
    ],
)
def test_what_a_registry_says_is_a_cause_and_a_fix(text: str, meaning: str) -> None:
    error = refusal(text, "fetch the image x", RULES)

    assert error.message == f"cannot fetch the image x: {meaning}"
    assert error.hint


@pytest.fixture(scope="module")
def registry(docker_host: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Start a registry of images and return its port on 127.0.0.1."""
    with registries.registry(docker_host, tmp_path_factory.mktemp("registry")) as port:
        yield port


@pytest.fixture(scope="module")
def pushed(registry: int, docker_host: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Push an image of two layers, a big one and a small, and return its name without the registry."""
    folder, name = tmp_path_factory.mktemp("image"), "sparkctl-test-pull:1"
    with tarfile.open(folder / "layer.tar", "w") as archive:
        member = tarfile.TarInfo("big")
        member.size = BIG
        archive.addfile(member, io.BytesIO(os.urandom(BIG)))
    (folder / "small").write_text("small")
    (folder / "Dockerfile").write_text("FROM scratch\nADD layer.tar /\nCOPY small /\n")
    reference = f"127.0.0.1:{registry}/{name}"
    registries.push(docker_host, reference, folder)
    return name


@contextmanager
def forgotten(docker_host: str, reference: str) -> Iterator[str]:
    """Remove an image from the engine afterwards."""
    try:
        yield reference
    finally:
        registries.docker(docker_host, "rmi", "--force", reference, check=False)


@pytest.mark.docker
@pytest.mark.registry
def test_an_image_is_there_after_its_pull_and_the_pull_tells_how_far_it_is(
    docker_engine: DockerEngine, docker_host: str, registry: int, pushed: str
) -> None:
    with forgotten(docker_host, f"127.0.0.1:{registry}/{pushed}") as reference:
        assert docker_engine.image(reference) is None
        seen = list(docker_engine.pull(reference))
        image = docker_engine.image(reference)

        assert all(early.current_bytes <= late.current_bytes for early, late in pairwise(seen))
        assert seen[0].current_bytes == 0
        assert BIG < seen[-1].current_bytes == seen[-1].total_bytes < BIG + MIB
        assert seen[-1].text == "unpacking, 2 of 2 layers there"
        assert image is not None
        assert image.size_bytes >= BIG
        assert image.digests[0].startswith(f"127.0.0.1:{registry}/sparkctl-test-pull@sha256:")
        assert {progress.text for progress in docker_engine.pull(reference)} == set()  # it is there


@pytest.mark.docker
@pytest.mark.registry
def test_what_the_registry_has_is_asked_without_a_pull(
    docker_engine: DockerEngine, docker_host: str, registry: int, pushed: str
) -> None:
    with forgotten(docker_host, f"127.0.0.1:{registry}/{pushed}") as reference:
        offered = docker_engine.offered(reference)
        assert docker_engine.image(reference) is None
        list(docker_engine.pull(reference))
        image = docker_engine.image(reference)
        assert image is not None
        assert image.digests == (f"127.0.0.1:{registry}/sparkctl-test-pull@{offered.digest}",)
        assert len(offered.platforms) == 1
        assert offered.platforms[0].startswith("linux/")


@pytest.mark.docker
@pytest.mark.registry
@pytest.mark.parametrize("name", ["sparkctl-test-pull:2", "nothing:1"])
def test_asking_for_what_the_registry_has_not_names_it(
    docker_engine: DockerEngine, registry: int, pushed: str, name: str
) -> None:
    assert pushed
    reference = f"127.0.0.1:{registry}/{name}"
    with pytest.raises(EngineError, match=f"^cannot ask the registry for the image {reference}: the registry "):
        docker_engine.offered(reference)


@pytest.mark.docker
@pytest.mark.registry
@pytest.mark.parametrize("name", ["sparkctl-test-pull:2", "nothing:1"])
def test_a_tag_that_the_registry_has_not_is_named(
    docker_engine: DockerEngine, registry: int, pushed: str, name: str
) -> None:
    assert pushed
    with pytest.raises(EngineError, match=f"^cannot fetch the image 127.0.0.1:{registry}/{name}: the registry has no"):
        list(docker_engine.pull(f"127.0.0.1:{registry}/{name}"))


@pytest.mark.docker
@pytest.mark.registry
def test_a_registry_that_does_not_answer_is_named(docker_engine: DockerEngine, registry: int) -> None:
    assert registry
    reference = f"127.0.0.1:{free_port()}/nothing:1"

    with pytest.raises(EngineError, match=f"^cannot fetch the image {reference}: the registry does not answer"):
        list(docker_engine.pull(reference))


@pytest.mark.docker
@pytest.mark.registry
@pytest.mark.timeout(240)  # the engine tries for 75 seconds
def test_a_registry_that_goes_half_way_ends_the_pull_with_an_error_and_without_an_image(
    docker_engine: DockerEngine, docker_host: str, registry: int, pushed: str
) -> None:
    texts: list[str] = []
    with (
        Way(to_port(registry), most=BIG / 2) as way,
        forgotten(docker_host, f"127.0.0.1:{way.port}/{pushed}") as reference,
    ):
        with pytest.raises(EngineError, match=f"^cannot fetch the image {reference}: the ") as refused:
            texts.extend(progress.text for progress in docker_engine.pull(reference))
        assert refused.value.hint
        assert any(text.startswith("retrying in ") for text in texts)
        assert docker_engine.image(reference) is None
