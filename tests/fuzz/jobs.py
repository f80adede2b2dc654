"""What reads the files of jobs: the job itself, what its script declares, its constraints, what is laid over it."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Final

from sparkctl.base import document
from sparkctl.base.validation import validate
from sparkctl.operations.jobs.runs import said
from sparkctl.recipes.catalog import Catalog, Root
from sparkctl.recipes.job import command, constraints, parameters, pip_failures
from sparkctl.recipes.job.command import RunOrder
from sparkctl.recipes.job.confined import ScriptCode
from sparkctl.recipes.job.failures import explain_job
from sparkctl.recipes.job.reading import load_job
from sparkctl.recipes.job.script import JobScript
from tests.support.paths import REPOSITORY

_CATALOG: Final = Catalog([Root(REPOSITORY, "shipped")])
SETS: Final = (
    *(
        b"with.scheme=FP8_DYNAMIC",
        b"with={way: model-free}",
        b"with.calibration={texts: [a, {messages: [b]}], samples: 3}",
    ),
    *(b"image=python:3.12", b"image.steps=[[--no-deps, a==1.0], [b==2]]", b"input=a/b", b"input.path=~/models/x"),
    *(b"output=/models/y", b"gpus=[0, 1]", b"memory={peak: 30 GiB, source: me}", b"checks=[whole]", b"timeout=90m"),
)


PIP: Final = (
    (
        b"ERROR: Could not find a version that satisfies the requirement a==9 (from versions: 1.0, 2.0)\n"
        b"ERROR: No matching distribution found for a==9\n"
    ),
    b"The conflict is caused by:\n    b 1.0 depends on a>=2\n    The user requested (constraint) a==1\n\n",
    (
        b"WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(\"HTTPConnection(host='a.b'"
        b", port=1): Failed: [Errno 111] Connection refused\")': /simple/a/\n"
    ),
    b"ERROR: Package 'a' requires a different Python: 3.11.7 not in '>=3.99'\n",
)


LOGS: Final = (
    (
        b'{"phase": "import", "versions": {"torch": "2.13.0"}}\nSaving:  45%|####      | 3/7 [00:01<00:02]\r'
        b'{"phase": "save", "layers": 33, "resident_bytes": 500000000}\n{"phase": "done"}\n'
    ),
    (
        b'Traceback (most recent call last):\n  File "/job/script.py", line 16, in <module>\n'
        b"ValueError: Dependency weight model.layers.1.self_attn.v_proj.weight not found in weight map\n"
    ),
    b"OSError: [Errno 28] No space left on device\n",
)


def printed(data: bytes) -> object:
    """Read what a script printed, and explain how it failed."""
    lines = re.split(r"\r\n|\n|\r", data.decode(errors="replace"))
    one = said.Said()
    one.read(lines)
    return one, explain_job(lines, 1), [said.is_phase(line) for line in lines]


def pip(data: bytes) -> object:
    """Explain what pip printed, and show each line of it."""
    lines = data.decode(errors="replace").splitlines()
    return [pip_failures.explained(lines, wheels=False), *map(pip_failures.shown_line, lines)]


def job(data: bytes) -> object:
    """Load a job out of a file, and put its container together."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        path = Path(folder) / "a.yaml"
        path.write_bytes(data)
        return _spec(str(path))


def override(data: bytes) -> object:
    """Lay a value over a job."""
    return _spec("quantize-26b-nvfp4", data.decode(errors="replace"))


def _spec(name: str, *overrides: str) -> object:
    loaded, folder = load_job(_CATALOG, name, overrides), Path("/a")
    code = ScriptCode(folder / "c", folder / "d")
    return command.spec(RunOrder(loaded, "image", folder, folder / "b", code, "1:1", "sparkctl-job-a"))


def script(data: bytes) -> object:
    """Read what a script declares, and judge the parameters of a shipped job by it."""
    source = document.load(data, "fuzz.yaml")
    declared = validate(source, JobScript)
    at = ("parameters",)
    wrong = parameters.schema_problems(declared.parameters, source, at)
    if wrong:
        return wrong
    given = document.read(REPOSITORY / "recipes" / "jobs" / "quantize-26b-nvfp4.yaml")
    filled = parameters.filled(declared.parameters, given.node(("with",)), source, at)
    return filled.plain(), parameters.problems(declared.parameters, given, ("with",))


def fixed(data: bytes) -> object:
    """Read constraints."""
    return constraints.parse(data.decode(errors="replace"), "fuzz.txt")
