"""Model files of vllm-project/recipes: one variant, for a Spark."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.recipes.exchange.fields.recipe import recipe_of
from sparkctl.recipes.exchange.material import Material
from sparkctl.recipes.exchange.sources.vllm_recipes import read, recognises
from sparkctl.vllm.flags import releases
from tests.support.launches import command, left, options
from tests.support.paths import EXCHANGE

if TYPE_CHECKING:
    from sparkctl.recipes.exchange.launch import Launch

FILE = (EXCHANGE / "vllm-recipe.yaml").read_text()


def launch(text: str = FILE, **variables: str) -> Launch:
    """Return the launch of a file."""
    found = read(Material(text, "models/org/Example-7B.yaml", variables))
    assert len(found) == 1
    return found[0]


def test_the_largest_variant_that_fits_is_read() -> None:
    """Layers in the site's order, a later flag in the place of an earlier one, other hardware's left out."""
    found = launch()
    assert found.refused is None
    assert found.name == "example-7b"
    assert command(found) == (
        "vllm serve org/Example-7B-FP8 --trust-remote-code --kv-cache-dtype fp8 --max-num-seqs 8 --from-strategy "
        "--from-nvidia --enable-auto-tool-choice --tool-call-parser example --two-blackwell"
    )
    assert options(found) == "--gpus all --ipc host --env A=1 --env B=2 --env C=3 --publish 8000:8000"
    assert found.keys == {"description": "Example 7B: FP8"}
    assert left(found) == [
        '13: features.drafts: --speculative-config {"method":"mtp"}',
        "49: later: 1",
        "50: guide: Text.",
    ]
    assert "others: default, nvfp4, amd_fp8, other" in found.notes[0]
    assert found.image is not None
    assert found.image.text == f"vllm/vllm-openai:v{releases()[-1]}"
    assert "asks for vLLM 0.20.0 or later" in found.notes[1]


def test_another_variant_can_be_asked_for() -> None:
    """A variant that names a feature's mode has that feature on."""
    found = launch(variant="nvfp4")
    assert command(found).startswith("vllm serve org/Example-7B --trust-remote-code --max-num-seqs 256")
    assert "--speculative-config" in command(found)
    unknown = launch(variant="none")
    assert unknown.refused is not None
    assert "there are default, fp8" in unknown.refused.message


def test_a_variant_for_several_gpus_is_read_for_one() -> None:
    """As the site does it on a Spark; on hardware that it does not know here, the file's own number stays."""
    text = FILE.replace("[--kv-cache-dtype, fp8]", '[--tensor-parallel-size, "8"]')
    assert "--tensor-parallel-size 1 " in command(launch(text))
    assert "--tensor-parallel-size 8 " in command(launch(text, variant="fp8", hardware="rtx_5090"))


def test_a_flag_and_its_value_may_be_one_item() -> None:
    """As the site's line has it, they are two words."""
    text = FILE.replace("[--kv-cache-dtype, fp8]", "[--kv-cache-dtype auto]")
    assert [word.text for word in launch(text).command][4:6] == ["--kv-cache-dtype", "auto"]


def test_other_hardware_has_its_own_layers() -> None:
    """By its exact name; this one's are left out."""
    assert "--never" in command(launch(variant="fp8", hardware="rtx_5090"))
    assert "--from-nvidia" not in command(launch(variant="fp8", hardware="rtx_5090"))


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("vram_minimum_gb: 100", "vram_minimum_gb: 300", None),
        ("[single_node_tp, multi_node_tp]", "[multi_node_tp]", "several hosts"),
        ("later: 1", "omni: {tasks: [t2i]}", "no vLLM server"),
        ("dgx_spark_gb10: verified", "dgx_spark_gb10: unsupported", "other hardware"),
        ("model_id: org/Example-7B\n", "model_id:\n", None),
    ],
)
def test_what_is_refused_has_one_of_few_reasons(old: str, new: str, reason: str | None) -> None:
    """No vLLM, no single host, or said by the file itself."""
    found = launch(FILE.replace(old, new))
    assert (found.refused and found.refused.reason) == reason


def test_a_model_that_fits_in_no_variant_is_refused() -> None:
    """The smallest is named."""
    found = launch(FILE.replace("vram_minimum_gb: 100", "vram_minimum_gb: 300").replace(": 50,", ": 150,"))
    assert found.refused is not None
    assert found.refused.reason == "larger than one host"


def test_several_sparks_share_what_one_has_no_room_for() -> None:
    """By the site's own strategy for several hosts, in the largest variant that all of them hold."""
    large = FILE.replace("vram_minimum_gb: 100", "vram_minimum_gb: 200").replace(": 50,", ": 150,")
    found = launch(large, nodes="2")
    assert (found.refused, found.nodes) == (None, 2)
    assert "--tensor-parallel-size 2" in command(found)
    assert recipe_of(found).keys["nodes"] == 2
    refused = launch(large.replace(", multi_node_tp]", "]"), nodes="2").refused
    assert refused is not None
    assert "share no model between hosts" in refused.message
    assert recipe_of(launch(FILE, nodes="1")).keys.get("nodes") is None


@pytest.mark.parametrize(
    ("line", "image"),
    [
        ("  docker_image: vllm/vllm-openai:x", "vllm/vllm-openai:x"),
        ("  docker_image: {amd: a, nvidia: {cu129: old, cu130: new}}", "new"),
        ("  docker_image: {cu129: old}", "old"),
        ("  nightly_required: true", "vllm/vllm-openai:nightly"),
    ],
)
def test_the_image_that_the_file_names(line: str, image: str) -> None:
    """A text, or a map by brand and by CUDA."""
    found = launch(FILE.replace("  parameter_count: 7B", line))
    assert found.image is not None
    assert found.image.text == image


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("      two:\n", "      two:\n        hardware: {blackwell: unsupported}\n", "--one"),
        ("      two:\n", "      two:\n        variants: [nvfp4]\n", "--one"),
        ("  modal:\n", "  modal:\n    strategies: [multi_node_tp]\n", "example"),
    ],
)
def test_a_feature_is_taken_where_it_is_for_this(old: str, new: str, words: str) -> None:
    """For this hardware, this variant, and one GPU."""
    assert command(launch(FILE.replace(old, new))).endswith(words)


def test_it_is_recognised_by_its_keys() -> None:
    """The model, variants and strategies."""
    assert recognises(Material(FILE, "x.yaml"))
    assert not recognises(Material("model: x\nvariants: {}\n", "x.yaml"))
