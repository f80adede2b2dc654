"""What lm-eval writes, and what is kept of it, for the fuzzer."""

from __future__ import annotations

import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import TypeAdapter

from sparkctl.operations.evaluation import outputs
from sparkctl.operations.evaluation.answers import Answers
from sparkctl.operations.evaluation.kept import read_answers
from sparkctl.operations.evaluation.retention import compared as compared_with
from sparkctl.operations.evaluation.suite import Suite
from tests.support.paths import FIXTURES

if TYPE_CHECKING:
    from collections.abc import Sequence

LM_EVAL: Final = FIXTURES / "lm-eval-0.4.13"
_TASKS: Final = ("gsm8k", "ifeval")
_SUITE: Final = Suite.model_validate({"source": "fuzz", "image": {"base": "i"}, "tasks": {name: {} for name in _TASKS}})


def results(data: bytes) -> object:
    """Read a file of results, with samples that are as they were written."""
    return _read("results", data)


def samples(data: bytes) -> object:
    """Read a file of samples beside results that are as they were written."""
    return _read("samples_gsm8k", data)


def _read(name: str, data: bytes) -> object:
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        run = Path(folder) / "run"
        shutil.copytree(LM_EVAL / "reference" / "tiny", run)
        (file,) = run.glob(f"{name}_*")
        file.write_bytes(data)
        (path,) = run.glob("results_*")
        return outputs.read(path, _TASKS)


@cache
def kept() -> Sequence[bytes]:
    """Return the answers of one service as they are kept."""
    (path,) = (LM_EVAL / "reference").rglob("results_*.json")
    read = outputs.read(path, _TASKS)
    whole = Answers("a", "s", "k", 1.0, read.seconds, read.lm_eval, dict(read.tasks))
    return (TypeAdapter(Answers).dump_json(whole),)


def compared(data: bytes) -> object:
    """Compare answers with those that were not changed, both ways."""
    one, two = read_answers(kept()[0], _TASKS), read_answers(data, _TASKS)
    return compared_with(_SUITE, one, two), compared_with(_SUITE, two, one)
