"""What runs, by the labels of its containers: what they do not say is unknown, and what has changed since is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.base.units import GIB
from sparkctl.operations import deployed
from sparkctl.world.engine import Container
from sparkctl.world.labels import LABEL_SERVICE, LABEL_THROWAWAY
from tests.support.fake_world import IMAGE, FakeSpark

if TYPE_CHECKING:
    from pathlib import Path

NAME = "e4b-nvfp4"
KEY = ("--set", "secrets=[VLLM_API_KEY]")


@pytest.fixture
def spark(tmp_path: Path) -> FakeSpark:
    spark = FakeSpark(tmp_path)
    spark.engine.images["vllm/vllm-openai:gemma4-0505-arm64-cu130"] = {}
    spark.models.cache.add("RedHatAI/gemma-4-26B-A4B-it-FP8-Dynamic")
    return spark


def relabel(spark: FakeSpark, without: str = "", **changed: str) -> None:
    """Change a label of the one container, by its name without the prefix, or take it away."""
    (container,) = spark.engine.containers()
    labels = {**container.labels, **{f"sparkctl.{name.replace('_', '-')}": text for name, text in changed.items()}}
    labels.pop(f"sparkctl.{without}", None)
    spark.engine.there[container.id] = container._replace(labels=labels)


# --- unknown ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("claim", ["", "0", "a lot", "99999999999999999999", None])
def test_a_claim_that_is_unknown_counts_as_what_the_processes_hold(spark: FakeSpark, claim: str | None) -> None:
    spark.run("up", NAME).expect(0)
    spark.host.resident = {100: 9 * GIB}
    relabel(spark, "claim") if claim is None else relabel(spark, claim=claim)
    (row,) = spark.run("ps", "--json").expect(0).json
    assert row["claim_bytes"] is None
    assert len(row["unknown"]) == 1
    assert row["unknown"][0].startswith("sparkctl.claim")
    told = spark.run("ps").expect(0)
    assert f"warning: {NAME}: sparkctl.claim" in told.err
    assert " unknown " in told.out
    plan = spark.run("plan", "26b-a4b-fp8", "--json").expect(0).json
    words = f"the claim of {NAME} is not known: it counts as the 9.0 GiB that its processes hold"
    assert plan["unknown"] == [words]
    assert plan["pool"]["foreign_bytes"] == GIB, "10 GiB are in use, of which it holds 9"
    assert f"warning: {words}" in spark.run("plan", "26b-a4b-fp8").expect(0).err
    spark.host.available = 30 * GIB
    refused = spark.run("up", "26b-a4b-fp8").expect(3)
    assert refused.err.count(words) == 1
    spark.host.available = 110 * GIB
    assert words in spark.run("up", "26b-a4b-fp8").expect(0).err


def test_a_cache_on_the_host_is_taken_once_its_service_is_ready(spark: FakeSpark) -> None:
    """It is pinned, or in /dev/shm, so no process shows it as its own: it must not be counted as still to come."""
    spark.run("up", NAME, "--set", "args.kv-offloading-size=20").expect(0)
    (container,) = spark.engine.containers()
    assert container.labels["sparkctl.pinned"] == str(20 * GIB)
    (row,) = spark.run("ps", "--json").expect(0).json
    spark.host.resident = {100: row["claim_bytes"] - 20 * GIB}
    spark.host.available = 118 * GIB - row["claim_bytes"]
    pool = spark.run("plan", "26b-a4b-fp8", "--json").expect(0).json["pool"]
    assert pool["foreign_bytes"] == pytest.approx(2 * GIB, abs=GIB), "of what is in use the rest is not its own"
    relabel(spark, "pinned")
    without = spark.run("plan", "26b-a4b-fp8", "--json").json["pool"]
    assert without["foreign_bytes"] == pool["foreign_bytes"] + 20 * GIB


def test_what_is_unknown_altogether_is_said_by_name(spark: FakeSpark) -> None:
    spark.run("up", NAME).expect(0)
    relabel(spark, "claim")
    spark.host.hidden = {100}
    words = f"the claim of {NAME} is not known, nor what its processes hold: nothing is counted for it but what is in"
    assert words in spark.run("plan", "26b-a4b-fp8").expect(0).err
    spark.host.available = 30 * GIB
    assert words in spark.run("plan", "26b-a4b-fp8").expect(3).err


def test_without_a_digest_a_service_is_not_taken_for_what_is_wanted(spark: FakeSpark) -> None:
    spark.run("up", NAME).expect(0)
    relabel(spark, spec="0123456789abcdef")
    done = spark.run("up", NAME).expect(2)
    assert f"{NAME}: its labels do not say as what it was started" in done.err
    assert f'{NAME}: sparkctl.spec: expected 12 hex digits, found "0123456789abcdef"' in done.err
    spark.run("up", NAME, "--replace").expect(0)
    assert "already up" in spark.run("up", NAME).expect(0).err


def test_without_an_address_a_service_is_unknown_and_not_asked_elsewhere(spark: FakeSpark) -> None:
    spark.run("up", NAME).expect(0)
    relabel(spark, url="file:///etc/passwd")
    spark.http.asked.clear()
    (row,) = spark.run("ps", "--json").expect(0).json
    assert (row["url"], row["ready"], row["doing"]) == (None, None, "unknown")
    done = spark.run("status", NAME).expect(5)
    assert f"{NAME} is unknown: its labels do not say where it answers" in done.err
    assert "not known where" in spark.run("bench", NAME).expect(5).err
    assert spark.http.asked == []


def test_without_a_name_of_its_model_nothing_is_asked_by_another(spark: FakeSpark) -> None:
    spark.run("up", NAME).expect(0)
    relabel(spark, served_names="[]")
    (row,) = spark.run("ps", "--json").expect(0).json
    assert (row["served_names"], row["ready"]) == (None, True)
    assert f"not known by which name {NAME} answers" in spark.run("check", NAME, "--only", "text").expect(5).err
    assert "by which name" in spark.run("bench", NAME).expect(5).err


def test_one_whose_priority_is_unknown_is_not_offered_to_be_stopped(spark: FakeSpark) -> None:
    spark.run("up", NAME).expect(0)
    spark.host.resident = {100: 22 * GIB}
    spark.host.available = 50 * GIB
    wanted = ("plan", "26b-a4b-fp8", "--set", "memory={kv: 10 GiB}")
    assert f"down {NAME}" in spark.run(*wanted).expect(3).err
    relabel(spark, laid_over="?")
    assert f"down {NAME}" not in spark.run(*wanted).expect(3).err


def test_hostile_labels_reach_no_terminal(spark: FakeSpark) -> None:
    bad = "\x1b]0;owned\x07\x1b[2J"
    spark.run("up", NAME).expect(0)
    (container,) = spark.engine.containers()
    relabel(spark, **dict.fromkeys((name.removeprefix("sparkctl.") for name in container.labels), bad))
    relabel(spark, "schema")
    for command in (("ps",), ("status", NAME), ("plan", NAME), ("attach", NAME), ("verify-mods", NAME)):
        done = spark.run(*command)
        assert "\x1b" not in done.out + done.err
        assert "\x07" not in done.out + done.err
        assert "Traceback" not in done.err
    assert spark.run("down", NAME).expect(0).err.endswith("stopped and removed\n")


def test_labels_of_a_newer_sparkctl_are_unknown_and_its_service_can_be_stopped(spark: FakeSpark) -> None:
    spark.run("up", NAME).expect(0)
    relabel(spark, schema="2")
    (row,) = spark.run("ps", "--json").expect(0).json
    assert (row["name"], row["recipe"], row["claim_bytes"], row["mods"], row["overrides"]) == (NAME, *[None] * 4)
    assert row["unknown"] == ['sparkctl.schema: expected 1, found "2": written by another sparkctl']
    spark.run("down", NAME).expect(0)


# --- names that repeat -----------------------------------------------------------------------------------------------


def test_a_container_that_was_set_aside_is_not_its_service(spark: FakeSpark) -> None:
    spark.run("up", NAME).expect(0)
    (now,) = spark.engine.containers()
    aside = now._replace(id="id-9", name=f"{NAME}.before", state="exited", exit_code=137)
    spark.engine.there[aside.id] = aside
    rows = {row["container"]: row for row in spark.run("ps", "--json").expect(0).json}
    assert [(row["name"], row["ready"], row["doing"]) for row in rows.values()] == [
        (NAME, True, "ready"),
        (NAME, False, "dead"),
    ]
    assert f"{NAME} ({NAME}.before)" in spark.run("ps").expect(0).out
    assert spark.run("status", NAME, "--json").expect(0).json["state"] == "ready"


def test_a_container_whose_service_label_is_damaged_goes_by_its_own_name(spark: FakeSpark) -> None:
    spark.run("up", NAME).expect(0)
    relabel(spark, service="")
    assert [name for name, _ in deployed.services(spark.engine)] == [NAME]
    assert deployed.find(spark.engine, NAME) is not None


def test_a_container_of_ours_that_is_no_service_is_none_and_is_not_somebody_elses(spark: FakeSpark) -> None:
    (spark.folder / "mods" / "fix").mkdir(parents=True)
    (spark.folder / "recipes").mkdir()
    manifest = 'files: [{path: /usr/lib/x.py, source: fix.py, md5: "00000000000000000000000000000000"}]\n'
    (spark.folder / "mods" / "fix" / "mod.yaml").write_text(manifest)
    (spark.folder / "recipes" / "mine.yaml").write_text(f"extends: {NAME}\nmods: [fix]\n")
    code = Container("id-7", "mine-code", IMAGE, f"sha256:{IMAGE}", "running", {LABEL_THROWAWAY: "1"})
    spark.engine.there[code.id] = code
    assert deployed.services(spark.engine) == []
    assert "which sparkctl did not start" not in spark.run("verify-mods", "mine").err
    spark.engine.there[code.id] = code._replace(labels={})
    assert "mine-code, which sparkctl did not start" in spark.run("verify-mods", "mine").err
    assert LABEL_SERVICE not in code.labels


# --- changed since ---------------------------------------------------------------------------------------------------


def test_a_rotated_key_is_changed_and_replaced(spark: FakeSpark, tmp_path: Path) -> None:
    spark.environ["VLLM_API_KEY"] = "old key"
    spark.run("up", NAME, *KEY).expect(0)
    assert "already up" in spark.run("up", NAME, *KEY).expect(0).err
    spark.environ["VLLM_API_KEY"] = "new key"
    refused = spark.run("up", NAME, *KEY).expect(2)
    assert f"  {NAME}: changed: secret VLLM_API_KEY\n" in refused.err
    assert "--replace" in refused.err
    plan = spark.run("plan", NAME, *KEY, "--json").expect(0).json
    assert plan["steps"] == [{"action": "changed", "service": NAME, "changes": ["changed: secret VLLM_API_KEY"]}]
    assert f"{NAME}: changed: secret VLLM_API_KEY" in spark.run("plan", NAME, *KEY, "--replace").expect(0).err
    assert f"warning: {NAME}: changed: secret VLLM_API_KEY" in spark.run("ps").expect(0).err
    assert spark.run("status", NAME, "--json").expect(0).json["changed"] == ["changed: secret VLLM_API_KEY"]
    told = spark.run("up", NAME, *KEY, "--replace").expect(0)
    assert "already up" not in told.err
    assert spark.run("ps", "--json").expect(0).json[0]["changed"] == []
    out = tmp_path / "report.md"
    spark.run("report", NAME, "--output", str(out)).expect(0)
    shown = [done.out + done.err for done in (refused, told, spark.run("ps"))]
    assert not any("old key" in text or "new key" in text for text in (*shown, out.read_text()))


def test_a_secret_that_is_new_or_not_wanted_any_more_is_changed(spark: FakeSpark) -> None:
    spark.environ |= {"VLLM_API_KEY": "key", "HF_TOKEN": "token"}
    spark.run("up", NAME, *KEY).expect(0)
    more = spark.run("up", NAME, "--set", "secrets=[VLLM_API_KEY, HF_TOKEN]").expect(2)
    assert f"  {NAME}: changed: secret HF_TOKEN\n" in more.err
    less = spark.run("up", NAME).expect(2)
    assert f"{NAME}: secret VLLM_API_KEY: not wanted any more" in less.err


def test_a_secret_whose_value_this_operator_has_not_is_not_changed(spark: FakeSpark) -> None:
    spark.environ["VLLM_API_KEY"] = "key"
    spark.run("up", NAME, *KEY).expect(0)
    del spark.environ["VLLM_API_KEY"]
    assert spark.run("ps", "--json").expect(0).json[0]["changed"] == []
    assert spark.run("plan", NAME, *KEY, "--json").expect(0).json["steps"][0]["action"] == "keep"


def test_an_image_that_was_pulled_again_is_changed_and_replaced(spark: FakeSpark) -> None:
    spark.run("up", NAME).expect(0)
    spark.engine.tagged[IMAGE] = "sha256:" + "b" * 64
    refused = spark.run("up", NAME).expect(2)
    assert f"{NAME}: changed: the image behind this tag ({IMAGE}): " in refused.err
    assert "bbbbbbbbbbbb is there now" in refused.err
    assert spark.run("ps", "--json").expect(0).json[0]["changed"][0].startswith("changed: the image behind this tag")
    spark.run("up", NAME, "--replace").expect(0)
    assert "already up" in spark.run("up", NAME).expect(0).err
    del spark.engine.images[IMAGE]
    assert spark.run("ps", "--json").expect(0).json[0]["changed"] == [], "without an image behind the tag"


def test_a_sweep_of_a_service_whose_image_or_secret_is_another_is_refused(spark: FakeSpark) -> None:
    spark.environ["VLLM_API_KEY"] = "old"
    spark.run("up", NAME, *KEY).expect(0)
    spark.environ["VLLM_API_KEY"] = "new"
    spark.engine.tagged[IMAGE] = "sha256:" + "b" * 64
    before = len(spark.engine.calls)
    done = spark.run("bench", NAME, "--sweep", "limits.sequences=1,2").expect(2)
    assert "changed: the image behind this tag" in done.err
    assert "changed: secret VLLM_API_KEY" in done.err
    assert spark.engine.calls[before:] == []


def test_what_was_laid_over_a_recipe_is_seen(spark: FakeSpark) -> None:
    spark.run("up", NAME, "--set", "limits.context=4096", "--set", "limits.sequences=3").expect(0)
    assert f"{NAME} + limits.context=4096 + " in spark.run("ps").expect(0).out
    refused = spark.run("up", NAME).expect(2)
    assert f"{NAME}: laid over its recipe at its start: limits.context=4096 limits.sequences=3" in refused.err
    again = spark.run("up", NAME, "--set", "limits.sequences=3", "--set", "limits.context=4096").expect(0)
    assert "already up" in again.err, "the same service, in another order"


def test_what_may_be_a_secret_in_what_was_laid_over_is_not_shown(spark: FakeSpark) -> None:
    spark.run("up", NAME, "--set", "env.THEIR_KEY=secret-value", "--set", "limits.sequences=3").expect(0)
    assert spark.run("ps", "--json").expect(0).json[0]["overrides"] == ["env.THEIR_KEY=(hidden)", "limits.sequences=3"]
    told = spark.run("status", NAME).expect(0)
    assert f"{NAME} + env.THEIR_KEY=(hidden) + limits.sequences=3" in told.out
    assert "secret-value" not in told.out
