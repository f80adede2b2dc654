"""The main job on a real Docker Engine: up, ps, logs, down, what fails, and what is left afterwards."""

from __future__ import annotations

import hashlib
import json
import signal
import socket
import subprocess
import urllib.request
from typing import TYPE_CHECKING

import pytest

from tests.support.command_line import free_port, wait_for
from tests.support.docker_spark import HOST
from tests.support.engine_fixtures import BOTH

if TYPE_CHECKING:
    from tests.support.docker_spark import Spark

pytestmark = pytest.mark.docker


@pytest.fixture
def spark(docker_spark: Spark) -> Spark:
    return docker_spark


def ask(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as reply:  # noqa: S310  (the loopback)
        return str(reply.read().decode())


@BOTH
def test_up_serves_up_again_is_already_up_and_down_leaves_nothing(spark: Spark) -> None:
    port = free_port()
    name = spark.recipe("a", port=port, faults="load_s=3")
    done = spark.run("up", name).expect(0)
    assert done.out == ""
    assert f"{name}: ready at http://127.0.0.1:{port}" in done.err
    assert "loading weights" in done.err
    assert "tiny" in ask(f"http://127.0.0.1:{port}/v1/models")

    again = spark.run("up", name).expect(0)
    assert again.err.splitlines()[-1] == f"{name}: already up at http://127.0.0.1:{port}"

    (row,) = [row for row in spark.run("ps", "--json").expect(0).json if row["name"] == name]
    claim = row.pop("claim_bytes")
    assert 0 < claim < 2**33
    assert row == {
        "kind": "service",
        "name": name,
        "container": name,
        "recipe": name,
        "stack": "",
        "overrides": [],
        "state": "running",
        "ready": True,
        "doing": "ready",
        "url": f"http://127.0.0.1:{port}",
        "served_names": ["tiny"],
        "image": "sparkctl-test/standin:latest",
        "mods": [],
        "changed": [],
        "unknown": [],
        "aside": None,
        "standing": None,
        "group": None,
    }
    assert "Application startup complete." in spark.run("logs", name).expect(0).out
    assert spark.run("logs", name, "--tail", "1").expect(0).out.count("\n") == 1
    assert f"{name}: stopped and removed" in spark.run("down", name).expect(0).err
    assert spark.state(name) == ""
    again = spark.run("down", name).expect(0).err
    assert again.endswith(f"{name}: not deployed\n"), "it may have waited for another test before"


def test_a_changed_recipe_is_shown_as_flags_and_replaced_only_when_told(spark: Spark) -> None:
    name = spark.recipe("a")
    spark.run("up", name).expect(0)
    before = spark.docker("inspect", "--format", "{{.Id}}", name)
    refused = spark.run("up", name, "--set", "limits.context=512").expect(2)
    assert "--max-model-len: 1024 runs, 512 wanted" in refused.err
    assert "--replace" in refused.err
    assert spark.docker("inspect", "--format", "{{.Id}}", name) == before
    spark.run("up", name, "--set", "limits.context=512", "--replace").expect(0)
    assert "--max-model-len 512" in spark.docker("inspect", "--format", '{{join .Args " "}}', name)
    assert spark.docker("ps", "--all", "--filter", f"name={name}", "--format", "{{.Names}}") == name


def test_a_start_that_dies_shows_its_log_and_leaves_what_ran(spark: Spark) -> None:
    good, bad = spark.recipe("good"), spark.recipe("bad", faults="die_in=loading")
    spark.run("up", good).expect(0)
    failed = spark.run("up", good, bad).expect(5)
    assert f"{bad} is not ready: the container exited with code 1" in failed.err
    assert "the last lines of its log:" in failed.err
    assert f"{bad}: removed the container that failed" in failed.err
    assert "Traceback (most recent call last):\n  File" not in failed.err.split("the last lines")[0]
    assert spark.state(bad) == ""
    assert spark.state(good) == "running"


def test_an_engine_that_dies_exits_with_0_and_is_a_failure(spark: Spark) -> None:
    name = spark.recipe("a", faults="engine_dead,after_s=0,stuck_scheduler")
    failed = spark.run("up", name).expect(5)
    assert f"{name} is not ready: the container exited with code 0" in failed.err


def test_what_died_is_kept_before_it_is_replaced_and_what_failed_is_told_when_it_is_gone(spark: Spark) -> None:
    name = spark.recipe("a", faults="load_s=0.3")
    spark.run("up", name).expect(0)
    spark.docker("kill", name)
    told = spark.run("up", name).expect(0).err
    assert f"{name}: the one that was here: the container exited with code 137; it was killed (SIGKILL)" in told
    kept = spark.home / ".local" / "state" / "sparkctl" / "logs" / f"{name}.log"
    assert f"its whole log: {kept}" in told
    assert "Application startup complete." in kept.read_text()
    spark.run("down", name).expect(0)
    spark.recipe("a", faults="oom")
    spark.run("up", name).expect(5)
    status = spark.run("status", name).expect(5)
    assert f"{name} is dead: it is not deployed; the container exited with code 1" in status.err
    shown = spark.run("logs", name).expect(0)
    assert "this is the log of its last failure" in shown.err
    assert "CUDA out of memory" in shown.out


def test_keep_leaves_the_failed_container_to_look_at(spark: Spark) -> None:
    name = spark.recipe("a", faults="oom")
    spark.run("up", name, "--keep").expect(5)
    assert spark.state(name) == "exited"
    assert "CUDA out of memory" in spark.run("logs", name).expect(0).out
    spark.recipe("a")
    assert f"{name}: ready at" in spark.run("up", name).expect(0).err


@BOTH
def test_a_replacement_that_fails_brings_back_what_ran(spark: Spark) -> None:
    port = free_port()
    name = spark.recipe("a", port=port)
    spark.run("up", name).expect(0)
    before = spark.docker("inspect", "--format", "{{.Id}}", name)
    spark.recipe("a", port=port, faults="die_in=compiling")
    failed = spark.run("up", name, "--replace").expect(5)
    assert f"{name}: started again as it was before" in failed.err
    assert spark.docker("inspect", "--format", "{{.Id}}", name) == before
    assert spark.state(name) == "running"


@BOTH
def test_a_port_in_use_and_a_name_taken_touch_nothing(spark: Spark) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        name = spark.recipe("a", port=taken.getsockname()[1])
        refused = spark.run("up", name).expect(4)
        assert f"port {taken.getsockname()[1]}" in refused.err
        assert spark.state(name) == ""
    other = spark.recipe("b")
    spark.docker("create", "--name", other, "sparkctl-test/base:latest", "sleep", "60")
    refused = spark.run("up", other).expect(4)
    assert f"a container named {other} is there already, and sparkctl did not make it" in refused.err
    assert spark.state(other) == "created"
    assert "no service" in spark.run("down", f"{other}x").expect(2).err
    assert spark.state(other) == "created"


def test_what_cannot_fit_is_refused_with_its_sum_before_anything_starts(spark: Spark) -> None:
    name = spark.recipe("a")
    spark.write("recipes/hosts/test.yaml", HOST.replace("16 GiB", "2048 GiB").replace("512 MiB", "1024 GiB"))
    refused = spark.run("up", name).expect(3)
    assert "GiB" in refused.err
    assert spark.state(name) == ""
    plan = spark.run("plan", name, "--json").expect(3).json
    assert plan["fits"] is False
    assert plan["reasons"]


def test_ctrl_c_says_what_is_left_and_up_resumes(spark: Spark) -> None:
    name = spark.recipe("a", faults="load_s=6")
    process = spark.start("up", name)
    wait_for(lambda: spark.state(name) == "running")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=200)
    assert process.returncode == 130
    assert f"stopped waiting for {name}: it goes on loading" in err
    assert f"sparkctl attach {name}" in err
    assert spark.state(name) == "running"
    assert f"{name}: ready at" in spark.run("attach", name).expect(0).err
    done = spark.run("up", name).expect(0)
    assert f"{name}: already up at" in done.err


def test_a_kill_in_the_wait_leaves_the_truth(spark: Spark) -> None:
    name = spark.recipe("a", faults="load_s=6")
    process = spark.start("up", name)
    wait_for(lambda: spark.state(name) == "running")
    process.kill()
    process.communicate()
    (row,) = [row for row in spark.run("ps", "--json").expect(0).json if row["name"] == name]
    assert (row["state"], row["ready"]) == ("running", False)
    spark.run("up", name).expect(0)
    spark.run("down", name).expect(0)


def test_down_and_a_second_up_do_not_wait_behind_a_load(spark: Spark) -> None:
    slow, quick = spark.recipe("slow", faults="load_s=60"), spark.recipe("quick")
    first = spark.start("up", slow)
    wait_for(lambda: spark.state(slow) == "running")
    spark.run("up", quick).expect(0)
    assert first.poll() is None
    assert f"{slow}: stopped and removed" in spark.run("down", slow).expect(0).err
    _, err = first.communicate(timeout=200)
    assert first.returncode == 5
    assert f"error: {slow}: its container was removed while it started" in err
    assert (spark.state(slow), spark.state(quick)) == ("", "running")


@pytest.mark.parametrize("name", ["{}.aside", "{}.aside.stopped"])
def test_a_foreign_container_under_the_name_to_set_aside_is_found_out_before_anything(spark: Spark, name: str) -> None:
    service = spark.recipe("a")
    spark.run("up", service).expect(0)
    before = spark.docker("inspect", "--format", "{{.Id}} {{.State.StartedAt}}", service)
    foreign = name.format(service)
    spark.docker("create", "--name", foreign, "sparkctl-test/base:latest", "sleep", "60")
    replace = ("up", service, "--set", "limits.context=512", "--replace")
    for command in (replace, ("bench", service, "--sweep", "limits.sequences=1,2")):
        assert f"a container named {foreign} is there already" in spark.run(*command).expect(4).err
    assert spark.docker("inspect", "--format", "{{.Id}} {{.State.StartedAt}}", service) == before
    assert spark.state(foreign) == "created"
    spark.docker("rm", foreign)
    spark.run(*replace).expect(0)


def test_a_service_with_a_key_is_asked_with_it_and_the_key_is_never_shown(spark: Spark) -> None:
    name = spark.recipe("a", more="secrets: [VLLM_API_KEY]\n")
    missing = spark.run("up", name).expect(2)
    assert "VLLM_API_KEY" in missing.err
    spark.environ["VLLM_API_KEY"] = "sk-very-secret"
    done = spark.run("-v", "up", name).expect(0)
    shown = done.err + spark.run("render", name).expect(0).out + spark.run("ps", "--json").expect(0).out
    shown += spark.docker("inspect", "--format", "{{json .Config.Labels}} {{json .Args}}", name)
    assert "sk-very-secret" not in shown
    left = [file for file in spark.home.rglob("*") if file.is_file() and b"sk-very-secret" in file.read_bytes()]
    assert left == []
    spark.run("render", name, "--stage").expect(0)
    (staged,) = spark.home.rglob(f"{name}.env")
    assert (staged.read_text(), staged.stat().st_mode & 0o777) == ("VLLM_API_KEY=sk-very-secret\n", 0o600)


def test_a_refused_key_is_an_error_of_its_own(spark: Spark) -> None:
    name = spark.recipe("a", faults="unauthorized")
    failed = spark.run("up", name).expect(5)
    assert "/v1/models answered 401" in failed.err


def test_an_absent_engine_is_explained(spark: Spark) -> None:
    there = spark.environ["DOCKER_HOST"]
    spark.environ["DOCKER_HOST"] = "unix:///nowhere/docker.sock"
    name = spark.recipe("a")
    for command in (["up", name], ["plan", name], ["ps"], ["down", "--all"]):
        assert "unix:///nowhere/docker.sock" in spark.run(*command).expect(4).err
    spark.run("render", name).expect(0)
    spark.environ["DOCKER_HOST"] = there


def test_a_model_that_is_not_there_is_named_with_the_command_that_downloads_it(spark: Spark) -> None:
    name = spark.recipe("a")
    refused = spark.run("up", name, "--set", f"model.path={spark.home}/nothing").expect(2)
    assert f"{spark.home}/nothing" in refused.err
    assert f"sparkctl download {name}" in refused.err
    assert spark.state(name) == ""


def mod(spark: Spark, source: str, replaces: str | None = None, target: str = "gemma4_mtp") -> str:
    """Write a mod over one of the stand-in image's files and return its name."""
    spark.write("mods/fix/fix.py", source)
    md5 = hashlib.md5(source.encode(), usedforsecurity=False).hexdigest()
    covered = f'\n    replaces: {{md5: "{replaces}"}}' if replaces else ""
    spark.write(
        "mods/fix/mod.yaml",
        f"files:\n  - module: vllm.model_executor.models.{target}\n    source: fix.py\n    md5: {md5}{covered}\n",
    )
    return "fix"


def test_a_mod_is_verified_on_disk_in_the_image_and_in_the_container(spark: Spark) -> None:
    mod(spark, "FIXED = True\n")
    name = spark.recipe("a", more="mods: [fix]\n")
    spark.run("up", name).expect(0)
    rows = spark.run("verify-mods", name, "--json").expect(0).json
    assert [(row["service"], row["mod"], row["verdict"]) for row in rows] == [(name, "fix", "ok")]
    target = "/usr/local/lib/python3.12/dist-packages/vllm/model_executor/models/gemma4_mtp.py"
    assert spark.docker("exec", name, "cat", target) == "FIXED = True"

    spark.write("mods/fix/fix.py", "CHANGED = True\n")
    lost = spark.run("verify-mods", name).expect(6)
    assert "fix.py" in lost.out + lost.err
    assert spark.docker("exec", name, "cat", target) == "FIXED = True"


def test_a_mod_whose_file_changed_or_whose_image_moved_is_refused(spark: Spark) -> None:
    mod(spark, "FIXED = True\n", replaces="0" * 32)
    name = spark.recipe("a", more="mods: [fix]\n")
    refused = spark.run("up", name).expect(6)
    assert "0" * 32 in refused.err
    assert spark.state(name) == ""
    mod(spark, "FIXED = True\n")
    spark.write("mods/fix/fix.py", "OTHER = True\n")
    assert "fix.py" in spark.run("up", name).expect(6).err
    mod(spark, "FIXED = True\n", target="not_there")
    assert "not_there" in spark.run("up", name).expect(6).err
    assert spark.state(name) == ""


def test_a_container_started_without_its_mod_is_named(spark: Spark) -> None:
    mod(spark, "FIXED = True\n")
    name = spark.recipe("a", more="mods: [fix]\n")
    words = spark.run("render", name, "--json").expect(0).json
    labels = [f"--label={key}={value}" for key, value in words["labels"]]
    spark.docker("run", "--detach", "--name", name, *labels, words["image"], *words["command"])
    lost = spark.run("verify-mods", name).expect(6)
    assert "this container was started without the mod" in lost.out + lost.err


def test_an_image_that_moved_under_a_mod_is_caught_while_the_container_runs_and_before_the_next_start(
    spark: Spark,
) -> None:
    image = f"sparkctl-test/{spark.prefix}:latest"
    target = "/usr/local/lib/python3.12/dist-packages/vllm/model_executor/models/gemma4_mtp.py"
    spark.docker("tag", "sparkctl-test/standin:latest", image)
    try:
        spark.docker("create", "--name", f"{spark.prefix}-newer", image)
        spark.docker("cp", f"{spark.prefix}-newer:{target}", str(spark.folder / "covered.py"))
        covered = hashlib.md5((spark.folder / "covered.py").read_bytes(), usedforsecurity=False).hexdigest()
        mod(spark, "FIXED = True\n", replaces=covered)
        name = spark.recipe("a", more="mods: [fix]\n")
        wanted = [name, "--set", f"image={image}"]
        spark.run("up", *wanted).expect(0)
        (row,) = spark.run("verify-mods", name, "--json").expect(0).json
        assert (row["host"], row["image"], row["container"]) == ("ok", "ok", "ok")

        newer = spark.write("newer.py", "NEWER = True\n")
        spark.docker("cp", str(newer), f"{spark.prefix}-newer:{target}")
        spark.docker("commit", f"{spark.prefix}-newer", image)
        (row,) = spark.run("verify-mods", name, "--json").expect(6).json
        assert (row["host"], row["image"], row["container"]) == ("ok", "changed", "ok")
        spark.run("down", name).expect(0)
        refused = spark.run("up", *wanted).expect(6)
        assert f"the image has moved: {target} in {image}" in refused.err
        assert covered in refused.err
        assert spark.state(name) == ""
    finally:
        spark.docker("rm", "--force", f"{spark.prefix}-newer")
        for container in spark.docker("ps", "--all", "--quiet", "--filter", f"name={spark.prefix}").split():
            spark.docker("rm", "--force", container)
        spark.docker("rmi", "--force", image)


def test_the_pasted_command_is_the_same_service(spark: Spark) -> None:
    name = spark.recipe("a")
    pasted = spark.run("render", name, "--stage").expect(0).out
    subprocess.run(["sh", "-c", pasted], env=spark.environment, check=True, capture_output=True)
    done = spark.run("up", name).expect(0)
    assert f"{name}: ready at" in done.err or f"{name}: already up" in done.err
    assert json.loads(spark.docker("inspect", name))[0]["RestartCount"] == 0


def test_a_sweep_brings_the_very_container_back(spark: Spark) -> None:
    name = spark.recipe("swept")
    spark.run("up", name, "--set", "limits.context=512").expect(0)
    before = spark.docker("inspect", "--format", "{{.Id}}", name)
    options = ("--tokens", "20", "--rounds", "1", "--concurrency", "1")
    done = spark.run("bench", name, "--sweep", "limits.sequences=1..2", *options).expect(0)
    assert [line.split()[0] for line in done.out.splitlines()] == ["limits.sequences", "1", "2"]
    assert spark.docker("inspect", "--format", "{{.Id}}", name) == before
    assert spark.state(name) == "running"
    assert spark.docker("ps", "--all", "--quiet", "--filter", f"name=^{name}\\.").strip() == ""


def test_a_loopback_of_ipv6_serves_restarts_and_its_differences_have_both_values(spark: Spark) -> None:
    name, port = spark.recipe("six", port=free_port()), free_port()
    six = ("--set", "serve.bind='::1'", "--set", f"serve.port={port}")
    assert f"{name}: ready at http://[::1]:{port}" in spark.run("up", name, *six).expect(0).err
    assert "tiny" in ask(f"http://[::1]:{port}/v1/models")
    before = spark.docker("inspect", "--format", "{{.Id}} {{.State.StartedAt}}", name).split()

    assert f"{name}: ready at http://[::1]:{port}" in spark.run("restart", name).expect(0).err
    after = spark.docker("inspect", "--format", "{{.Id}} {{.State.StartedAt}}", name).split()
    assert (before[0], before[1] < after[1]) == (after[0], True), "the same container, started again"

    changed = (*six[:3], f"serve.port={port + 1}", "--set", "container.restart=on-failure")
    told = spark.run("up", name, *changed).expect(2).err
    assert f"{name}: --publish of 8000/tcp: ::1:{port} runs, ::1:{port + 1} wanted" in told
    assert f"{name}: --restart: not in what runs, on-failure wanted" in told
