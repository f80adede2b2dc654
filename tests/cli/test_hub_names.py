"""A model by its hub name alone, and a recipe of a model and an image: what follows, and from where."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from sparkctl.world.ports import HubModel
from tests.support.fake_world import FakeSpark
from tests.support.paths import TESTS

if TYPE_CHECKING:
    from pathlib import Path

CONFIGS = TESTS / "fixtures/configs"
QWEN = "acme/Qwen3-8B-Law"
COMMIT = "b968826d9c46dd6066d109eabc6255188de91218"
SIZE = 16_381_470_720
"""Bytes of an 8.2 billion parameters' checkpoint; one tensor stands for all."""


def model(name: str = "qwen3-8b", size: int = SIZE) -> HubModel:
    config = (CONFIGS / name / "config.json").read_bytes()
    return HubModel(COMMIT, config, (("model.layers.0.mlp.up_proj.weight", "BF16", (size // 2,), size),))


@pytest.fixture
def spark(tmp_path: Path) -> FakeSpark:
    spark = FakeSpark(tmp_path)
    spark.hub.models[QWEN] = model()
    return spark


def recipe(spark: FakeSpark, text: str, name: str = "mine") -> str:
    path = spark.folder / "recipes" / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return name


def words(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_plan_render_and_size_take_a_hub_name_and_ask_once(spark: FakeSpark) -> None:
    planned = spark.run("plan", QWEN, "--json").expect(0).json["services"][0]
    assert planned["name"] == "qwen3-8b-law"
    assert planned["steady_bytes"] > SIZE
    rendered = spark.run("render", QWEN).expect(0).out
    assert f"--kv-cache-memory-bytes {planned['kv_cache_memory_bytes']}" in rendered
    assert f"--model {QWEN} " in rendered
    size = spark.run("size", QWEN, "--json").expect(0).json["weights"]
    assert size["checkpoint_bytes"] == SIZE
    assert size["source"] == f"the safetensors headers of {QWEN} on the hub (b968826d)"
    assert spark.hub.asked == [(QWEN, None)]


def test_a_started_hub_name_is_found_again_by_its_record_without_the_hub(spark: FakeSpark) -> None:
    spark.models.cache.add(QWEN)
    rendered = spark.run("render", QWEN, "--set", "serve.port=8003").expect(0)
    image = next(word for word in rendered.out.split() if word.startswith("vllm/"))
    spark.engine.images[image] = {}
    spark.http.serving["127.0.0.1:8003"] = "qwen3-8b-law"  # type: ignore[union-attr]
    spark.run("up", QWEN, "--set", "serve.port=8003").expect(0)
    spark.hub.models.clear()
    assert "qwen3-8b-law" in spark.run("ps").expect(0).out
    again = spark.run("up", QWEN, "--set", "serve.port=8003").expect(0)
    assert "already up" in again.err
    spark.run("down", "qwen3-8b-law").expect(0)


def test_what_was_asked_before_serves_without_the_hub(spark: FakeSpark) -> None:
    first = spark.run("plan", QWEN).expect(0)
    spark.hub.models.clear()
    second = spark.run("plan", QWEN).expect(0)
    assert second.out == first.out
    assert "reading config.json" not in second.err


def test_another_revision_is_asked_for_itself(spark: FakeSpark) -> None:
    spark.run("plan", QWEN).expect(0)
    spark.run("plan", QWEN, "--set", "model.revision=v2").expect(0)
    assert spark.hub.asked == [(QWEN, None), (QWEN, "v2")]


@pytest.mark.parametrize("kept", [b"", b"{", b"[]", b'{"commit": "c", "config": "!", "tensors": []}'])
def test_what_is_kept_and_damaged_is_asked_for_anew(spark: FakeSpark, kept: bytes) -> None:
    spark.run("plan", QWEN).expect(0)
    (path,) = [path for path in spark.files.written if path.parent.name == "hub"]
    spark.files.write(path, kept, mode=0o644)
    spark.run("plan", QWEN).expect(0)
    assert len(spark.hub.asked) == 2


def test_a_hub_that_does_not_answer_is_one_line(spark: FakeSpark) -> None:
    for command in ("plan", "render", "size"):
        done = spark.run(command, "nobody/Nothing-8B").expect(2)
        assert "error: cannot read nobody/Nothing-8B: the hub has not answered for 5 s" in done.err
        assert "Traceback" not in done.err


def test_up_of_a_model_that_is_not_here_names_its_size_and_the_command_that_fetches_it(spark: FakeSpark) -> None:
    spark.run("plan", QWEN).expect(0)
    done = spark.run("up", QWEN).expect(2)
    assert f"{QWEN} is not in the cache /home/operator/.cache/huggingface/hub (about 15.3 GiB; " in done.err
    assert f"→ sparkctl download {QWEN}\n" in done.err


def test_a_recipe_of_a_model_and_an_image_is_whole_and_says_what_follows_from_where(spark: FakeSpark) -> None:
    name = recipe(spark, f"model: {QWEN}\nimage: vllm/vllm-openai:v0.25.1-cu130\n")
    spark.run("recipes", "lint", name).expect(0)
    shown = words(spark.run("recipes", "show", name).expect(0).out)
    assert ["vllm", "0.25.1", "the", "image's", "tag"] in shown
    assert ["template", "vllm-openai", "follows", "from", "the", "image"] in shown
    assert ["serve.name", "mine", "the", "recipe's", "name"] in shown
    assert ["limits.context", "40960", "the", "model's", "own"] in shown
    port = next(line[1] for line in shown if line[0] == "serve.port")
    assert 8100 <= int(port) <= 8899
    assert f"127.0.0.1:{port}:8000" in spark.run("render", name).expect(0).out
    origins = spark.run("recipes", "show", name, "--json").expect(0).json["origins"]
    assert origins["limits.context"] == "the model's own"


def test_the_context_is_bounded_by_what_fits_the_profile_and_not_by_what_is_free(spark: FakeSpark) -> None:
    spark.hub.models[QWEN] = model(size=66 * 2**30)
    name = recipe(spark, f"model: {QWEN}\nimage: vllm/vllm-openai:v0.32.0\nlimits: {{sequences: 8}}\n")
    shown = next(
        line for line in words(spark.run("recipes", "show", name).expect(0).out) if line[0] == "limits.context"
    )
    context = int(shown[1])
    assert " ".join(shown[2:]) == "what fits alone, of the model's 40,960"
    assert context % 1024 == 0
    spark.run("plan", name, "--host", "gb10").expect(0)
    more = context + 1024
    spark.run("plan", name, "--host", "gb10", "--set", f"limits.context={more}").expect(3)
    command = spark.run("render", name).expect(0).out
    spark.host.available //= 2
    assert spark.run("render", name).expect(0).out == command


def test_a_model_that_never_fits_is_refused_with_its_arithmetic(spark: FakeSpark) -> None:
    spark.hub.models[QWEN] = model(size=200 * 2**30)
    refused = spark.run("plan", QWEN).expect(3)
    assert "200.0" in refused.out + refused.err


@pytest.mark.parametrize(
    ("image", "template", "version"),
    [
        ("vllm/vllm-openai:v0.20.2", "vllm-openai", "0.20.2"),
        ("vllm/vllm-openai:v0.20.2rc1-aarch64", "vllm-openai", "0.20.2rc1"),
        ("localhost:5000/team/vllm-openai:0.30.0@sha256:" + "0" * 64, "vllm-openai", "0.30.0"),
        ("nvcr.io/nvidia/vllm:26.08-py3", "vllm-serve", None),
        ("scitrera/dgx-spark-vllm:0.19.1-t5", "vllm-serve", "0.19.1"),
        ("vllm-node", "vllm-serve", None),
    ],
)
def test_template_and_version_follow_from_the_image(
    spark: FakeSpark, image: str, template: str, version: str | None
) -> None:
    name = recipe(spark, f"model: {QWEN}\nimage: {json.dumps(image)}\n")
    done = spark.run("recipes", "show", name).expect(0)
    shown = {line[0]: line[1] for line in words(done.out)}
    assert shown["template"] == template
    if version is None:
        assert "its tag does not say it: taken as" in done.err
    else:
        assert shown["vllm"] == version
        assert "does not say" not in done.err


def test_what_is_written_stands(spark: FakeSpark) -> None:
    base = f"model: {{repo: {QWEN}}}\nimage: a/vllm:v0.25.1\nvllm: '0.30'\nserve: {{port: 9000}}\n"
    name = recipe(spark, f"{base}limits: {{context: 512}}\n")
    shown = {line[0]: line[1] for line in words(spark.run("recipes", "show", name).expect(0).out)}
    assert (shown["vllm"], shown["serve.port"], shown["limits.context"]) == ("0.30", "9000", "512")
    assert spark.hub.asked == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("image: a/b:v0.30.0\n", "model is missing"),
        (f"model: {QWEN}\n", "image is missing"),
        (f"model: {QWEN}\nimage: a/b:v0.30.0\nserve: null\n", "serve"),
        (f"model: {QWEN}\nimage: a/b:v0.30.0\nserve: 8000\n", "serve: expected a map"),
        ("model: [a/b]\nimage: a/b:v0.30.0\n", "model: expected a map"),
        (f"model: {QWEN}\nimage: [1]\n", "image: expected a text"),
        (f"model: {QWEN}\nimage: a/b:v0.30.0\nlimits: {{context: 0}}\n", "limits.context"),
        (f"model: {QWEN}\nimage: a/b:v0.30.0\nlimits: 5\n", "limits: expected a map"),
    ],
)
def test_a_minimal_recipe_that_is_wrong_says_where(spark: FakeSpark, text: str, said: str) -> None:
    done = spark.run("recipes", "lint", recipe(spark, text)).expect(2)
    assert said in done.err
    assert "mine.yaml:" in done.err


def test_lint_never_asks_the_hub(spark: FakeSpark) -> None:
    spark.run("recipes", "lint", recipe(spark, f"model: {QWEN}\nimage: vllm/vllm-openai:v0.32.0\n")).expect(0)
    assert spark.hub.asked == []


def test_a_file_comes_before_a_hub_name_and_a_yaml_is_never_one(
    spark: FakeSpark, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    done = spark.run("plan", "recipes/nothing.yaml").expect(2)
    assert "no file recipes/nothing.yaml" in done.err
    assert spark.hub.asked == []


def test_facts_that_know_a_repository_are_taken_before_the_hub(spark: FakeSpark) -> None:
    spark.run("plan", "coolthor/Gemma-4-E4B-it-NVFP4A16").expect(0)
    assert spark.hub.asked == []


def test_the_largest_image_of_a_model_sets_the_batched_tokens_that_nobody_wrote(spark: FakeSpark) -> None:
    shown = words(spark.run("recipes", "show", "google/gemma-4-26B-A4B-it").expect(0).out)
    assert ["limits.batched-tokens", "2496", "the", "model's", "largest", "image"] in shown
