"""Every command as an operator reads it, over a world of fakes: what is said, what is done, what is left."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import EngineError, InputError
from sparkctl.base.units import GIB
from sparkctl.world.host import Activity
from sparkctl.world.web import Reply
from tests.support.fake_engine import dies
from tests.support.fake_world import IMAGE, SERVED, FakeSpark
from tests.support.fakes import FakeHttp

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.world.engine import Container


FP8_IMAGE = "vllm/vllm-openai:gemma4-0505-arm64-cu130"


@pytest.fixture
def spark(tmp_path: Path) -> FakeSpark:
    spark = FakeSpark(tmp_path)
    spark.engine.images[FP8_IMAGE] = {}
    spark.models.cache.add("RedHatAI/gemma-4-26B-A4B-it-FP8-Dynamic")
    return spark


def test_up_creates_starts_and_says_where_it_serves(spark: FakeSpark) -> None:
    done = spark.run("up", "e4b-nvfp4").expect(0)
    assert done.out == ""
    assert done.err.splitlines()[-1] == "e4b-nvfp4: ready at http://127.0.0.1:8003"
    assert spark.engine.calls == ["create e4b-nvfp4", "start e4b-nvfp4"]
    assert set(spark.locks.held) == {"engine-1"}


def test_up_again_touches_nothing(spark: FakeSpark) -> None:
    spark.run("up", "e4b-nvfp4").expect(0)
    spark.engine.calls.clear()
    done = spark.run("up", "e4b-nvfp4").expect(0)
    assert done.err == "e4b-nvfp4: already up at http://127.0.0.1:8003\n"
    assert spark.engine.calls == []


def test_two_services_start_one_after_another(spark: FakeSpark) -> None:
    spark.run("up", "e4b-nvfp4", "26b-a4b-fp8").expect(0)
    assert spark.engine.calls == [
        "create 26b-a4b-fp8",
        "start 26b-a4b-fp8",
        "create e4b-nvfp4",
        "start e4b-nvfp4",
    ]


def test_an_image_that_is_not_there_is_pulled_first(spark: FakeSpark) -> None:
    del spark.engine.images[IMAGE]
    done = spark.run("up", "e4b-nvfp4").expect(0)
    assert spark.engine.calls[0] == f"pull {IMAGE}"
    assert f"e4b-nvfp4: pulling {IMAGE}" in done.err


def test_a_death_shows_the_log_removes_the_container_and_keeps_what_ran(spark: FakeSpark) -> None:
    spark.run("up", "e4b-nvfp4").expect(0)
    spark.engine.on_start["26b-a4b-fp8"] = dies()
    done = spark.run("up", "e4b-nvfp4", "26b-a4b-fp8").expect(5)
    assert "error: 26b-a4b-fp8 is not ready: the container exited with code 1" in done.err
    assert "  | Application startup complete." in done.err
    assert "26b-a4b-fp8: removed the container that failed (--keep leaves it)" in done.err
    assert [container.name for container in spark.engine.containers()] == ["e4b-nvfp4"]


def test_a_replacement_that_dies_brings_back_what_ran(spark: FakeSpark) -> None:
    spark.run("up", "e4b-nvfp4").expect(0)
    (before,) = spark.engine.containers()
    spark.engine.on_start["e4b-nvfp4"] = lambda c: c if c.id == before.id else dies()(c)
    done = spark.run("up", "e4b-nvfp4", "--set", "limits.context=8192", "--replace").expect(5)
    assert "e4b-nvfp4: started again as it was before" in done.err
    (after,) = spark.engine.containers()
    assert (after.id, after.name, after.state) == (before.id, "e4b-nvfp4", "running")


def test_a_replacement_that_was_killed_half_way_is_taken_up_again(spark: FakeSpark) -> None:
    spark.run("up", "e4b-nvfp4").expect(0)
    (before,) = spark.engine.containers()
    spark.engine.there[before.id] = before._replace(name="e4b-nvfp4.aside", state="exited")
    spark.run("up", "e4b-nvfp4").expect(0)
    (after,) = spark.engine.containers()
    assert (after.id, after.name, after.state) == (before.id, "e4b-nvfp4", "running")


def test_a_changed_recipe_is_refused_with_its_difference(spark: FakeSpark) -> None:
    spark.run("up", "e4b-nvfp4").expect(0)
    done = spark.run("up", "e4b-nvfp4", "--set", "limits.context=8192").expect(2)
    assert "--max-model-len: 16384 runs, 8192 wanted" in done.err
    assert "→ --replace stops it and starts it as it is wanted now" in done.err


def test_what_does_not_fit_is_refused_before_anything_is_touched(spark: FakeSpark) -> None:
    spark.host.available = 20 * GIB
    done = spark.run("up", "e4b-nvfp4").expect(3)
    assert "error: e4b-nvfp4 does not fit: 20.3 GiB are missing when it starts" in done.err
    assert spark.engine.calls == []


def test_memory_that_somebody_else_took_meanwhile_stops_the_second_start(spark: FakeSpark) -> None:

    def greedy(container: Container) -> Container:
        spark.host.available = 15 * GIB
        return container

    spark.engine.on_start["26b-a4b-fp8"] = greedy
    done = spark.run("up", "e4b-nvfp4", "26b-a4b-fp8").expect(3)
    assert "e4b-nvfp4 does not fit" in done.err
    assert [container.name for container in spark.engine.containers()] == ["26b-a4b-fp8"]


def test_ctrl_c_leaves_the_container_loading_and_says_how_to_go_on(spark: FakeSpark) -> None:
    spark.http.serving.clear()
    spark.clock.interrupt_at = 5
    done = spark.run("up", "e4b-nvfp4").expect(130)
    assert done.err.splitlines()[-2:] == [
        "error: stopped waiting for e4b-nvfp4: it goes on loading",
        "  → resume: sparkctl attach e4b-nvfp4    stop it: sparkctl down e4b-nvfp4",
    ]
    (container,) = spark.engine.containers()
    assert container.state == "running"


def test_a_server_that_breaks_off_after_its_health_is_asked_at_a_measured_pace(spark: FakeSpark) -> None:
    class OnlyHealth(FakeHttp):
        def get(self, url: str, *, key: str | None = None, timeout_s: float = 5.0) -> Reply:
            self.asked.append(url)
            return Reply(200, "") if url.endswith("/health") else Reply(None, "connection reset")

    spark.http = OnlyHealth()
    spark.clock.interrupt_at = 10
    spark.run("up", "e4b-nvfp4").expect(130)
    assert len(spark.http.asked) < 25


def test_a_stranger_with_the_name_is_never_touched(spark: FakeSpark) -> None:
    spark.run("up", "e4b-nvfp4").expect(0)
    (own,) = spark.engine.containers()
    spark.engine.there[own.id] = own._replace(labels={})
    spark.engine.calls.clear()
    done = spark.run("up", "e4b-nvfp4").expect(4)
    assert "a container named e4b-nvfp4 is there already, and sparkctl did not make it" in done.err
    assert spark.engine.calls == []


def test_a_port_in_use_is_named(spark: FakeSpark) -> None:
    spark.host.taken_ports.add(8003)
    assert "e4b-nvfp4: port 8003 on 127.0.0.1 is in use" in spark.run("up", "e4b-nvfp4").expect(4).err
    assert spark.engine.calls == []


def test_two_services_that_want_one_port_are_refused(spark: FakeSpark) -> None:
    done = spark.run("plan", "e4b-nvfp4", "e4b-bf16").expect(2)
    assert "the same port: e4b-nvfp4 at 127.0.0.1:8003, e4b-bf16 at 127.0.0.1:8003" in done.err


def test_the_holder_of_the_lock_is_named(spark: FakeSpark) -> None:
    spark.locks.holder = "alice, process 4711: sparkctl up 26b-a4b-fp8"
    done = spark.run("up", "e4b-nvfp4").expect(0)
    assert "waiting: alice, process 4711: sparkctl up 26b-a4b-fp8 is changing this engine" in done.err


def test_an_engine_elsewhere_lists_and_stops_but_does_not_plan(spark: FakeSpark) -> None:
    spark.run("up", "e4b-nvfp4").expect(0)
    spark.engine.elsewhere = "DOCKER_HOST is ssh://spark2"
    for command in ("plan", "up"):
        done = spark.run(command, "e4b-nvfp4").expect(4)
        assert "the engine is not on this host: DOCKER_HOST is ssh://spark2" in done.err
    assert "not on this host" in spark.run("verify-mods").expect(4).err
    (row,) = spark.run("ps", "--json").expect(0).json
    assert row["ready"] is None
    assert spark.run("logs", "e4b-nvfp4").expect(0).out.endswith("Application startup complete.\n")
    spark.run("render", "e4b-nvfp4").expect(0)
    spark.run("down", "e4b-nvfp4").expect(0)


def test_an_engine_that_stops_answering_ends_the_wait(spark: FakeSpark) -> None:
    spark.engine.fail["start e4b-nvfp4"] = EngineError("the engine stopped answering", hint="is it running?")
    done = spark.run("up", "e4b-nvfp4").expect(4)
    assert "error: the engine stopped answering" in done.err
    assert spark.engine.containers() == []


def test_a_secret_without_a_value_is_named_and_one_with_a_value_is_never_shown(spark: FakeSpark) -> None:
    wanted = ("up", "e4b-nvfp4", "--set", "secrets=[VLLM_API_KEY]")
    assert "e4b-nvfp4: no value for VLLM_API_KEY" in spark.run(*wanted).expect(2).err
    spark.environ["VLLM_API_KEY"] = "sk-secret"
    spark.http.keys["127.0.0.1:8003"] = "sk-secret"
    done = spark.run(*wanted).expect(0)
    assert "sk-secret" not in done.err + done.out + json.dumps(spark.engine.specs["e4b-nvfp4"].labels)
    spec = spark.engine.specs["e4b-nvfp4"]
    assert (spec.env_files, dict(spec.env)["VLLM_API_KEY"]) == ((), "sk-secret")
    kept = b"".join(content for content, _ in spark.files.written.values())
    assert b"sk-secret" not in kept, "what is never written cannot be left by a kill"


def test_a_secrets_file_that_others_can_read_is_refused(spark: FakeSpark) -> None:
    file = spark.folder / "config" / "secrets.env"
    file.parent.mkdir()
    file.write_text("VLLM_API_KEY=sk-secret\n")
    file.chmod(0o644)
    done = spark.run("up", "e4b-nvfp4", "--set", "secrets=[VLLM_API_KEY]").expect(2)
    assert f"error: {file} can be read by others\n  → chmod 600 {file}\n" in done.err


def test_a_model_that_is_missing_is_named_with_its_size_and_the_command(spark: FakeSpark) -> None:
    spark.models.missing["gemma4-e4b-bf16"] = "is not there"
    done = spark.run("up", "e4b-bf16").expect(2)
    assert "e4b-bf16: /home/operator/models/gemma4-e4b-bf16 is not there (" in done.err
    assert "500.0 GiB free on the disk)" in done.err
    assert "→ sparkctl download e4b-bf16" in done.err
    assert spark.engine.calls == []


def test_a_model_that_a_job_makes_is_made_and_not_downloaded(spark: FakeSpark) -> None:
    for folder in ("made", "gemma4-26b-a4b-nvfp4", "gemma4-e4b-nvfp4"):
        spark.models.missing[folder] = "is not there"
    shipped = spark.run("up", "e4b-nvfp4").expect(2)
    assert "→ sparkctl job run quantize-e4b-nvfp4a16 makes it; or sparkctl download e4b-nvfp4 fetches" in shipped.err
    alone = spark.run("up", "26b-a4b-nvfp4-made").expect(2)
    assert "→ sparkctl job run quantize-26b-nvfp4 makes it\n" in alone.err
    (spark.folder / "recipes" / "jobs").mkdir(parents=True)
    recipe, job = spark.folder / "recipes" / "made.yaml", spark.folder / "recipes" / "jobs" / "mine.yaml"
    recipe.write_text("extends: e4b-bf16\nmodel: {repo: google/gemma-4-E4B-it, path: ~/models/made}\n")
    job.write_text("extends: quantize-fp8-free\noutput: ~/models/made\nserves: made\n")
    up, plan = spark.run("up", "made").expect(2), spark.run("plan", "made").expect(0)
    assert "→ sparkctl job run mine makes it\n" in up.err
    assert "made is not there: sparkctl job run mine makes it\n" in plan.err
    fetched = spark.run("download", "made").expect(2)
    assert "job mine makes ~/models/made of google/gemma-4-E4B-it; the hub has only that" in fetched.err


KEYS = ["fits", "pool", "services", "order", "steps", "strangers", "unknown"]


def test_plan_json_has_the_documented_keys(spark: FakeSpark) -> None:
    plan = spark.run("plan", "e4b-nvfp4", "--json").expect(0).json
    assert list(plan) == [*KEYS, "aside", "obstacles", "reasons", "ways"]
    assert plan["pool"] == {
        "total_bytes": 120 * GIB,
        "available_bytes": 110 * GIB,
        "reserve_bytes": 10 * GIB,
        "page_cache_bytes": 0,
        "foreign_bytes": 10 * GIB,
        "gpus": [
            {
                "index": 0,
                "name": "NVIDIA GB10",
                "uuid": None,
                "total_bytes": None,
                "available_bytes": None,
                "reserve_bytes": None,
                "foreign_bytes": None,
                "problem": None,
            }
        ],
    }
    (service,) = plan["services"]
    assert list(service) == [
        "name",
        "recipe",
        "steady_bytes",
        "bound_bytes",
        "peak_bytes",
        "known",
        "gpus",
        "check_bytes",
        "kv_cache_memory_bytes",
        "gpu_memory_utilization",
    ]
    assert plan["fits"] is True
    assert plan["order"] == ["e4b-nvfp4"]
    assert plan["steps"] == [{"action": "start", "service": "e4b-nvfp4", "changes": []}]
    assert spark.engine.calls == []


TIGHT = [
    "e4b-nvfp4",
    "26b-a4b-fp8",
    "--set",
    "26b-a4b-fp8:limits.context=65536",
    "--set",
    "26b-a4b-fp8:limits.sequences=48",
]


def test_a_refused_set_is_started_by_the_command_that_it_offers(spark: FakeSpark) -> None:
    refused = spark.run("up", *TIGHT).expect(3)
    offered = shlex.split(refused.err.split("\n    sparkctl ")[1].splitlines()[0])
    assert spark.engine.calls == []
    done = spark.run(*offered).expect(0)
    assert "26b-a4b-fp8: ready at" in done.err


def test_fit_takes_the_first_way_and_says_which(spark: FakeSpark) -> None:
    planned = spark.run("plan", *TIGHT, "--fit").expect(0)
    assert "for 26b-a4b-fp8: sparkctl up e4b-nvfp4 26b-a4b-fp8 --set" in planned.err
    assert "fits" in planned.out
    done = spark.run("up", *TIGHT, "--fit").expect(0)
    assert "for 26b-a4b-fp8: sparkctl up e4b-nvfp4 26b-a4b-fp8 --set" in done.err
    assert "e4b-nvfp4: ready at" in done.err


def test_fit_stops_no_running_service_and_leaves_nothing_out(spark: FakeSpark) -> None:
    spark.host.available = 21 * GIB
    done = spark.run("up", "e4b-nvfp4", "--fit").expect(3)
    told = "--fit changes nothing but the services that are asked for, and no such change is enough"
    assert told in done.err
    assert spark.engine.calls == []


def test_a_laptop_plans_for_a_described_machine(spark: FakeSpark) -> None:
    spark.host.total = spark.host.available = 16 * GIB
    done = spark.run("plan", "e4b-nvfp4", "--host", "gb10-121").expect(0)
    assert "memory: 113.0 GiB available of 121.7 GiB, 10.0 GiB kept in reserve" in done.out
    assert "8.7 GiB in use by what is not sparkctl's" in done.out
    mine = spark.folder / "box.yaml"
    mine.write_text("total: 40 GiB\nreserve: 10 GiB\nsources: {total: mine, reserve: mine}\n")
    assert spark.run("plan", "e4b-nvfp4", "--host", str(mine)).expect(3).err.count("\n    sparkctl up e4b-nvfp4 --set")
    mine.write_text("total: 40 GiB\nreserved: 10 GiB\n")
    assert f"{mine}:2:1: unknown key 'reserved'" in spark.run("plan", "e4b-nvfp4", "--host", str(mine)).expect(2).err
    assert "gb10-12" in spark.run("plan", "e4b-nvfp4", "--host", "gb10-12").expect(2).err


def test_an_override_for_one_service_is_not_for_the_others(spark: FakeSpark) -> None:
    sets = ["--set", "e4b-nvfp4:limits.context=8192"]
    planned = spark.run("plan", "e4b-nvfp4", "26b-a4b-fp8", "--json").expect(0).json["services"]
    changed = spark.run("plan", "e4b-nvfp4", "26b-a4b-fp8", *sets, "--json").expect(0).json["services"]
    assert changed[0]["steady_bytes"] < planned[0]["steady_bytes"]
    assert changed[1] == planned[1]
    wrong = spark.run("plan", "e4b-nvfp4", "--set", "other:limits.context=8192").expect(2)
    assert "--set other:limits.context=8192: other is none of the services: e4b-nvfp4" in wrong.err


def test_the_page_cache_is_told_from_memory_in_use_and_dropped_when_asked(spark: FakeSpark) -> None:
    spark.host.cached = 30 * GIB
    assert (
        "110.0 GiB available (30.0 GiB of it page cache) of 120.0 GiB" in spark.run("plan", "e4b-nvfp4").expect(0).out
    )
    done = spark.run("up", "e4b-nvfp4", "--drop-caches").expect(0)
    assert "dropped the page cache: 30.0 GiB more are free, and 0.0 GiB more are available" in done.err
    spark.host.root = False
    refused = spark.run("up", "e4b-nvfp4", "--drop-caches").expect(4)
    assert "the page cache cannot be dropped: Permission denied" in refused.err


def test_a_start_is_measured_and_the_next_plan_says_so(spark: FakeSpark) -> None:
    estimated = spark.run("plan", "e4b-nvfp4", "--json").expect(0).json["services"][0]
    assert estimated["known"] == "estimated"
    spark.run("up", "e4b-nvfp4").expect(0)
    (kept,) = spark.store.measurements
    assert (kept.service, kept.key.model) == ("e4b-nvfp4", "coolthor/Gemma-4-E4B-it-NVFP4A16")
    ready = sum(share.bytes for share in kept.predicted if share.steady)
    assert ready < estimated["steady_bytes"] < estimated["bound_bytes"]
    spark.run("down", "e4b-nvfp4").expect(0)
    known = spark.run("plan", "e4b-nvfp4", "--json").expect(0).json["services"][0]["known"]
    assert known.startswith("measured here on ")
    assert "measured here on " in spark.run("plan", "e4b-nvfp4").expect(0).out
    other = spark.run("plan", "e4b-nvfp4", "--set", "limits.context=8192", "--json").expect(0).json["services"][0]
    assert other["known"].startswith("scaled by what was measured here on ")


def test_what_was_measured_never_changes_the_command(spark: FakeSpark) -> None:
    before = spark.run("render", "e4b-nvfp4").expect(0).out
    spark.run("up", "e4b-nvfp4").expect(0)
    assert spark.run("render", "e4b-nvfp4").expect(0).out == before
    assert "already up" in spark.run("up", "e4b-nvfp4").expect(0).err


def test_measurements_that_cannot_be_read_stop_no_start(spark: FakeSpark) -> None:
    spark.store.broken = InputError("measurements.db: not a database")
    done = spark.run("up", "e4b-nvfp4").expect(0)
    assert done.err.count("warning: the measurements of this host are not used: measurements.db: not a database") == 1
    assert "e4b-nvfp4: ready at" in done.err


def test_the_same_recipe_is_the_same_spec_before_and_after_its_start(spark: FakeSpark) -> None:
    before = spark.run("render", "e4b-nvfp4").expect(0).out
    spark.run("up", "e4b-nvfp4").expect(0)
    spark.host.available = 60 * GIB
    assert spark.run("render", "e4b-nvfp4").expect(0).out == before


def test_ps_of_nothing_says_so(spark: FakeSpark) -> None:
    done = spark.run("ps").expect(0)
    assert (done.out, done.err) == ("", "nothing is deployed; `sparkctl recipes` lists what can be\n")


def test_ps_lists_a_service_that_loads_as_not_ready(spark: FakeSpark) -> None:
    spark.run("up", "e4b-nvfp4").expect(0)
    spark.http.serving.clear()
    (row,) = spark.run("ps", "--json").expect(0).json
    assert (row["name"], row["state"], row["ready"]) == ("e4b-nvfp4", "running", False)


def test_down_wants_names_or_all(spark: FakeSpark, capsys: pytest.CaptureFixture[str]) -> None:
    spark.run("down").expect(2)
    spark.run("down", "e4b-nvfp4", "--all").expect(2)
    assert capsys.readouterr().err.count("Error: name the services, or say --all") == 2


def test_down_names_what_it_does_not_know_and_takes_nothing_down(spark: FakeSpark) -> None:
    spark.run("up", "e4b-nvfp4").expect(0)
    done = spark.run("down", "e4b-nvfp4", "nosuch").expect(2)
    assert "no service nosuch is deployed, and no recipe has this name (deployed: e4b-nvfp4)" in done.err
    assert len(spark.engine.containers()) == 1
    assert "stops all of this engine: e4b-nvfp4" in spark.run("down", "--all").expect(0).err
    assert spark.engine.containers() == []


def test_down_of_a_stack_takes_down_its_services(spark: FakeSpark) -> None:
    spark.run("up", "e4b-nvfp4").expect(0)
    done = spark.run("down", "executor").expect(0)
    assert done.err.splitlines()[-2:] == ["e4b-nvfp4: stopped and removed", "26b-a4b-nvfp4: not deployed"]


def test_logs_of_what_is_not_deployed_says_what_is(spark: FakeSpark) -> None:
    done = spark.run("logs", "e4b-nvfp4").expect(2)
    assert "error: no service e4b-nvfp4 is deployed (deployed: nothing)" in done.err


def test_a_followed_log_ends_with_the_service(spark: FakeSpark) -> None:
    spark.run("up", "e4b-nvfp4").expect(0)
    (container,) = spark.engine.containers()
    spark.engine.there[container.id] = container._replace(state="exited", exit_code=0)
    assert "Starting to load model" in spark.run("logs", "-f", "e4b-nvfp4").expect(0).out


def test_doctor_of_a_spark_finds_no_blocker(spark: FakeSpark) -> None:
    done = spark.run("doctor").expect(0)
    assert "ok       gpu 0: NVIDIA GB10, driver 580.142, compute capability 12.1, memory not reported" in done.out


def test_doctor_without_a_gpu_says_so_and_exits_8(spark: FakeSpark) -> None:
    spark.host.gpu = []
    done = spark.run("doctor").expect(8)
    assert "BLOCKER  gpu: none reported by NVML" in done.out
    assert "error: this host cannot serve: gpu" in done.err
    assert {row["status"] for row in spark.run("doctor", "--json").expect(8).json} >= {"ok", "blocker"}


def test_an_unknown_recipe_is_answered_with_the_nearest_name(spark: FakeSpark) -> None:
    done = spark.run("up", "e4b-nvfp").expect(2)
    assert "e4b-nvfp" in done.err
    assert "did you mean e4b-nvfp4?" in done.err


@pytest.mark.parametrize("override", ["limits.context=lots", "limits.contxt=5", "nosuch", "serve.port=0"])
def test_a_bad_override_is_checked_like_the_file(spark: FakeSpark, override: str) -> None:
    done = spark.run("plan", "e4b-nvfp4", "--set", override).expect(2)
    assert f"--set {override}" in done.err or "--set" in done.err
    assert "Traceback" not in done.err


def test_a_revision_reaches_the_server_when_the_model_comes_from_the_hub(spark: FakeSpark) -> None:
    by_repo = spark.run("render", "e2b-nvfp4", "--set", "model.revision=abc123").expect(0).out
    assert "--revision abc123" in by_repo
    by_folder = spark.run("render", "e4b-nvfp4", "--set", "model.revision=abc123").expect(0).out
    assert "--revision" not in by_folder


def test_an_image_too_old_for_the_bytes_flag_gets_the_fraction_alone_and_is_told_what_that_costs(
    spark: FakeSpark,
) -> None:
    old = spark.run("render", "e4b-nvfp4", "--set", 'vllm="0.10.1"').expect(0)
    assert "--kv-cache-memory-bytes" not in old.out
    assert "--gpu-memory-utilization 0.17" in old.out
    told = spark.run("plan", "e4b-nvfp4", "--set", 'vllm="0.10.1"').expect(0).err
    assert "vLLM 0.10.1 has no --kv-cache-memory-bytes: a fraction sizes its cache, in steps of 0.01 that take" in told


def test_render_json_is_the_parsed_spec(spark: FakeSpark) -> None:
    spec = spark.run("render", "e4b-nvfp4", "--json").expect(0).json
    assert spec["image"] == IMAGE
    assert spec["ports"] == [{"container_port": 8000, "host_port": 8003, "host_ip": "127.0.0.1", "protocol": "tcp"}]


def test_attach_joins_a_start_and_ends_as_up_would(spark: FakeSpark) -> None:
    spark.http.serving.clear()
    spark.clock.interrupt_at = 5
    spark.run("up", "e4b-nvfp4").expect(130)
    spark.http.serving |= SERVED
    done = spark.run("attach", "e4b-nvfp4").expect(0)
    assert done.err.splitlines()[-1] == "e4b-nvfp4: ready at http://127.0.0.1:8003"
    (identity,) = spark.engine.there
    spark.engine.there[identity] = spark.engine.there[identity]._replace(state="exited", exit_code=1)
    died = spark.run("attach", "e4b-nvfp4").expect(5)
    assert "e4b-nvfp4 is not ready: the container exited with code 1" in died.err
    assert identity in spark.engine.there, "who attaches removes nothing"
    assert "no service nobody is deployed" in spark.run("attach", "nobody").expect(2).err


def joined(spark: FakeSpark, started_at: float) -> list[dict[str, object]]:
    """Return the moments that are told to who joins a start of this moment, while its weights are loaded."""
    (identity,) = spark.engine.there
    spark.engine.there[identity] = spark.engine.there[identity]._replace(started_at=started_at)
    spark.engine.log[identity] = ["Starting to load model /models/m..."]
    spark.clock.interrupt_at = spark.clock.now + 10
    done = spark.run("attach", "e4b-nvfp4", "--json").expect(130)
    return [line for line in map(json.loads, done.out.splitlines()) if "phase" in line]


def test_attach_counts_from_the_start_of_the_container(spark: FakeSpark) -> None:
    spark.run("up", "e4b-nvfp4").expect(0)
    spark.store.measured(replace(spark.store.measurements[-1], phases={"loading weights": 300.0, "compiling": 60.0}))
    spark.http.serving.clear()
    spark.clock.now = 200.0
    first = joined(spark, started_at=1.0)[0]
    assert first["detail"] == "3m 20s in all, about 2m 40s left  110.0 GiB available, 110.0 GiB at its lowest"
    assert (first["seconds"], first["phase_seconds"], first["left_seconds"]) == (200, None, 160)
    assert first["available_bytes"] == first["lowest_bytes"] == 110 * GIB
    assert joined(spark, started_at=9e9)[0]["seconds"] == 0, "a clock that was set"


def test_a_start_that_is_joined_before_its_first_line_has_gone_on_since_its_container_was_started(
    spark: FakeSpark,
) -> None:
    spark.run("up", "e4b-nvfp4").expect(0)
    spark.http.serving.clear()
    spark.clock.now = 200.0
    (identity,) = spark.engine.there
    spark.engine.there[identity] = spark.engine.there[identity]._replace(started_at=170.0)
    spark.engine.log[identity] = []
    spark.clock.interrupt_at = spark.clock.now + 10
    done = spark.run("attach", "e4b-nvfp4", "--json").expect(130)
    first = next(line for line in map(json.loads, done.out.splitlines()) if "phase" in line)
    assert (first["phase"], first["seconds"], first["phase_seconds"]) == ("starting", 31, 31)


def test_a_start_that_is_joined_is_measured_once(spark: FakeSpark) -> None:
    spark.run("up", "e4b-nvfp4").expect(0)
    spark.run("attach", "e4b-nvfp4").expect(0)
    (kept,) = spark.store.measurements
    spark.store.kept.clear()
    spark.clock.now += 60
    spark.run("attach", "e4b-nvfp4").expect(0)
    (joined_late,) = spark.store.measurements
    assert (joined_late.key, joined_late.at) == (kept.key, kept.at)
    assert (kept.peak_total_bytes, joined_late.peak_total_bytes) == (0, None)
    spark.run("attach", "e4b-nvfp4").expect(0)
    assert len(spark.store.measurements) == 1


def test_attach_to_a_stacks_service_uses_its_own_address(spark: FakeSpark) -> None:
    (spark.folder / "recipes" / "stacks").mkdir(parents=True)
    stack = "services:\n  fast: {recipe: e4b-nvfp4, set: {serve.port: 8055, serve.name: quick}}\n"
    (spark.folder / "recipes" / "stacks" / "pair.yaml").write_text(stack)
    spark.http.serving["127.0.0.1:8055"] = "quick"
    spark.run("up", "pair").expect(0)
    assert "fast: ready at http://127.0.0.1:8055" in spark.run("attach", "fast").expect(0).err


def test_up_as_lines_of_json(spark: FakeSpark) -> None:
    done = spark.run("up", "e4b-nvfp4", "--json").expect(0)
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert lines[-1] == {"said": "e4b-nvfp4: ready at http://127.0.0.1:8003"}
    moments = [line for line in lines if "phase" in line]
    assert moments[0]["phase"] == "creating"
    (probing, *_) = [line for line in moments if line["phase"] == "probing"]
    assert "available" in probing["detail"]


def test_a_start_tells_its_times_and_what_the_last_one_took(spark: FakeSpark) -> None:
    spark.run("up", "e4b-nvfp4").expect(0)
    spark.store.measured(replace(spark.store.measurements[-1], phases={"loading weights": 300.0}))
    spark.run("down", "e4b-nvfp4").expect(0)
    spark.http.serving.clear()
    spark.clock.interrupt_at = spark.clock.now + 5
    done = spark.run("up", "e4b-nvfp4", "--json").expect(130)
    told = [line["detail"] for line in map(json.loads, done.out.splitlines()) if "phase" in line]
    assert any("about 5m 00s left" in detail or "about 4m 59s left" in detail for detail in told), told


def test_silence_is_told_from_loading(spark: FakeSpark) -> None:
    spark.http.serving.clear()
    spark.clock.interrupt_at = 400
    spark.host.activities = [Activity(10.0, 5)] * 300
    done = spark.run("up", "e4b-nvfp4", "--json").expect(130)
    phases = [line["phase"] for line in map(json.loads, done.out.splitlines()) if "phase" in line]
    assert "stalled while probing" in phases
    assert "no log line, CPU or disk read for 3m" in done.out
    spark.run("down", "e4b-nvfp4").expect(0)
    spark.clock.interrupt_at = spark.clock.now + 400
    spark.host.activities = [Activity(10.0)] * 300
    hidden = spark.run("up", "e4b-nvfp4", "--json").expect(130)
    assert "no log line or CPU (disk reads are hidden) for 3m" in hidden.out
    spark.run("down", "e4b-nvfp4").expect(0)
    spark.clock.interrupt_at = spark.clock.now + 400
    spark.host.activities = [Activity(float(second), 5) for second in range(300)]
    done = spark.run("up", "e4b-nvfp4", "--json").expect(130)
    assert "stalled" not in done.out
