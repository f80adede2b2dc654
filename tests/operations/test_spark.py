"""The Python API: the same as the command line, with values, and nothing printed."""

from __future__ import annotations

import importlib
import inspect
import logging
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import sparkctl
from sparkctl.base.units import GIB
from sparkctl.operations.spark import Spark
from sparkctl.operations.status.liveness import Life
from sparkctl.world.opening.log_report import LogReport
from tests.support.applied_stack import AppliedStack
from tests.support.fake_world import FakeSpark
from tests.support.fakes import FakeHub, FakeModels, FakeReport
from tests.support.paths import REPOSITORY
from tests.support.thorough import only_thorough
from tests.support.weights import EMPTY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE = (REPOSITORY / "docs" / "api.md").read_text()
SHOWN = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
OFFERED = [name for name in dir(Spark) if not name.startswith("_") and name != "simulated"]


@pytest.fixture
def fake(tmp_path: Path) -> FakeSpark:
    return FakeSpark(tmp_path, models=FakeModels(cache={"RedHatAI/gemma-4-26B-A4B-it-FP8-Dynamic"}))


@pytest.fixture
def report() -> FakeReport:
    return FakeReport()


@pytest.fixture
def spark(fake: FakeSpark, report: FakeReport) -> Spark:
    return Spark(fake.world(report))


@pytest.fixture
def environ(tmp_path: Path) -> Iterator[dict[str, str]]:
    own = {"HOME": str(tmp_path), "SPARKCTL_SIM_DIR": str(tmp_path / "sim"), "PATH": os.environ["PATH"]}
    yield own
    down = [sys.executable, "-m", "sparkctl", "--engine", "sim", "down", "--all"]
    subprocess.run(down, env=own, check=True, capture_output=True)


def test_a_service_from_its_plan_to_its_end_with_nothing_printed(
    spark: Spark, report: FakeReport, capfd: pytest.CaptureFixture[str]
) -> None:
    planned = spark.plan("e4b-nvfp4")
    assert planned.fits
    assert planned.plan.order == ("e4b-nvfp4",)
    assert spark.services() == []
    assert [(one.name, one.url) for one in spark.up("e4b-nvfp4")] == [("e4b-nvfp4", "http://127.0.0.1:8003")]
    (now,) = spark.services()
    assert (now.name, now.ready, now.doing) == ("e4b-nvfp4", True, Life.READY)
    assert spark.status("e4b-nvfp4").well
    assert list(spark.logs("e4b-nvfp4", tail=1)) == ["Application startup complete."]
    assert spark.attach("e4b-nvfp4").name == "e4b-nvfp4"
    assert spark.verify_mods("e4b-nvfp4") == []
    assert spark.down("e4b-nvfp4", "26b-a4b-fp8") == (("e4b-nvfp4",), ("26b-a4b-fp8",), ())
    assert spark.services() == []
    assert "e4b-nvfp4: ready at http://127.0.0.1:8003" in report.said
    assert "e4b-nvfp4: creating" in report.phases
    assert capfd.readouterr() == ("", "")


def test_what_fits_beside_what_is_asked_without_a_plan_for_each(spark: Spark) -> None:
    found = spark.fits("e4b-nvfp4")
    kinds = {one.name: one.kind for one in found.recipes}
    assert (kinds["e4b-nvfp4"], kinds["26b-a4b-fp8"]) == ("runs", "now")
    assert found.beside == ("e4b-nvfp4",)


def test_a_set_that_does_not_fit_is_an_answer_to_plan_and_an_error_of_up_with_the_ways(
    spark: Spark, fake: FakeSpark
) -> None:
    fake.host.available = 25 * GIB
    planned = spark.plan("e4b-nvfp4")
    assert not planned.fits
    with pytest.raises(sparkctl.SetDoesNotFitError) as caught:
        spark.up("e4b-nvfp4")
    assert caught.value.exit_code == 3
    assert [way.words for way in caught.value.planned.plan.ways] == [way.words for way in planned.plan.ways]
    assert caught.value.message.splitlines() == planned.reasons
    assert fake.engine.calls == []


def test_the_same_words_as_the_command_line_says(spark: Spark, fake: FakeSpark) -> None:
    fake.host.available = 25 * GIB
    with pytest.raises(sparkctl.errors.DoesNotFitError) as caught:
        spark.up("e4b-nvfp4")
    assert f"error: {caught.value.message.splitlines()[0]}" in fake.run("up", "e4b-nvfp4").expect(3).err


def test_fit_takes_a_smaller_setting_and_says_which(spark: Spark, fake: FakeSpark, report: FakeReport) -> None:
    wanted = ["26b-a4b-fp8:limits.context=65536", "26b-a4b-fp8:limits.sequences=48"]
    planned = spark.plan("e4b-nvfp4", "26b-a4b-fp8", overrides=wanted, fit=True)
    assert planned.fits
    assert planned.took is not None
    assert report.said[-1] == f"--fit takes {planned.took.words}: {planned.asked.up}"
    assert len(spark.up("e4b-nvfp4", "26b-a4b-fp8", overrides=wanted, fit=True)) == 2
    assert fake.engine.specs["26b-a4b-fp8"].command == planned.services[1].spec.command


def test_what_needs_no_engine_asks_none(spark: Spark, fake: FakeSpark, tmp_path: Path) -> None:
    rendered = spark.render("e4b-nvfp4", ["limits.context=8192"])
    assert rendered.text.startswith("docker run \\\n")
    assert "8192" in rendered.words
    assert rendered.spec.name == "e4b-nvfp4"
    exported = spark.export("pair", "quadlet", folder=tmp_path / "units")
    assert {path.name for path in (tmp_path / "units").iterdir()} == {file.name for file in exported.files}
    with pytest.raises(sparkctl.errors.InputError, match="nothing can be exported for 'helm'"):
        spark.export("pair", "helm")
    size = spark.size("e4b-nvfp4", sparkctl.Changes(max_model_len=8192))
    assert size.footprint.steady_bytes < spark.size("e4b-nvfp4").footprint.steady_bytes
    assert fake.engine.calls == []


class FetchingHub(FakeHub):
    """A hub that has a whole model for everybody."""

    def download(self, repo: str, revision: str | None, *, folder: Path | None, cache: Path) -> None:
        del revision, cache
        assert folder is not None, repo
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(EMPTY)


def test_models_that_are_not_here_are_downloaded_and_a_simulated_spark_says_what_it_does_without(
    fake: FakeSpark, report: FakeReport, tmp_path: Path
) -> None:
    fake.hub, repo = FetchingHub(), "coolthor/Gemma-4-E4B-it-NVFP4A16"
    at = f"model.path={tmp_path}/models/mine"
    fake.simulated = True
    assert Spark(fake.world(report)).download("e4b-nvfp4", overrides=[at]) == ((), (("e4b-nvfp4", repo),))
    assert fake.run("download", "e4b-nvfp4", "--set", at).expect(0).err.splitlines() == [
        f"simulated │ e4b-nvfp4: {repo} is not here; a simulated Spark needs no files of it",
        "simulated │ nothing was downloaded: `sparkctl --engine docker download` does it",
    ]
    fake.simulated = False
    spark = Spark(fake.world(report))
    assert spark.download("e4b-nvfp4", overrides=[at]) == ((repo,), ())
    assert report.said[-1].startswith(f"e4b-nvfp4: downloading {repo}")
    assert spark.download("e4b-nvfp4", overrides=[at]) == ((), ())


def test_errors_are_of_one_root_and_say_what_to_do(spark: Spark) -> None:
    for wrong in (
        lambda: spark.plan("e4b-nvfp5"),
        lambda: spark.logs("nobody"),
        lambda: spark.status("nobody"),
        lambda: spark.check("nobody"),
        lambda: spark.bench("nobody"),
        spark.down,
        lambda: spark.size("no/folder/at/all"),
    ):
        with pytest.raises(sparkctl.errors.SparkctlError) as caught:
            wrong()
        assert caught.value.exit_code == 2
        assert caught.value.hint


def test_without_a_report_a_program_hears_it_by_logging(caplog: pytest.LogCaptureFixture) -> None:
    report = LogReport()
    with caplog.at_level(logging.DEBUG, "sparkctl"):
        report.say("e4b: ready, 100 % of it")
        report.warn("e4b: no mods")
        report.progress("e4b", "compiling", "4s")
    assert [(one.levelname, one.getMessage()) for one in caplog.records] == [
        ("INFO", "e4b: ready, 100 % of it"),
        ("WARNING", "e4b: no mods"),
        ("DEBUG", "e4b: compiling  4s"),
    ]


def test_what_was_applied_is_read_and_brought_back(tmp_path: Path, report: FakeReport) -> None:
    box = AppliedStack(tmp_path)
    for context in (4096, 8192):
        box.apply(f"{{chat: {{recipe: e4b-nvfp4, set: {{limits.context: {context}}}}}}}")
    spark = Spark(box.spark.world(report))
    assert [(one.generation.number, one.outcome) for one in spark.history()] == [(1, "applied"), (2, "applied")]
    assert spark.rollback(dry_run=True).generation is None
    back = spark.rollback()
    assert back.generation is not None
    assert (back.generation.number, back.generation.restores) == (3, 1)
    assert [one.services for one in back.acts] == [("chat",)]


# --- what is public --------------------------------------------------------------------------------------------------


def test_every_public_name_is_there() -> None:
    assert sorted(sparkctl.__all__) == dir(sparkctl)
    for name in sparkctl.__all__:
        assert getattr(sparkctl, name).__doc__
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        sparkctl.nothing  # noqa: B018  (that it is looked up is the test)


def test_what_a_method_returns_has_a_public_name() -> None:
    """Whoever annotates a variable with it finds it in ``sparkctl`` and not in a module that may move."""
    told = {name: str(inspect.signature(getattr(Spark, name)).return_annotation) for name in OFFERED}
    ours = {name: set(re.findall(r"\b[A-Z]\w+", text)) - {"Iterator", "None"} for name, text in told.items()}
    assert not {name: words for name, words in ours.items() if not words <= set(sparkctl.__all__)}


@pytest.mark.parametrize("name", OFFERED)
def test_each_method_is_typed_and_documented(name: str) -> None:
    method = getattr(Spark, name)
    signature = inspect.signature(method)
    assert signature.return_annotation is not inspect.Signature.empty
    given = [one for one in signature.parameters.values() if one.name != "self"]
    assert all(one.annotation is not inspect.Parameter.empty for one in given)
    for one in given:
        assert f"{one.name}:" in method.__doc__ or len(given) == 1
    row = re.search(rf"^\| `{name}\((.*?)\)` \|", PAGE, re.MULTILINE)
    assert row is not None
    shown = [f"*{one.name}" if one.kind is one.VAR_POSITIONAL else one.name for one in given]
    assert [word.strip().removesuffix("=") for word in row[1].split(",") if word] == shown


@only_thorough
def test_what_is_imported_is_what_is_used(environ: dict[str, str]) -> None:
    program = """
import sys
import sparkctl
print([name for name in sys.modules if name.startswith("sparkctl.")])
sparkctl.connect(engine="sim").plan("e4b-nvfp4")
heavy = ("jsonschema", "docker", "huggingface_hub", "sparkctl.cli", "sparkctl.operations.bench.service",
         "sparkctl.operations.checks", "sparkctl.operations.mods", "sparkctl.operations.services")
print([name for name in heavy if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n[]\n", "")


@pytest.mark.usefixtures("shipped_ports")
@only_thorough
def test_the_example_runs_on_a_simulated_spark(environ: dict[str, str]) -> None:
    program = "\n".join(SHOWN)
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    first, second, third, fourth, last = done.stdout.splitlines()
    assert first == "e4b-nvfp4 http://127.0.0.1:8003"
    assert second.startswith("e4b-nvfp4 ready ")
    assert third.startswith("[] [")
    assert fourth.startswith("2 ")
    assert last == "('e4b-nvfp4',)"


def test_a_place_of_a_public_name_is_its_own() -> None:
    """What is public is found where it is defined, so that a move is noticed here."""
    for name in set(sparkctl.__all__) - {"errors"}:
        public = getattr(sparkctl, name)
        assert getattr(importlib.import_module(public.__module__), name) is public
