"""How the tests are shared out among the workers of pytest-xdist.

A file is one worker's. Files whose tests deploy services on a real engine (``*_on_docker``) go together to one worker
for each engine: sparkctl lets one command at a time change an engine, so two workers would only wait for each other.
Jobs, which start no service, go to another worker. Those of the real vLLM (``*_on_vllm``) go together because they
share one server of it. These take the longest and begin first; they wait more than they compute, so that a machine has
a worker more for each of the two engines.
"""

from __future__ import annotations

import atexit
import os
import re
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from xdist.scheduler import LoadFileScheduling

from tests.support import command_server
from tests.support.engine_fixtures import ENGINES
from tests.support.paths import REPOSITORY
from tests.support.thorough import without_what_is_left

if TYPE_CHECKING:
    from collections.abc import Generator

    from xdist.remote import Producer

VLLM = "the real vLLM"
CLAIMS_MUCH = {"tests/operations/start/test_waves_on_docker.py"}
"""What claims as much at once as a machine of 24 GB has: never while a vLLM starts, whose memory would be missing."""
ADAPTER = "tests/world/docker/"
"""Looks at all containers of an engine, and leaves some there that others would see."""
SECRETS = "tests/cli/test_secrets_everywhere.py::test_none_is_found_on_a_real_engine"
"""Puts a stack into effect on the new engine, which one command at a time may do."""
JOBS = "jobs"
"""Those on both engines: a job claims little, and waits for nobody's lock while it runs."""
HOSTS = "the hosts"
"""Those of the testbed, which the tests share: one stack at a time is put into effect on a host."""
IMAGES_OF_JOBS = "tests/operations/jobs/test_image_on_docker.py"
"""Kills builds and counts what is left: the next command on the engine would sweep it."""
LONG = ("docker", "build", "timeout")
PATIENCE_S = 600
"""For a test on a real engine: a second of a quiet machine is half a minute of one with ten times as much to do."""
COLLECTING = "SPARKCTL_TEST_COLLECTING"
"""The variable that names a file which is there until the first worker has collected the tests."""
FIRST_WORKER = "gw0"
COLLECTED_S = 60
"""So long the others wait for it at most."""
CLIENTS = "tests/world/sim/test_server.py"
"""One of two files that import the official clients, which takes 3 s of CPU: they go to one worker."""
WAITS = "what waits"
"""One worker has it, so that the others compute meanwhile."""
WAITING = {
    "tests/cli/test_secrets_everywhere.py",
    "tests/operations/guard/test_process.py",
    "tests/operations/test_killed.py",
    "tests/operations/test_spark.py",
    "tests/operations/test_two_commands.py",
    "tests/operations/test_waves_on_sim.py",
    "tests/project/test_readme.py",
}
"""Those that wait for other processes and for clocks; two want the same ports (the fixture shipped_ports)."""
ORDER = (
    VLLM,
    "deploying on the new engine",
    "deploying on the first engine",
    JOBS,
    HOSTS,
    WAITS,
    "tests/cli/test_process.py",
    "tests/recipes/test_template_attacks.py",
    "tests/fuzz/test_fuzz.py",
    "tests/world/sim/test_sim_contract.py",
    "tests/world/sim/test_engine.py",
    CLIENTS,
)
"""What takes the longest, by a run on two cores."""


def unit_of(nodeid: str) -> str:
    """Return what a test is done together with, in one worker."""
    file = nodeid.partition("::")[0]
    if file.endswith("_on_vllm.py") or file in CLAIMS_MUCH:
        return VLLM
    if file.endswith(("on_hosts.py", "on_real_hosts.py")):
        return HOSTS
    if file.endswith("_on_docker.py") and "/jobs/" in file and file != IMAGES_OF_JOBS:
        return JOBS
    if file.endswith("_on_docker.py") or file.startswith(ADAPTER) or nodeid.startswith(SECRETS):
        new = ENGINES["new"].host and not re.search(r"\[first[]-]", nodeid)
        return ORDER[1] if new else ORDER[2]
    if file == "tests/world/door/test_official_clients.py":
        return CLIENTS
    return WAITS if file in WAITING else file


def rank(unit: str, long: set[str]) -> int:
    """Return the place of a unit: those that take the longest come first, or one worker would be alone at the end."""
    if unit in ORDER:
        return ORDER.index(unit)
    return len(ORDER) + (unit not in long)


class ByFileAndEngine(LoadFileScheduling):
    """Hand a worker a whole unit at a time."""

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """Return how many workers `-n auto` has: a core each, and one more for each engine that is there, or one.

    Those more make use of the cores while tests wait for a simulated server, a signal or an engine.
    """
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None  # xdist's own business
    return len(os.sched_getaffinity(0)) + max(1, sum(bool(engine.host) for engine in ENGINES.values()))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFileAndEngine:
    """Share the tests out by file and engine, in the order of the collection."""
    config.option.loadscopereorder = False
    return ByFileAndEngine(config, log)


def pytest_configure(config: pytest.Config) -> None:
    """Start what the workers of a run share; and let a worker end at once.

    Python would free each object of the whole run before, for seconds.
    """
    if hasattr(config, "workerinput"):
        atexit.register(os._exit, 0)
    if getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput"):
        command_server.share()
        if not any((REPOSITORY / "tests/project/__pycache__").glob("*pytest*.pyc")):
            file, os.environ[COLLECTING] = tempfile.mkstemp(prefix="sparkctl-tests-")
            os.close(file)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the file, also if its worker ended early."""
    if COLLECTING in os.environ and not hasattr(config, "workerinput"):
        Path(os.environ.pop(COLLECTING)).unlink(missing_ok=True)


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Have the first worker collect before the others in a fresh checkout: it compiles the tests for all of them."""
    workers = getattr(session.config, "workerinput", {})
    if COLLECTING not in os.environ:
        return (yield)
    file = Path(os.environ[COLLECTING])
    if workers.get("workerid") == FIRST_WORKER:
        try:
            return (yield)
        finally:
            file.unlink(missing_ok=True)
    end = time.monotonic() + COLLECTED_S
    while workers and file.is_file() and time.monotonic() < end:
        time.sleep(0.02)
    return (yield)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In a worker, put the long units first; the others keep their order. What drives an engine may take its time.

    Long is a file with a test that drives an engine, builds the wheel or has more time than others.
    """
    items[:] = without_what_is_left(items)
    for item in items:
        if item.get_closest_marker("docker") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(PATIENCE_S))
    if hasattr(config, "workerinput"):
        units = {item: unit_of(item.nodeid) for item in items}
        long = {unit for item, unit in units.items() if any(item.get_closest_marker(mark) for mark in LONG)}
        items.sort(key=lambda item: rank(units[item], long))
