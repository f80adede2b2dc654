"""What becomes of a template's words: sparkctl's labels come in, and what could not be found again is refused."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

from sparkctl.world import labels
from sparkctl.world.labels import LaidOver, ReadySettings
from tests.support.fake_world import FakeSpark

if TYPE_CHECKING:
    from pathlib import Path

TEMPLATE = "docker run --name {name}\n{more}\n{{{{ image }}}}\n--served-model-name {{{{ served_name }}}}\n"


@pytest.fixture
def spark(tmp_path: Path) -> FakeSpark:
    spark = FakeSpark(tmp_path)
    (tmp_path / "templates").mkdir()
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "mine.yaml").write_text("extends: e4b-nvfp4\ntemplate: own\n")
    return spark


def template(spark: FakeSpark, more: str = "", name: str = "{{ name }}") -> None:
    (spark.folder / "templates" / "own.j2").write_text(TEMPLATE.format(name=name, more=more))


def test_a_template_says_nothing_of_sparkctls_labels_and_the_command_has_them(spark: FakeSpark) -> None:
    template(spark, "--label mine=1")
    words = shlex.split(spark.run("render", "mine", "--set", "limits.context=4096").expect(0).out.replace("\\\n", " "))
    assert words[:4] == ["docker", "run", "--name", "mine"]
    given = dict(words[at + 1].split("=", 1) for at, word in enumerate(words) if word == "--label")
    record = labels.read(given)
    assert record.damaged == ()
    assert (record.service, record.recipe, record.served_names) == ("mine", "mine", ("gemma-4-e4b",))
    assert record.laid_over == LaidOver(overrides=("limits.context=4096",))
    assert record.ready == ReadySettings(1200.0, probe=True, acceptance={}, checks=())
    assert record.secrets is None
    assert given["mine"] == "1"
    by_json = spark.run("render", "mine", "--set", "limits.context=4096", "--json").expect(0).json
    assert dict(by_json["labels"]) == given


def test_a_template_from_before_that_loops_over_labels_still_renders(spark: FakeSpark) -> None:
    template(spark)
    without = spark.run("render", "mine").expect(0).out
    template(spark, "{% for key, value in labels %}\n--label {{ key }}={{ value }}\n{% endfor %}")
    assert spark.run("render", "mine").expect(0).out == without


def test_a_label_of_sparkctls_in_a_template_is_refused(spark: FakeSpark) -> None:
    template(spark, "--label sparkctl.claim=1")
    done = spark.run("render", "mine").expect(2)
    assert "template own.j2: expected no label of sparkctl's, found --label sparkctl.claim" in done.err


def test_a_template_without_the_services_name_is_refused(spark: FakeSpark) -> None:
    template(spark, name="other")
    assert "template own.j2: expected --name mine, found other" in spark.run("render", "mine").expect(2).err


def test_what_is_of_the_moment_is_not_in_the_digest(spark: FakeSpark) -> None:
    template(spark)
    digests = {
        dict(spark.run("render", "mine", *more, "--json").expect(0).json["labels"])["sparkctl.spec"]
        for more in ((), ("--set", "ready.timeout=7m"), ("--set", "checks=[text]"))
    }
    assert len(digests) == 1, "when it is ready changes nothing of what runs"
    (spark.folder / "recipes" / "mine.yaml").write_text("extends: e4b-nvfp4\ntemplate: own\nserve: {name: another}\n")
    again = dict(spark.run("render", "mine", "--json").expect(0).json["labels"])["sparkctl.spec"]
    assert again not in digests
