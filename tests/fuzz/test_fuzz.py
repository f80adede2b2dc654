"""Whatever bytes a reader is given: a value or a SparkctlError, soon, and in little memory."""

from __future__ import annotations

import os
import random
import signal
import time
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import InputError
from tests.fuzz.__main__ import CORPUS, at_home, inputs
from tests.fuzz.runs import CPU_S, MEMORY_BYTES, Finding, Spent, minimised, tried
from tests.fuzz.targets import TARGETS
from tests.support.thorough import THOROUGH, examples

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _home(tmp_path: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in at_home(str(tmp_path)).items():
            patch.setenv(name, value)
        yield


@pytest.mark.a_part(16)
@pytest.mark.parametrize("name", [name for name in TARGETS if THOROUGH or name != "changing-commands"])
def test_the_seeds_are_read_and_what_is_made_of_them_does_no_harm(name: str) -> None:
    target = TARGETS[name]
    given = [
        *target.seeds()[: min(2 if THOROUGH else 1, target.batch)],
        *inputs(name, _chance(name), examples(target.batch)),
    ]
    assert [(finding.what, finding.data[:500]) for finding in tried(target.read, given)] == []


@pytest.mark.a_part(12)
@pytest.mark.parametrize("name", TARGETS)
def test_no_fault_that_was_found_comes_back(name: str) -> None:
    kept = [path.read_bytes() for path in sorted((CORPUS / name).glob("*"))]
    assert [(finding.what, finding.data[:500]) for finding in tried(TARGETS[name].read, kept)] == []


def test_the_corpus_has_no_folder_without_a_target() -> None:
    assert {path.name for path in CORPUS.iterdir() if path.is_dir()} <= TARGETS.keys()


def _chance(seed: str) -> random.Random:
    return random.Random(seed)  # noqa: S311  (the same seed, the same inputs)


def _reader(data: bytes) -> object:
    if b"traceback" in data:
        raise KeyError(data)
    if b"grow" in data:
        return bytearray(2 * MEMORY_BYTES)
    if b"spin" in data:
        while time.process_time() >= 0:
            pass
    raise InputError("as it should be")


@pytest.mark.parametrize(
    ("data", "what"),
    [(b"fine", None), (b"a traceback", "KeyError"), (b"grow", "MemoryError"), (b"spin", "Hang")],
)
def test_what_a_reader_must_not_do_is_found(data: bytes, what: str | None) -> None:
    assert CPU_S <= 5.0
    found = list(tried(_reader, [b"before", data, b"after"], Spent(limit_s=0.5)))
    assert [finding.what for finding in found] == ([what] if what else [])


def test_a_reader_that_kills_its_process_is_found_and_the_rest_is_still_tried() -> None:
    def dies(data: bytes) -> object:
        if data == b"die":
            os.kill(os.getpid(), signal.SIGKILL)
        return _reader(data)

    found = list(tried(dies, [b"a", b"die", b"b", b"traceback", b"die"]))
    assert [finding.what for finding in found] == ["the process died", "KeyError", "the process died"]


def test_a_finding_is_made_as_short_as_it_can_be() -> None:
    long = b"x" * 500 + b"traceback" + b"y" * 700
    assert minimised(_reader, Finding(long, "KeyError")) == b"traceback"


def test_the_same_seed_makes_the_same_inputs() -> None:
    assert inputs("recipe", _chance("one"), 20) == inputs("recipe", _chance("one"), 20)
    assert inputs("recipe", _chance("one"), 20) != inputs("recipe", _chance("two"), 20)
