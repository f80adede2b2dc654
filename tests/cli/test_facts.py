"""`sparkctl facts`, and what `recipes lint` says of model facts and host profiles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import pytest
import yaml

from sparkctl.recipes.catalog import shipped_root
from sparkctl.world.ports import HubModel
from tests.support.fake_world import FakeSpark
from tests.support.paths import TESTS

if TYPE_CHECKING:
    from typing import Any

CONFIGS = TESTS / "fixtures/configs"
REPO = "acme/Qwen3-8B-Law"
SIZE = 16_000_000_000


@pytest.fixture
def spark(tmp_path: Path) -> FakeSpark:
    spark = FakeSpark(tmp_path)
    config = (CONFIGS / "qwen3-8b/config.json").read_bytes()
    tensors = (("model.layers.0.mlp.up_proj.weight", "BF16", (SIZE // 2,), SIZE), ("mtp.x", "BF16", (5,), 10))
    spark.hub.models[REPO] = HubModel("c0ffee11" * 5, config, tensors)
    return spark


def test_the_facts_of_a_repository_plan_as_its_headers_do_without_the_hub(spark: FakeSpark) -> None:
    by_headers = spark.run("size", REPO, "--json").expect(0).json
    done = spark.run("facts", REPO).expect(0)
    path = Path(done.out.strip())
    assert path == spark.operator.config / "recipes/models/qwen3-8b-law.yaml"
    assert "Qwen3ForCausalLM: 36 layers, context 40,960" in done.err
    assert "14.9 GiB on disk, " in done.err
    assert "config.json of acme/Qwen3-8B-Law on the hub (c0ffee11)" in path.read_text()
    (spark.folder / "recipes" / "models").mkdir(parents=True)
    path.rename(spark.folder / "recipes/models/qwen3-8b-law.yaml")
    spark.hub.models.clear()
    by_facts = spark.run("size", "qwen3-8b-law", "--json").expect(0).json
    assert by_facts["weights"]["bytes"] == by_headers["weights"]["bytes"]
    assert by_facts["kv_cache"] == by_headers["kv_cache"]
    spark.run("recipes", "lint", "qwen3-8b-law").expect(0)


def test_facts_asks_anew_and_keeps_what_is_there_unless_forced(spark: FakeSpark) -> None:
    spark.run("plan", REPO).expect(0)
    spark.run("facts", REPO, "--revision", "v2").expect(0)
    again = spark.run("facts", REPO).expect(2)
    assert "is there already" in again.err
    assert "--force writes it anew, --as NAME beside it" in again.err
    spark.run("facts", REPO, "--as", "other").expect(0)
    spark.run("facts", REPO, "--force").expect(0)
    assert spark.hub.asked == [(REPO, None), (REPO, "v2"), (REPO, None), (REPO, None)]


def test_facts_of_a_folder_need_no_hub(spark: FakeSpark) -> None:
    done = spark.run("facts", str(CONFIGS / "gemma4-e4b-mm")).expect(0)
    assert yaml.safe_load(Path(done.out.strip()).read_text())["config"]["model_type"] == "gemma4"
    assert spark.hub.asked == []


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("nobody/Nothing", "cannot read nobody/Nothing: the hub has not answered for 5 s"),
        ("nothing", "nothing is no folder, and no name of a repository"),
        ("a/b/c", "a/b/c is no folder, and no name of a repository"),
    ],
)
def test_a_model_that_is_none_is_an_error(spark: FakeSpark, model: str, said: str) -> None:
    assert said in spark.run("facts", model).expect(2).err


def sheet(spark: FakeSpark, text: str) -> str:
    path = spark.folder / "sheet.yaml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("config: {}\ndescription: none\n", "nothing is known of this model"),
        ("loaded: [{repo: a/b, size: 5 GiB, source: me}]\n", "config is missing: no cache can be counted without it"),
        ("config: {num_hidden_layers: two}\n", "num_hidden_layers: expected a whole number"),
        ("confg: {}\nloaded: []\n", "confg"),
        ("checkpoints: [{repo: a/b}]\n", "source"),
        ("total: 5 GiB\nreserve: 6 GiB\n", "a machine of 5.0 GiB is no larger than the reserve of 6.0 GiB"),
        ("total: -1\n", "total: expected more than 0"),
        ("total: 8 GiB\nreserve: 1 GiB\ngpu: rtx-5095\n", "gpu: the GPU rtx-5095 is not known"),
    ],
)
def test_facts_and_profiles_that_are_wrong_say_where(spark: FakeSpark, text: str, said: str) -> None:
    done = spark.run("recipes", "lint", sheet(spark, text)).expect(2)
    assert said in done.err
    assert "sheet.yaml:" in done.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("config: {model_type: foo, num_hidden_layers: 2, hidden_size: 8, num_attention_heads: 2, vocab_size: 9}\n",
         ["foo is not known: every layer is counted as full attention", "config has no source",
          "config does not say the longest context"]),
        ("total: 128 GiB\n", ["total has no source"]),
    ],
)  # fmt: skip
def test_what_is_doubtful_is_a_warning(spark: FakeSpark, text: str, said: list[str]) -> None:
    done = spark.run("recipes", "lint", sheet(spark, text)).expect(0)
    assert all(one in done.err for one in said)


@pytest.mark.parametrize(("name", "folder"), [("facts", "models"), ("host", "hosts"), ("measured", "measured")])
def test_the_schema_takes_every_file_that_is_shipped(spark: FakeSpark, name: str, folder: str) -> None:
    schema: Any = json.loads(spark.run("schema", name).expect(0).out)
    checker = jsonschema.Draft202012Validator(schema)
    for path in sorted((shipped_root() / "recipes" / folder).glob("*.yaml")):
        checker.validate(yaml.safe_load(path.read_text()))
    with pytest.raises(jsonschema.ValidationError):
        checker.validate({"confg": 5})
