"""Fixtures of the tests that drive a real Docker Engine (tests/conftest.py imports them)."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING, NoReturn

import pytest

from sparkctl.world.docker.engine import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.world.docker.engine import DockerEngine

pytest.register_assert_rewrite(
    *(f"tests.support.{name}" for name in ("engine_bench", "engine_contract", "inside_contract", "inspect_parity"))
)

BASE = "sparkctl-test/base:latest"
STANDIN = "sparkctl-test/standin:latest"
HOW = "run tests/testbed/testbed up (as root), then `eval` what tests/testbed/testbed env prints"


def not_here(kind: str, reason: str) -> NoReturn:
    """Skip the test, or fail it where SPARKCTL_TEST_REQUIRE names its kind, as CI does."""
    if kind in os.environ.get("SPARKCTL_TEST_REQUIRE", "").split(","):
        pytest.fail(f"{kind} tests are required here: {reason}", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def docker_host() -> str:
    """Return the DOCKER_HOST of the real engine that the tests may use."""
    host = os.environ.get("SPARKCTL_TEST_DOCKER_HOST", "")
    if not host:
        not_here("docker", f"SPARKCTL_TEST_DOCKER_HOST names no engine; {HOW}")
    return host


@pytest.fixture(scope="session")
def docker_engine(docker_host: str) -> Iterator[DockerEngine]:
    """Return the adapter on the engine of the tests, which has the stand-in server's image."""
    with connect(environment={**os.environ, "DOCKER_HOST": docker_host}) as engine:
        if engine.image(STANDIN) is None:
            pytest.fail(f"the engine has no image {STANDIN}; run tests/testbed/testbed standin", pytrace=False)
        yield engine


@pytest.fixture
def prefix(docker_engine: DockerEngine) -> Iterator[str]:
    """Return a beginning of names that no other test has; containers that bear it are removed after the test."""
    own = f"sparkctl-test-{uuid.uuid4().hex[:8]}"
    yield own
    for container in docker_engine.containers():
        if container.name.startswith(own):
            docker_engine.remove(container.id)
