"""A service is read as it was started: with what was laid over its recipe then, whatever its recipe says by now."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.base import document
from sparkctl.base.errors import Place
from sparkctl.operations.deployed_service import as_recorded, service_of
from sparkctl.recipes import layers
from sparkctl.recipes.layers import Override
from sparkctl.world import labels
from sparkctl.world.labels import OF_THE_MOMENT, LaidOver, ReadySettings, RecordedMod, SecretDigests, ServiceLabels
from tests.support.bench_streams import FakeStreams
from tests.support.command_line import Operator, free_port
from tests.support.fake_world import FakeSpark
from tests.support.fakes import FakeReport
from tests.support.thorough import only_thorough

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.recipes.service import Service

NAME = "e4b-nvfp4"


@pytest.fixture
def spark(tmp_path: Path) -> FakeSpark:
    return FakeSpark(tmp_path, streams=FakeStreams())


def write(spark: FakeSpark, path: str, text: str) -> Path:
    file = spark.folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def contexts(spark: FakeSpark) -> set[str]:
    """Return the contexts of all containers that were created, those of a sweep among them."""
    return {spec.command[spec.command.index("--max-model-len") + 1] for spec in spark.engine.created}


def record(spark: FakeSpark, name: str = NAME) -> ServiceLabels:
    container = spark.engine.container(name)
    assert container is not None
    return labels.read(container.labels)


def relabel(spark: FakeSpark, name: str, **changed: str) -> None:
    """Damage or change labels of a container, by their names without the prefix."""
    container = spark.engine.container(name)
    assert container is not None
    given = {f"sparkctl.{label.replace('_', '-')}": text for label, text in changed.items()}
    spark.engine.there[container.id] = container._replace(labels={**container.labels, **given})


# --- what was laid over it -------------------------------------------------------------------------------------------


def test_a_sweep_measures_the_service_as_it_was_started(spark: FakeSpark) -> None:
    spark.run("up", NAME, "--set", "limits.context=4096").expect(0)
    spark.run("bench", NAME, "--sweep", "limits.sequences=1..2", "--rounds", "1").expect(0)
    assert contexts(spark) == {"4096"}
    assert len(spark.engine.created) == 3


def test_what_a_stack_lays_over_a_recipe_is_kept_and_taken(spark: FakeSpark) -> None:
    more = "priority: 3, set: {limits.context: 4096, ready.timeout: 7m}"
    write(spark, "recipes/stacks/pair.yaml", f"services: {{chat: {{recipe: {NAME}, {more}}}}}\n")
    spark.run("up", "pair", "--set", "chat:limits.sequences=3").expect(0)
    laid_over = LaidOver("pair", 3, ("limits.context=4096", 'ready.timeout="7m"', "limits.sequences=3"), 500)
    assert record(spark, "chat").laid_over == laid_over
    assert record(spark, "chat").recipe == NAME
    assert record(spark, "chat").ready == ReadySettings(420.0, probe=True, acceptance={}, checks=())
    done = spark.run("attach", "chat").expect(0)
    assert "is not what" not in done.err, "nothing differs"
    spark.run("bench", "chat", "--sweep", "limits.batched-tokens=1024,2048", "--rounds", "1").expect(0)
    assert contexts(spark) == {"4096"}
    assert {spec.oom_score_adj for spec in spark.engine.created} == {500}, "in a sweep too"


def test_a_recipe_that_was_named_by_its_file_is_found_again(spark: FakeSpark) -> None:
    file = write(spark, "elsewhere/mine.yaml", f"extends: {NAME}\n")
    spark.run("up", str(file)).expect(0)
    assert record(spark, "mine").recipe == str(file)
    assert "mine: ready at" in spark.run("attach", "mine").expect(0).err
    file.unlink()
    done = spark.run("attach", "mine").expect(2)
    assert f"mine was made from the recipe {file}, which is not there any more" in done.err


PATHS = st.lists(st.sampled_from(["limits", "context", "env", "A_B", "kv-cache-dtype"]), min_size=1, max_size=8).map(
    ".".join
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn", "Co", "Zl", "Zp"), exclude_characters="\ufeff")),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.from_regex(r"[a-z][a-z_]{0,5}", fullmatch=True), inner, max_size=2)
    ),
    max_leaves=4,
)


@given(PATHS, VALUES)
def test_what_a_stack_lays_over_means_the_same_as_set(path: str, value: object) -> None:
    node = document.load(json.dumps({"at": value}, ensure_ascii=False), "stack").node(("at",))
    base = document.load("x: 1", "recipe")
    by_stack = layers.with_overrides(base, [Override(layers.parse_path(path), node)])
    text = layers.written(Override(layers.parse_path(path), node))
    assert layers.with_overrides(base, [text]).value == by_stack.value
    assert layers.written(text) == text
    assert isinstance(node.place, Place)


# --- its recipe has changed since ------------------------------------------------------------------------------------


@pytest.fixture
def changed(spark: FakeSpark) -> FakeSpark:
    """Return a Spark on which `mine` runs, whose recipe says something else by now."""
    write(spark, "recipes/mine.yaml", f"extends: {NAME}\nready: {{timeout: 9m}}\n")
    spark.run("up", "mine").expect(0)
    write(spark, "recipes/mine.yaml", f"extends: {NAME}\nlimits: {{context: 8192}}\nserve: {{name: other, port: 9}}\n")
    return spark


def test_attach_says_what_differs_and_waits_for_what_was_started(changed: FakeSpark) -> None:
    done = changed.run("attach", "mine").expect(0)
    assert "warning: the recipe mine is not what mine was started as, and mine is taken as it was started:" in done.err
    assert "  --max-model-len: 16384 runs, 8192 wanted" in done.err
    assert "mine: ready at http://127.0.0.1:8003" in done.err


def test_check_asks_the_server_that_was_started(changed: FakeSpark) -> None:
    changed.run("check", "mine", "--only", "text")
    assert {url.partition("/v1")[0] for url in changed.http.asked[-1:]} == {"http://127.0.0.1:8003"}


def test_a_sweep_of_what_its_recipe_is_no_more_is_refused_before_anything_is_stopped(changed: FakeSpark) -> None:
    before = len(changed.engine.calls)
    done = changed.run("bench", "mine", "--sweep", "limits.sequences=1,2").expect(2)
    assert "mine would differ in more than limits.sequences=1:" in done.err
    assert "--max-model-len: 16384 runs, 8192 wanted" in done.err
    assert "sparkctl up mine --replace" in done.err
    assert changed.engine.calls[before:] == []


def test_a_service_is_what_its_container_says(changed: FakeSpark) -> None:
    world = changed.world(FakeReport())
    container = changed.engine.container("mine")
    assert container is not None
    service = service_of(world, "mine", container, world.known_images)
    assert (service.recipe.serve.name, service.url) == ("gemma-4-e4b", "http://127.0.0.1:8003")
    assert (service.recipe.limits.context, service.recipe.ready.timeout) == (16384, 540.0)
    assert service.digest == record(changed, "mine").digest


def recorded(service: Service, command: tuple[str, ...], **more: object) -> Service:
    return as_recorded(service, ServiceLabels(**more), command)  # type: ignore[arg-type]


def test_what_is_unknown_is_taken_from_the_recipe_and_what_is_known_is_not(changed: FakeSpark) -> None:
    world = changed.world(FakeReport())
    container = changed.engine.container("mine")
    assert container is not None
    now = service_of(world, "mine", container, world.known_images)
    assert recorded(now, ("--max-model-len", "16384")).recipe == now.recipe
    read = recorded(
        now,
        ("--speculative-config", '{"method":"mtp","num_speculative_tokens":2}', "--max-model-len", "many"),
        served_names=("a", "b"),
        url="http://[::1]:77",
        ready=ReadySettings(5.0, probe=False, acceptance={"overall": 0.5}, checks=("text",)),
        secrets=SecretDigests("ab", {"HF_TOKEN": "cd"}),
        mods=(RecordedMod("fix", "/x.py", "0" * 32),),
    )
    recipe = read.recipe
    assert recipe.speculative is not None
    assert (recipe.speculative.method, recipe.speculative.num_speculative_tokens) == ("mtp", 2)
    assert (recipe.serve.name, recipe.serve.bind, recipe.serve.port) == ("a", "::1", 77)
    assert (recipe.ready.timeout, recipe.ready.probe, dict(recipe.ready.acceptance)) == (5.0, False, {"overall": 0.5})
    assert (recipe.checks, recipe.secrets) == (("text",), ("HF_TOKEN",))
    assert recipe.limits.context == now.recipe.limits.context
    assert [(mod.mod, mod.target, mod.md5) for mod in read.mods] == [("fix", "/x.py", "0" * 32)]
    assert recorded(now, ("--speculative-config", "{")).recipe.speculative == now.recipe.speculative


def test_verify_mods_takes_what_was_laid_over_the_recipe(spark: FakeSpark) -> None:
    write(spark, "mods/fix/fix.py", "FIXED = True\n")
    manifest = 'files: [{path: /usr/lib/x.py, source: fix.py, md5: "00000000000000000000000000000000"}]\n'
    write(spark, "mods/fix/mod.yaml", manifest)
    write(spark, "recipes/mine.yaml", f"extends: {NAME}\nmods: [fix]\n")
    spark.run("up", "mine", "--set", "mods=[]").expect(0)
    assert spark.run("verify-mods", "mine", "--json").expect(0).json == []
    spark.run("up", "mine", "--set", "mods=[]").expect(0)


def test_a_mod_that_a_recipe_has_only_since_is_said_and_not_looked_for(spark: FakeSpark) -> None:
    write(spark, "recipes/mine.yaml", f"extends: {NAME}\n")
    spark.run("up", "mine").expect(0)
    manifest = 'files: [{path: /usr/lib/x.py, source: fix.py, md5: "00000000000000000000000000000000"}]\n'
    write(spark, "mods/fix/mod.yaml", manifest)
    write(spark, "recipes/mine.yaml", f"extends: {NAME}\nmods: [fix]\n")
    done = spark.run("verify-mods", "mine").expect(0)
    assert "mine was started without mod fix, which its recipe has by now: sparkctl up --replace mine" in done.err


def test_a_service_whose_mods_nobody_knows_does_not_hold(spark: FakeSpark) -> None:
    spark.run("up", NAME).expect(0)
    relabel(spark, NAME, mods="[{", spec="x")
    done = spark.run("verify-mods", NAME).expect(6)
    assert f"{NAME}: its labels do not say with which mods it was started" in done.err
    assert done.out.splitlines()[1].split()[-1] == "unknown"


# --- what is of the moment -------------------------------------------------------------------------------------------


@only_thorough
def test_render_has_the_labels_of_up_but_those_of_the_moment(tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "folder"
    home.mkdir()
    folder.mkdir()
    operator = Operator(home, folder)
    own = (NAME, "--set", f"serve.port={free_port()}")
    operator.run("up", *own).expect(0)
    try:
        (row,) = operator.run("ps", "--json").expect(0).json
        (planned,) = operator.run("plan", *own, "--replace", "--json").expect(0).json["services"]
        assert row["claim_bytes"] == planned["steady_bytes"], "what is planned is what the container claims"
        rendered = dict(operator.run("render", *own, "--json").expect(0).json["labels"])
        assert rendered["sparkctl.claim"] == str(planned["steady_bytes"])
        assert "sparkctl.secrets" not in rendered
        moment = {"claim", "peak", "gpus", "gpu-claim", "gpu-peak", "image-id", "secrets", "process", "trial", "kept"}
        assert moment == {label.removeprefix("sparkctl.") for label in OF_THE_MOMENT}
        assert row["overrides"] == list(own[2:])
    finally:
        operator.run("down", "--all").expect(0)
