"""`sparkctl new` as an operator reads it: a file that lints, plans and says why each line is there."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.units import GIB
from sparkctl.world.ports import HubModel
from tests.support.fake_hub import safetensors
from tests.support.fake_world import FakeSpark
from tests.support.paths import FIXTURES, REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

QWEN, COMMIT = "acme/Qwen3-8B-Law", "b968826d9c46dd6066d109eabc6255188de91218"
TEMPLATE = b"{% if tools %}<tool_call>{% endif %}{% if enable_thinking %}<think>{% endif %}"
PAGE = (REPOSITORY / "docs" / "json.md").read_text()
SIZE = 16_381_470_720


def described(name: str, size: int = SIZE) -> HubModel:
    config = (FIXTURES / "configs" / name / "config.json").read_bytes()
    return HubModel(COMMIT, config, (("model.layers.0.mlp.up_proj.weight", "BF16", (size // 2,), size),))


@pytest.fixture
def spark(tmp_path: Path) -> FakeSpark:
    spark = FakeSpark(tmp_path)
    spark.hub.models[QWEN] = described("qwen3-8b")
    spark.hub.files[QWEN] = {"chat_template.jinja": TEMPLATE}
    return spark


def made(spark: FakeSpark, *words: str) -> dict[str, Any]:
    row: dict[str, Any] = spark.run("new", *words, "--json").expect(0).json
    return row


def test_a_repository_becomes_a_recipe_that_lints_plans_and_renders(spark: FakeSpark) -> None:
    done = spark.run("new", QWEN).expect(0)
    path = spark.folder / "recipes" / "qwen3-8b-law.yaml"
    assert done.out == f"{path}\n"
    text = path.read_text()
    assert "guessed: limits.sequences: " in done.err
    assert f"{QWEN}: made by `sparkctl new` of config.json and headers of the hub, at b968826d." in text
    assert "reasoning-parser: qwen3\n" in text
    assert "tool-call-parser: hermes\n" in text
    assert "image: vllm/vllm-openai:v0.33.0\n" in text
    assert "# the model's own, and it fits while nothing else runs" in text
    spark.run("recipes", "lint", "qwen3-8b-law").expect(0)
    assert spark.run("plan", "qwen3-8b-law", "--json").expect(0).json["fits"]
    assert "--tool-call-parser hermes" in spark.run("render", "qwen3-8b-law").expect(0).out
    assert "its model is not here yet" not in text


def test_every_line_has_its_reason_above_it_and_guesses_say_so(spark: FakeSpark) -> None:
    row = made(spark, QWEN)
    assert all(line["why"] for line in row["lines"])
    lines = row["text"].splitlines()
    for line in row["lines"]:
        last = line["key"].rpartition(".")[2]
        (place,) = [index for index, text in enumerate(lines) if text.strip().startswith(f"{last}:")]
        assert lines[place - 1].strip().startswith("# ")
    assert row["text"].count("# guessed: ") == sum(line["guessed"] for line in row["lines"])
    assert {one["key"] for one in row["left_out"]} >= {"model.revision"}


def test_the_documented_keys_are_the_printed_ones(spark: FakeSpark) -> None:
    (row,) = [line for line in PAGE.splitlines() if line.startswith("| `new MODEL --json`")]
    flat = re.sub(r"\[\{.*?\}\]|\(.*?\)|^\|.*?\| object \|", "", row)
    assert list(made(spark, QWEN)) == re.findall(r"`(\w+)`", flat)


def test_nothing_is_written_over_and_no_name_is_taken_twice(spark: FakeSpark) -> None:
    spark.run("new", QWEN).expect(0)
    path = spark.folder / "recipes" / "qwen3-8b-law.yaml"
    path.write_text("mine")
    assert "is there already, and is never written over" in spark.run("new", QWEN).expect(2).err
    assert path.read_text() == "mine"
    taken = spark.run("new", QWEN, "--name", "e4b-nvfp4").expect(2).err
    assert "e4b-nvfp4 is a recipe, a stack or a service already" in taken
    assert "cannot be the name of a recipe" in spark.run("new", QWEN, "--name", "a b").expect(2).err


def test_the_context_is_the_longest_that_fits_beside_what_runs_or_is_named(spark: FakeSpark) -> None:
    spark.hub.models[QWEN] = described("qwen3-8b", size=48 * GIB)
    alone = made(spark, QWEN, "--name", "alone")
    beside = made(spark, QWEN, "--name", "beside", "--beside", "e2b-nvfp4")
    assert (alone["context"], beside["fits"], beside["beside"]) == (40960, True, ["e2b-nvfp4"])
    assert beside["context"] < 40960
    spark.run("plan", "beside", "e2b-nvfp4", "--host", "gb10-121").expect(0)
    fixed = made(spark, QWEN, "--name", "fixed", "--context", "2048")
    assert (fixed["context"], fixed["fits"]) == (2048, True)
    spark.host.available = 40 * GIB
    none = made(spark, QWEN, "--name", "none")
    assert not none["fits"]
    (line,) = [line for line in none["lines"] if line["key"] == "limits.context"]
    assert line["guessed"]
    assert "it does not fit while nothing else runs" in line["why"]


def test_several_answers_are_told_and_a_flag_settles_them(spark: FakeSpark) -> None:
    done = spark.run("new", QWEN).expect(0)
    assert "which image serves it? vllm/vllm-openai:v0.33.0: " in done.err
    assert "there is also vllm/vllm-openai:v0.32.0" in done.err
    named = spark.run("new", QWEN, "--name", "older", "--image", "vllm/vllm-openai:v0.25.1").expect(0)
    assert "which image" not in named.err
    assert "v0.25.1" in (spark.folder / "recipes" / "older.yaml").read_text()
    own = made(spark, QWEN, "--name", "own", "--image", "acme/own:1", "--template", "vllm-serve")
    told = {line["key"]: line for line in own["lines"]}
    assert (told["vllm"]["value"], told["vllm"]["guessed"]) == ("auto", True)
    assert told["template"]["value"] == "vllm-serve"


def test_a_person_at_a_terminal_is_asked_and_yes_asks_nothing(spark: FakeSpark) -> None:
    asked = spark.run("new", QWEN, "--name", "asked", typed="7\nx\n2\n").expect(0)
    assert "vllm/vllm-openai:v0.32.0\n" in (spark.folder / "recipes" / "asked.yaml").read_text()
    assert asked.err.count("which (1 to 2, 1 unless said)?") == 3
    spark.run("new", QWEN, "--name", "first", typed="\n").expect(0)
    assert "vllm/vllm-openai:v0.33.0\n" in (spark.folder / "recipes" / "first.yaml").read_text()
    assert "which (1" not in spark.run("new", QWEN, "--name", "unasked", "--yes", typed="").expect(0).err
    spark.run("new", QWEN, "--name", "gone", typed="").expect(130)
    assert not (spark.folder / "recipes" / "gone.yaml").exists()


def test_an_architecture_that_no_release_knows_needs_an_image(spark: FakeSpark) -> None:
    config = json.loads((FIXTURES / "configs" / "qwen3-8b" / "config.json").read_text())
    strange = {**config, "architectures": ["StrangeForCausalLM"]}
    spark.hub.models["acme/Strange"] = described("qwen3-8b")._replace(config=json.dumps(strange).encode())
    refused = spark.run("new", "acme/Strange").expect(2).err
    assert "no release of vLLM that is known has a class for StrangeForCausalLM" in refused
    assert "→ name an image that serves it: --image NAME" in refused
    spark.run("new", "acme/Strange", "--image", "vllm/vllm-openai:v0.33.0").expect(0)


def test_a_draft_model_and_a_model_without_a_longest_context_are_refused(spark: FakeSpark) -> None:
    spark.hub.models["acme/Draft"] = described("dflash-27b", size=3 * GIB)
    assert "acme/Draft is a draft model" in spark.run("new", "acme/Draft").expect(2).err
    spark.hub.models["acme/Mamba"] = described("mamba-2.8b", size=6 * GIB)
    assert "→ say one: --context TOKENS" in spark.run("new", "acme/Mamba").expect(2).err
    assert made(spark, "acme/Mamba", "--context", "4096")["context"] == 4096


def test_drafting_layers_of_the_checkpoint_are_used(spark: FakeSpark) -> None:
    repo = "acme/Qwen3.6-35B"
    spark.hub.models[repo] = described("qwen3.6-35b-a3b", size=70_000_000_000)
    assert "speculative.method" not in [line["key"] for line in made(spark, repo, "--name", "without")["lines"]]
    tensors = (*spark.hub.models[repo].tensors, ("mtp.layers.0.up.weight", "BF16", (1000,), 2000))
    spark.hub.models[repo] = spark.hub.models[repo]._replace(tensors=tensors)
    done = spark.run("new", repo, "--name", "with").expect(0)
    assert "is it to draft by its own layers? yes: " in done.err
    assert "--speculative-config" in spark.run("render", "with").expect(0).out


def test_a_folder_is_served_from_where_it_is_and_its_repository_is_a_guess(spark: FakeSpark, tmp_path: Path) -> None:
    folder = tmp_path / "models" / "Mine-8B"
    folder.mkdir(parents=True)
    (folder / "config.json").write_bytes((FIXTURES / "configs" / "qwen3-0.6b" / "config.json").read_bytes())
    assert "holds no safetensors" in spark.run("new", str(folder)).expect(2).err
    (folder / "model.safetensors").write_bytes(safetensors({"model.w": ("BF16", [64], 128)}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": TEMPLATE.decode()}))
    row = made(spark, str(folder))
    told = {line["key"]: line for line in row["lines"]}
    assert told["model.path"]["value"] == str(folder)
    assert (told["model.repo"]["value"], told["model.repo"]["guessed"]) == ("local/mine-8b", True)
    assert told["args.tool-call-parser"]["value"] == "hermes"
    out = tmp_path / "elsewhere" / "own.yaml"
    assert made(spark, str(folder), "--out", str(out))["path"] == str(out)
    spark.run("recipes", "lint", str(out)).expect(0)


def test_a_hub_that_does_not_answer_is_one_line_unless_the_model_is_known(spark: FakeSpark) -> None:
    assert "the hub has not answered" in spark.run("new", "nobody/Nothing-8B").expect(2).err
    spark.run("plan", QWEN).expect(0)
    spark.hub.models.clear()
    kept = spark.run("new", QWEN, "--name", "kept").expect(0)
    assert f"warning: the chat template of {QWEN} was not read: " in kept.err
    assert "guessed: args.tool-call-parser: goes with the model type qwen3; its chat template was not read" in kept.err
    row = made(spark, "google/gemma-4-E4B-it", "--name", "by-facts")
    assert "model facts gemma-4-e4b; the hub did not answer" in row["text"]
    assert any(line["key"] == "args.tool-call-parser" and line["guessed"] for line in row["lines"])
    assert "no folder, and no name of a repository" in spark.run("new", "nothing").expect(2).err
    assert "the model has no name" in spark.run("new", "").expect(2).err


@pytest.mark.parametrize("name", ["gemma4-26b-mm", "gpt-oss-20b", "nemotron-3-nano-30b-a3b-nvfp4", "glm-4.7-flash"])
def test_many_architectures_give_recipes_that_lint_and_plan(spark: FakeSpark, name: str) -> None:
    repo = f"acme/own-{name}"
    spark.hub.models[repo] = described(name, size=20 * GIB)
    row = made(spark, repo)
    spark.run("recipes", "lint", row["name"]).expect(0)
    spark.run("plan", row["name"]).expect(0)
