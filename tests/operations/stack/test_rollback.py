"""What was applied before comes back: the same commands and images, as a new generation, or nothing is touched."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import EngineError
from sparkctl.operations.stack.generations import Generations
from sparkctl.planning.box.generation import APPLIED, FAILED
from sparkctl.world import labels
from tests.support.applied_stack import DIGEST, NEW, OLD, STACK, AppliedStack
from tests.support.fake_engine import dies
from tests.support.fake_world import IMAGE

if TYPE_CHECKING:
    from pathlib import Path

FIRST = "{chat: {recipe: e4b-nvfp4, set: {limits.context: 4096}}}"
SECOND = "{chat: {recipe: e4b-nvfp4, set: {limits.context: 8192}}}"
BOTH = "{chat: {recipe: e4b-nvfp4, set: {limits.context: 4096}}, big: {recipe: 26b-a4b-fp8}}"


@pytest.fixture
def applied(tmp_path: Path) -> AppliedStack:
    return AppliedStack(tmp_path)


def context(applied: AppliedStack, service: str = "chat") -> str:
    """Return the context of a service that runs."""
    container = applied.spark.engine.container(service)
    assert container is not None
    assert container.state == "running"
    return container.command[container.command.index("--max-model-len") + 1]


def test_rollback_brings_back_the_generation_before_the_last(applied: AppliedStack) -> None:
    applied.apply(FIRST)
    applied.apply(SECOND)
    done = applied.spark.run("rollback").expect(0)
    assert "chat: changed" in done.out
    assert "--max-model-len: 8192 before, 4096 now" in done.out
    assert "chat: ready at" in done.err
    assert "generation 3: generation 1 is back" in done.err
    assert context(applied) == "4096"
    generations = Generations(applied.world)
    third = generations.get(3)
    assert (third.restores, third.stack, third.services) == (1, STACK, generations.get(1).services)
    assert generations.outcome(3) == APPLIED
    applied.spark.run("rollback").expect(0)
    assert context(applied) == "8192", "and a second one goes forth again"


def test_an_image_whose_tag_moved_on_is_brought_back_by_its_id(applied: AppliedStack) -> None:
    applied.apply(FIRST)
    applied.move_tag()
    applied.apply(SECOND)
    assert applied.image_of("chat") == NEW
    done = applied.spark.run("rollback").expect(0)
    assert f"this one is taken by its id, {OLD}" in done.err
    assert "image behind the tag" in done.out
    assert applied.image_of("chat") == OLD
    (service,) = Generations(applied.world).get(3).services
    assert (service.image, service.image_id) == (OLD, OLD)
    again = applied.spark.run("rollback", "3").expect(0)
    assert "generation 3 is in effect: there was nothing to do" in again.err


def test_an_image_that_the_engine_lost_is_pulled_by_its_digest(applied: AppliedStack) -> None:
    applied.apply(FIRST)
    applied.apply(SECOND)
    applied.move_tag(gone=True)
    dry = applied.spark.run("rollback", "--dry-run").expect(0)
    assert f"taken by its digest, {DIGEST}" in dry.err
    assert f"pull {DIGEST}" not in applied.spark.engine.calls
    applied.spark.run("rollback").expect(0)
    assert applied.spark.engine.specs["chat"].image == DIGEST


def test_an_image_that_is_gone_everywhere_refuses_before_anything_is_touched(applied: AppliedStack) -> None:
    applied.apply(FIRST)
    applied.apply(SECOND)
    applied.move_tag(gone=True)
    applied.spark.engine.fail[f"pull {DIGEST}"] = EngineError("manifest unknown")
    there, calls = dict(applied.spark.engine.there), len(applied.spark.engine.calls)
    done = applied.spark.run("rollback").expect(4)
    assert f"chat: the image {IMAGE} ({OLD}) is not on this engine any more" in done.err
    assert f"{DIGEST}: manifest unknown" in done.err
    assert applied.spark.engine.there == there
    assert applied.spark.engine.calls[calls:] == [f"pull {DIGEST}"]
    assert Generations(applied.world).last() == Generations(applied.world).get(2), "and no generation is kept"


def test_a_dry_run_shows_the_differences_and_touches_nothing(applied: AppliedStack) -> None:
    applied.apply(FIRST)
    applied.apply(SECOND)
    kept, calls = list(applied.spark.store.kept), list(applied.spark.engine.calls)
    done = applied.spark.run("rollback", "--dry-run").expect(0)
    assert done.out.splitlines()[0] == "chat: changed"
    assert "back to generation 1: " in done.err
    assert "nothing was done: this was a dry run" in done.err
    assert (applied.spark.store.kept, applied.spark.engine.calls) == (kept, calls)


def test_what_does_not_become_ready_leaves_what_ran_and_a_failed_generation(applied: AppliedStack) -> None:
    applied.apply(FIRST)
    applied.apply(SECOND)
    applied.spark.engine.on_start["chat"] = dies()
    ran = applied.spark.engine.container("chat")
    assert ran is not None
    applied.spark.engine.on_start["chat"] = lambda one: one if one.id == ran.id else dies()(one)
    applied.spark.run("rollback").expect(5)
    assert context(applied) == "8192"
    generations = Generations(applied.world)
    assert generations.outcome(3) == FAILED
    assert "chat is not ready" in generations.ends()[3].words
    assert generations.applied() == generations.get(2)
    listed = applied.spark.run("history").expect(0)
    assert "failed, back to 1" in listed.out
    again = applied.spark.run("rollback", "3", "--dry-run").expect(0)
    assert "generation 3 was never applied to its end (failed): chat is not ready" in again.err


def test_services_that_came_later_stay_unless_they_are_pruned(applied: AppliedStack) -> None:
    applied.apply(FIRST)
    applied.apply(BOTH)
    done = applied.spark.run("rollback", "1").expect(0)
    assert "big: removed" in done.out
    assert "not in generation 1, and left as they are (--prune removes them): big" in done.err
    assert applied.spark.engine.container("big") is not None
    applied.spark.run("rollback", "1", "--prune").expect(0)
    applied.spark.run("rollback", "2").expect(0)
    done = applied.spark.run("rollback", "1", "--prune").expect(0)
    assert "big: stopped and removed" in done.err
    assert applied.spark.engine.container("big") is None
    last = Generations(applied.world).last()
    assert last is not None
    assert Generations(applied.world).ends()[last.number].removed == ("big",)


def test_a_service_that_is_started_by_hand_is_brought_back_only_where_it_runs(applied: AppliedStack) -> None:
    manual = "{{chat: {{recipe: e4b-nvfp4, start: manual, set: {{limits.context: {}}}}}}}"
    applied.apply(manual.format(4096))
    applied.apply(manual.format(8192))
    applied.spark.run("rollback").expect(0)
    assert context(applied) == "4096"
    applied.spark.run("down", "chat").expect(0)
    applied.spark.run("rollback", "2").expect(0)
    assert applied.spark.engine.container("chat") is None
    last = Generations(applied.world).last()
    assert last is not None
    assert last.services == Generations(applied.world).get(2).services


def test_what_was_paused_runs_again(applied: AppliedStack) -> None:
    applied.apply(FIRST)
    applied.apply(SECOND)
    applied.spark.run("down", "chat").expect(0)
    (row,) = applied.spark.run("ps", "--json").expect(0).json
    assert row["standing"]["state"] == "paused"
    applied.spark.run("rollback").expect(0)
    (row,) = applied.spark.run("ps", "--json").expect(0).json
    assert (row["standing"], row["state"]) == (None, "running")
    assert context(applied) == "4096"


def test_a_pasted_or_changed_container_is_replaced_by_the_kept_one(applied: AppliedStack) -> None:
    applied.apply(FIRST)
    applied.apply(SECOND)
    applied.spark.run("up", STACK, "--set", "chat:limits.sequences=2", "--replace").expect(0)
    applied.spark.run("rollback", "2").expect(0)
    container = applied.spark.engine.container("chat")
    assert container is not None
    record = labels.read(container.labels)
    assert record.digest == Generations(applied.world).get(2).services[0].digest


def test_there_is_nothing_to_go_back_to(applied: AppliedStack) -> None:
    assert "nothing was applied yet" in applied.spark.run("rollback").expect(2).err
    applied.apply(FIRST)
    done = applied.spark.run("rollback").expect(2)
    assert "generation 1 is the only one that was applied" in done.err
    assert "there is no generation 7" in applied.spark.run("rollback", "7").expect(2).err
    assert "there are: 1" in applied.spark.run("history", "show", "7").expect(2).err


def test_the_last_line_of_json_says_what_was_done(applied: AppliedStack) -> None:
    applied.apply(FIRST)
    applied.apply(SECOND)
    lines = [json.loads(line) for line in applied.spark.run("rollback", "--json").expect(0).out.splitlines()]
    assert lines[-1]["generation"] == 3
    assert (lines[-1]["restores"], lines[-1]["before"], lines[-1]["already"]) == (1, 2, False)
    assert lines[-1]["acts"] == [{"act": "replace", "services": ["chat"]}]
    (change,) = lines[-1]["changes"]
    assert (change["service"], change["kind"]) == ("chat", "changed")
    assert any("said" in line for line in lines[:-1])


# --- history ----------------------------------------------------------------------------------------------------------


def test_history_says_what_each_apply_changed(applied: AppliedStack) -> None:
    applied.spark.environ["USER"] = "ada"
    applied.apply(FIRST)
    applied.apply(BOTH)
    applied.keep(None)
    done = applied.spark.run("history").expect(0)
    head, *rows = done.out.splitlines()
    assert head.split() == ["generation", "when", "(UTC)", "who", "stack", "outcome", "changed"]
    assert [row.split()[0] for row in rows] == ["1", "2", "3"]
    assert all("ada  box" in row for row in rows)
    assert rows[0].endswith("applied  chat added")
    assert rows[1].endswith("applied  big added")
    assert rows[2].endswith("pending  nothing declared: what ran differed")


def test_a_generation_is_shown_whole_without_what_may_be_secret(applied: AppliedStack) -> None:
    (applied.folder / "recipes").mkdir(exist_ok=True)
    recipe = applied.folder / "recipes/mine.yaml"
    recipe.write_text("extends: e4b-nvfp4\nenv: {MY_AUTH: of-nobody-else, VLLM_USE_V1: '1'}\nsecrets: [HF_TOKEN]\n")
    applied.spark.environ |= {"HF_TOKEN": "hf_of_nobody_else"}
    applied.write("{chat: {recipe: mine, set: {env.OTHER_THING: neither-this}}}")
    applied.keep()
    out = applied.spark.run("history", "show", "1").expect(0).out
    resolved = (IMAGE, OLD, DIGEST, "0.19.1", "coolthor/Gemma-4-E4B-it-NVFP4A16", "HF_TOKEN")
    for said in (*resolved, "--max-model-len", "VLLM_USE_V1=1"):
        assert said in out
    (service,) = applied.spark.run("history", "show", "1", "--json").expect(0).json["services"]
    assert service["image"] == {"reference": IMAGE, "id": OLD, "digests": [DIGEST]}
    assert service["text"]["env"] == {"MY_AUTH": "(hidden)", "VLLM_USE_V1": "1", "OTHER_THING": "(hidden)"}
    for secret in ("of-nobody-else", "hf_of_nobody_else", "neither-this"):
        assert secret not in out
        assert secret not in str(service)


def test_a_generation_whose_words_are_no_command_is_shown_and_its_rollback_says_which(applied: AppliedStack) -> None:
    applied.apply(FIRST)
    for place, record in enumerate(applied.spark.store.kept):
        if record.kind == "generation":
            kept = json.loads(record.text)
            kept["generation"]["services"][0]["words"] = ["docker", "run"]
            applied.spark.store.kept[place] = record._replace(text=json.dumps(kept))
    assert "(cannot be read: docker run: no image)" in applied.spark.run("history", "show", "1").expect(0).out
    refused = applied.spark.run("rollback", "1").expect(2).err
    assert "the command that was kept of chat cannot be read: docker run: no image" in refused


def test_two_generations_are_compared(applied: AppliedStack) -> None:
    applied.apply(FIRST)
    applied.apply(BOTH)
    applied.apply(SECOND)
    out = applied.spark.run("history", "diff", "1", "3").expect(0).out
    assert out.splitlines()[0] == "chat: changed"
    assert "  --max-model-len: 4096 before, 8192 now" in out.splitlines()
    assert "the generations 2 and 2 are the same" in applied.spark.run("history", "diff", "2", "2").expect(0).err
    found = applied.spark.run("history", "diff", "2", "3", "--json").expect(0).json
    assert [(one["service"], one["kind"]) for one in found["services"]] == [("chat", "changed"), ("big", "removed")]
