"""``sparkctl upgrade``: what another release, or another image, changes for a recipe; nothing is pulled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.fake_world import FakeSpark

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = """\
image: vllm/vllm-openai:v0.20.2
model: {repo: test/tiny, facts: gemma-4-26b-a4b}
limits: {context: 16384, batched-tokens: 4096}
args: {calculate-kv-scales: true, made-up: 1}
backend: {moe: triton}
env: {VLLM_USE_FLASHINFER_MOE_FP4: 1}
mods: [fix]
"""
PLAIN = "image: vllm/vllm-openai:v0.26.0\nmodel: {repo: a/b, facts: gemma-4-e4b}\nlimits: {context: 4096}\n"
UNKNOWN = """\
image: vllm/vllm-openai:v0.20.2
model: {repo: no/body}
limits: {context: 1}
args: {calculate-kv-scales: true}
"""
MOD = """\
applies-to: {vllm: ">=0.20,<0.21"}
fixed-in: ">=0.21"
files: [{path: /opt/a.py, source: a.py, md5: unpinned, replaces: absent}]
"""


@pytest.fixture
def spark(tmp_path: Path) -> FakeSpark:
    for name, text in (
        ("recipes/tiny.yaml", RECIPE),
        ("recipes/plain.yaml", PLAIN),
        ("recipes/unknown.yaml", UNKNOWN),
        ("recipes/stacks/box.yaml", "services: {one: {recipe: tiny}, two: {recipe: plain}}\n"),
        ("mods/fix/mod.yaml", MOD),
        ("mods/fix/a.py", "x = 1\n"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return FakeSpark(tmp_path)


def changes(spark: FakeSpark, *arguments: str, code: int = 9) -> dict[str, Any]:
    (found,) = spark.run("upgrade", *arguments, "--json").expect(code).json
    return dict(found)


def test_what_is_gone_is_told_and_what_was_missing_before_is_not(spark: FakeSpark) -> None:
    found = changes(spark, "tiny", "--to", "0.33")
    gone = "\n".join(found["gone"])
    assert "no --calculate-kv-scales (it existed until 0.27.1)" in gone
    assert "does not read VLLM_USE_FLASHINFER_MOE_FP4" in gone
    assert "backend: {moe: …}" in gone
    assert "made-up" not in gone
    assert found["mods"] == [
        "mod fix is made for vLLM >=0.20,<0.21, and the recipe has 0.33.0",
        "mod fix is needed no more: vLLM >=0.21 has what it mends",
    ]
    assert found["troubles"]


def test_the_image_of_a_release_follows_its_tag(spark: FakeSpark) -> None:
    found = changes(spark, "tiny", "--to", "0.22.1")
    assert found["after"]["image"] == "vllm/vllm-openai:v0.22.1"
    assert found["note"] is None
    assert changes(spark, "tiny", "--to", "v0.22.1") == found
    assert {"before": "vllm/vllm-openai:v0.20.2", "after": "vllm/vllm-openai:v0.22.1"} in found["words"]
    assert found["announced"] == ["VLLM_USE_FLASHINFER_MOE_FP4 is going to be removed (v0.23); use --moe-backend"]
    assert any(line.startswith("--moe-backend has ") for line in found["choices"])


def test_an_image_whose_tag_says_no_release_stays_and_that_is_said(spark: FakeSpark) -> None:
    text = spark.run("upgrade", "26b-a4b-nvfp4", "--to", "0.24").expect(9).out
    assert "the image stays vllm/vllm-openai:gemma4-cu130" in text
    assert "--env VLLM_NVFP4_GEMM_BACKEND=marlin → nothing" in text
    assert "nothing → --linear-backend marlin" in text
    assert "unexpected keyword argument 'reduce_results'" in text


def test_memory_is_planned_by_the_rules_of_both_releases(spark: FakeSpark) -> None:
    found = changes(spark, "tiny", "--to", "0.26.0")
    (item,) = [one for one in found["items"] if one["item"] == "KV cache"]
    assert item["after_bytes"] > item["before_bytes"]
    assert found["after"]["bound_bytes"] > found["before"]["bound_bytes"]
    assert any("two batches in flight" in line for line in found["defaults"])


def test_known_regressions_are_told_and_what_is_mended(spark: FakeSpark) -> None:
    found = changes(spark, "26b-a4b-fp8-mtp", "--to", "0.25.1")
    assert [one["id"] for one in found["hurts"]] == ["gemma4-mtp-025"]
    assert "killed-while-loading" in [one["id"] for one in found["heals"]]
    back = changes(spark, "plain", "--to", "0.23.0")
    assert [one["id"] for one in back["hurts"]] == ["killed-while-loading"]


def test_a_release_that_changes_nothing_to_do_ends_with_zero(spark: FakeSpark) -> None:
    done = spark.run("upgrade", "plain", "--to", "0.29.0").expect(0)
    assert "plain: vLLM 0.26.0 → 0.29.0" in done.out
    assert "nothing is pulled or written" in done.err


def test_each_service_of_a_stack_is_compared(spark: FakeSpark) -> None:
    found = spark.run("upgrade", "box", "--to", "0.29.0", "--json").expect(9).json
    assert [(one["service"], one["troubles"]) for one in found] == [("one", True), ("two", False)]
    (one,) = spark.run("upgrade", "box:two", "--to", "0.29.0", "--json").expect(0).json
    assert one["service"] == "two"


def test_the_release_of_an_image_is_its_tags_or_the_engines_or_has_to_be_said(spark: FakeSpark) -> None:
    assert changes(spark, "plain", "--to", "vllm/vllm-openai:v0.29.0", code=0)["after"]["vllm"] == "0.29.0"
    told = spark.run("upgrade", "plain", "--to", "mine/build:7").expect(2)
    assert "which vLLM mine/build:7 has is not known before it is pulled" in told.err
    said = changes(spark, "plain", "--to", "mine/build:7", "--vllm", "0.30", code=0)
    assert (said["after"]["image"], said["after"]["vllm"]) == ("mine/build:7", "0.30.0")
    assert (
        "expected a version of vLLM, found 'nope'"
        in spark.run("upgrade", "plain", "--to", "x:1", "--vllm", "nope").expect(2).err
    )
    for odd in ("", "Bad Image!", "9" * 5000):
        assert "expected a version of vLLM or an image" in spark.run("upgrade", "plain", "--to", odd).expect(2).err
    fork = changes(spark, "plain", "--to", "0.28+b12x", code=0)
    assert (fork["after"]["image"], fork["after"]["vllm"]) == ("vllm/vllm-openai:v0.26.0", "0.28.0")
    assert "is for an image" in spark.run("upgrade", "plain", "--to", "0.30", "--vllm", "0.31").expect(2).err


def test_what_cannot_be_planned_says_why_and_the_rest_is_told(spark: FakeSpark) -> None:
    found = changes(spark, "unknown", "--to", "0.33")
    assert found["gone"]
    assert len(found["unknown"]) == 1
    assert found["before"]["bound_bytes"] is None
