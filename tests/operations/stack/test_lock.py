"""``sparkctl lock``: what is written, what differs, and what an upgrade would change, over a world of fakes."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import EngineError, InputError
from sparkctl.operations.spark import Spark
from sparkctl.operations.stack.lock import stack_lock
from sparkctl.operations.stack.lock.behind import own_digests
from sparkctl.world.engine import OfferedImage
from sparkctl.world.host import ModelFile, ModelRecord
from tests.support.fake_engine import FakeEngine
from tests.support.fake_world import HOME, FakeSpark
from tests.support.fakes import FakeReport

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = "vllm/vllm-openai:v0.20.2"
OLD, NEW = "sha256:" + "a" * 64, "sha256:" + "b" * 64
COMMIT, NEWER = "c" * 40, "d" * 40
REPO = "test/tiny"
DRAFT = "test/draft"
WEIGHTS = ModelFile("model.safetensors", 2**30, "sha256:" + "1" * 64)
CONFIG = ModelFile("config.json", 700, "git-sha1:" + "2" * 40)
RECIPE = f"""\
template: vllm-openai
image: {IMAGE}
vllm: "0.20.2"
model: {{repo: {REPO}, facts: gemma-4-26b-a4b}}
serve: {{name: tiny, port: 8009}}
limits: {{context: 65536, sequences: 2, batched-tokens: 8192}}
args: {{calculate-kv-scales: true}}
mods: [fix]
speculative: {{method: mtp, model: {DRAFT}, facts: gemma-4-26b-a4b-assistant, num_speculative_tokens: 1}}
"""
STACK = "services:\n  small: {recipe: tiny}\n"
MOD = """\
description: a mod
applies-to: {{vllm: ">=0.20,<0.21"}}
fixed-in: ">=0.21"
files:
  - {{path: /opt/a.py, source: a.py, md5: {md5}, replaces: absent}}
"""
CODE = b"x = 1\n"


@pytest.fixture
def spark(tmp_path: Path) -> FakeSpark:
    engine = FakeEngine(images={IMAGE: {}}, digests={IMAGE: (f"vllm/vllm-openai@{OLD}",)})
    spark = FakeSpark(tmp_path, engine=engine)
    engine.registry[IMAGE] = OfferedImage(OLD, ("linux/amd64", "linux/arm64"))
    for name, text in (
        ("recipes/tiny.yaml", RECIPE),
        ("recipes/stacks/box.yaml", STACK),
        ("mods/fix/mod.yaml", MOD.format(md5=hashlib.md5(CODE, usedforsecurity=False).hexdigest())),
        ("mods/fix/a.py", CODE.decode()),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    spark.models.cache |= {REPO, DRAFT}
    spark.models.records = {"tiny": ModelRecord(COMMIT, (CONFIG, WEIGHTS)), "draft": ModelRecord(COMMIT, (WEIGHTS,))}
    spark.hub.lists = {REPO: ModelRecord(COMMIT, (CONFIG, WEIGHTS)), DRAFT: ModelRecord(COMMIT, (WEIGHTS,))}
    return spark


def file_of(spark: FakeSpark) -> Path:
    return spark.folder / "recipes/stacks/box.lock"


def edited(spark: FakeSpark, name: str, old: str, new: str) -> None:
    path = spark.folder / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


# --- writing ----------------------------------------------------------------------------------------------------------


def test_a_lock_has_what_is_behind_the_names_and_is_the_same_each_time(spark: FakeSpark) -> None:
    done = spark.run("lock", "box").expect(0)
    assert done.out == f"{file_of(spark)}\n"
    models = f"model {REPO} at {COMMIT[:12]}; draft {DRAFT} at {COMMIT[:12]}"
    assert done.err.splitlines() == [
        f"small: image {OLD[:19]}; vLLM 0.20.2; {models}; mods fix",
        "commit it beside the stack",
    ]
    text = file_of(spark).read_text()
    for part in (
        f'image: {{digest: "{OLD}", reference: "{IMAGE}"}}',
        'vllm: "0.20.2"',
        f'revision: "{COMMIT}"',
        f'model.safetensors: {{bytes: 1073741824, sum: "{WEIGHTS.sum}"}}',
        f'a.py: {{md5: "{hashlib.md5(CODE, usedforsecurity=False).hexdigest()}", ',
        f'sha256: "{hashlib.sha256(CODE).hexdigest()}"}}',
    ):
        assert part in text
    assert str(spark.folder) not in text
    assert spark.hub.asked == []  # all of it is here
    assert spark.models.read == []
    again = spark.run("lock", "box").expect(0)
    assert again.err.endswith("as it was locked already\n")
    assert file_of(spark).read_text() == text
    assert spark.engine.calls == []


def test_the_lock_is_no_stack_and_no_recipe(spark: FakeSpark) -> None:
    spark.run("lock", "box").expect(0)
    names = {one["name"] for one in spark.run("recipes", "--json").expect(0).json}
    assert "box" in names
    assert not {name for name in names if name.endswith("lock")}


def test_as_json_it_is_the_file(spark: FakeSpark) -> None:
    value = spark.run("lock", "box", "--json").expect(0).json
    assert value["path"] == str(file_of(spark))
    assert value["changed"] is True
    assert value["services"]["small"]["image"] == {"reference": IMAGE, "digest": OLD, "id": None}
    assert spark.run("lock", "box", "--json").json["changed"] is False


def test_what_is_not_here_is_taken_as_registry_and_hub_have_it(spark: FakeSpark) -> None:
    spark.engine.images.clear()
    spark.models.cache.clear()
    done = spark.run("lock", "box").expect(0)
    assert f"small: {REPO} is not in the cache {HOME}/.cache/huggingface/hub: taken as the hub has it now\n" in done.err
    assert f'digest: "{OLD}"' in file_of(spark).read_text()
    assert spark.hub.asked == [(REPO, None), (DRAFT, None)]
    spark.run("lock", "box", "--check").expect(0)


def test_what_nobody_knows_leaves_nothing_written_and_is_told_at_once(spark: FakeSpark) -> None:
    spark.engine.images.clear()
    spark.engine.registry.clear()
    spark.models.cache.clear()
    spark.hub.lists.clear()
    (spark.folder / "mods/fix/a.py").write_text("x = 2\n")
    done = spark.run("lock", "box").expect(2)
    assert "small: image: " in done.err
    assert (
        f"{IMAGE} is not here, and cannot ask the registry for the image {IMAGE}: the registry has no such" in done.err
    )
    assert f"small: model: {REPO} is not in the cache" in done.err
    assert "and cannot read test/tiny: the hub has not answered for 5 s" in done.err
    assert "small: draft: " in done.err
    assert re.search(
        r"small: mod fix, a.py: .*a.py: expected md5 \w{32}, found \w{32}; restore it, or accept", done.err
    )
    assert not file_of(spark).exists()


def test_an_image_that_no_registry_has_is_locked_by_its_id(spark: FakeSpark) -> None:
    spark.engine.digests.clear()
    spark.engine.tagged[IMAGE] = NEW
    done = spark.run("lock", "box").expect(0)
    assert f"image {NEW[:19]}, which no registry has" in done.err
    assert f'image: {{id: "{NEW}", reference' in file_of(spark).read_text()
    spark.engine.tagged[IMAGE] = OLD
    found = spark.run("lock", "box", "--check").expect(9)
    assert found.out == (
        f"small: image: locked an image that no registry has, {NEW}, found an image that no registry has, {OLD}\n"
    )


def test_an_image_with_several_digests_is_what_was_locked_while_it_has_that(spark: FakeSpark) -> None:
    spark.run("lock", "box").expect(0)
    spark.engine.digests[IMAGE] = (f"vllm/vllm-openai@{NEW}", f"vllm/vllm-openai@{OLD}", f"other/x@{NEW}")
    spark.run("lock", "box", "--check").expect(0)


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("a/b:1", [NEW]),
        ("hub.example/a/b:1", [NEW]),  # docker shortens the names of its usual registry
        ("hub.example/library/c", [OLD]),
        ("other.example:5000/d:2", [OLD]),
        ("a", []),
    ],
)
def test_digests_are_those_of_the_registry_that_the_name_is_of(reference: str, found: list[str]) -> None:
    digests = [f"a/b@{NEW}", f"c@{OLD}", f"other.example:5000/d@{OLD}", f"x.example/a@{NEW}"]
    assert own_digests(reference, digests) == found


def test_a_model_that_a_job_has_still_to_make_is_not_taken_for_what_the_hub_has(spark: FakeSpark) -> None:
    (spark.folder / "recipes/stacks/box.yaml").write_text("services: {made: {recipe: 26b-a4b-nvfp4-made}}\n")
    recipe = spark.run("recipes", "show", "26b-a4b-nvfp4-made", "--json").json["recipe"]
    folder = recipe["model"]["path"].rpartition("/")[2]
    spark.models.missing = {folder: "is not there"}
    spark.engine.images[recipe["image"]] = {}
    done = spark.run("lock", "box").expect(2)
    assert "is not there, and the job quantize-26b-nvfp4 makes it: sparkctl job run quantize-26b-nvfp4" in done.err
    assert spark.hub.asked == []


def test_a_silent_registry_is_asked_once_for_an_image(spark: FakeSpark) -> None:
    (spark.folder / "recipes/stacks/box.yaml").write_text(STACK + "  more: {recipe: tiny, set: {serve.port: 8010}}\n")
    spark.engine.images.clear()
    spark.engine.registry.clear()
    spark.run("lock", "box").expect(2)
    assert spark.engine.calls == [f"ask the registry {IMAGE}"]


def test_a_shipped_stack_is_locked_in_the_operators_own_folder(tmp_path: Path) -> None:
    spark = FakeSpark(tmp_path)
    world = spark.world(FakeReport())
    assert stack_lock.path_of(world, world.catalog.stack("executor")) == (
        spark.operator.config / "recipes/stacks/executor.lock"
    )


def test_a_folder_has_the_sums_of_the_job_that_made_it(spark: FakeSpark, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    folder.mkdir()
    made = {
        "job": "quantize",
        "digest": "0123456789abcdef",
        "sparkctl": "1",
        "declared": {},
        "overrides": [],
        "image": {"reference": "i", "id": "i", "key": "k"},
        "script": {"name": "s", "md5": "m"},
        "input": {"digest": "d"},
        "parameters": {},
        "started": None,
        "ended": None,
        "seconds": None,
        "layers": None,
        "peak_bytes": None,
        "host": {"kernel": "k", "machine": "m", "memory_bytes": 1},
        "bytes": 1,
        "files": [{"name": "model.safetensors", "bytes": 2**30, "sha256": "9" * 64}],
        "checks": {},
    }
    (folder / "sparkctl-job.json").write_text(json.dumps(made))
    edited(spark, "recipes/tiny.yaml", f"repo: {REPO},", f"repo: {REPO}, path: {folder},")
    (folder / "config.json").write_text("{}")
    unsummed = tuple(file._replace(sum="") for file in (CONFIG, WEIGHTS))
    spark.models.records["made"] = ModelRecord(None, unsummed)
    spark.models.sums["config.json"] = "sha256:" + "8" * 64
    spark.run("lock", "box").expect(0)
    text = file_of(spark).read_text()
    assert 'made: {digest: "0123456789abcdef", job: "quantize"}' in text
    assert f'model.safetensors: {{bytes: 1073741824, sum: "sha256:{"9" * 64}"}}' in text
    assert f'config.json: {{bytes: 700, sum: "sha256:{"8" * 64}"}}' in text
    assert spark.models.read == [folder / "config.json"]  # no weights


def test_a_sum_that_is_not_noted_here_is_the_hubs_of_that_commit(spark: FakeSpark) -> None:
    spark.models.records["tiny"] = ModelRecord(COMMIT, (CONFIG, WEIGHTS._replace(sum="")))
    spark.hub.lists[f"{REPO}@{COMMIT}"] = spark.hub.lists[REPO]
    spark.run("lock", "box").expect(0)
    assert f'sum: "{WEIGHTS.sum}"' in file_of(spark).read_text()
    assert spark.hub.asked == [(REPO, COMMIT)]


def test_hash_reads_every_byte_and_refuses_what_is_damaged(spark: FakeSpark) -> None:
    spark.models.sums = {"model.safetensors": WEIGHTS.sum, "config.json": CONFIG.sum}
    spark.run("lock", "box", "--hash").expect(0)
    assert [path.name for path in spark.models.read] == ["config.json", "model.safetensors", "model.safetensors"]
    spark.models.sums["model.safetensors"] = "sha256:" + "0" * 64
    spark.run("lock", "box", "--check").expect(0)  # names say the same still
    checked = spark.run("lock", "box", "--check", "--hash").expect(9)
    wrong = f"model.safetensors: locked {WEIGHTS.sum}, found sha256:{'0' * 64}"
    assert checked.out == f"small: draft's {wrong}\nsmall: model's {wrong}\n"
    before = file_of(spark).read_text()
    refused = spark.run("lock", "box", "--hash").expect(2)
    assert f"small: model's model.safetensors: expected {WEIGHTS.sum}, found sha256:{'0' * 64}" in refused.err
    assert file_of(spark).read_text() == before


def test_a_disk_that_refuses_is_told(spark: FakeSpark) -> None:
    file_of(spark).mkdir()
    done = spark.run("lock", "box").expect(2)
    assert f"cannot write {file_of(spark)}" in done.err


def test_a_program_locks_compares_and_asks_what_is_newer(spark: FakeSpark) -> None:
    own = Spark(spark.world(FakeReport()))
    assert own.lock("box").same is False
    assert own.check_lock("box") == []
    assert own.newer("box").changes is False
    spark.engine.registry[IMAGE] = OfferedImage(NEW)
    (one,) = Spark(spark.world(FakeReport())).newer("box", "small").services
    assert (one.before.digest, one.after.digest) == (OLD, NEW)


# --- names and words that do not go -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("nosuch",), 2, "no stack 'nosuch'"),
        (("tiny",), 2, "no stack 'tiny'"),
        (("box", "--check"), 2, "box has no lock: there is no "),
        (("box", "--upgrade"), 2, "box has no lock: there is no "),
        (("box", "small"), 2, "NAME goes with --upgrade"),
        (("box", "--yes"), 2, "--yes goes with --upgrade"),
        (("box", "--set", "vllm=1"), 2, "--set goes with --upgrade"),
        (("box", "--check", "--upgrade"), 2, "say one of them"),
        (("box", "--upgrade", "--hash"), 2, "--hash reads the models that are here"),
        (("box", "--upgrade", "--yes", "--set", "vllm=1"), 2, "write it into the stack or the recipe"),
    ],
)
def test_what_does_not_go_is_told(
    spark: FakeSpark, words: tuple[str, ...], code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    done = spark.run("lock", *words).expect(code)
    assert told in done.err + capsys.readouterr().err


def test_a_stack_whose_name_is_a_recipes_too_is_named_by_its_file(spark: FakeSpark) -> None:
    (spark.folder / "recipes/box.yaml").write_text(RECIPE)
    assert "box is a recipe, and a stack of the same name is " in spark.run("lock", "box").expect(2).err
    spark.run("lock", str(spark.folder / "recipes/stacks/box.yaml")).expect(0)
    spark.run("lock", str(spark.folder / "recipes/stacks/box.yaml"), "--check").expect(0)


def test_an_engine_elsewhere_is_refused(spark: FakeSpark) -> None:
    spark.engine.elsewhere = "it is another host's"
    spark.run("lock", "box").expect(4)


# --- comparing --------------------------------------------------------------------------------------------------------


def test_check_names_each_difference_and_exits_with_9(spark: FakeSpark) -> None:
    spark.run("lock", "box").expect(0)
    same = spark.run("lock", "box", "--check").expect(0)
    assert (same.out, same.err) == ("", "as it was locked\n")
    spark.engine.digests[IMAGE] = (f"vllm/vllm-openai@{NEW}",)
    spark.models.records["tiny"] = ModelRecord(NEWER, (CONFIG, WEIGHTS))
    (spark.folder / "recipes/stacks/box.yaml").write_text(STACK + "  more: {recipe: tiny, set: {serve.port: 8010}}\n")
    done = spark.run("lock", "box", "--check").expect(9)
    assert done.out == (
        "more: the stack: locked nothing, found a service\n"
        f"small: image: locked {OLD}, found {NEW}\n"
        f"small: model's revision: locked {COMMIT}, found {NEWER}\n"
    )
    assert spark.run("lock", "box", "--check", "--json").expect(9).json[1] == {
        "service": "small", "what": "image", "locked": OLD, "found": NEW,
    }  # fmt: skip


def test_a_file_that_changed_since_the_lock_is_a_difference(spark: FakeSpark) -> None:
    spark.run("lock", "box").expect(0)
    (spark.folder / "mods/fix/a.py").write_text("x = 2\n")
    done = spark.run("lock", "box", "--check").expect(9)
    assert re.match(
        r"small: mod fix, a\.py: locked md5 \w{32}, found .*/a\.py: expected md5 \w{32}, found \w", done.out
    )


def test_what_cannot_be_looked_behind_is_a_difference(spark: FakeSpark) -> None:
    spark.run("lock", "box").expect(0)
    spark.engine.images.clear()
    spark.engine.registry.clear()
    spark.models.cache.clear()
    spark.hub.lists.clear()
    lines = spark.run("lock", "box", "--check").expect(9).out.splitlines()
    assert [line.partition(", found ")[0] for line in lines] == [
        f"small: draft: locked {DRAFT} at {COMMIT}",
        f"small: image: locked {OLD}",
        f"small: model: locked {REPO} at {COMMIT}",
    ]
    assert "is not here, and cannot ask the registry" in lines[1]


def test_a_tag_that_moved_before_its_image_came_here_is_a_difference(spark: FakeSpark) -> None:
    spark.run("lock", "box").expect(0)
    spark.engine.images.clear()
    spark.engine.registry[IMAGE] = OfferedImage(NEW)
    assert spark.run("lock", "box", "--check").expect(9).out == f"small: image: locked {OLD}, found {NEW}\n"


def test_a_damaged_lock_is_told_at_its_line(spark: FakeSpark) -> None:
    spark.run("lock", "box").expect(0)
    edited(spark, "recipes/stacks/box.lock", "schema: 1", "schema: 7")
    done = spark.run("lock", "box", "--check").expect(2)
    assert "box.lock:3:9: a lock of schema 7, and this sparkctl reads 1" in done.err


def test_a_lock_of_another_kind_of_host_is_refused(spark: FakeSpark) -> None:
    spark.run("lock", "box").expect(0)
    edited(spark, "recipes/stacks/box.lock", '["gb10"]', '["h200"]')
    assert "locked on another kind of host: GPUs h200, and" in spark.run("lock", "box", "--check").expect(2).err


def test_apply_is_refused_with_a_line_for_each_mismatch(spark: FakeSpark) -> None:
    spark.run("lock", "box").expect(0)
    world = spark.world(FakeReport())
    loader = world.loader(world.ports.models, world.images)
    services = world.services(loader, loader.located(["box"], (), strict=False))
    assert stack_lock.mismatches(world, "box", services) == []
    stack_lock.require(world, "box", services)
    spark.engine.digests[IMAGE] = (f"vllm/vllm-openai@{NEW}",)
    again = spark.world(FakeReport())
    assert stack_lock.mismatches(again, "box", services) == [f"small: image: locked {OLD}, found {NEW}"]
    with pytest.raises(InputError, match=f"not as it was locked:\nsmall: image: locked {OLD}, found {NEW}") as refused:
        stack_lock.require(again, "box", services)
    assert refused.value.hint == "bring back what was locked, or take what is here: sparkctl lock box"


def test_apply_with_locked_touches_nothing_that_differs(spark: FakeSpark) -> None:
    spark.http.serving["127.0.0.1:8009"] = "tiny"
    no_lock = spark.run("apply", "box", "--locked").expect(2)
    assert "box has no lock: there is no " in no_lock.err
    spark.run("lock", "box").expect(0)
    spark.engine.digests[IMAGE] = (f"vllm/vllm-openai@{NEW}",)
    refused = spark.run("apply", "box", "--locked").expect(2)
    assert f"error: not as it was locked:\nsmall: image: locked {OLD}, found {NEW}\n" in refused.err
    assert spark.engine.calls == []
    assert spark.store.records("generation") == []
    spark.engine.digests[IMAGE] = (f"vllm/vllm-openai@{OLD}",)
    spark.run("apply", "box", "--locked").expect(0)
    assert spark.engine.calls[:2] == ["create small", "start small"]


# --- upgrading --------------------------------------------------------------------------------------------------------


def test_nothing_that_is_newer_is_said_and_nothing_is_pulled(spark: FakeSpark) -> None:
    spark.run("lock", "box").expect(0)
    done = spark.run("lock", "box", "--upgrade").expect(0)
    assert done.err == "nothing is newer\n"
    assert done.out.splitlines()[:4] == ["small", f"  image   {IMAGE}", f"          {OLD[:19]}", "  vLLM    0.20.2"]
    assert spark.engine.calls == [f"ask the registry {IMAGE}"]
    assert spark.hub.asked == [(REPO, None), (DRAFT, None)]


def test_a_newer_release_shows_memory_flags_and_mods_before_it_is_pulled(spark: FakeSpark) -> None:
    spark.run("lock", "box").expect(0)
    spark.engine.registry["vllm/vllm-openai:v0.32.0"] = OfferedImage(NEW, ("linux/amd64", "linux/arm64"))
    done = spark.run("lock", "box", "--upgrade", "--set", "image=vllm/vllm-openai:v0.32.0").expect(0)
    assert f"  image   {IMAGE} → vllm/vllm-openai:v0.32.0" in done.out
    assert f"          {OLD[:19]} → {NEW[:19]}" in done.out
    assert "  vLLM    0.20.2 → 0.32.0" in done.out
    assert re.search(r"  memory  \d+\.\d GiB → \d+\.\d GiB", done.out)
    assert "  flag    vLLM 0.32.0 has no --calculate-kv-scales (it existed until 0.27.1)" in done.out
    assert "  mod     mod fix is made for vLLM >=0.20,<0.21, and the recipe has 0.32.0" in done.out
    assert "  mod     mod fix is needed no more: vLLM >=0.21 has what it mends" in done.out
    assert "write it into the stack or the recipe to have it; nothing is pulled for it" in done.err
    (one,) = spark.run("lock", "box", "--upgrade", "--set", "image=vllm/vllm-openai:v0.32.0", "--json").json
    before, after = one["before"]["steady_bytes"], one["after"]["steady_bytes"]
    planned = spark.run(
        *("plan", "tiny", "--json", "--set", "image=vllm/vllm-openai:v0.32.0", "--set", 'vllm="0.32.0"')
    ).json
    assert after == planned["services"][0]["bound_bytes"]
    assert before == spark.run("plan", "tiny", "--json").json["services"][0]["bound_bytes"]
    assert before != after


def test_a_release_with_which_the_recipe_cannot_be_planned_says_why(spark: FakeSpark) -> None:
    spark.run("lock", "box").expect(0)
    (spark.folder / "recipes/tiny.yaml").write_text(RECIPE.replace("batched-tokens: 8192", "batched-tokens: 512"))
    done = spark.run("lock", "box", "--upgrade").expect(0)
    assert "  memory  not known\n" in done.out
    assert "  unknown its memory cannot be planned: " in done.out
    assert "limits.batched-tokens: 512 is less than the model's largest item, 2496 tokens\n" in done.out


def test_a_moved_tag_says_what_is_not_known_before_it_is_pulled(spark: FakeSpark) -> None:
    nightly = "vllm/vllm-openai:nightly"
    edited(spark, "recipes/tiny.yaml", IMAGE, nightly)
    spark.engine.images = {nightly: {}}
    spark.engine.digests = {nightly: (f"vllm/vllm-openai@{OLD}",)}
    spark.engine.registry[nightly] = OfferedImage(NEW, ("linux/ppc64le",))
    spark.run("lock", "box").expect(0)
    done = spark.run("lock", "box", "--upgrade").expect(0)
    assert f"          {OLD[:19]} → {NEW[:19]}" in done.out
    assert "GiB → not known before it is pulled" in done.out
    assert f"  unknown the vLLM of {nightly} is not known before it is pulled" in done.out
    assert f"  unknown {nightly} is not made for linux/" in done.out
    spark.run("lock", "box", "--upgrade", "--yes").expect(0)
    assert f'image: {{digest: "{NEW}", reference: "{nightly}"}}' in file_of(spark).read_text()
    assert not [call for call in spark.engine.calls if call.startswith("pull")]
    assert spark.run("lock", "box", "--check").expect(9).out == f"small: image: locked {NEW}, found {OLD}\n"
    spark.engine.digests[nightly] = (f"vllm/vllm-openai@{NEW}",)
    spark.run("lock", "box", "--check").expect(0)


def test_a_newer_commit_of_the_branch_is_locked_with_the_hubs_sums(spark: FakeSpark) -> None:
    spark.run("lock", "box").expect(0)
    other = WEIGHTS._replace(sum="sha256:" + "7" * 64)
    spark.hub.lists[REPO] = ModelRecord(NEWER, (CONFIG, other))
    done = spark.run("lock", "box", "--upgrade", "small", "--yes").expect(0)
    assert f"  model   {COMMIT[:12]} → {NEWER[:12]}\n" in done.out
    assert done.err.splitlines()[-1] == f"  hf download {REPO} --revision {NEWER}"
    assert f'revision: "{NEWER}"' in file_of(spark).read_text()
    assert f'sum: "{other.sum}"' in file_of(spark).read_text()
    spark.models.records["tiny"] = spark.hub.lists[REPO]
    spark.run("lock", "box", "--check").expect(0)


def test_a_model_that_the_recipe_pins_has_no_newer_commit(spark: FakeSpark) -> None:
    edited(spark, "recipes/tiny.yaml", f"repo: {REPO},", f'repo: {REPO}, revision: "{COMMIT}",')
    spark.run("lock", "box").expect(0)
    spark.hub.lists[REPO] = ModelRecord(NEWER, ())
    spark.run("lock", "box", "--upgrade").expect(0)
    assert spark.hub.asked == [(DRAFT, None)]


def test_a_registry_and_a_hub_that_do_not_answer_change_nothing(spark: FakeSpark) -> None:
    spark.run("lock", "box").expect(0)
    before = file_of(spark).read_text()
    error = EngineError("cannot ask the registry for the image: the registry does not answer")
    spark.engine.fail[f"ask the registry {IMAGE}"] = error
    spark.hub.lists.clear()
    done = spark.run("lock", "box", "--upgrade", "--yes").expect(0)
    assert f"  unknown {error.message}" in done.out
    assert "  unknown cannot read test/tiny: the hub has not answered for 5 s" in done.out
    assert file_of(spark).read_text() == before


def test_a_service_that_is_not_locked_or_gone_is_named(spark: FakeSpark) -> None:
    spark.run("lock", "box").expect(0)
    done = spark.run("lock", "box", "--upgrade", "smal").expect(2)
    assert "the lock of box has no service smal" in done.err
    assert "did you mean small?" in done.err
    (spark.folder / "recipes/stacks/box.yaml").write_text("services: {other: {recipe: tiny}}\n")
    done = spark.run("lock", "box", "--upgrade", "small").expect(2)
    assert "small is locked, and no service of box any more" in done.err
