"""lm-eval without lm-eval: the fake engine's containers of it write what the real one wrote (tests/fixtures)."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparkctl.operations.evaluation.order import KEY
from sparkctl.recipes.host_side.operator import Operator
from tests.support.fake_builder import FakeBuilder
from tests.support.fake_engine import FakeEngine
from tests.support.fake_world import HOME, IMAGE, FakeSpark
from tests.support.paths import FIXTURES

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.world.engine import Container

WRITTEN = FIXTURES / "lm-eval-0.4.13"
LM_EVAL = "an-image-of/lm-eval:0.4.13"
PHASES = ['{"phase": "import"}', '{"phase": "load"}', '{"phase": "tasks"}', '{"phase": "ask"}', '{"phase": "done"}']
SUITE = f"""\
description: six sums and three instructions
source: this test
image: {{base: "{LM_EVAL}"}}
tasks:
  gsm8k:
    fewshot: 2
    data: {{train: train.jsonl, test: test.jsonl}}
    metrics: {{"exact_match,strict-match": {{floor: 0.9}}, "exact_match,flexible-extract": {{}}}}
  ifeval:
    data: {{train: ./ifeval.jsonl}}
tokens: 64
"""


Ended = tuple[list[str], int]
"""The lines that lm-eval prints, and its exit code."""


@dataclass
class FakeRuns:
    """What runs of lm-eval do, in turn: the name of what they write, or how they end.

    ``loading`` is how a run ends that only loads the tasks. ``told`` is what each was told, and ``keys`` the server's
    key that it was given. ``meanwhile`` happens while one asks, which then does not end.
    """

    ends: list[str | Ended] = field(default_factory=list)
    loading: Ended = (PHASES, 0)
    told: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    meanwhile: Callable[[], object] | None = None

    def begun(self, container: Container, log: list[str]) -> Container:
        """Do as a container of lm-eval does, at once."""
        told = json.loads(container.command[1])["with"]
        self.told.append(told)
        self.keys.append(dict(container.env).get(KEY))
        if "url" in told and self.meanwhile is not None:
            self.meanwhile()
            return container
        end = self.ends.pop(0) if "url" in told else self.loading
        if isinstance(end, str):
            (output,) = [Path(source) for source, target, _ in container.mounts if target == "/output"]
            shutil.rmtree(output / "results", ignore_errors=True)
            shutil.copytree(WRITTEN / end, output / "results")
            end = (PHASES, 0)
        log += end[0]
        return container._replace(state="exited", exit_code=end[1])


class _OfLmEval(dict[str, Any]):
    """A table in which every container of lm-eval has one entry, whatever its name is."""

    def __init__(self, entry: object) -> None:
        super().__init__()
        self.entry = entry

    def get(self, name: str, default: Any = None) -> Any:  # noqa: ANN401
        return self.entry if name.startswith("sparkctl-evaluate-") else super().get(name, default)


@dataclass
class EvaluatingSpark(FakeSpark):
    """A Spark whose engine has lm-eval, and a suite ``sums``."""

    runs: FakeRuns = field(default_factory=FakeRuns)

    def __post_init__(self) -> None:
        self.engine = FakeEngine(images={IMAGE: {}, LM_EVAL: {}})
        self.engine.on_start = _OfLmEval(self._begun)
        self.engine.prints = _OfLmEval([])
        self.builder = FakeBuilder(self.engine)
        self.write("recipes/suites/sums.yaml", SUITE)
        for name in ("train", "test", "ifeval"):
            self.write(f"recipes/suites/{name}.jsonl", '{"question": "1 + 1?", "answer": "#### 2"}\n')

    def _begun(self, container: Container) -> Container:
        return self.runs.begun(container, self.engine.log[container.id])

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    @property
    def operator(self) -> Operator:
        """Whose Spark it is; what lm-eval writes lies on the disk."""
        return Operator(home=HOME, config=self.folder / "config", state=self.folder / "state")

    @property
    def started(self) -> list[str]:
        """The containers that were started, in turn; those of lm-eval by that name."""
        starts = [call.removeprefix("start ") for call in self.engine.calls if call.startswith("start ")]
        return ["lm-eval" if name.startswith("sparkctl-evaluate-") else name for name in starts]
