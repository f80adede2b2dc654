"""How the tests are shared out among the workers of pytest-xdist.

A file is one worker's. Files whose tests deploy services on a real engine (``*_on_docker``, ``*_on_vllm``) go together
to one worker for each engine: sparkctl lets one command at a time change an engine, so two workers would only wait for
each other. These take the longest and begin first.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from xdist.scheduler import LoadFileScheduling

from tests.support.engine_fixtures import ENGINES

if TYPE_CHECKING:
    from xdist.remote import Producer

ORDER = ("deploying on the first engine", "deploying on the new engine")


def unit_of(nodeid: str) -> str:
    """Return what a test is done together with, in one worker."""
    file = nodeid.partition("::")[0]
    if file.endswith("_on_vllm.py"):
        return ORDER[0]
    if file.endswith("_on_docker.py"):
        new = ENGINES["new"].host and not re.search(r"\[first[]-]", nodeid)
        return ORDER[1] if new else ORDER[0]
    return file


def rank(nodeid: str) -> int:
    """Return the place of a test's unit: those that take the longest come first."""
    unit = unit_of(nodeid)
    return ORDER.index(unit) if unit in ORDER else len(ORDER)


class ByFileAndEngine(LoadFileScheduling):
    """Hand a worker a whole unit at a time."""

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFileAndEngine:
    """Share the tests out by file and engine, in the order of the collection."""
    config.option.loadscopereorder = False
    return ByFileAndEngine(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In a worker, put the long units first; the others keep their order."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: rank(item.nodeid))
