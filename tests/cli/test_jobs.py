"""`sparkctl job list`, `show`, `render`, and what `recipes lint` says of jobs, as people and programs read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sparkctl.recipes.job.built_image import image_tag
from sparkctl.world.docker_run import grammar
from sparkctl.world.docker_run.spelling import split
from tests.support.fake_world import HOME, FakeSpark
from tests.support.job_shop import BASE, CHILD, DECLARED
from tests.support.paths import REPOSITORY

if TYPE_CHECKING:
    from tests.support.command_line import Done

FACTS = """\
parameters: {count: 1000000000, source: of a test}
"""


class JobSpark(FakeSpark):
    """A Spark with a job of its own, `small`."""

    def write(self, path: str, text: str) -> Path:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file


@pytest.fixture
def spark(tmp_path: Path) -> JobSpark:
    found = JobSpark(tmp_path)
    found.write("recipes/jobs/_base.yaml", BASE)
    found.write("recipes/jobs/small.yaml", f"description: A small one\nserves: e4b-nvfp4\n{CHILD}")
    found.write("recipes/models/f.yaml", FACTS)
    found.write("jobs/quantize.py", "print('{}')\n")
    found.write("jobs/quantize.yaml", DECLARED)
    found.write("jobs/tool.txt", "tool==1.0\n")
    return found


def row(done: Done, name: str) -> dict[str, object]:
    return next(one for one in done.json if one["name"] == name)


def test_the_list_says_what_each_job_reads_makes_and_serves(spark: JobSpark) -> None:
    done = spark.run("job", "list").expect(0)
    (line,) = [line for line in done.out.splitlines() if line.startswith("small")]
    for word in ("given", "a/b", "~/models/b-fp8", "not there", "e4b-nvfp4", "A small one"):
        assert word in line
    assert "_base" not in done.out
    found = row(spark.run("job", "list", "--json").expect(0), "small")
    assert found == {
        "name": "small",
        "from": "given",
        "path": str(spark.folder / "recipes/jobs/small.yaml"),
        "description": "A small one",
        "input": "a/b",
        "output": "~/models/b-fp8",
        "there": False,
        "made_by": None,
        "run": None,
        "serves": "e4b-nvfp4",
    }


def test_a_job_that_cannot_be_used_says_so_in_the_list(spark: JobSpark) -> None:
    spark.write("recipes/jobs/bad.yaml", "extends: _base\n")
    done = spark.run("job", "list").expect(0)
    assert "cannot be used: " in done.out
    assert row(spark.run("job", "list", "--json"), "bad")["there"] is False


def test_a_product_that_no_job_made_is_told_from_one_of_this_job(spark: JobSpark, tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    spark.write("recipes/jobs/there.yaml", f"extends: small\noutput: {made}\n")
    assert "there, made by no job" in spark.run("job", "list").expect(0).out
    assert "there, made by no job" in spark.run("job", "show", "there").expect(0).out


def test_a_job_is_shown_with_the_place_of_each_value_its_script_and_its_need(spark: JobSpark) -> None:
    done = spark.run("job", "show", "small", "--set", "with.way=model-free").expect(0)
    lines = done.out.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("with.way ")] == ["model-free"]
    assert any(line.startswith("with.scheme") and line.endswith("_base.yaml:3:16") for line in lines)
    assert any(line.startswith("script  ") and "quantize.py, md5 " in line for line in lines)
    assert any(line.startswith("image   not built yet") for line in lines)
    assert any(line.startswith("needs   ") and "of memory at its peak (an estimate)" in line for line in lines)
    shown = spark.run("job", "show", "small", "--json").expect(0).json
    assert (shown["name"], shown["job"]["with"]["way"], shown["image"]) == ("small", "oneshot", None)
    assert shown["peak_bytes"] == round(1.4 * 2e9 + 0.5 * 2**30)
    assert Path(shown["script"]["path"]).name == "quantize.py"


def test_the_name_of_an_image_follows_from_its_base_when_that_is_here(spark: JobSpark) -> None:
    spark.engine.images["python:3.12"] = {}
    base = spark.engine.image("python:3.12")
    assert base is not None
    tag = image_tag(base.id, [["tool==1.0"]], "tool==1.0\n")
    shown = spark.run("job", "show", "small", "--json").expect(0).json
    assert (shown["image"], shown["image_there"]) == (tag, False)
    spark.engine.images[tag] = {}
    assert spark.run("job", "show", "small", "--json").expect(0).json["image_there"] is True


def test_a_rendered_job_is_the_container_that_its_words_make(spark: JobSpark) -> None:
    spark.engine.images["python:3.12"] = {}
    done = spark.run("job", "render", "small").expect(0)
    spec = grammar.parse(split(done.out.replace(" \\\n", " ")))
    as_json = spark.run("job", "render", "small", "--json").expect(0).json
    assert (as_json["image"], as_json["command"]) == (spec.image, list(spec.command))
    assert spec.image.startswith("sparkctl-job:")
    given = json.loads(spec.command[1])
    assert given["with"] == {"scheme": "FP8_DYNAMIC", "ignore": ["lm_head"], "way": "oneshot"}
    mounts = {mount.target: mount.source for mount in spec.mounts}
    assert mounts["/input"] == str(HOME / "models/b")
    assert mounts["/output"] == str(HOME / "models/b-fp8.partial-pasted")
    claim = round(1.4 * 2e9 + 0.5 * 2**30)
    assert dict(spec.labels)["sparkctl.claim"] == str(claim)
    assert claim <= (spec.memory or 0) < 1.2 * claim


def test_what_a_rendered_command_names_and_is_not_there_is_said(spark: JobSpark) -> None:
    spark.models.missing["b"] = "is not there"
    done = spark.run("job", "render", "small").expect(0)
    assert "the image is not known before its base is here: docker pull python:3.12" in done.err
    assert f"the input is not here: {HOME}/models/b is not there" in done.err
    assert "the copy of" in done.err
    assert f"mkdir -p {HOME}/models/b-fp8.partial-pasted" in done.err
    assert "sparkctl-job:unbuilt" in done.out


def test_stage_writes_the_copy_of_the_script(spark: JobSpark) -> None:
    done = spark.run("job", "render", "small", "--stage").expect(0)
    assert "--stage makes it" not in done.err
    ((path, (content, mode)),) = spark.files.written.items()
    assert (content, mode, path.name) == (b"print('{}')\n", 0o444, "quantize.py")
    assert f"source={path}," in done.out


def test_a_script_that_names_the_library_gets_a_copy_of_it_beside_itself(spark: JobSpark) -> None:
    spark.write("jobs/quantize.py", "import sparkctl_job\n")
    done = spark.run("job", "render", "small").expect(0)
    assert done.err.count("--stage makes it") == 2
    done = spark.run("job", "render", "small", "--stage").expect(0)
    assert "--stage makes it" not in done.err
    (path,) = (path for path in spark.files.written if path.name == "sparkctl_job.py")
    assert spark.files.written[path] == ((REPOSITORY / "jobs" / "sparkctl_job.py").read_bytes(), 0o444)
    assert f"source={path},target=/job/sparkctl_job.py,readonly" in done.out
    assert "jobs/sparkctl_job.py, md5 " in spark.run("job", "show", "small").expect(0).out
    assert len(spark.run("job", "show", "small", "--json").expect(0).json["script"]["library"]["md5"]) == 32


def test_lint_checks_jobs_and_what_scripts_declare(spark: JobSpark) -> None:
    spark.write("recipes/jobs/small.yaml", CHILD)
    done = spark.run("recipes", "lint", "small", "quantize", "_base").expect(0)
    assert "checked 3, errors 0, warnings 0" in done.err
    spark.write("recipes/jobs/_base.yaml", f"{BASE}gpu: all\n")
    for name in ("small", "_base"):
        assert "_base.yaml:5:1: unknown key 'gpu'" in spark.run("recipes", "lint", name).expect(2).err


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("serves: e4b-nvfp", "no recipe 'e4b-nvfp'"),
        ("serves: e4b-nvfp4", "e4b-nvfp4 would not find the product: its model.path is ~/models/gemma4-e4b-nvfp4"),
        ("input: {repo: a/b, facts: g}", "no model facts 'g'"),
        ("lighter: {words: less, set: {with.way: fast}}", "lighter.set: "),
        ("lighter: {words: less, set: {with.way: fast}}", "with.way: expected one of oneshot, model-free"),
        ("output: /etc/model", "reaches: "),
        ("output: ~/.ssh/model", "your settings, and perhaps your keys, are in it"),
    ],
)
def test_lint_says_what_does_not_go_together(spark: JobSpark, more: str, told: str) -> None:
    spark.write("recipes/jobs/small.yaml", CHILD)
    file = spark.write("recipes/jobs/other.yaml", f"extends: small\n{more}\n")
    assert told in spark.run("recipes", "lint", str(file)).err


def test_lint_knows_a_jobs_file_by_its_keys_or_by_its_folder(spark: JobSpark, tmp_path: Path) -> None:
    changed = spark.write("recipes/jobs/changed.yaml", "extends: small\ngpus: some gpus\n")
    assert "changed.yaml:2:7: gpus: expected all, none" in spark.run("recipes", "lint", str(changed)).expect(2).err
    elsewhere = tmp_path / "elsewhere.yaml"
    elsewhere.write_text("extends: small\noutput: here\n")
    assert "elsewhere.yaml:2:9: output: expected a path" in spark.run("recipes", "lint", str(elsewhere)).expect(2).err
    declared = spark.folder / "jobs" / "quantize.yaml"
    assert "checked 1, errors 0" in spark.run("recipes", "lint", str(declared)).expect(0).err


def test_a_script_without_its_program_or_its_memory_is_told(spark: JobSpark) -> None:
    (spark.folder / "jobs/quantize.py").unlink()
    assert "there is no script quantize.py beside it" in spark.run("recipes", "lint", "quantize").expect(2).err
    spark.write("jobs/other.py", "")
    spark.write("jobs/other.yaml", "parameters: {}\n")
    assert "nothing is said of its memory" in spark.run("recipes", "lint", "other").expect(0).err


def test_a_command_that_is_none_says_which_was_meant(spark: JobSpark, capsys: pytest.CaptureFixture[str]) -> None:
    spark.run("job", "lst").expect(2)
    assert "did you mean: sparkctl job list" in capsys.readouterr().err
    assert "no job 'smal'" in spark.run("job", "show", "smal").expect(2).err


@pytest.mark.parametrize("name", ["job", "job-script"])
def test_the_schema_of_a_format_is_one(spark: JobSpark, name: str) -> None:
    schema = spark.run("schema", name).expect(0).json
    assert schema["$schema"].endswith("2020-12/schema")
    if name == "job":
        assert {"required": ["extends"]} in schema["anyOf"]
        assert "with" in schema["properties"]
