"""Flags in recipes as vLLM's parser reads them, what no vLLM would take, and what takes memory that is not counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml
from packaging.version import Version

from sparkctl.base.errors import ProblemsError
from sparkctl.base.units import GIB
from sparkctl.memory.facts import ModelFacts
from sparkctl.memory.footprint import Footprint, sizing
from sparkctl.memory.pool import HostProfile, Pool
from sparkctl.planning.admission import Change
from sparkctl.planning.plan import Wanted, make_plan
from sparkctl.recipes.catalog import Catalog, Root, shipped_root
from sparkctl.recipes.command import flag_words, fraction_text
from sparkctl.recipes.host_side.operator import Operator
from sparkctl.recipes.reading import Loader
from sparkctl.recipes.sizing.estimate import estimate
from sparkctl.vllm.command.spelling import spelled
from sparkctl.vllm.command.written import meaning
from tests.support.fakes import FakeModels
from tests.support.paths import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.recipes.recipe import Recipe

BASE = """\
template: vllm-openai
image: vllm/vllm-openai:v0.20.2
vllm: "0.20.2"
model: {repo: example/e4b, facts: gemma-4-e4b}
serve: {name: agents, port: 18501}
limits: {context: 65536, sequences: 4}
"""
OLD, NEW = Version("0.20.2"), Version("0.33.0")
PROFILE = HostProfile(total=120 * GIB)


class Desk:
    """A root of recipes, made of texts: ``base`` is the one that all extend."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "recipes"
        self.catalog = Catalog([Root(folder, "given"), Root(shipped_root(), "shipped")])
        self.write("base", BASE)

    def write(self, name: str, text: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / f"{name}.yaml").write_text(text)

    def recipe(self, more: str, *overrides: str) -> Recipe:
        self.write("one", f"extends: base\n{more}")
        return self.catalog.recipe("one", overrides).recipe

    def told(self, more: str, *overrides: str) -> list[str]:
        """Return what is wrong or doubtful, each as line, column, message and hint."""
        self.write("one", f"extends: base\n{more}")
        try:
            problems: list[Any] = list(self.catalog.recipe("one", overrides).warnings)
        except ProblemsError as error:
            problems = error.problems
        return [
            f"{one.place.line}:{one.place.column}: {one.message}" + (f" ({one.hint})" if one.hint else "")
            for one in problems
            if one.place
        ]

    def loader(self) -> Loader:
        folder = self.folder.parent
        operator = Operator(folder / "home", folder / "config", folder / "state")
        return Loader(self.catalog, FakeModels(), operator, PROFILE)

    def footprint(self, more: str) -> Footprint:
        text = (REPOSITORY / "recipes" / "models" / "gemma-4-e4b.yaml").read_text()
        return estimate(self.recipe(more), ModelFacts.model_validate(yaml.safe_load(text)), None, OLD, PROFILE)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.mark.parametrize(
    ("written", "version", "key"),
    [
        ("max_loras", None, "max-loras"),
        ("kv_cache_dtype", None, "kv-cache-dtype"),
        ("tp", None, "tensor-parallel-size"),
        ("-tp", None, "tensor-parallel-size"),
        ("q", None, "quantization"),
        ("O", None, "optimization-level"),
        ("cc.mode", None, "compilation-config.mode"),
        ("-cc.cudagraph_mode", None, "compilation-config.cudagraph_mode"),
        ("compilation_config.cudagraph_mode", None, "compilation-config.cudagraph_mode"),
        ("quant", None, "quant"),
        ("quant", OLD, "quantization"),
        ("quant", NEW, "quant"),
        ("max-num-batched-t", OLD, "max-num-batched-tokens"),
        ("kv-cache-dt", OLD, "kv-cache-dt"),
        ("enab", OLD, "enab"),
        ("my_own.key_x", NEW, "my-own.key_x"),
        ("--dtype", NEW, "--dtype"),
        ("no-x", NEW, "no-x"),
        ("enable-prefix-caching", NEW, "enable-prefix-caching"),
        ("disable-prefix-caching", NEW, "enable-prefix-caching"),
        ("enable-hybrid-kv-cache-manager", NEW, "disable-hybrid-kv-cache-manager"),
    ],
)
def test_a_name_is_read_as_vllm_reads_it(written: str, version: Version | None, key: str) -> None:
    assert spelled(written, version).key == key


def test_a_recipes_flags_have_their_long_names_whoever_wrote_them(desk: Desk) -> None:
    desk.write("base", f"{BASE}args: {{max-loras: 2, q: fp8, disable-prefix-caching: true}}\n")
    read = desk.recipe("args: {max_loras: 8, O3: true}\n", "args.max_cpu_loras=9")
    args = dict(read.args)
    assert args == {
        "max-loras": 8,
        "quantization": "fp8",
        "enable-prefix-caching": False,
        "optimization-level": 3,
        "max-cpu-loras": 9,
    }


def test_one_flag_by_two_names_is_a_problem_at_the_second(desk: Desk) -> None:
    assert desk.told("args:\n  max_loras: 8\n  max-loras: 9\n") == [
        "4:3: args.max-loras: the flag --max-loras is written already in line 3 (remove one of the two)"
    ]


def test_a_flag_that_a_field_owns_is_found_by_any_name(desk: Desk) -> None:
    told = desk.told("args: {max-model-l: 9}\n")
    assert told == [
        "2:8: args: --max-model-len belongs to a field of the recipe, not to args (write it as limits.context)"
    ]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("dtype: [auto]", "3:10: args.dtype: expected one value, found a list of 1 (write dtype: auto)"),
        ("kv-cache-dtype: [fp8]", "3:19: args.kv-cache-dtype: expected one value, found a list of 1"),
        ("quantization: [fp8, awq]", "3:17: args.quantization: expected one value, found a list of 2"),
        ("""override-generation-config: '{{"max_new_tokens": 512}}'""",
         ("3:31: args.override-generation-config: expected JSON, which vLLM reads here, found a text that is none at "
         "its character 2 (its braces are doubled: write a map in YAML, which is rendered as JSON)")),
        ("compilation-config: '{cudagraph_mode: PIECEWISE}'", "3:23: args.compilation-config: expected JSON"),
        ("""hf-overrides: "{'rope_theta': 10000}\"""", "3:17: args.hf-overrides: expected JSON"),
        ("kv-transfer-config: '{\"kv_connector\": LMCacheConnectorV1}'", "3:23: args.kv-transfer-config: expected"),
        ("allowed-origins: '*'", "3:20: args.allowed-origins: expected JSON"),
        ("lora-modules: ['{\"name\": x}']", "3:18: args.lora-modules[0]: expected JSON"),
    ],
)  # fmt: skip
def test_what_no_vllm_would_take_is_an_error_at_its_value(desk: Desk, line: str, told: str) -> None:
    (found,) = desk.told(f"args:\n  {line}\n")
    assert found.startswith(told)


@pytest.mark.parametrize(
    "line",
    [
        "cudagraph-capture-sizes: [1, 2]",
        'lora-modules: [\'a=/adapters/a\', \'{"name": "b", "path": "/b"}\']',
        "hf-overrides: my_module",
        "chat-template: '{{ messages }}'",
        "compilation-config: 3",
        "compilation-config: {mode: 3}",
        "default-chat-template-kwargs: '{\"enable_thinking\": false}'",
        "allowed-origins: ['*']",
        "of-a-fork: [1, 2]",
    ],
)
def test_what_vllm_takes_passes(desk: Desk, line: str) -> None:
    assert [told for told in desk.told(f"args:\n  {line}\n") if "expected" in told] == []


def test_a_list_is_several_values_or_json_as_the_flag_takes_it() -> None:
    assert flag_words("cudagraph-capture-sizes", [1, 2]) == ["--cudagraph-capture-sizes", "1", "2"]
    assert flag_words("allowed-origins", ["*"]) == ["--allowed-origins", '["*"]']


def test_dotted_flags_and_json_texts_mean_one_map() -> None:
    args = {
        "kv-transfer-config": '{"kv_connector": "OffloadingConnector"}',
        "kv-transfer-config.kv_connector_extra_config.cpu_bytes_to_use": 7,
        "hf-overrides": "{broken",
        "seed": None,
    }
    assert meaning(args) == {
        "kv-transfer-config": {
            "kv_connector": "OffloadingConnector",
            "kv_connector_extra_config": {"cpu_bytes_to_use": 7},
        },
        "hf-overrides": "{broken",
    }


@pytest.mark.parametrize("method", ["mtp", "qwen3_next_mtp", "deepseek_mtp", "gemma4_mtp"])
def test_every_mtp_method_drafts_with_the_models_own_layers(desk: Desk, method: str) -> None:
    read = desk.recipe(f"speculative: {{method: {method}, num_speculative_tokens: 2}}\n")
    assert read.speculative is not None
    assert read.speculative.model is None


@pytest.mark.parametrize(("fraction", "rendered"), [("0.825", "0.825"), ("0.8", "0.80"), ("0.75", "0.75")])
def test_a_fraction_is_rendered_as_it_is_written(desk: Desk, fraction: str, rendered: str) -> None:
    taken = desk.footprint(f"memory: {{utilization: {fraction}}}\n")
    assert fraction_text(sizing(taken, PROFILE).gpu_memory_utilization) == rendered


# --- memory that the plan sees, or says that it does not -------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "name", "gib"),
    [
        ("args: {kv-offloading-size: 60}", "KV cache on the host", 60),
        ("args: {swap_space: 60}", "swap space", 60),
        ("args: {cpu-offload-gb: 60}", "weights on the host", 15.12),
        ("""args: {kv-transfer-config: '{"kv_connector": "OffloadingConnector", "kv_connector_extra_config":
            {"cpu_bytes_to_use": 64424509440}}'}""", "KV cache on the host", 60),
        ("""args: {kv-transfer-config: {kv_connector: LMCacheConnectorV1, kv_role: kv_both}}
env: {LMCACHE_LOCAL_CPU: "True", LMCACHE_MAX_LOCAL_CPU_SIZE: "60"}""", "KV cache on the host", 60),
        ("args: {enable-lora: true, max-loras: 8, max-lora-rank: 256}", "LoRA slots", 9.7),
    ],
)  # fmt: skip
def test_what_a_recipe_asks_for_beside_the_model_is_in_its_claim(desk: Desk, more: str, name: str, gib: float) -> None:
    found = desk.footprint(f"{more}\n")
    (item,) = [item for item in found.items if item.name == name]
    assert item.bytes / GIB == pytest.approx(gib, abs=0.01)
    assert found.steady_bytes - desk.footprint("").steady_bytes == item.bytes


def test_two_caches_on_the_host_that_do_not_fit_together_are_refused(desk: Desk) -> None:
    sizes = [desk.footprint(f"args: {{kv-offloading-size: {gib}}}\n") for gib in (60, 40)]
    wanted = [Wanted(str(index), "one", "", one.steady_bytes, one.peak_bytes) for index, one in enumerate(sizes)]
    pool = Pool(120 * GIB, 112 * GIB, 10 * GIB)
    assert make_plan(wanted[:1], [], pool, replace=False).fits
    assert not make_plan(wanted, [], pool, replace=False).fits


@pytest.mark.parametrize("flag", ["kv-offloading-size", "swap-space", "cpu-offload-gb"])
def test_what_the_host_is_asked_for_can_be_left_out_to_fit(desk: Desk, flag: str) -> None:
    desk.write("one", f"extends: base\nargs: {{{flag}: 6}}\n")
    loader = desk.loader()
    (service,) = loader.services(loader.located(["one"], (), strict=False))
    override = f"args.{flag}=null"
    assert override in [switch.override for switch in service.resizer.sizes.switches]
    smaller = service.resizer.need(Change(switches=(override,)))
    assert smaller is not None
    # Weights that are moved to the host are pinned in powers of two: up to as much again.
    most = (12 if flag == "cpu-offload-gb" else 6) * GIB
    assert 6 * GIB <= service.wanted.steady_bytes - smaller.steady_bytes <= most


def test_too_few_blocks_are_refused_with_the_least(desk: Desk) -> None:
    with pytest.raises(Exception, match="2 blocks are less than one sequence of 65536 tokens takes"):
        desk.footprint("args: {num-gpu-blocks-override: 2}\n")


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("args: {enable-sleep-mode: true}", ("2:8: a GB10 sleeps and does not wake: the engine dies, or the whole host "
         "hangs (vllm#50011); the plan counts it awake (leave it out, and stop the server instead: sparkctl down)")),
        ("args: {cpu-offload-gb: 4}", ("2:8: cpu-offload-gb: on unified memory the host's memory is the GPU's: it "
         "saves nothing, and pinned copies take more")),
        ("args: {eplb-config: {num_redundant_experts: 2}}", ("2:8: eplb-config takes memory that the plan does not "
         "count: redundant experts are loaded more than once")),
        ("args: {kv-transfer-config.kv_connector: FooConnector}", ("2:8: FooConnector may keep the cache in the host's "
         "memory: it is not counted")),
        ("args: {kv-transfer-config: {kv_connector: OffloadingConnector}}", ("2:8: OffloadingConnector says no "
         "cpu_bytes_to_use: what it takes is not counted")),
        ("args: {kv-offloading-size: much}", ("2:8: kv-offloading-size: expected a number of 0 or more, found 'much': "
         "nothing is counted for it")),
        ("env: {VLLM_FLASHINFER_WORKSPACE_BUFFER_SIZE: 9}", ("2:7: VLLM_FLASHINFER_WORKSPACE_BUFFER_SIZE takes memory "
         "that the plan does not count: FlashInfer's workspace on the GPU")),
    ],
)  # fmt: skip
def test_what_is_not_counted_is_said_at_its_line(desk: Desk, more: str, told: str) -> None:
    assert told in desk.told(f"{more}\n")


@pytest.mark.parametrize(
    "line",
    ["enable-sleep-mode: false", "cpu-offload-gb: 0", "enable-dbo: null", "seed: 1", "decode-context-parallel-size: 1"],
)
def test_what_takes_nothing_is_not_spoken_of(desk: Desk, line: str) -> None:
    assert desk.told(f"args: {{{line}}}\n") == []


def test_what_a_template_adds_beside_the_recipe_is_said(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    text = (shipped_root() / "templates" / "vllm-openai.j2").read_text()
    (tmp_path / "templates" / "mine.j2").write_text(f"{text}\n--kv_offloading_size 60 --seed 1 --max_loras=4\n")
    desk.write("one", "extends: base\ntemplate: mine\nargs: {max-loras: 4}\n")
    loader = desk.loader()
    loader.services(loader.located(["one"], (), strict=False))
    told = (
        "one: its template adds --kv-offloading-size, which takes memory that the plan does not count: write it under "
    )
    assert [problem.message for problem in loader.warnings] == [f"{told}args"]
