"""A product is served by the recipe that it is for, before it has its name, and what ran still runs."""

from __future__ import annotations

import io
import json
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import DoesNotFitError, EngineError, InputError, WaitInterruptedError
from sparkctl.base.units import GIB
from sparkctl.cli.output import Output
from sparkctl.operations.jobs.product_trial import proved, refuse_unprovable
from sparkctl.recipes.service import Source
from sparkctl.world.web import Reply
from tests.support.dying import KilledError, Life, mortal
from tests.support.fake_hub import safetensors
from tests.support.fake_world import FakeSpark
from tests.support.fakes import FakeHttp
from tests.support.job_shop import loaded_job

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.memory.product import ProductFinding
    from sparkctl.operations.context import World

NAME = "e4b-nvfp4-proof"
FEWEST = 4
"""Changes of a whole proof: what vLLM compiles has a folder, and a container is created, started and removed."""
CONFIG = {"model_type": "gemma4_text", "hidden_size": 16, "num_hidden_layers": 4, "num_kv_shared_layers": 2}
DECLARED = {"quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized"}
GEMMA = {"127.0.0.1:8900": "gemma-4-e4b", "127.0.0.1:8901": "gemma-4-e4b", "127.0.0.1:8003": "gemma-4-e4b"}


class Talking(FakeHttp):
    """A server that says one thing, whatever it is asked."""

    text = "Paris"

    def post(self, url: str, body: object, *, key: str | None = None, timeout_s: float = 60.0) -> Reply:
        self.asked.append(url)
        choice = {"message": {"content": self.text}, "text": self.text, "finish_reason": "stop"}
        return Reply(200, json.dumps({"choices": [choice], "usage": {"completion_tokens": 4}}))


class Bench:
    """A Spark, and the folder of a product that has no name yet."""

    def __init__(self, tmp_path: Path) -> None:
        self.http = Talking(serving=dict(GEMMA))
        self.spark = FakeSpark(tmp_path / "spark", http=self.http)
        self.spark.folder.mkdir()
        self.err = io.StringIO()
        self.folder = tmp_path / "made.partial-12"
        self.folder.mkdir()
        self.made(keys_in=4)

    def made(self, *, keys_in: int) -> None:
        names = [f"model.layers.{layer}.self_attn.q_proj.weight" for layer in range(4)]
        names += [f"model.layers.{layer}.self_attn.k_proj.weight" for layer in range(keys_in)]
        (self.folder / "config.json").write_text(json.dumps(CONFIG | {"quantization_config": DECLARED}))
        (self.folder / "model.safetensors").write_bytes(safetensors(dict.fromkeys(names, ("BF16", [1], 2))))

    @property
    def world(self) -> World:
        return self.spark.world(Output(io.StringIO(), self.err))

    def proved(self, *checks: str, serves: str = "e4b-nvfp4") -> list[ProductFinding]:
        return proved(self.world, loaded_job(checks, serves=serves), self.folder)

    def recipe(self, name: str, text: str) -> None:
        folder = self.spark.folder / "recipes"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.yaml").write_text(text)

    @property
    def started(self) -> list[str]:
        return [call for call in self.spark.engine.calls if call.startswith("start ")]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_product_that_loads_is_said_to_and_its_container_goes(bench: Bench) -> None:
    assert bench.proved("whole") == []
    (loads,) = bench.proved("whole", "loads")
    assert loads.passed
    assert loads.says.startswith("the recipe e4b-nvfp4 loads it and is ready (vllm/vllm-openai:gemma4-cu130, vLLM 0.19")
    assert bench.started == [f"start {NAME}"]
    assert bench.spark.engine.there == {}
    assert f"{NAME}: serves the product, to check it" in bench.err.getvalue()


def test_what_runs_meanwhile_is_not_touched(bench: Bench) -> None:
    bench.spark.run("up", "e4b-nvfp4").expect(0)
    before = {one.id: one.state for one in bench.spark.engine.there.values()}
    bench.spark.host.taken_ports.add(8900)
    assert [one.passed for one in bench.proved("loads")] == [True]
    assert {one.id: one.state for one in bench.spark.engine.there.values()} == before
    spec = next(spec for spec in bench.spark.engine.created if spec.name == NAME)
    assert any(mount.source == str(bench.folder) for mount in spec.mounts)
    assert "8901" in str(spec.ports)


def test_the_recipes_own_checks_are_asked_else_the_usual_ones_of_its_kind(bench: Bench) -> None:
    bench.recipe("mine", "extends: e4b-nvfp4\nchecks: [text]\n")
    loads, answers = bench.proved("loads", "answers", serves="mine")
    assert (loads.passed, answers.passed) == (True, True)
    assert answers.says == "it passes the checks text"
    loads, answers = bench.proved("loads", "answers")
    assert (loads.passed, answers.passed) == (True, False)
    assert "fails 2 of its 3 checks" in answers.says, "Paris is the capital of France, and no sum"
    bench.http.text = "Rome"
    (answers,) = bench.proved("answers", serves="mine")
    assert not answers.passed
    assert bench.spark.engine.there == {}


def test_a_product_that_does_not_come_up_is_a_finding_and_its_container_goes(bench: Bench) -> None:
    bench.spark.engine.on_start[NAME] = lambda started: started._replace(state="exited", exit_code=1)
    bench.spark.engine.prints[NAME] = ["KeyError: 'layers.0.router.proj.weight_scale'"]
    (loads,) = bench.proved("loads", "answers")
    assert not loads.passed
    assert loads.says.startswith("the recipe e4b-nvfp4 does not come up with it: ")
    assert bench.spark.engine.there == {}


def test_a_vllm_that_would_answer_wrongly_is_not_started(bench: Bench) -> None:
    bench.made(keys_in=2)
    (loads,) = bench.proved("loads", "answers")
    assert not loads.passed
    assert "the recipe e4b-nvfp4 cannot: layers 2 to 3 have no keys and values of their own" in loads.says
    assert "serve it with vLLM 0.30 or newer" in loads.says
    assert bench.started == []


def test_what_says_nothing_of_the_product_is_an_error(bench: Bench) -> None:
    bench.spark.host.available = 8 * GIB
    with pytest.raises(DoesNotFitError, match="no room to serve the product and check it") as refused:
        bench.proved("loads")
    assert "run the job again" in str(refused.value.hint)
    bench.spark.host.available = 110 * GIB
    bench.spark.clock.interrupt_at = 0.1
    bench.http.serving.clear()
    with pytest.raises(WaitInterruptedError):
        bench.proved("loads")
    bench.spark.host.taken_ports.update(range(8900, 9000))
    with pytest.raises(EngineError, match="no port of 8900 to 8999 is free"):
        bench.proved("loads")
    assert bench.spark.engine.there == {}


def test_a_kill_at_any_moment_leaves_what_the_next_proof_puts_right(tmp_path: Path) -> None:
    last, over = 0, True
    while over:
        last += 1
        (tmp_path / f"after-{last}").mkdir()
        bench = Bench(tmp_path / f"after-{last}")
        bench.spark.locks.me = "gone"
        life = Life(last)
        with suppress(KilledError):
            proved(mortal(bench.world, life), loaded_job(["loads"], serves="e4b-nvfp4"), bench.folder)
        over = life.over
        bench.spark.locks.me = "me"
        bench.spark.locks.working.clear()
        assert [one.passed for one in bench.proved("loads")] == [True]
        assert bench.spark.engine.there == {}
    assert last >= FEWEST


def test_what_could_not_be_proved_is_refused_before_a_job_starts(bench: Bench) -> None:
    nowhere = Source("a/b", missing="a/b is not here")
    refuse_unprovable(bench.world, loaded_job(["whole"]), nowhere)
    refuse_unprovable(bench.world, loaded_job(["whole", "loads"], serves="e4b-nvfp4"), nowhere)
    with pytest.raises(InputError, match="nothing-of-this-name"):
        refuse_unprovable(bench.world, loaded_job(["whole"], serves="nothing-of-this-name"), nowhere)
    bench.recipe("mine", "extends: e4b-nvfp4\nchecks: [nosuch]\n")
    refuse_unprovable(bench.world, loaded_job(["loads"], serves="mine"), nowhere)
    with pytest.raises(InputError, match="nosuch"):
        refuse_unprovable(bench.world, loaded_job(["answers"], serves="mine"), nowhere)
    bench.recipe("mine", "extends: e4b-nvfp4\nsecrets: [VLLM_API_KEY]\n")
    with pytest.raises(InputError, match="which is to prove its product, has no value for VLLM_API_KEY"):
        refuse_unprovable(bench.world, loaded_job(["loads"], serves="mine"), nowhere)


def test_a_way_whose_product_its_recipe_would_read_wrongly_is_warned_of(bench: Bench) -> None:
    here = Source("a/b", bench.folder, here=bench.folder)
    refuse_unprovable(bench.world, loaded_job(["whole"], serves="e4b-nvfp4", way="model-free"), here)
    bench.recipe("newer", 'extends: e4b-nvfp4\nvllm: "0.30"\n')
    refuse_unprovable(bench.world, loaded_job(["whole"], serves="newer", way="oneshot"), here)
    assert bench.err.getvalue() == ""
    refuse_unprovable(bench.world, loaded_job(["whole"], serves="e4b-nvfp4", way="oneshot"), here)
    assert "the recipe e4b-nvfp4 has vLLM 0.19.1, which reads that in NVFP4 wrongly" in bench.err.getvalue()
    assert "--set with.way=model-free keeps them" in bench.err.getvalue()
