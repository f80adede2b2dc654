"""Suites: the shipped one, what is wrong with one at its line, what lm-eval is told, and what decides its answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml
from jsonschema import Draft202012Validator

from sparkctl.base.errors import InputError
from sparkctl.operations.evaluation import order
from sparkctl.operations.evaluation.order import AskedModel, AskOrder
from sparkctl.operations.evaluation.suite_files import load_suite
from sparkctl.operations.files.schema import schema
from sparkctl.recipes.catalog import Catalog, Root, shipped_root
from sparkctl.recipes.job.confined import ScriptCode
from tests.support.fake_lm_eval import LM_EVAL, EvaluatingSpark
from tests.support.paths import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.operations.evaluation.suite_files import LoadedSuite

HEAD = f'source: this test\nimage: {{base: "{LM_EVAL}"}}\n'


@pytest.fixture
def spark(tmp_path: Path) -> EvaluatingSpark:
    return EvaluatingSpark(tmp_path)


def catalog(folder: Path) -> Catalog:
    return Catalog([Root(folder, "given"), Root(shipped_root(), "shipped")])


def ordered(loaded: LoadedSuite, folder: Path, **more: object) -> AskOrder:
    made = AskOrder(loaded, "id", "c", "1:1", ScriptCode(folder / "s.py"), {}, folder / "out", folder / "cache", {})
    return made._replace(**more)  # type: ignore[arg-type]


def test_the_shipped_suite_has_the_card_s_figures_and_a_floor_below_each(tmp_path: Path) -> None:
    loaded = load_suite(catalog(tmp_path), "retention")
    judged = [one for task in loaded.suite.tasks.values() for one in task.metrics.values()]
    expected = [one.expect.kept for one in judged if one.expect is not None]
    assert f"{100 * sum(expected) / len(expected):.1f} %" == "97.6 %"
    for one in judged:
        assert one.expect is not None
        assert one.floor is not None
        assert one.expect.kept - 0.03 < one.floor < one.expect.kept
    assert "lm-eval==0.4.13" in loaded.constraints
    text = yaml.safe_load((REPOSITORY / "recipes/suites/retention.yaml").read_text())
    Draft202012Validator(schema("suite")).validate(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (HEAD + "tasks: {}\n", ":3:8: "),
        (HEAD + "tasks:\n  gsm8k:\n    fewshots: 5\n", ":5:5: unknown key 'fewshots' in tasks.gsm8k"),
        (HEAD + "tasks:\n  sums:\n    metrics: {exact: {}}\n", ":5:15: "),
        (HEAD + "tasks:\n  sums:\n    metrics: {'m,f': {floor: 3}}\n", ":5:30: "),
        (HEAD + "tasks:\n  sums:\n    data: {test: none.jsonl}\n", ":5:18: data.test: cannot read"),
        (HEAD + "tasks:\n  sums:\n    task: ./none.yaml\n", ":5:11: task: cannot read"),
        (HEAD + "tasks: {sums: {}}\ntokens: 0\n", ":4:9: tokens: "),
        ("image: {base: i}\ntasks: {sums: {}}\n", ":1:1: source is missing"),
        (
            'source: s\nimage: {base: i, steps: [["lm-eval==0.4.13"]], constraints: none.txt}\ntasks: {sums: {}}\n',
            ":2:61: image.constraints: cannot read",
        ),
        ('source: s\nimage: {base: i, steps: [["lm-eval"]]}\ntasks: {sums: {}}\n', "expected NAME==VERSION"),
    ],
)
def test_what_is_wrong_with_a_suite_is_said_at_its_line(spark: EvaluatingSpark, text: str, says: str) -> None:
    file = spark.write("recipes/suites/wrong.yaml", text)
    refused = spark.run("evaluate", "e4b-bf16", "e4b-nvfp4", "--suite", "wrong").expect(2)
    assert says in refused.err
    linted = spark.run("recipes", "lint", str(file)).expect(2)
    assert says in linted.err
    assert spark.started == []


def test_a_suite_is_linted_by_its_name_and_with_everything(spark: EvaluatingSpark) -> None:
    assert spark.run("recipes", "lint", "sums", "--json").expect(0).json == {"checked": ["sums"], "problems": []}
    assert spark.run("recipes", "lint", str(spark.folder / "recipes/suites/sums.yaml")).expect(0)
    assert "suite retention" in spark.run("recipes", "lint", "--json").expect(0).json["checked"]


def test_what_the_script_is_told_is_what_it_declares(spark: EvaluatingSpark, tmp_path: Path) -> None:
    declared = yaml.safe_load((REPOSITORY / "jobs/lm-eval.yaml").read_text())
    judge = Draft202012Validator(declared["parameters"])
    spark.write("recipes/suites/own.lm-eval", "task: own\n")
    text = HEAD + "tasks: {own: {task: ./own.lm-eval, nltk: [punkt_tab]}, gsm8k: {fewshot: 0}}\nquestions: 5\n"
    spark.write("recipes/suites/own.yaml", text)
    for name in ("retention", "sums", "own"):
        loaded = load_suite(catalog(spark.folder), name)
        server = AskedModel("http://127.0.0.1:8000", "m", "a-key")
        for one in (ordered(loaded, tmp_path), ordered(loaded, tmp_path, server=server, again=True, network=True)):
            judge.validate(order.parameters(one))
    own = order.parameters(ordered(loaded, tmp_path))
    assert own["tasks"][0] == {"name": "own", "task": "own", "file": "/suite/own/task.yaml", "nltk": ["punkt_tab"]}
    assert own["questions"] == 5


def test_the_digest_changes_with_what_is_asked_and_with_nothing_else(spark: EvaluatingSpark) -> None:
    def digest(image: str = "id") -> str:
        return load_suite(catalog(spark.folder), "sums").digest(image)

    first, path = digest(), spark.folder / "recipes/suites/sums.yaml"
    text = path.read_text()
    for old, new in (
        ("floor: 0.9", "floor: 0.8"),
        ("description: six", "description: 6"),
        ("tokens", "concurrency: 9\ntokens"),
    ):
        path.write_text(text.replace(old, new))
        assert digest() == first, new
    for old, new in (
        ("tokens: 64", "tokens: 65"),
        ("fewshot: 2", "fewshot: 1"),
        ("ifeval:", "other:"),
        ("tokens", "seed: 1\ntokens"),
    ):
        path.write_text(text.replace(old, new))
        assert digest() != first, new
    path.write_text(text)
    assert digest("another") != first
    (path.parent / "test.jsonl").write_text("{}\n")
    assert digest() != first, "the questions themselves"


def test_a_task_s_own_file_is_no_suite_and_a_name_that_is_near_is_offered(spark: EvaluatingSpark) -> None:
    with pytest.raises(InputError) as refused:
        load_suite(catalog(spark.folder), "retentoin")
    assert refused.value.hint == "did you mean retention?"
