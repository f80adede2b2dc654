"""A service comes back as it was kept: by its words, its image and its mods, whatever files and tags say by now."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import EngineError, InputError
from sparkctl.mods.checksum import md5_of
from sparkctl.operations.stack.generation_changes import compared
from sparkctl.operations.stack.resolved import kept, kept_service, resolved
from sparkctl.operations.stack.restored import restorable, restored
from tests.support.applied_stack import DIGEST, NEW, OLD, STACK, AppliedStack
from tests.support.fake_world import IMAGE, STATE

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.planning.box.generation import KeptService

CHAT = "{chat: {recipe: e4b-nvfp4, priority: 3, set: {limits.context: 4096}, secrets: []}}"


@pytest.fixture
def applied(tmp_path: Path) -> AppliedStack:
    applied = AppliedStack(tmp_path)
    applied.write(CHAT)
    return applied


def only(applied: AppliedStack) -> KeptService:
    """Return the one service of the stack as it is kept now."""
    (service,) = applied.keep().services
    return service


def test_everything_that_was_resolved_is_kept(applied: AppliedStack) -> None:
    generation = applied.keep()
    (service,) = generation.services
    assert (generation.number, generation.stack, generation.file) == (
        1,
        STACK,
        str(applied.folder / "recipes/stacks/box.yaml"),
    )
    assert (service.recipe, service.overrides) == ("e4b-nvfp4", ("limits.context=4096",))
    assert (service.image, service.image_id, service.image_digests) == (IMAGE, OLD, (DIGEST,))
    assert (service.model, service.vllm) == ("coolthor/Gemma-4-E4B-it-NVFP4A16", "0.19.1")
    assert "extends" not in service.text
    assert "context: 4096" in service.text
    assert service.declared.priority == 3
    assert f"sparkctl.spec={service.digest}" in service.words


def test_a_model_of_the_cache_is_kept_by_its_commit(applied: AppliedStack) -> None:
    applied.spark.models.missing["gemma4-e4b-nvfp4"] = "is not there"
    applied.spark.models.cache.add("coolthor/Gemma-4-E4B-it-NVFP4A16")
    applied.spark.models.commits["coolthor/Gemma-4-E4B-it-NVFP4A16"] = "f00d"
    first = only(applied)
    assert first.revision == "f00d"
    applied.spark.models.commits["coolthor/Gemma-4-E4B-it-NVFP4A16"] = "beef"
    assert compared(first, only(applied)) == [f"revision of {first.model}: f00d before, beef now"]
    restorable(applied.world, [first])
    assert "was at the commit f00d, and the cache has beef" in applied.report.warned[-1]


def test_a_restored_service_is_the_kept_one(applied: AppliedStack) -> None:
    wanted = resolved(applied.world, STACK)
    service = only(applied)
    back = restored(applied.world, service)
    (declared,) = wanted.services
    assert (back.words, back.digest, back.spec, back.record) == (
        *(declared.words, declared.digest, declared.spec),
        declared.record,
    )
    assert back.recipe == declared.recipe.model_copy(update={"extends": None})
    assert (back.footprint, back.sizing) == (declared.footprint, declared.sizing)
    assert (back.wanted.priority, back.wanted.peak_bytes) == (3, declared.wanted.peak_bytes)
    assert kept_service(applied.world, back, service.declared) == service
    assert applied.report.warned == []


def test_up_says_already_up_of_a_restored_service_that_runs(applied: AppliedStack) -> None:
    generation = applied.apply(CHAT)
    before = len(applied.spark.engine.created)
    (service,) = restorable(applied.world, generation.services)
    assert service.digest == resolved(applied.world, STACK).services[0].digest
    done = applied.spark.run("rollback", "1").expect(0)
    assert "generation 1 is in effect: there was nothing to do" in done.err
    assert len(applied.spark.engine.created) == before


def test_recipes_templates_and_stacks_that_changed_since_change_nothing(applied: AppliedStack) -> None:
    own = applied.folder / "recipes/mine.yaml"
    own.write_text("extends: e4b-nvfp4\nserve: {port: 8003}\nenv: {TORCH_ONE: '1'}\n")
    applied.write("{chat: {recipe: mine}}")
    service = only(applied)
    own.write_text("image: nothing\n")
    (applied.folder / "recipes/stacks/box.yaml").unlink()
    (applied.folder / "templates").mkdir()
    (applied.folder / "templates/vllm-openai.j2").write_text("{{ broken")
    back = restored(applied.world, service)
    assert (back.words, back.digest) == (service.words, service.digest)
    assert back.recipe.env == {"TORCH_ONE": "1"}


@pytest.fixture
def modded(applied: AppliedStack) -> Path:
    """Return the folder of a mod of the stack's recipe."""
    folder = applied.folder / "mods/mine"
    folder.mkdir(parents=True)
    (folder / "patch.py").write_text("one = 1\n")
    write_mod(folder)
    (applied.folder / "recipes/mine.yaml").write_text("extends: e4b-nvfp4\nmods: [mine]\n")
    applied.write("{chat: {recipe: mine}}")
    return folder


def write_mod(folder: Path) -> str:
    """Write a mod's manifest with the checksum of its file, and return that."""
    md5 = md5_of((folder / "patch.py").read_bytes())
    about = f'description: a mod\napplies-to: {{image: {IMAGE}, vllm: ">=0.1"}}\n'
    file = f"{{path: /opt/patch.py, source: patch.py, md5: {md5}}}"
    (folder / "mod.yaml").write_text(f"{about}files:\n  - {file}\n")
    return md5


def test_a_mod_is_mounted_as_its_verified_copy_was_then(applied: AppliedStack, modded: Path) -> None:
    service = only(applied)
    (mod,) = service.mods
    (modded / "patch.py").write_text("two = 2\n")
    md5 = write_mod(modded)
    assert md5 != mod.md5
    assert compared(service, only(applied)) == [f"mod mine /opt/patch.py: md5 {mod.md5} before, md5 {md5} now"]
    (back,) = restored(applied.world, service).mods
    assert (back.md5, back.source, back.original) == (mod.md5, STATE / "mods" / mod.md5 / "patch.py", back.source)
    shutil.rmtree(modded)
    assert restored(applied.world, service).mods == (back,)


def test_the_image_of_a_tag_that_moved_on_is_taken_by_its_id(applied: AppliedStack) -> None:
    service = only(applied)
    applied.move_tag()
    back = restored(applied.world, service)
    assert back.spec.image == OLD
    assert back.digest != service.digest
    assert back.record.digest == back.digest
    assert f"sparkctl.spec={back.digest}" in back.words
    assert back.words[-len(back.spec.command) - 1] == OLD


def test_what_runs_of_that_image_is_up_already_although_its_tag_moved_on(applied: AppliedStack) -> None:
    generation = applied.apply(CHAT)
    applied.move_tag()
    before = len(applied.spark.engine.created)
    done = applied.spark.run("rollback", "1").expect(0)
    assert f"{IMAGE} names another image now, or none: this one is taken by its id, {OLD}" in done.err
    assert "generation 1 is in effect: there was nothing to do" in done.err
    assert len(applied.spark.engine.created) == before
    assert restored(applied.world, generation.services[0]).digest == generation.services[0].digest


def test_an_image_that_the_engine_lost_comes_by_its_digest(applied: AppliedStack) -> None:
    service = only(applied)
    applied.move_tag(gone=True)
    dry = restored(applied.world, service, pull=False)
    assert dry.spec.image == DIGEST
    assert f"pull {DIGEST}" not in applied.spark.engine.calls
    assert restored(applied.world, service).spec.image == DIGEST
    assert f"pull {DIGEST}" in applied.spark.engine.calls


def test_a_tag_that_names_the_same_digest_names_the_same_image(applied: AppliedStack) -> None:
    service = only(applied)
    applied.spark.engine.tagged[IMAGE] = NEW  # the engine counts ids otherwise since an upgrade
    assert restored(applied.world, service).words == service.words


def test_an_image_that_is_gone_everywhere_is_named_with_its_service(applied: AppliedStack) -> None:
    service = only(applied)
    applied.move_tag(gone=True)
    applied.spark.engine.fail[f"pull {DIGEST}"] = EngineError("manifest unknown")
    with pytest.raises(EngineError) as refused:
        restored(applied.world, service)
    assert f"chat: the image {IMAGE} ({OLD}) is not on this engine any more" in refused.value.message
    assert f"{DIGEST}: manifest unknown" in refused.value.message
    assert "docker load" in str(refused.value.hint)
    built = replace(service, image_digests=())
    with pytest.raises(EngineError, match="no registry had it under a digest: it was built or loaded here"):
        restored(applied.world, built, pull=False)


def test_a_model_that_is_gone_is_refused(applied: AppliedStack) -> None:
    service = only(applied)
    applied.spark.models.missing["gemma4-e4b-nvfp4"] = "is not there"
    with pytest.raises(InputError, match=r"chat: .*gemma4-e4b-nvfp4 is not there"):
        restorable(applied.world, [service])


def test_what_another_sparkctl_kept_is_refused_by_name(applied: AppliedStack) -> None:
    service = only(applied)
    with pytest.raises(InputError, match="the recipe that was kept of chat"):
        restored(applied.world, replace(service, text=service.text + "future: 1\n"))
    with pytest.raises(
        InputError, match="command that was kept of chat cannot be read: docker run has no option --future"
    ):
        restored(applied.world, replace(service, words=("docker", "run", "--future", *service.words[2:])))


def test_no_value_of_a_secret_is_kept(applied: AppliedStack) -> None:
    recipe = applied.folder / "recipes/keyed.yaml"
    recipe.write_text("extends: e4b-nvfp4\nsecrets: [VLLM_API_KEY]\n")
    applied.spark.environ["VLLM_API_KEY"] = "a-long-value-of-a-secret"
    applied.write("{chat: {recipe: keyed}}")
    service = only(applied)
    assert service.secrets == ("VLLM_API_KEY",)
    assert not any("a-long-value" in record.text for record in applied.spark.store.kept)
    assert restored(applied.world, service).secrets_file == STATE / "secrets/chat.env"
    recipe.write_text("extends: e4b-nvfp4\nsecrets: [VLLM_API_KEY]\ndescription: a-long-value-of-a-secret\n")
    kept_before = list(applied.spark.store.kept)
    with pytest.raises(InputError, match="chat: the value of the secret VLLM_API_KEY stands in its recipe"):
        applied.keep()
    assert applied.spark.store.kept == kept_before


def test_a_short_secret_is_not_looked_for_inside_of_words(applied: AppliedStack) -> None:
    (applied.folder / "recipes/keyed.yaml").write_text("extends: e4b-nvfp4\nsecrets: [VLLM_API_KEY]\n")
    applied.spark.environ["VLLM_API_KEY"] = "vllm"
    applied.write("{chat: {recipe: keyed}}")
    assert only(applied).secrets == ("VLLM_API_KEY",)


def test_to_look_at_a_stack_nothing_is_fetched_and_nothing_has_to_be_there(applied: AppliedStack) -> None:
    applied.spark.engine.images.clear()
    applied.spark.models.missing["gemma4-e4b-nvfp4"] = "is not there"
    stack = resolved(applied.world, STACK, touch=False)
    assert applied.spark.engine.calls == []
    (service,) = kept(applied.world, stack, 0, 1.0, "somebody").services
    assert (service.image_id, service.image_digests) == ("", ())


def test_a_name_that_is_a_recipe_too_is_refused(applied: AppliedStack) -> None:
    (applied.folder / "recipes/box.yaml").write_text("extends: e4b-nvfp4\n")
    with pytest.raises(InputError, match="box is a recipe, and a stack of the same name is"):
        resolved(applied.world, STACK)
    assert resolved(applied.world, str(applied.folder / "recipes/stacks/box.yaml")).loaded.name == STACK
    with pytest.raises(InputError, match="no stack 'boxes'"):
        resolved(applied.world, "boxes")


# --- variables that may be secrets ------------------------------------------------------------------------------------

ADDRESS = "postgres://ada:pass-of-nobody@host/db"
LAID = "{{chat: {{recipe: mine, set: {{env.MY_AUTH: {}, env: {{DB_URL: '{}'}}}}}}}}"


@pytest.fixture
def with_variables(applied: AppliedStack) -> AppliedStack:
    """Return a stack whose recipe and whose stack write out what may be secrets."""
    (applied.folder / "recipes/mine.yaml").write_text("extends: e4b-nvfp4\nenv: {OWN_KEY: key-of-nobody, TORCH_X: x}\n")
    applied.write(LAID.format("auth-of-nobody", ADDRESS))
    return applied


def test_values_that_may_be_secrets_are_not_kept_and_come_back(with_variables: AppliedStack) -> None:
    wanted = resolved(with_variables.world, STACK).services[0]
    service = only(with_variables)
    assert "of-nobody" not in str(with_variables.spark.store.kept)
    assert "OWN_KEY=(hidden)" in service.words
    assert "TORCH_X=x" in service.words
    assert service.inputs == "", "a digest over a short value would tell it to whoever guesses"
    back = restored(with_variables.world, service)
    assert (back.words, back.digest) == (wanted.words, wanted.digest)
    assert back.recipe.env == wanted.recipe.env
    assert kept_service(with_variables.world, back, service.declared) == service
    assert with_variables.report.warned == []


def test_a_value_that_changed_since_is_taken_and_said(with_variables: AppliedStack) -> None:
    service = only(with_variables)
    with_variables.write(LAID.format("another-auth", ADDRESS))
    now = resolved(with_variables.world, STACK).services[0]
    back = restored(with_variables.world, service)
    assert (back.words, back.digest) == (now.words, now.digest)
    assert "chat: the value of OWN_KEY, MY_AUTH, DB_URL was not kept" in with_variables.report.warned[0]
    assert "another-auth" not in str(with_variables.report)
    assert compared(service, only(with_variables)) == [
        f"--env {name}: perhaps another value (it is not kept)" for name in ("OWN_KEY", "MY_AUTH", "DB_URL")
    ]


def test_the_value_that_runs_is_taken_where_the_recipe_is_gone(with_variables: AppliedStack) -> None:
    with_variables.spark.run("up", STACK).expect(0)
    service = only(with_variables)
    for file in ("mine.yaml", "stacks/box.yaml"):
        (with_variables.folder / "recipes" / file).unlink()
    assert restored(with_variables.world, service).digest == service.digest
    with_variables.spark.run("down", "chat").expect(0)
    with pytest.raises(InputError, match="the value of OWN_KEY, MY_AUTH, DB_URL is not kept") as refused:
        restored(with_variables.world, service)
    assert "secrets: [OWN_KEY, MY_AUTH, DB_URL]" in str(refused.value.hint)


# --- recipes of every kind --------------------------------------------------------------------------------------------


def test_a_recipe_that_was_named_by_its_file_keeps_its_name(applied: AppliedStack) -> None:
    (applied.folder / "recipes/stacks/mine.yaml").write_text("extends: e4b-nvfp4\nserve: {port: 8003}\n")
    applied.write("{chat: {recipe: ./mine.yaml}}")
    (wanted,) = resolved(applied.world, STACK).services
    service = only(applied)
    assert service.recipe == str(applied.folder / "recipes/stacks/mine.yaml")
    back = restored(applied.world, service)
    assert (back.recipe_name, back.words) == (wanted.recipe_name, wanted.words)


def test_a_recipe_that_leaves_its_vllm_to_the_image_is_counted_as_it_was(applied: AppliedStack) -> None:
    file = "/usr/local/lib/python3.12/dist-packages/vllm/_version.py"
    applied.spark.engine.images[IMAGE] = {file: b"__version__ = version = '0.20.2'\n"}
    applied.write("{chat: {recipe: e4b-nvfp4, set: {vllm: auto}}}")
    service = only(applied)
    assert service.vllm == "0.20.2"
    applied.spark.engine.images[IMAGE] = {}
    back = restored(applied.world, service)
    assert str(back.resizer.loaded.version.asked) == "0.20.2"
    assert back.words == service.words


def test_a_draft_of_the_cache_is_kept_by_its_commit(applied: AppliedStack) -> None:
    repo = "google/gemma-4-E4B-it-assistant"
    draft = f"{{method: mtp, model: {repo}, facts: gemma-4-26b-a4b-assistant, num_speculative_tokens: 2}}"
    (applied.folder / "recipes/mine.yaml").write_text(f"extends: e4b-nvfp4\nspeculative: {draft}\n")
    applied.write("{chat: {recipe: mine}}")
    applied.spark.models.cache.add(repo)
    applied.spark.models.commits[repo] = "f00d"
    service = only(applied)
    assert (service.draft, service.draft_revision) == (repo, "f00d")
    applied.spark.models.commits[repo] = "beef"
    assert compared(service, only(applied)) == [f"revision of {repo}: f00d before, beef now"]
    restorable(applied.world, [service])
    assert f"{repo} was at the commit f00d, and the cache has beef" in applied.report.warned[-1]
