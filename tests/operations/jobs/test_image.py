"""The image of a job: one that is there is used, one that is not is built once, and a failure says what pip said."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.base.errors import EngineError, InputError, JobError, SparkctlError
from sparkctl.operations.jobs import image as images
from sparkctl.operations.jobs.image import WantedImage
from sparkctl.operations.jobs.installer import NO_PIP
from sparkctl.recipes.job.built_image import CONSTRAINTS_FILE, LABEL_BUILT, REQUEST_FILE, image_tag
from sparkctl.recipes.job.job import JobImage
from sparkctl.world.labels import LABEL_PROCESS, LABEL_THROWAWAY
from sparkctl.world.spec import ContainerSpec
from tests.support.fake_builder import FakeBuilder
from tests.support.fake_engine import FakeEngine
from tests.support.fake_world import FakeSpark
from tests.support.fakes import FakeReport

if TYPE_CHECKING:
    from pathlib import Path

BASE = "python:3.12-slim"
STEPS = [["llmcompressor==0.14.0.1"], ["--no-deps", "torchvision==0.29.0"]]
CONSTRAINTS = "torch==2.13.0\n"
INDEX = "https://robot:hush-hush-1234@packages.example/simple"


def wanted(**changes: Any) -> WantedImage:  # noqa: ANN401  (any key)
    given = {"base": BASE, "steps": STEPS} | changes
    return WantedImage("quantize", JobImage.model_validate(given), CONSTRAINTS if given["steps"] else "")


@pytest.fixture
def spark(tmp_path: Path) -> FakeSpark:
    engine = FakeEngine(images={BASE: {}})
    return FakeSpark(tmp_path, engine=engine, builder=FakeBuilder(engine))


@pytest.fixture
def builder(spark: FakeSpark) -> FakeBuilder:
    assert isinstance(spark.builder, FakeBuilder)
    return spark.builder


def ensure(spark: FakeSpark, image: WantedImage, **options: Any) -> tuple[str, FakeReport]:  # noqa: ANN401
    report = FakeReport()
    return images.ensure(spark.world(report), image, **options).id, report


def refused(spark: FakeSpark, image: WantedImage, **options: Any) -> SparkctlError:  # noqa: ANN401
    with pytest.raises(SparkctlError) as error:
        ensure(spark, image, **options)
    return error.value


def test_an_image_without_steps_is_taken_as_it_is_and_pulled_where_it_is_missing(
    spark: FakeSpark, builder: FakeBuilder
) -> None:
    assert ensure(spark, wanted(steps=[]))[0] == f"sha256:{BASE}"
    assert not builder.ordered
    spark.engine.images.clear()

    assert ensure(spark, wanted(steps=[]))[0] == f"sha256:{BASE}"
    assert spark.engine.calls == [f"pull {BASE}"]


def test_an_image_with_steps_is_built_once(spark: FakeSpark, builder: FakeBuilder) -> None:
    tag = image_tag(f"sha256:{BASE}", STEPS, CONSTRAINTS)
    first, report = ensure(spark, wanted())
    second, silent = ensure(spark, wanted())

    assert first == second == f"sha256:{tag}"
    (order,) = builder.ordered
    assert (order.tag, order.base, order.network, order.wheels) == (tag, f"sha256:{BASE}", True, None)
    request = json.loads(order.files[REQUEST_FILE])
    assert (request["steps"], request["constraints"], request["wheels"]) == (STEPS, CONSTRAINTS_FILE, False)
    assert order.files[CONSTRAINTS_FILE] == CONSTRAINTS.encode()
    assert order.comment == (
        "pip install -c constraints.txt llmcompressor==0.14.0.1 && "
        "pip install -c constraints.txt --no-deps torchvision==0.29.0"
    )
    assert json.loads(order.labels[LABEL_BUILT])["steps"] == STEPS
    assert report.said[0] == f"quantize: building the image {tag} of {BASE}, once"
    assert "quantize: building the image, step 1 of 1" in report.phases
    assert report.said[1].startswith("quantize: the image is built: 9.0 GiB with its base")
    assert not silent.said


def test_a_base_that_has_moved_makes_another_image(spark: FakeSpark) -> None:
    first, _ = ensure(spark, wanted())
    spark.engine.tagged[BASE] = "sha256:newer"
    spark.engine.images["newer"] = {}

    assert ensure(spark, wanted())[0] != first


def test_the_operators_index_reaches_the_build_alone(spark: FakeSpark, builder: FakeBuilder) -> None:
    spark.environ |= {"PIP_INDEX_URL": INDEX, "HTTPS_PROXY": "http://proxy.example:3128", "HF_TOKEN": "hf_other"}
    builder.prints = (f"Looking in indexes: {INDEX}", f"Downloading {INDEX}/a/a-1-py3-none-any.whl (3 kB)")
    _, report = ensure(spark, wanted())
    (order,) = builder.ordered
    shown = "\n".join([*report.said, *report.warned, *report.phases, order.comment, *order.labels.values()])

    settings = json.loads(order.files[REQUEST_FILE])["settings"]
    assert settings == {"PIP_INDEX_URL": INDEX, "HTTPS_PROXY": "http://proxy.example:3128"}
    assert "packages.example" not in shown
    assert "hush" not in shown


def test_a_failure_says_what_pip_said_and_where_and_leaves_nothing(spark: FakeSpark, builder: FakeBuilder) -> None:
    builder.prints = (
        "sparkctl: step 1 of 2: llmcompressor==0.14.0.1",
        "Successfully installed llmcompressor-0.14.0.1",
        "sparkctl: step 2 of 2: --no-deps torchvision==0.29.0",
        "ERROR: Could not find a version that satisfies the requirement torchvision==0.29.0 (from versions: 0.27.0)",
        "ERROR: No matching distribution found for torchvision==0.29.0",
    )
    builder.code = 1
    error = refused(spark, wanted())

    assert isinstance(error, JobError)
    assert error.message == (
        "quantize: the image cannot be built: pip failed at step 2 of 2: "
        "No matching distribution found for torchvision==0.29.0; the newest that there are: 0.27.0"
    )
    assert list(spark.engine.images) == [BASE]
    assert not spark.engine.containers()


def test_a_base_without_pip_is_named(spark: FakeSpark, builder: FakeBuilder) -> None:
    builder.prints, builder.code = (), NO_PIP
    error = refused(spark, wanted())

    assert error.message == f"quantize: the image cannot be built: {BASE} has no pip"
    assert error.hint is not None
    assert "pip's wheel" in error.hint


def test_a_pip_that_was_killed_for_its_memory_is_said_to_be(spark: FakeSpark, builder: FakeBuilder) -> None:
    builder.oom, builder.code = True, 137

    assert "pip needs more than the 8.0 GiB that a build may take" in refused(spark, wanted()).message


def test_a_disk_that_fills_up_ends_the_build(spark: FakeSpark, builder: FakeBuilder) -> None:
    def fills_up() -> None:
        spark.host.disk_free = 2**20

    builder.while_building = fills_up
    error = refused(spark, wanted())

    assert isinstance(error, EngineError)
    assert error.message == ("no room for the image: 1.0 MiB are left at /var/lib/docker; nothing of it was kept")
    assert list(spark.engine.images) == [BASE]
    assert not [one for one in spark.engine.containers() if LABEL_THROWAWAY in one.labels]


def test_wheels_take_the_place_of_the_index(spark: FakeSpark, builder: FakeBuilder, tmp_path: Path) -> None:
    folder = tmp_path / "wheels"
    folder.mkdir()
    (folder / "a-1-py3-none-any.whl").write_text("")
    (tmp_path / "link").symlink_to(folder)
    spark.environ["PIP_INDEX_URL"] = INDEX
    ensure(spark, wanted(), wheels=tmp_path / "link")
    (order,) = builder.ordered
    request = json.loads(order.files[REQUEST_FILE])

    assert (order.wheels, order.network) == (folder, False)
    assert (request["wheels"], request["settings"]) == (True, {})


@pytest.mark.parametrize(
    ("name", "says"), [("none", "cannot be read: No such file"), ("empty", "has no wheel"), ("file", "cannot be read")]
)
def test_a_folder_of_wheels_that_is_none_is_refused_before_anything(
    spark: FakeSpark, builder: FakeBuilder, tmp_path: Path, name: str, says: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    error = refused(spark, wanted(), wheels=tmp_path / name)

    assert isinstance(error, InputError)
    assert says in error.message
    assert not builder.ordered


def test_who_comes_second_waits_for_the_image_of_the_first(spark: FakeSpark, builder: FakeBuilder) -> None:
    tag = image_tag(f"sha256:{BASE}", STEPS, CONSTRAINTS)
    spark.locks.working.add(tag)

    def the_other_is_done() -> None:
        spark.engine.images[tag] = {}
        spark.locks.working.discard(tag)

    spark.clock.dies = the_other_is_done
    found, report = ensure(spark, wanted())

    assert found == f"sha256:{tag}"
    assert report.phases == ["quantize: another command builds the image"]
    assert not builder.ordered


def test_a_simulated_engine_builds_nothing(spark: FakeSpark) -> None:
    spark.builder = None
    error = refused(spark, wanted())

    assert error.message == "a simulated engine runs no images: no job can run in it"
    assert error.hint == "name a real one: sparkctl --engine docker job …"


def test_an_interruption_leaves_no_container(spark: FakeSpark, builder: FakeBuilder) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    builder.while_building = interrupted
    with pytest.raises(KeyboardInterrupt):
        ensure(spark, wanted())
    assert not spark.engine.containers()
    assert list(spark.engine.images) == [BASE]


def test_what_a_killed_build_left_is_removed_by_the_next_command_and_told(spark: FakeSpark) -> None:
    labels = ((LABEL_THROWAWAY, "image"), (LABEL_PROCESS, "gone"))
    spark.engine.create(ContainerSpec(image=BASE, name="sparkctl-build-0", labels=labels))
    _, report = ensure(spark, wanted())

    assert not spark.engine.containers()
    assert report.said[0] == "removed the container sparkctl-build-0, which a killed command left"
