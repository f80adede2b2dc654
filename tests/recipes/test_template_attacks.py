"""No template reads, runs, hangs or grows: each ends within 2 s of CPU and 64 MB, in an error or in words."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Final

import pytest

from tests.recipes.template_attacks import ATTACKS
from tests.support.paths import REPOSITORY
from tests.support.thorough import THOROUGH

CPU_S: Final = 2.0
MIB: Final = 1024
"""KiB: what getrusage counts in."""
# The largest size that a process ever had is its own only as long as nobody else's templates came before.
_CHILD: Final = """
import json, resource, sys, time
from sparkctl.base.errors import SparkctlError
from sparkctl.recipes.template import expand
from tests.recipes.template_attacks import ATTACKS
expand("docker run x", "warm", {}, loader_folders=[])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for name, source in ATTACKS.items():
    began = time.process_time()
    try:
        said = " ".join(expand(source, "attack", {"a": "value"}, loader_folders=[]))
    except SparkctlError as error:
        said = error.message
    taken = time.process_time() - began
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
    peak += grown
    print(json.dumps([name, taken, grown, said[:2000]]), flush=True)
"""


@pytest.fixture(scope="module")
def outcomes() -> dict[str, tuple[float, int, str]]:
    done = subprocess.run(
        [sys.executable, "-c", _CHILD], cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=400
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert not done.stderr, (list(ATTACKS)[len(lines)], done.stderr)
    return {name: (taken, grown, said) for name, taken, grown, said in lines}


def test_all_were_tried_and_they_are_many(outcomes: dict[str, tuple[float, int, str]]) -> None:
    assert len(ATTACKS) > (100 if THOROUGH else 25)
    assert outcomes.keys() == ATTACKS.keys()


def test_each_ends_soon_and_makes_little(outcomes: dict[str, tuple[float, int, str]]) -> None:
    slow = {name: taken for name, (taken, _, _) in outcomes.items() if taken > CPU_S}
    large = {name: grown for name, (_, grown, _) in outcomes.items() if grown > 64 * MIB}
    assert not slow
    assert not large


def test_none_shows_what_is_not_its_own(outcomes: dict[str, tuple[float, int, str]]) -> None:
    for name, (_, _, said) in outcomes.items():
        assert "root:" not in said, name
        assert "<class" not in said, name
