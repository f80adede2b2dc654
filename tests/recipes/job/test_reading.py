"""From a job's name to a job: extends, overrides, script, parameters, constraints, and where each value is from."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparkctl.base.errors import InputError
from sparkctl.recipes.host_side.operator import Operator
from sparkctl.recipes.job.reading import base_problems, input_folder, input_source, load_job
from tests.support.fakes import FakeModels
from tests.support.job_shop import JobShop


@pytest.fixture
def shop(tmp_path: Path) -> JobShop:
    return JobShop(tmp_path)


def test_a_job_is_what_it_extends_and_itself_and_every_value_knows_its_line(shop: JobShop) -> None:
    loaded = shop.job("with.scheme=NVFP4A16", "gpus=none")
    job = loaded.job
    assert (job.image.base, job.image.steps, job.gpus, job.output) == (
        "python:3.12",
        (("tool==1.0",),),
        "none",
        "~/models/b-fp8",
    )
    assert loaded.parameters == {"scheme": "NVFP4A16", "ignore": ["lm_head"], "way": "oneshot"}
    assert loaded.constraints == "tool==1.0\nbeside==2.0.1\n"
    script = shop.shipped / "jobs" / "quantize.py"
    assert loaded.script.path == script
    assert loaded.script.md5 == hashlib.md5(script.read_bytes(), usedforsecurity=False).hexdigest()
    places = {path: f"{Path(place.file).name}:{place.line}" for path, place in loaded.origins.items()}
    assert places["with", "ignore", 0] == "_base.yaml:3"
    assert places["with", "way"] == "quantize.yaml:8"  # a default of the script's
    assert places["with", "scheme"] == "--set with.scheme:1"
    assert places["input", "repo"] == "small.yaml:2"
    assert loaded.overrides == ("with.scheme=NVFP4A16", "gpus=none")


def test_defaults_inside_of_a_map_are_filled_in_where_the_map_is_written(shop: JobShop) -> None:
    assert shop.job("with.calibration.texts=mine.txt").parameters["calibration"] == {"texts": "mine.txt", "samples": 16}
    assert "calibration" not in shop.job().parameters


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["with.scheme=FP8_DYNAMI"], "did you mean FP8_DYNAMIC?"),
        (["with.scheme=null"], "with.scheme is missing"),
        (["with.schema=FP8_DYNAMIC"], "unknown parameter 'schema' in with"),
        (["with.ignore=lm_head"], "with.ignore: expected a list, found the text 'lm_head'"),
        (["with.ignore=[lm_head, 3]"], "with.ignore[1]: expected a text, found the number 3"),
        (["with.calibration={samples: 0}"], "with.calibration.samples: expected at least 1, found the number 0"),
        (["with.calibration={samples: 1.5}"], "with.calibration.samples: expected a whole number, found the number"),
        (["with.calibration={sample: 1}"], "did you mean samples?"),
        (["with.calibration={texts: 3}"], "with.calibration.texts: expected a text or a list, found the number 3"),
        (
            ["with.ignore=['re:[']"],
            "no regular expression after 're:': unterminated character set at position 0",
        ),
        (["image.steps=[[foo]]"], "--set image.steps:1:3: image.steps[0][0]: expected NAME==VERSION, found 'foo'"),
        (["with.calibration={texts: []}"], "with.calibration.texts: expected at least 1 of them, found 0 of them"),
        (["with.calibration={texts: [1]}"], "with.calibration.texts[0]: expected a text, found the number 1"),
        (["with=fast"], "with: expected a map, found the text 'fast'"),
        (["script=quantise"], "did you mean quantize?"),
        (["script=./absent.py"], "absent.py: No such file or directory"),
        (["script=sparkctl_job"], "no script 'sparkctl_job'"),
        (["script=./sparkctl_job.py"], "sparkctl_job.py is what scripts have in common, and no script"),
        (["image.constraints=none.txt"], "image.constraints: cannot read"),
        (["image.steps=[[tool>=1]]"], "expected NAME==VERSION, found 'tool>=1'"),
        (["output=~/models/b/smaller"], "output: expected a folder apart from the input's"),
        (["outptu=/x"], "did you mean output?"),
        (["checks=[answers]"], "answers needs serves"),
    ],
)
def test_what_is_wrong_is_said_at_its_place(shop: JobShop, overrides: list[str], told: str) -> None:
    said = shop.told(*overrides)
    assert told in said
    assert said.startswith("--set" if "missing" not in told else "_base.yaml:3:1: ")


def test_every_problem_of_a_job_is_said_at_once(shop: JobShop) -> None:
    shop.write(
        "recipes/jobs/bad.yaml", "extends: _base\nwith: {ignore: 1}\noutput: here\nimage: {constraints: b.txt}\n"
    )
    shop.write("jobs/b.txt", "tool==1.0\nhttps://example.org/tool.whl\n")
    said = shop.told(name="bad")
    for problem in (
        "bad.yaml:1:1: input is missing",
        "bad.yaml:2:16: with.ignore: expected a list, found the number 1",
        "bad.yaml:3:9: output: expected a path from / or ~/, found 'here'",
        "shipped/jobs/b.txt:2:1: expected NAME==VERSION, found 'https://example.org/tool.whl'",
    ):
        assert problem in said


def test_a_secret_is_no_parameter_and_is_not_shown(shop: JobShop) -> None:
    said = shop.told("with.hf_token=hf_VerySecretOfMine1")
    assert "with.hf_token: a secret would stand in the command line" in said
    assert "VerySecret" not in said


def test_a_secret_is_none_of_a_script_without_a_schema_either(shop: JobShop) -> None:
    (shop.shipped / "jobs" / "quantize.yaml").unlink()
    assert "a secret would stand in the command line" in shop.told("with={api_key: abc}")
    assert "with.of" in shop.told("with={of: {token: [abc]}}")
    tokens = '{"pad_token": "<pad>", "mask_token": "[MASK]", "token": 7, "add_bos_token": true}'
    assert len(shop.job(f"with={tokens}").parameters) == 6


def test_half_of_a_character_is_refused_wherever_it_is(shop: JobShop) -> None:
    for override in ('with.ignore=["\\ud800"]', 'output="/models/\\udc80"', 'with.calibration={"\\udfff": 1}'):
        assert "found half of a surrogate pair" in shop.told(override)


def test_a_text_in_the_place_of_image_and_input_replaces_the_whole_map(shop: JobShop) -> None:
    job = shop.job("image=mine:1", "input=c/d").job
    assert (job.image.base, job.image.built, job.image.constraints) == ("mine:1", False, None)
    assert (job.input.repo, job.input.path, job.input.facts) == ("c/d", None, None)


def test_an_input_that_is_written_as_a_folder_has_no_repository(shop: JobShop) -> None:
    wanted = shop.job("input=~/models/mine").job.input
    assert (wanted.path, wanted.repo, wanted.facts) == ("~/models/mine", None, None)


def test_steps_are_laid_over_an_image_that_is_written_as_a_text(shop: JobShop) -> None:
    shop.write("recipes/jobs/other.yaml", "extends: small\nimage: mine:1\n")
    image = load_job(shop.catalog, "other", ["image.steps=[[a==1]]"]).job.image
    assert (image.base, image.steps) == ("mine:1", (("a==1",),))


def test_a_base_of_the_own_name_is_changed_by_an_operators_job(shop: JobShop) -> None:
    shop.write("recipes/jobs/small.yaml", "extends: small\noutput: ~/elsewhere\n", yours=True)
    loaded = shop.job()
    assert (loaded.entry.label, loaded.job.output, loaded.job.input.repo) == ("yours", "~/elsewhere", "a/b")


def test_a_job_that_extends_itself_or_nothing_is_refused(shop: JobShop) -> None:
    shop.write("recipes/jobs/one.yaml", "extends: two\n")
    shop.write("recipes/jobs/two.yaml", "extends: one\n")
    assert "extends: a job cannot extend itself: one → two → one" in shop.told(name="one")
    shop.write("recipes/jobs/three.yaml", "extends: smal\n")
    assert "three.yaml:1:10: extends: no job 'smal'" in shop.told(name="three")
    assert "did you mean small?" in shop.told(name="smal")


def test_a_base_is_not_run_and_is_checked_as_far_as_it_goes(shop: JobShop) -> None:
    assert "_base is a base for other jobs to extend" in shop.told(name="_base")
    assert base_problems(shop.catalog, shop.catalog.entry("job", "_base")) == []
    shop.write("recipes/jobs/_base.yaml", "gpus: some gpus\nscript: none\n")
    told = [problem.message for problem in base_problems(shop.catalog, shop.catalog.entry("job", "_base"))]
    assert len(told) == 2


def test_files_are_looked_for_from_the_file_that_names_them(
    shop: JobShop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.write("recipes/jobs/own/mine.py", "print(1)\n")
    shop.write("recipes/jobs/own/mine.txt", "tool==1.0\n")
    text = "extends: small\nscript: ./mine.py\nimage: {constraints: ./mine.txt}\nwith: null\n"
    file = shop.write("recipes/jobs/own/job.yaml", text)
    loaded = shop.job(name=str(file))
    assert (loaded.script.name, loaded.script.declared, loaded.constraints) == ("mine", None, "tool==1.0\n")
    assert "nothing is declared of mine.py" in loaded.warnings[0].message
    (tmp_path / "here.py").write_text("print(2)\n")
    monkeypatch.chdir(tmp_path)
    assert shop.job("script=./here.py", "with=null").script.path == tmp_path / "here.py"


def test_a_job_that_lies_where_its_script_would_declare_is_told_so(shop: JobShop) -> None:
    shop.write("recipes/jobs/own.py", "print(1)\n")
    shop.write("recipes/jobs/own.yaml", "extends: small\nscript: ./own.py\nwith: null\n")
    with pytest.raises(InputError, match=r"own.yaml:2:9: script: own.yaml beside own.py is where the script says"):
        shop.job(name="own")


def test_a_script_of_the_operators_hides_the_shipped_one(shop: JobShop) -> None:
    shop.write("jobs/quantize.py", "print('mine')\n", yours=True)
    loaded = shop.job()
    assert loaded.script.path.is_relative_to(shop.yours)
    assert loaded.script.declared is None  # the shipped declaration is another script's


def test_a_declaration_that_is_no_schema_or_breaks_its_own_default_is_refused(shop: JobShop) -> None:
    shop.write("jobs/quantize.yaml", "parameters: {type: objekt}\n")
    assert "shipped/jobs/quantize.yaml:1:20: parameters.type: expected a JSON Schema" in shop.told()
    shop.write("jobs/quantize.yaml", "parameters: {type: array}\n")
    assert "parameters.type: expected object, for `with` is a map" in shop.told()
    shop.write("jobs/quantize.yaml", "parameters: {properties: {way: {enum: [a], default: b}}}\n")
    assert "quantize.yaml:1:53: parameters.properties.way.default: 'b' is not one of ['a']" in shop.told()
    shop.write("jobs/quantize.yaml", "parameters: {properties: {scheme: {$ref: 'https://example.org/s.json'}}}\n")
    assert "the schema of the script's parameters cannot be used" in shop.told()
    shop.write("jobs/quantize.yaml", "memory: [{input: 2}]\n")
    assert "memory[0].source is missing" in shop.told()


def test_an_image_without_constraints_is_doubted(shop: JobShop) -> None:
    (doubt,) = shop.job("image.constraints=null").warnings
    assert "another day builds another image" in doubt.message
    assert shop.job().warnings == ()


def test_the_input_is_found_in_its_folder_and_else_in_the_cache(shop: JobShop, tmp_path: Path) -> None:
    operator = Operator(Path("/home/operator"), tmp_path / "config", tmp_path / "state")
    loaded, absent = shop.job(), FakeModels(missing={"b": "is not there"})
    assert input_folder(loaded, input_source(loaded, FakeModels(), operator)) == Path("/home/operator/models/b")
    with pytest.raises(InputError) as error:
        input_folder(loaded, input_source(loaded, absent, operator))
    assert error.value.message == "the input of small: /home/operator/models/b is not there"
    assert error.value.hint is not None
    assert "--set input.path=FOLDER" in error.value.hint
    absent.cache.add("a/b")
    assert input_source(loaded, absent, operator).here == operator.hub(None) / "a/b"


@settings(max_examples=60)
@given(
    st.text(max_size=40), st.sampled_from(["with.scheme", "with", "image", "script", "input", "output", "image.steps"])
)
def test_whatever_is_laid_over_a_job_is_a_job_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, text: str, path: str
) -> None:
    shop = JobShop(tmp_path_factory.mktemp("shop"))
    try:
        shop.job(f"{path}={text}")
    except InputError as error:
        assert error.message  # noqa: PT017  (that it is nothing else is the assertion)
