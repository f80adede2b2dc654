"""Fixtures that every test may use, and the tripwires that keep tests off this machine's own state."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections import Counter
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.support.docker_spark import docker_spark
from tests.support.engine_fixtures import docker_engine, docker_host, first_host, prefix, pytest_generate_tests
from tests.support.job_fixtures import tiny_gemma4
from tests.support.shipped_ports import shipped_ports
from tests.support.thorough import examples
from tests.support.vllm_machine import machine, served, shared
from tests.support.workers import (
    pytest_collection,
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_unconfigure,
    pytest_xdist_auto_num_workers,
    pytest_xdist_make_scheduler,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [  # fixtures and hooks, by pytest's rules
    "docker_engine",
    "docker_host",
    "docker_spark",
    "first_host",
    "machine",
    "prefix",
    "pytest_collection",
    "pytest_collection_modifyitems",
    "pytest_configure",
    "pytest_generate_tests",
    "pytest_unconfigure",
    "pytest_xdist_auto_num_workers",
    "pytest_xdist_make_scheduler",
    "served",
    "shared",
    "shipped_ports",
    "tiny_gemma4",
]

# What is imported and collected stays: the garbage collector would look through it again and again, and find nothing.
gc.disable()

# No test asserts a wall-clock time, and hypothesis's own limit for an example is one.
settings.register_profile("sparkctl", deadline=None, max_examples=examples(100))
settings.load_profile("sparkctl")


NUMBERS = count()
TESTBED = Path(__file__).parent / "testbed" / "testbed"


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give each test an empty home and no engine, and fail one that leaves the environment changed.

    The home is a path of the test's own where nothing is: most tests have no use for a folder, and thousands cost time.
    """
    with pytest.MonkeyPatch.context() as own:
        own.setenv("HOME", str(tmp_path_factory.getbasetemp() / f"home-{next(NUMBERS)}"))
        before = _environment()
        yield
        assert _environment() == before, "a test changed the environment"


@pytest.fixture(autouse=True, scope="session")
def _no_settings() -> Iterator[None]:
    """Take this machine's settings of sparkctl, Docker and the hub away from all tests."""
    with pytest.MonkeyPatch.context() as own:
        for name in [name for name in os.environ if name.startswith(("SPARKCTL_", "DOCKER_", "XDG_", "HF_"))]:
            if not name.startswith("SPARKCTL_TEST"):
                own.delenv(name)
        yield


def _environment() -> dict[bytes, bytes]:
    """Return the environment as it is kept, in bytes: thousands of tests ask twice."""
    return {name: value for name, value in os.environb.items() if name != b"PYTEST_CURRENT_TEST"}


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the tiny random Llama that the real vLLM serves."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    subprocess.run([sys.executable, TESTBED, "model", folder], check=True, capture_output=True)
    return folder


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Keep Python's garbage collector from looking again and again at what was imported for the tests."""
    gc.collect()
    gc.freeze()
    gc.enable()
    gc.set_threshold(50_000, 20, 50)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say once what was skipped, and how to enable it."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(str(report.longrepr[2]).removeprefix("Skipped: ") for report in skipped)
    for reason, number in reasons.items():
        terminalreporter.write_line(f"skipped {number} tests: {reason}")
