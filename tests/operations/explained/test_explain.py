"""``sparkctl explain``: each word with its origin, its sum, what it does, costs and is known to hurt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import pytest

from sparkctl.base.units import GIB
from sparkctl.cli.explained import explain
from sparkctl.recipes.catalog import Catalog, Root, shipped_root
from sparkctl.vllm.known import words
from tests.support.fake_world import FakeSpark

if TYPE_CHECKING:
    from pathlib import Path

PARENT = """\
image: vllm/vllm-openai:v0.20.2
model: {repo: test/tiny, facts: gemma-4-e4b}
args: {kv-cache-dtype: fp8, enable-prefix-caching: false, cpu-offload-gb: 2}
env: {VLLM_LOGGING_LEVEL: DEBUG, SOME_OTHER: x}
"""
CHILD = """\
extends: _parent
limits: {context: 8192, batched-tokens: 4096}
speculative: {method: ngram, num_speculative_tokens: 3, prompt_lookup_max: 4}
ready: {acceptance: {overall: 0.1}}
container: {ipc: host, mounts: ["/etc/hosts:/data/hosts"]}
"""
STACK = "services: {small: {recipe: tiny, set: {limits.sequences: 3}}}\n"


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> FakeSpark:
    folder = tmp_path_factory.mktemp("explain")
    for name, text in (("_parent.yaml", PARENT), ("tiny.yaml", CHILD), ("stacks/box.yaml", STACK)):
        path = folder / "recipes" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return FakeSpark(folder)


def words_of(spark: FakeSpark, *arguments: str) -> dict[str, dict[str, Any]]:
    """Return the words of an explanation, by their names; of several of one name the last."""
    found = spark.run("explain", *arguments, "--json").expect(0).json
    return {one["name"]: one for one in found["words"]}


def origins(word: dict[str, Any]) -> list[str]:
    return [f"{one['writer']} {one['key']}={one['value']} {one['place'].rpartition('/')[2]}" for one in word["from"]]


def test_every_word_of_the_command_is_explained_in_its_order(spark: FakeSpark) -> None:
    explained = spark.run("explain", "tiny", "--json").expect(0).json
    spec = spark.run("render", "tiny", "--json").expect(0).json
    command = [word for one in explained["words"] if one["part"] == "server" for word in one["words"]]
    assert command == spec["command"]
    assert all(one["from"] for one in explained["words"])
    assert (explained["service"], explained["vllm"]) == ("tiny", "0.20.2")


def test_who_wrote_each_word(spark: FakeSpark) -> None:
    found = words_of(spark, "box", "--set", "limits.batched-tokens=2048")
    assert origins(found["kv-cache-dtype"]) == ["a recipe that it extends args.kv-cache-dtype=fp8 _parent.yaml:3:24"]
    assert origins(found["max-model-len"]) == ["the recipe limits.context=8192 tiny.yaml:2:19"]
    assert origins(found["max-num-seqs"]) == ["the stack limits.sequences=3 box.yaml:1:58"]
    assert origins(found["max-num-batched-tokens"]) == [
        "--set limits.batched-tokens=2048 --set limits.batched-tokens:1:1"
    ]
    assert origins(found["gpus"]) == ["nobody: the default gpus=all "]
    assert origins(found["served-model-name"]) == ["nobody: it follows serve.name=tiny the recipe's name"]
    assert origins(found["SOME_OTHER"]) == ["a recipe that it extends env.SOME_OTHER=x _parent.yaml:4:46"]
    assert origins(found["TRITON_CACHE_DIR"]) == ["nobody: the default container.caches=true "]
    assert origins(found["name"]) == ["sparkctl = "]
    assert [one["key"] for one in found["publish"]["from"]] == ["serve.bind", "serve.port", "serve.container-port"]
    keys = [one["key"] for one in found["speculative-config"]["from"]]
    assert keys == [f"speculative.{key}" for key in ("method", "num_speculative_tokens", "prompt_lookup_max")]


def test_which_key_asks_for_a_mount(spark: FakeSpark) -> None:
    mounts = spark.run("explain", "tiny", "--mount", "--json").expect(0).json["words"]
    assert [[one["key"] for one in word["from"]] for word in mounts] == [["cache"], ["container.mounts[0]"]]
    shipped = spark.run("explain", "26b-a4b-fp8-mtp", "mods", "--json").expect(0).json["words"]
    assert [word["name"] for word in shipped] == ["mount"]
    assert "gemma4_mtp.py" in shipped[0]["value"]


def test_an_option_that_is_given_several_times_comes_from_its_own_value(spark: FakeSpark) -> None:
    setup = "container={ulimits: {memlock: -1, stack: 9}, capabilities: [SYS_NICE, SYS_PTRACE], devices: [/dev/fuse]}"
    found = spark.run("explain", "tiny", "--set", setup, "--set", "gpus=cdi:nvidia.com/gpu=0", "--json").expect(0).json
    keys = {one["value"]: [key["key"] for key in one["from"]] for one in found["words"] if one["part"] == "docker"}
    assert keys["memlock=-1"] == ["container.ulimits.memlock"]
    assert keys["SYS_PTRACE"] == ["container.capabilities[1]"]
    assert keys["/dev/fuse"] == ["container.devices[0]"]
    assert keys["nvidia.com/gpu=0"] == ["gpus"]


def test_a_text_of_several_lines_stays_one(spark: FakeSpark) -> None:
    given = 'args.chat-template="one\\ntwo"'
    (word,) = spark.run("explain", "tiny", "chat-template", "--set", given, "--json").expect(0).json["words"]
    assert word["from"][0]["value"] == '"one\\ntwo"'


def test_a_template_of_ones_own_is_where_its_words_come_from(tmp_path: Path) -> None:
    spark = FakeSpark(tmp_path)
    (tmp_path / "templates").mkdir()
    text = (shipped_root() / "templates/vllm-openai.j2").read_text()
    (tmp_path / "templates/mine.j2").write_text(text.rstrip() + "\n--seed 7 -q fp8\n")
    found = words_of(spark, "e4b-bf16", "--set", "template=mine")
    assert origins(found["seed"]) == ["the template template=mine "]
    assert origins(found["quantization"]) == ["the template template=mine "]


def test_the_sums_are_shown_and_come_out(spark: FakeSpark) -> None:
    found = words_of(spark, "tiny")
    kv = found["kv-cache-memory-bytes"]
    assert f"= {int(kv['value']):,} bytes" in kv["sums"][0]
    assert "blocks of a sequence of 8,192 tokens" in kv["sums"][1]
    (fraction,) = found["gpu-memory-utilization"]["sums"]
    assert fraction.startswith("(weights ")
    assert fraction.endswith(f"rounded up to a hundredth = {found['gpu-memory-utilization']['value']}")
    assert found["max-num-seqs"]["sums"] == []
    given = words_of(spark, "tiny", "--set", "memory={kv: 2 GiB}")
    assert "sequences of 8,192 tokens at once" in given["kv-cache-memory-bytes"]["sums"][0]
    sized = words_of(spark, "tiny", "--set", "memory={utilization: 0.5}")
    assert sized["gpu-memory-utilization"]["sums"][0].startswith(
        "0.5 x 119.60 GiB of the host profile (gb10) = 59.80 GiB"
    )


def test_what_a_word_costs(spark: FakeSpark) -> None:
    found = words_of(spark, "tiny")

    def told(name: str) -> tuple[str, set[str]]:
        memory = found[name]["memory"]
        return memory["instead"], {one["item"] for one in memory["items"]}

    assert told("kv-cache-dtype") == ("without it", {"KV cache"})
    assert told("max-model-len") == ("with 4,096", {"KV cache"})
    assert told("max-num-seqs")[0] == "with 2"
    assert told("cpu-offload-gb")[1] == {"weights on the host"}
    assert "CUDA graphs" in told("speculative-config")[1]
    (model,) = found["model"]["memory"]["items"]
    assert model["bytes"] > GIB
    assert told("enable-prefix-caching") == ("without it", set())
    assert found["SOME_OTHER"]["memory"]["items"] == []
    assert "sizes nothing here" in found["gpu-memory-utilization"]["memory"]["untold"]
    one = words_of(spark, "tiny", "max-num-seqs", "--set", "limits.sequences=1")
    assert one["max-num-seqs"]["memory"]["untold"] == "one is the least"
    sized = words_of(spark, "tiny", "gpu-memory-utilization", "--set", "memory={utilization: 0.5}")
    assert [item["item"] for item in sized["gpu-memory-utilization"]["memory"]["items"]] == ["KV cache"]
    buffers = words_of(spark, "tiny", "enable-dbo", "--set", "args.enable-dbo=true")
    assert "two batches run at once" in buffers["enable-dbo"]["memory"]["untold"]


def test_what_releases_say_of_a_flag(spark: FakeSpark) -> None:
    dtype = words_of(spark, "tiny")["kv-cache-dtype"]
    assert (dtype["since"], dtype["here"], dtype["help"]) == ("0.17.1", True, "vllm serve --help=kv-cache-dtype")
    assert "fp8" in dtype["choices"]
    text = spark.run("explain", "tiny", "--linear-backend").expect(0).out
    assert "--linear-backend: the command does not have it" in text
    assert "0.22.1, until 0.33.0; this release does not have it" in text
    variable = spark.run("explain", "tiny", "VLLM_NVFP4_GEMM_BACKEND").expect(0).out
    assert "until 0.23.0" not in variable
    assert "→ marlin" in variable


def test_a_flag_is_found_by_any_of_its_names(spark: FakeSpark) -> None:
    for name in ("--max-model-len", "max_model_len", "limits.context"):
        assert list(words_of(spark, "tiny", name)) == ["max-model-len"]
    assert list(words_of(spark, "tiny", "limits")) == ["max-model-len", "max-num-seqs", "max-num-batched-tokens"]
    assert list(words_of(spark, "tiny", "image")) == ["image"]
    assert "root of the host" in spark.run("explain", "tiny", "privileged").expect(0).out


def test_what_is_no_flag_is_refused_with_the_nearest(spark: FakeSpark) -> None:
    wrong = spark.run("explain", "tiny", "--max-modle-len").expect(2)
    assert "found '--max-modle-len'" in wrong.err
    assert "did you mean --max-model-len?" in wrong.err
    assert "such as --max-model-len" in spark.run("explain", "tiny", "%%%%%%%%").expect(2).err


def test_what_is_known_to_hurt_stands_at_its_word(spark: FakeSpark) -> None:
    text = spark.run("explain", "tiny", "ipc").expect(0).out
    assert "MiaAI-Lab/Qwen3.8-Flash-Next-Single-DGX-Spark#13" in text
    assert "→ container.shm-size in its place" in text
    whole = spark.run("explain", "tiny").expect(0).out
    assert "before 0.24 the engine may be killed" in whole.partition("\n\n")[0]
    assert "--label, " in whole


def test_a_stack_of_several_is_refused(spark: FakeSpark) -> None:
    assert "explain one of its services: " in spark.run("explain", "executor").expect(2).err


def test_every_flag_of_the_shipped_recipes_has_a_sentence(spark: FakeSpark) -> None:
    catalog = Catalog([Root(shipped_root(), "shipped")])
    for entry in catalog.recipes():
        loaded = catalog.recipe(entry.name)
        assert [name for name in loaded.recipe.args if words.of_flag(name) is None] == []
    for name in ("e4b-nvfp4", "26b-a4b-nvfp4", "26b-a4b-fp8-mtp"):
        explained = spark.run("explain", name, "--json").expect(0).json["words"]
        assert [one["name"] for one in explained if one["does"] is None] == []


def test_a_shell_completes_flags_without_their_dashes() -> None:
    (_, flag, *_) = explain.command.params
    context = click.Context(explain.command)
    assert [item.value for item in flag.shell_complete(context, "max-num-s")] == [
        "max-num-scheduled-tokens",
        "max-num-seqs",
    ]
