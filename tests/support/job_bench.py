"""A job over a world of fakes: a script, a model on the disk, and a container that writes what is ordered."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparkctl.recipes.job.confined import OUTPUT
from tests.support.fake_builder import FakeBuilder
from tests.support.fake_world import FakeSpark
from tests.support.job_files import write_source

if TYPE_CHECKING:
    from sparkctl.world.engine import Container

IMAGE = "tools:1"
JOB = "shrink"
CONTAINER = f"sparkctl-job-{JOB}"
DECLARED = """\
description: of this test
parameters:
  type: object
  additionalProperties: false
  properties: {scale: {type: number, default: 1}, way: {type: string, default: whole}}
memory:
  - {when: {way: slow}, base: 256 MiB, source: this test}
  - {base: 1 GiB, source: this test}
"""
TEXT = """\
description: of this test
image: tools:1
script: shrink
input: {{path: {source}}}
output: {output}
gpus: none
disk: 1 MiB
checks: [whole, tensors, config]
timeout: 60s
lighter: {{words: one piece at a time, set: {{with.way: slow}}}}
"""


def phases(*names: str, **last: object) -> list[str]:
    """Return the lines of a script that comes to these phases; the last one says more."""
    lines = [{"phase": name} for name in names]
    return [json.dumps(line | (last if line is lines[-1] else {})) for line in lines]


DONE = phases("import", "load", "quantize", "save", "done", layers=1, resident_bytes=123_456_789)


@dataclass
class JobBench:
    """The job ``shrink``. ``writes`` are the files of its product by name; its container ends at once with ``code``.

    ``runs``: it does not end, until ``end`` is called.
    """

    folder: Path
    spark: FakeSpark = field(init=False)
    writes: dict[str, bytes] = field(default_factory=dict)
    code: int = 0
    oom: bool = False
    runs: bool = False

    def __post_init__(self) -> None:
        self.spark = FakeSpark(self.folder)
        self.spark.builder = FakeBuilder(self.spark.engine)
        self.spark.engine.images[IMAGE] = {}
        self.spark.engine.on_start[CONTAINER] = self._started
        self.prints(DONE)
        self.source, self.output = self.folder / "models" / "source", self.folder / "models" / "made"
        write_source(self.source)
        self.write("jobs/shrink.py", b"made = 1\n")
        self.write("jobs/shrink.yaml", DECLARED.encode())
        self.write(f"recipes/jobs/{JOB}.yaml", TEXT.format(source=self.source, output=self.output).encode())
        weights, config = (self.source / name for name in ("model.safetensors", "config.json"))
        self.writes = {weights.name: weights.read_bytes(), "config.json.unfinished": config.read_bytes()}

    def write(self, name: str, content: bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def prints(self, lines: list[str]) -> None:
        """Order what the script prints."""
        self.spark.engine.prints[CONTAINER] = lines

    def _started(self, container: Container) -> Container:
        if self.runs:
            return container
        self._write(container)
        return container._replace(state="exited", exit_code=self.code, oom_killed=self.oom)

    def _write(self, container: Container) -> None:
        (into,) = (Path(source) for source, target, _ in container.mounts if target == OUTPUT)
        for name, content in self.writes.items():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            (into / name).write_bytes(content)

    @property
    def container(self) -> Container | None:
        """The container of the job's run."""
        return self.spark.engine.container(CONTAINER)

    def end(self) -> None:
        """Let the container that runs write its product and end."""
        now = self.container
        assert now is not None
        self._write(now)
        ended = now._replace(state="exited", exit_code=self.code, oom_killed=self.oom, finished_at=100.0)
        self.spark.engine.there[now.id] = ended

    @property
    def left(self) -> list[str]:
        """What is there of runs: containers, records, unfinished folders."""
        models = self.folder / "models"
        found = [one.name for one in self.spark.engine.containers()]
        found += [str(path) for path in self.spark.files.written if "runs" in path.parts and path not in self.gone]
        return [*found, *(path.name for path in models.iterdir() if ".partial-" in path.name)]

    @property
    def gone(self) -> list[Path]:
        return self.spark.files.removed

    @property
    def provenance(self) -> dict[str, Any]:
        """What the product says of where it comes from."""
        made: dict[str, Any] = json.loads((self.output / "sparkctl-job.json").read_bytes())
        return made
