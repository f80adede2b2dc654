"""What the scripts that quantize declare, refuse and translate, without the tools that they use."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema.validators import Draft202012Validator

from sparkctl.memory.product import names_it
from sparkctl.recipes.job.script_files import declaration
from tests.jobs.scripts import FOLDER, NAMES, loaded
from tests.support.fake_hub import safetensors

if TYPE_CHECKING:
    from pathlib import Path

CONFIG: dict[str, Any] = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}
LAYER = "model.layers.0.self_attn"


def source(folder: Path, config: dict[str, Any] = CONFIG, names: tuple[str, ...] = (f"{LAYER}.q_proj.weight",)) -> Path:
    """Write what a script looks at before it imports anything."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(safetensors({name: ("BF16", [16, 16], 512) for name in names}))
    return folder


def started(name: str, given: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-E", "-s", "-S", FOLDER / f"{name}.py", json.dumps(given)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", NAMES)
def test_the_parameters_are_described_and_a_mistake_is_found(name: str) -> None:
    declared, _ = declaration(FOLDER / f"{name}.yaml")
    assert declared is not None
    assert all(part["description"] for part in declared.parameters["properties"].values())
    what = {"llm-compressor": {"scheme": "FP8_DYNAMIC"}, "modelopt": {"algorithm": "NVFP4_DEFAULT_CFG"}}[name]
    texts = ["words", {"messages": [{"role": "user", "content": "what is two and two"}]}]
    good = {**what, "ignore": ["lm_head", "re:.*router.*"], "calibration": {"texts": texts, "samples": 2}}
    judge = Draft202012Validator(dict(declared.parameters))
    assert judge.is_valid(good)
    for wrong in ({**good, "ignored": []}, {**good, "shard": "5"}, {**good, "calibration": {"texts": []}}, what):
        assert not judge.is_valid(wrong)


@pytest.mark.parametrize("name", NAMES)
def test_the_rules_of_memory_say_where_they_are_from(name: str) -> None:
    declared, _ = declaration(FOLDER / f"{name}.yaml")
    assert declared is not None
    assert declared.memory
    for rule in declared.memory:
        assert rule.source.startswith(
            ("estimate: measured on the CPU", "estimate: measured on an H200", "estimate: not")
        )
        assert rule.gpus is not True or "H200" in rule.source
        assert rule.base > 0
        assert rule.input or rule.shard


@pytest.mark.parametrize("name", NAMES)
def test_what_cannot_be_done_is_one_line_and_2(name: str, tmp_path: Path) -> None:
    def said(folder: Path, values: dict[str, Any]) -> str:
        done = started(name, {"input": str(folder), "output": str(tmp_path), "with": values})
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("error: ")
        assert done.stderr.count("\n") == 1
        return done.stderr

    half = tmp_path / "half"
    half.mkdir()
    assert "has no config.json" in said(half, {})
    (half / "config.json").write_text(json.dumps(CONFIG))
    assert "give the model as safetensors" in said(half, {})
    made = source(tmp_path / "made", CONFIG | {"quantization_config": {"quant_method": "fp8"}})
    assert "quantized already (fp8)" in said(made, {})


def test_a_way_that_is_none_is_refused_before_anything_is_imported(tmp_path: Path) -> None:
    folder = source(tmp_path / "source")
    done = started("llm-compressor", {"input": str(folder), "output": str(tmp_path), "with": {"way": "gptq"}})
    assert (done.returncode, done.stderr) == (2, "error: there is no way 'gptq': it is one of oneshot, model-free\n")


def test_what_model_free_fails_at_in_the_middle_is_refused_before(tmp_path: Path) -> None:
    script = loaded("llm-compressor")

    def refused(names: tuple[str, ...], scheme: str, ignore: tuple[str, ...] = ()) -> str | None:
        folder = source(tmp_path / f"source-{scheme}-{len(names)}-{len(ignore)}", CONFIG, names)
        try:
            script.refuse_what_model_free_cannot(script.Job(folder, tmp_path, {"ignore": ignore}), scheme)
        except script.JobError as error:
            return str(error)
        return None

    alone, whole = (f"{LAYER}.q_proj.weight",), (f"{LAYER}.q_proj.weight", f"{LAYER}.v_proj.weight")
    assert f"{LAYER}.v_proj is not in the source (of 1 layers): use way oneshot" in (refused(alone, "NVFP4A16") or "")
    assert refused(whole, "NVFP4A16") is None
    assert refused(alone, "NVFP4A16", ("re:.*self_attn.*",)) is None
    assert refused(alone, "FP8_DYNAMIC") is None


def test_files_that_part_what_is_scaled_together_are_refused_by_name() -> None:
    whole = [f"{LAYER}.{part}.weight" for part in ("q_proj", "k_proj", "v_proj")]
    later = [name.replace("layers.0", "layers.10") for name in whole]
    apart = [("a", name, []) for name in [*whole, later[0]]] + [("b", name, []) for name in later[1:]]
    assert COMPRESSOR.parted(apart) is None
    more = [("b", name.replace("layers.0", "layers.11"), []) for name in whole]
    assert COMPRESSOR.parted(apart + more) == "b has only k_proj, v_proj of model.layers.10.self_attn"
    assert COMPRESSOR.parted([("a", name, []) for _, name, _ in apart + more]) is None


PARTS = st.sampled_from(["model", "layers", "0", "router", "proj", "lm_head", "mlp", "experts"])
MODULES = st.lists(PARTS, min_size=1, max_size=4).map(".".join)
PATTERNS = st.one_of(
    MODULES, st.sampled_from(["*router*", "re:.*router.*", "re:model", "*.pr?j", "re:.*proj$", "lm_*", "m[lo]*"])
)


@given(MODULES, st.lists(PATTERNS, max_size=3))
def test_both_tools_keep_what_the_product_is_judged_by(module: str, ignore: list[str]) -> None:
    """llm-compressor compares a name as a whole or by an expression (compressed_tensors.utils.match.match_name)."""
    expected = names_it(module, ignore)
    patterns = COMPRESSOR.kept(ignore)
    assert any(re.match(one[3:], module) if one.startswith("re:") else one == module for one in patterns) == expected
    assert MODELOPT.is_named(module, ignore) == expected


COMPRESSOR, MODELOPT = (loaded(name) for name in NAMES)
