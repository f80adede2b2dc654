"""Recipes of sparkrun, as it starts them on one host."""

from __future__ import annotations

import pytest

from sparkctl.base.errors import ProblemsError
from sparkctl.recipes.exchange.material import Material, unknowns
from sparkctl.recipes.exchange.sources.sparkrun import read, recognises
from tests.support.imports import one
from tests.support.launches import command, left, only, options
from tests.support.paths import EXCHANGE

RECIPE = (EXCHANGE / "sparkrun.yaml").read_text()


def test_a_recipe_becomes_a_launch() -> None:
    """Every key of the recipe is in the launch or among what stays over."""
    found = only(read, RECIPE)
    assert found.refused is None
    assert found.form == "sparkrun recipe"
    assert found.version == "0.20.2"
    assert command(found) == (
        "vllm serve org/Example-7B --host 127.0.0.1 --port 8001 "
        '--speculative-config {"method": "mtp", "num_speculative_tokens": 2} '
        '--default-chat-template-kwargs {"enable_thinking": false} --served-model-name example --revision 0123abc'
    )
    assert options(found).replace("\ue000", "<").replace("\ue001", ">") == (
        "--gpus all --ipc host --shm-size 16gb --restart unless-stopped --cap-add IPC_LOCK --ulimit memlock=-1:-1 "
        "--entrypoint  --env TOKENIZERS_PARALLELISM=false --env FROM_HOST=<ELSEWHERE>/x "
        "--publish 127.0.0.1:8001:8001"
    )
    assert [unknowns(word.text) for word in found.options if "FROM_HOST" in word.text] == [["ELSEWHERE"]]
    assert found.keys == {
        "description": "An example. Two lines.",
        "x-metadata": {"maintainer": "someone <a@example.org>", "model_params": "7B"},
        "x-benchmark": {"framework": "llama-benchy"},
    }
    assert left(found) == ["29: executor_config.novelty: 1", '32: pre_exec: ["mkdir -p /cache/x"]', "34: builder: eugr"]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("runtime: vllm", "runtime: sglang", "no vLLM server"),
        ("runtime: vllm\n", "", None),
        ("vllm serve", "python3 -m sglang.launch_server", "no vLLM server"),
        ("model: org/Example-7B", "x-model: 1", None),
    ],
)
def test_what_is_refused_has_one_of_few_reasons(old: str, new: str, reason: str | None) -> None:
    """Another server."""
    found = only(read, RECIPE.replace(old, new))
    assert (found.refused and found.refused.reason) == reason


@pytest.mark.parametrize(
    ("key", "nodes"),
    [
        ("min_nodes: 1", 1),
        ("min_nodes: 3", 3),
        ("cluster_only: true", 2),
        ("mode: cluster\nmin_nodes: 4", 4),
        ("mode: solo", 1),
        ("min_nodes: x", 1),
    ],
)
def test_a_recipe_says_how_many_hosts_it_needs(key: str, nodes: int) -> None:
    assert only(read, RECIPE.replace("min_nodes: 1", key)).nodes == nodes


def test_without_a_command_its_flags_are_made_of_the_defaults() -> None:
    """As sparkrun makes them: switches without a value, maps as JSON; what it knows no flag for stays over."""
    text = """\
recipe_version: 2
model: org/m
container: vllm/vllm-openai:v0.20.2
defaults:
  tensor_parallel: 1
  max_model_len: 8192
  enforce_eager: true
  trust_remote_code: false
  enable_prefix_caching: false
  speculative_config: {method: ngram, num_speculative_tokens: 2}
  invented: 3
"""
    found = only(read, text)
    assert command(found) == (
        "vllm serve org/m --tensor-parallel-size 1 --max-model-len 8192 --enforce-eager --no-enable-prefix-caching "
        '--speculative-config {"method": "ngram", "num_speculative_tokens": 2}'
    )
    assert options(found).endswith("--publish 8000:8000")
    assert left(found) == ["11: defaults.invented: 3"]
    assert found.command[-2].place.line == 10


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (
            "{}",
            ["its runner starts every container privileged and on the host's network: here it is neither"],
        ),
        ("{network: host}", ["its runner starts every container privileged: here it is not"]),
        ("{privileged: false, network: host}", []),
        (
            "{privileged: true}",
            ["its runner starts every container on the host's network: here it is not, and its port"],
        ),
    ],
)
def test_what_power_its_runner_gives_is_told(config: str, told: list[str]) -> None:
    """Unless the recipe itself says how it is."""
    text = f"recipe_version: 2\nmodel: org/m\ncontainer: i\nexecutor_config: {config}\n"
    notes = only(read, text).notes
    assert [note[: len(one)] for note, one in zip(notes, told, strict=True)] == told


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("executor: docker", False),
        ("executor: local", True),
        ("builder: docker-pull", False),
        ("runtime_cache: false", True),
        ("scheduler: greedy", True),
        ("runtime_config: {build_args: [--x]}", True),
        ("stop_after_post: true", True),
    ],
)
def test_what_is_done_around_the_server_stays_over(line: str, *, told: bool) -> None:
    """What one Spark has no use for, or what sparkctl does in its own way."""
    found = only(read, f"recipe_version: 2\nmodel: org/m\ncontainer: i\n{line}\n")
    assert any(one.startswith("4: ") for one in left(found)) is told


def test_a_model_may_be_a_folder_of_the_host() -> None:
    """It is mounted where it is there, as sparkrun does it."""
    found = only(read, RECIPE.replace("model: org/Example-7B", "model: /models/m"))
    assert "--volume /models/m:/models/m:ro" in options(found)
    assert command(found).startswith("vllm serve /models/m ")


def test_folders_of_this_host_may_stand_under_volumes() -> None:
    """No key of sparkrun's: recipes for a runtime of one's own have it, and their model lies there."""
    found = only(read, RECIPE + "volumes: [~/models/m:/model:ro]\n")
    assert "--volume ~/models/m:/model:ro" in options(found)


def test_a_recipe_includes_another() -> None:
    """Maps merge, what is in defaults is one setting each, null takes away, and each word has its own file."""
    base = RECIPE.replace("executor_config:", "mods: [a]\nexecutor_config:")
    outer = """\
recipe_version: "2"
include: base
mods: null
defaults:
  port: 9000
  speculative_config: {method: ngram}
env: {TOKENIZERS_PARALLELISM: null, MORE: "1"}
executor_config: {user: root}
"""
    found = only(read, outer, "outer.yaml", {"base.yaml": base, "other.yaml": base})
    assert "--port 9000" in command(found)
    assert '{"method": "ngram"}' in command(found)
    assert "--user root --shm-size" not in options(found)
    assert "--shm-size 16gb" in options(found)
    assert "--user root" in options(found)
    assert "TOKENIZERS" not in options(found)
    assert "MORE=1" in options(found)
    assert found.mods == ()
    assert found.name == "outer"
    assert found.keys["x-metadata"] is not None


def test_a_registry_is_one_folder() -> None:
    """A recipe of the registry is found by its name wherever it lies; what it includes lies beside it."""
    beside = {
        "official/x/base.yaml": 'recipe_version: "2"\ninclude: deeper\ndefaults: {port: 9}\n',
        "official/x/deeper.yml": RECIPE,
    }
    text = 'recipe_version: "2"\ninclude: "@official/base"\nmodel: org/Other\n'
    found = only(read, text, "mine.yaml", beside)
    assert "vllm serve org/Other" in command(found)
    assert "--port 9 " in command(found)
    assert "x-metadata" not in found.keys  # of another model


@pytest.mark.parametrize(
    ("include", "beside", "message"),
    [
        ("base", {}, "no file of this folder"),
        ("../base", {"../base.yaml": RECIPE}, "no name of a recipe"),
        ("/etc/passwd", {}, "no name of a recipe"),
        ('"@other/../x"', {}, "no name of a recipe"),
        ('"@other/x"', {"a/x.yaml": RECIPE, "b/x.yaml": RECIPE}, "2 files have this name"),
        ("a", {"a.yaml": "include: b\n", "b.yaml": "include: a\n"}, "in a circle"),
        ("[a]", {}, "expected the name"),
        ("a0", {f"a{i}.yaml": f"include: a{i + 1}\n" for i in range(20)}, "more than 8 deep"),
    ],
)
def test_what_cannot_be_included(include: str, beside: dict[str, str], message: str) -> None:
    """Nothing outside of the folder is read, no circle is followed, and the place is named."""
    with pytest.raises(ProblemsError, match=message):
        only(read, f'recipe_version: "2"\ninclude: {include}\nmodel: org/m\n', beside=beside)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (RECIPE, True),
        ("model: m\ncontainer: c\nruntime: vllm\n", True),
        ("recipe_version: '2'\n", False),
        ("recipe_version: '2'\ninclude: x\n", True),
        ("services:\n  a:\n    command: x\n", False),
        ("models:\n  m:\n    cmd: vllm serve\n", False),
    ],
)
def test_it_is_recognised_by_its_keys(text: str, *, expected: bool) -> None:
    """A version or a model with its image and how it is started."""
    assert recognises(Material(text, "x.yaml")) is expected


def test_no_secret_of_what_is_kept_beside_the_recipe_comes_along() -> None:
    token = "hf_" + "aB3" * 6
    text = "recipe_version: '2'\nmodel: org/m\ncontainer: x/y:1\nruntime: vllm\n"
    text += f"metadata: {{maintainer: me, hf_token: {token}, note: 'use {token}', max_tokens: 5}}\n"
    made = one(text, "x.yaml")
    assert made.keys["x-metadata"] == {"maintainer": "me", "note": "use (hidden)", "max_tokens": 5}
    assert "x-metadata: what looks like a secret in it is left out" in made.notes
    assert token not in repr(made)
