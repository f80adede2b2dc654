"""Fixtures of the tests that drive a real Docker Engine (tests/conftest.py imports them).

There are two engines (tests/testbed): the first, which has the real vLLM's image and nothing of NVIDIA's, and a new one
with CDI and NVIDIA's hook. A test runs on one of them, the new one where it is there; one that is marked with BOTH,
FIRST or NEW says more.
"""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING, NamedTuple, NoReturn

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

FIRST = pytest.mark.engines("first")
NEW = pytest.mark.engines("new")
BOTH = pytest.mark.engines("first", "new")


class Named(NamedTuple):
    """One of the engines: the variable that leads to it, its kind in SPARKCTL_TEST_REQUIRE, how it is started."""

    variable: str
    kind: str
    command: str

    @property
    def host(self) -> str:
        return os.environ.get(self.variable, "")


ENGINES = {
    "first": Named("SPARKCTL_TEST_DOCKER_HOST", "docker", "tests/testbed/testbed up"),
    "new": Named("SPARKCTL_TEST_DOCKER_HOST_NEW", "new-docker", "tests/testbed/testbed up --new"),
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test once for each engine that its mark names."""
    marks = list(metafunc.definition.iter_markers("engines"))
    if "docker_host" in metafunc.fixturenames and marks:
        metafunc.parametrize("docker_host", marks[0].args, indirect=True, scope="session")


def not_here(kind: str, reason: str) -> NoReturn:
    """Skip the test, or fail it where SPARKCTL_TEST_REQUIRE names its kind, as CI does."""
    if kind in os.environ.get("SPARKCTL_TEST_REQUIRE", "").split(","):
        pytest.fail(f"{kind} tests are required here: {reason}", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def docker_host(request: pytest.FixtureRequest) -> str:
    """Return the DOCKER_HOST of the real engine that the test may use."""
    return _host_of(getattr(request, "param", "new" if ENGINES["new"].host else "first"))


@pytest.fixture(scope="session")
def first_host() -> str:
    """Return the DOCKER_HOST of the first engine."""
    return _host_of("first")


def _host_of(name: str) -> str:
    engine = ENGINES[name]
    if not engine.host:
        how = f"run {engine.command} (as root), then `eval` what tests/testbed/testbed env prints"
        not_here(engine.kind, f"{engine.variable} names no engine; {how}")
    return engine.host


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
