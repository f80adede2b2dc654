"""From a name to a checked recipe: roots, extends, overrides, stacks, and where every value comes from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from sparkctl.base.declarations import Declaration
from sparkctl.base.document import load
from sparkctl.base.errors import InputError
from sparkctl.recipes.catalog import Catalog, Root, shipped_root
from sparkctl.recipes.layers import merge
from tests.support.paths import REPOSITORY

BASE = """\
template: t
image: vllm/vllm-openai:v0.20.2
vllm: "0.20"
serve: {port: 8000}
limits: {context: 4096, sequences: 2}
args: {dtype: auto, enforce-eager: true}
x-note: mine
"""
CHILD = "extends: _base\nmodel: {repo: a/b}\nserve: {name: small}\nargs: {dtype: null, seed: 1}\n"

MAPS = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.lists(st.integers(0, 9), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=8,
).filter(lambda value: isinstance(value, dict))


class Shop:
    """Two roots, the operator's and the shipped one, made of texts."""

    def __init__(self, folder: Path) -> None:
        self.yours, self.shipped = folder / "yours", folder / "shipped"
        self.catalog = Catalog([Root(self.yours, "yours"), Root(self.shipped, "shipped")])
        self.write("recipes/_base.yaml", BASE)
        self.write("recipes/small.yaml", CHILD)

    def write(self, path: str, text: str, *, yours: bool = False) -> Path:
        file = (self.yours if yours else self.shipped) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def told(self, name: str, *overrides: str, strict: bool = False) -> str:
        """Return what is wrong, with the folders left out."""
        with pytest.raises(InputError) as error:
            self.catalog.recipe(name, overrides, strict=strict)
        text = error.value.message + (f" ({error.value.hint})" if error.value.hint else "")
        return text.replace(f"{self.shipped}/recipes/", "").replace(f"{self.yours}/recipes/", "yours/")


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_maps_merge_null_removes_and_every_value_knows_its_line(shop: Shop) -> None:
    loaded = shop.catalog.recipe("small")
    assert dict(loaded.recipe.args) == {"enforce-eager": True, "seed": 1}
    assert (loaded.recipe.serve.name, loaded.recipe.serve.port, loaded.recipe.limits.sequences) == ("small", 8000, 2)
    places = {path: f"{Path(place.file).name}:{place.line}:{place.column}" for path, place in loaded.origins.items()}
    assert places == {
        ("extends",): "small.yaml:1:10",
        ("template",): "_base.yaml:1:11",
        ("image",): "_base.yaml:2:8",
        ("vllm",): "_base.yaml:3:7",
        ("model", "repo"): "small.yaml:2:15",
        ("serve", "port"): "_base.yaml:4:15",
        ("serve", "name"): "small.yaml:3:15",
        ("limits", "context"): "_base.yaml:5:19",
        ("limits", "sequences"): "_base.yaml:5:36",
        ("args", "enforce-eager"): "_base.yaml:6:36",
        ("args", "seed"): "small.yaml:4:27",
        ("x-note",): "_base.yaml:7:9",
    }


def test_an_error_is_at_the_file_that_wrote_the_value(shop: Shop) -> None:
    shop.write("recipes/_base.yaml", BASE.replace("4096", "lots"))
    assert shop.told("small").splitlines()[0] == (
        "_base.yaml:5:19: limits.context: expected a whole number, found the text 'lots'"
    )


def test_overrides_come_last_and_are_checked_like_the_file(shop: Shop) -> None:
    loaded = shop.catalog.recipe(
        "small", ["limits.context=8192", "args.seed=null", "env.A=b=c", "mods=[m, n]", "description="]
    )
    assert loaded.recipe.limits.context == 8192
    assert (dict(loaded.recipe.args), dict(loaded.recipe.env)) == ({"enforce-eager": True}, {"A": "b=c"})
    assert (loaded.recipe.mods, loaded.recipe.description) == (("m", "n"), "")
    assert str(loaded.origins["limits", "context"]) == "--set limits.context:1:1"
    assert shop.told("small", "limits.contxt=1") == (
        "--set limits.contxt:1:1: unknown key 'contxt' in limits\n  1 | 1\n    | ^\n  did you mean context?"
    )
    assert shop.told("small", "limits.context=[").startswith("--set limits.context:1:2: not YAML")
    assert shop.told("small", "vllm=0.20").endswith(
        'found the number 0.20\n  1 | 0.20\n    | ^\n  put it in quotes: "0.20"'
    )


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("limits", "expected --set PATH=VALUE, found 'limits' (such as --set limits.context=8192)"),
        ("limits..a=1", "expected a path such as limits.context, found 'limits..a'"),
        ("=1", "expected a path such as limits.context, found ''"),
    ],
)
def test_an_override_that_is_none_is_told(shop: Shop, override: str, told: str) -> None:
    assert shop.told("small", override) == told


def test_a_secret_given_by_set_is_not_shown(shop: Shop) -> None:
    assert "hf_mine" not in shop.told("small", "env.HF_TOKEN=hf_mine")


def test_a_circle_and_a_missing_parent_are_told_at_the_line_of_extends(shop: Shop) -> None:
    shop.write("recipes/a.yaml", "extends: b\n")
    shop.write("recipes/b.yaml", "extends: c\n")
    shop.write("recipes/c.yaml", "extends: b\n")
    assert shop.told("a").splitlines()[0] == "c.yaml:1:10: extends: a recipe cannot extend itself: b → c → b"
    shop.write("recipes/c.yaml", "extends: smal\n")
    assert shop.told("a") == (
        "c.yaml:1:10: extends: no recipe 'smal'\n  1 | extends: smal\n    |          ^\n  did you mean small?"
    )
    shop.write("recipes/d.yaml", "extends: d\n")
    assert shop.told("d").splitlines()[0] == "d.yaml:1:10: extends: a recipe cannot extend itself: d → d"


def test_problems_of_parent_and_child_are_told_together(shop: Shop) -> None:
    shop.write("recipes/_base.yaml", BASE + "gpus: all\ngpus: none\n")
    shop.write("recipes/small.yaml", CHILD + "8: x\n")
    lines = [line for line in shop.told("small").splitlines() if ".yaml:" in line]
    assert lines == [
        "_base.yaml:9:1: the key 'gpus' is written twice, first in line 8",
        "small.yaml:5:1: expected a text as key, found 8",
    ]


def test_ones_own_recipe_hides_the_shipped_one_and_may_extend_it(shop: Shop) -> None:
    shop.write("recipes/small.yaml", "extends: small\nlimits: {context: 1000}\n", yours=True)
    loaded = shop.catalog.recipe("small")
    assert (loaded.entry.label, loaded.recipe.limits.context, loaded.recipe.limits.sequences) == ("yours", 1000, 2)
    assert [(entry.name, entry.label) for entry in shop.catalog.recipes()] == [("small", "yours")]


def test_a_file_is_a_recipe_too_and_finds_its_parent_beside_it(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "parent.yaml").write_text(BASE)
    file = tmp_path / "mine.yaml"
    file.write_text(CHILD.replace("_base", "./parent.yaml"))
    assert shop.catalog.recipe(str(file)).recipe.serve.name == "small"
    assert [(member.service, member.recipe) for member in shop.catalog.members(str(file))] == [("mine", str(file))]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("smal", "no recipe or stack 'smal' (did you mean small?)"),
        ("zzz", "no recipe or stack 'zzz' (there are: small)"),
        ("../small", "no file ../small (a name with a / or with .yaml is a file)"),
        ("_base", "'_base' is a base to extend, not a recipe to serve (`sparkctl recipes` lists those to serve)"),
    ],
)
def test_a_name_that_cannot_be_served_is_told(shop: Shop, name: str, told: str) -> None:
    with pytest.raises(InputError) as error:
        shop.catalog.members(name)
    assert f"{error.value.message} ({error.value.hint})" == told


def test_what_this_vllm_does_not_have_is_a_warning_and_with_strict_an_error(shop: Shop) -> None:
    more = "env: {VLLM_USE_V2_MODEL_RUNER: 1, MINE: 1}\nbackend: {moe: marlyn}\n"
    shop.write("recipes/small.yaml", CHILD.replace("dtype: null", "kv-cache-dtyp: fp8") + more)
    told = [
        "small.yaml:4:8: vLLM 0.20.2 has no --kv-cache-dtyp",
        "small.yaml:5:7: vLLM 0.20.2 does not read VLLM_USE_V2_MODEL_RUNER: it would be ignored silently",
        "small.yaml:6:11: vLLM 0.20.2: --moe-backend has no 'marlyn'",
    ]
    warnings = shop.catalog.recipe("small").warnings
    assert [str(w).splitlines()[0].replace(f"{shop.shipped}/recipes/", "") for w in warnings] == told
    assert {w.warning for w in warnings} == {True}
    lines = [line for line in shop.told("small", strict=True).splitlines() if ".yaml:" in line]
    assert lines == told


def test_a_variable_that_is_ignored_names_the_field_that_replaced_it(shop: Shop) -> None:
    loaded = shop.catalog.recipe("small", ['vllm="0.24"', "env.VLLM_NVFP4_GEMM_BACKEND=marlin"])
    (warning,) = loaded.warnings
    assert warning.message.endswith(
        "does not read VLLM_NVFP4_GEMM_BACKEND (it existed until 0.23.0): it would be ignored silently"
    )
    assert warning.hint == "use backend: {linear: …}"


def test_a_stack_gives_its_services_their_recipes_and_overrides(shop: Shop) -> None:
    shop.write(
        "recipes/stacks/pair.yaml",
        "services:\n  one: {recipe: small, priority: 3, set: {limits.context: 99}}\n  two: {recipe: small}\n",
    )
    first, second = shop.catalog.members("pair")
    assert (first.service, first.recipe, first.priority, second.priority) == ("one", "small", 3, 0)
    loaded = shop.catalog.recipe(first.recipe, first.overrides)
    assert loaded.recipe.limits.context == 99
    place = loaded.origins["limits", "context"]
    assert (Path(place.file).name, place.line, place.column) == ("pair.yaml", 2, 59)
    assert shop.catalog.recipe(second.recipe, second.overrides).recipe.limits.context == 4096


def test_a_wrong_override_of_a_stack_is_told_in_the_stack(shop: Shop) -> None:
    shop.write("recipes/stacks/pair.yaml", "services:\n  one: {recipe: small, set: {limits.context: lots}}\n")
    (member,) = shop.catalog.members("pair")
    with pytest.raises(InputError) as error:
        shop.catalog.recipe(member.recipe, member.overrides)
    assert error.value.message.splitlines()[0].endswith(
        "stacks/pair.yaml:2:46: limits.context: expected a whole number, found the text 'lots'"
    )


def test_a_stack_whose_service_no_container_can_be_named_is_told(shop: Shop) -> None:
    shop.write("recipes/stacks/s.yaml", "services: {a: {recipe: small}}\n")
    with pytest.raises(InputError, match="'a' cannot be the name of a container"):
        shop.catalog.members("s")


def test_templates_mods_and_facts_that_are_nowhere_are_told(shop: Shop) -> None:
    shop.write("recipes/small.yaml", CHILD.replace("a/b", "a/b, facts: f") + "mods: [fix, fixx]\n")
    shop.write("mods/fix/mod.yaml", "")
    problems = shop.catalog.dangling(shop.catalog.recipe("small"))
    assert [(problem.message, problem.hint) for problem in problems] == [
        ("no template 't'", "there are: none"),
        ("no model facts 'f'", "there are: none"),
        ("no mod 'fixx'", "did you mean fix?"),
    ]


def test_any_format_is_loaded_by_its_kind_and_declaration(shop: Shop) -> None:
    class Profile(Declaration):
        total: int = Field(ge=1)

    shop.write("recipes/hosts/big.yaml", "total: 5\n")
    assert shop.catalog.load("host", "big", Profile).total == 5
    shop.write("recipes/hosts/big.yaml", "total: 0\n")
    with pytest.raises(InputError, match=r"big.yaml:1:8: total: expected at least 1, found the number 0"):
        shop.catalog.load("host", "big", Profile)


@given(MAPS, MAPS)
def test_laid_over_one_another_the_upper_has_the_say_and_nothing_else_is_lost(
    below: dict[str, object], above: dict[str, object]
) -> None:
    base, over = (load(json.dumps(value), "r.json").root for value in (below, above))
    merged = merge(base, over).plain()
    assert isinstance(merged, dict)
    assert merged.keys() == {key for key in below | above if above.get(key, 0) is not None or key not in below}
    for key in merged.keys() - above.keys():
        assert merged[key] == below[key]
    assert all(merged[key] == above[key] for key in merged if key in above and not isinstance(above[key], dict))


def test_a_name_that_no_file_system_takes_is_told(shop: Shop) -> None:
    with pytest.raises(InputError, match="no recipe or stack"):
        shop.catalog.members("a" * 5000)


def test_the_shipped_root_is_the_checkout_here() -> None:
    assert shipped_root() == REPOSITORY


def test_a_path_of_three_thousand_keys_is_an_input_error() -> None:
    with pytest.raises(InputError, match="a path of at most 32 keys, found one of 3000"):
        Catalog([Root(shipped_root(), "shipped")]).recipe("e4b-nvfp4", [".".join(["a"] * 3000) + "=1"])


def test_a_name_whose_file_lies_here_is_answered_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "box.yaml").write_text("services: {a: {recipe: small}}\n")
    for ask in (shop.catalog.stack, shop.catalog.recipe):
        with pytest.raises(InputError) as error:
            ask("box")
        assert error.value.hint == "did you mean ./box.yaml?"


def test_the_facts_of_a_repository_are_found_by_any_line_that_names_it(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.write("recipes/models/b.yaml", 'checkpoints:\n  - repo: a/one\n    size: 1\n  - {size: 1, repo: "a/two"}\n')
    shop.write("recipes/models/a.yaml", "loaded:\n  - repo: a/one\n  - {repo: a/three, size: 1}\n")
    assert shop.catalog.facts_by_repo() == {"a/one": "a", "a/two": "b"}
