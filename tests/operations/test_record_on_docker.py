"""What a container says of itself, on a real Docker Engine: keys that are rotated, tags that move, labels by hand."""

from __future__ import annotations

import json
import shlex
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.world.labels import OF_THE_MOMENT
from tests.support.command_line import free_port
from tests.support.engine_fixtures import FIRST

if TYPE_CHECKING:
    from tests.support.docker_spark import Spark

pytestmark = [pytest.mark.docker, FIRST]  # either would do, and the other has more to do


def status_of(port: int, key: str) -> int:
    """Return what the server answers to a client with this key."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/models", headers={"Authorization": f"Bearer {key}"})
    try:
        with urllib.request.urlopen(request, timeout=5) as reply:  # noqa: S310
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code


def row(spark: Spark, name: str) -> dict[str, Any]:
    return next(one for one in spark.run("ps", "--json").expect(0).json if one["name"] == name)


def labels(spark: Spark, name: str) -> dict[str, str]:
    found: dict[str, str] = json.loads(spark.docker("inspect", "--format", "{{json .Config.Labels}}", name))
    return {label: text for label, text in found.items() if label.startswith("sparkctl.") and "testbed" not in label}


def test_a_rotated_key_is_said_and_the_old_one_ends_with_replace(docker_spark: Spark) -> None:
    spark, port = docker_spark, free_port()
    name = spark.recipe("key", port=port, more="secrets: [VLLM_API_KEY]\n")
    spark.environ["VLLM_API_KEY"] = "sk-the-first-one"
    spark.run("up", name).expect(0)
    spark.environ["VLLM_API_KEY"] = "sk-the-second-one"
    refused = spark.run("up", name).expect(2)
    assert f"{name}: changed: secret VLLM_API_KEY" in refused.err
    assert (status_of(port, "sk-the-first-one"), status_of(port, "sk-the-second-one")) == (200, 401)
    replaced = spark.run("up", name, "--replace").expect(0)
    assert (status_of(port, "sk-the-first-one"), status_of(port, "sk-the-second-one")) == (401, 200)
    shown = refused.err + replaced.err + json.dumps(labels(spark, name))
    assert "sk-the" not in shown
    assert row(spark, name)["changed"] == []


def test_a_pasted_command_has_the_labels_of_up_but_those_of_the_moment_and_its_key_is_compared(
    docker_spark: Spark,
) -> None:
    spark = docker_spark
    name = spark.recipe("pasted", more="secrets: [VLLM_API_KEY]\n")
    spark.environ["VLLM_API_KEY"] = "sk-the-first-one"
    spark.run("up", name).expect(0)
    by_up = labels(spark, name)
    spark.run("down", name).expect(0)
    pasted = spark.run("render", name, "--stage").expect(0).out.replace("\\\n", " ")
    spark.docker(*shlex.split(pasted)[1:])
    by_hand = labels(spark, name)
    assert {**by_up, **by_hand} == by_up | {label: by_hand[label] for label in OF_THE_MOMENT & by_hand.keys()}
    assert set(by_up) - set(by_hand) == {"sparkctl.image-id", "sparkctl.process", "sparkctl.secrets"}
    assert by_up["sparkctl.image-id"] == spark.docker("inspect", "--format", "{{.Image}}", name)
    container = spark.docker("inspect", "--format", "{{.Id}}", name)
    spark.run("up", name).expect(0)
    assert spark.docker("inspect", "--format", "{{.Id}}", name) == container, "it is what is wanted, starting or ready"
    spark.environ["VLLM_API_KEY"] = "sk-the-second-one"
    assert f"{name}: changed: secret VLLM_API_KEY" in spark.run("up", name).expect(2).err


def test_what_is_planned_after_a_measured_start_is_what_the_container_claims(docker_spark: Spark) -> None:
    spark = docker_spark
    name = spark.recipe("measured")
    spark.run("up", name).expect(0)
    estimated = row(spark, name)["claim_bytes"]
    spark.run("down", name).expect(0)
    (planned,) = spark.run("plan", name, "--json").expect(0).json["services"]
    assert planned["known"].startswith("measured")
    assert planned["steady_bytes"] != estimated
    spark.run("up", name).expect(0)
    assert row(spark, name)["claim_bytes"] == planned["steady_bytes"]
    rendered = dict(spark.run("render", name, "--json").expect(0).json["labels"])
    assert rendered["sparkctl.claim"] == str(estimated), "its flags and labels follow from the estimate alone"


def test_an_image_that_was_tagged_anew_is_said_and_replaced(docker_spark: Spark) -> None:
    spark = docker_spark
    image = f"sparkctl-test/{spark.prefix}:latest"
    name = spark.recipe("tag")
    wanted = (name, "--set", f"image={image}")
    spark.docker("tag", "sparkctl-test/standin:latest", image)
    try:
        spark.run("up", *wanted).expect(0)
        ran = spark.docker("inspect", "--format", "{{.Image}}", name)
        spark.docker("create", "--name", f"{spark.prefix}-newer", image)
        spark.docker("commit", f"{spark.prefix}-newer", image)
        now = spark.docker("inspect", "--format", "{{.Id}}", image)
        line = f"changed: the image behind this tag ({image}): {ran[7:19]} runs, {now[7:19]} is there now"
        assert f"{name}: {line}" in spark.run("up", *wanted).expect(2).err
        assert row(spark, name)["changed"] == [line]
        spark.run("up", *wanted, "--replace").expect(0)
        assert spark.docker("inspect", "--format", "{{.Image}}", name) == now
    finally:
        for container in spark.docker("ps", "--all", "--quiet", "--filter", f"name={spark.prefix}").split():
            spark.docker("rm", "--force", container)
        spark.docker("rmi", "--force", image)


def test_a_sweep_starts_the_service_with_what_was_laid_over_it(docker_spark: Spark) -> None:
    spark = docker_spark
    name = spark.recipe("swept")
    spark.run("up", name, "--set", "limits.context=512").expect(0)
    options = ("--tokens", "20", "--rounds", "1", "--concurrency", "1", "--json")
    swept = spark.run("bench", name, "--sweep", "limits.sequences=1..2", *options).expect(0).json
    assert [(one["value"], one["flags"]["max-model-len"], one["flags"]["max-num-seqs"]) for one in swept] == [
        ("1", "512", "1"),
        ("2", "512", "2"),
    ]
    assert row(spark, name)["overrides"] == ["limits.context=512"]
    assert row(spark, name)["ready"] is True


def test_labels_that_were_damaged_by_hand_are_unknown_and_the_claim_is_what_is_held(docker_spark: Spark) -> None:
    spark = docker_spark
    name, other = spark.recipe("damaged"), spark.recipe("other")
    spec = spark.run("render", name, "--json").expect(0).json
    given = dict(spec["labels"]) | {"sparkctl.claim": "9" * 40, "sparkctl.mods": "[" * 2000, "sparkctl.url": "\x1b[2J"}
    del given["sparkctl.spec"]
    words = [f"--label={label}={text}" for label, text in given.items()]
    ends = ("sh", "-c", "trap 'exit 0' TERM; sleep 60 & wait")
    spark.docker("create", "--name", name, *words, "sparkctl-test/base:latest", *ends)
    spark.docker("start", name)
    told = spark.run("ps").expect(0)
    assert "\x1b" not in told.out + told.err
    found = row(spark, name)
    assert (found["claim_bytes"], found["mods"], found["url"], found["doing"]) == (None, None, None, "unknown")
    assert [line.partition(":")[0] for line in found["unknown"]] == [
        "sparkctl.url",
        "sparkctl.mods",
        "sparkctl.claim",
        "sparkctl.spec is missing",
    ]
    plan = spark.run("plan", other, "--json").expect(0).json
    (line,) = (line for line in plan["unknown"] if name in line)
    assert line.startswith(f"the claim of {name} is not known: it counts as the ")
    assert "its labels do not say with which mods it was started" in spark.run("verify-mods", name).expect(6).err
    assert f"{name}: stopped and removed" in spark.run("down", name).expect(0).err


def test_a_container_that_runs_a_models_code_is_ours(docker_spark: Spark) -> None:
    spark = docker_spark
    source = "FIXED = True\n"
    spark.write("mods/fix/fix.py", source)
    target = "/usr/local/lib/python3.12/dist-packages/vllm/model_executor/models/gemma4_mtp.py"
    manifest = f'files: [{{path: {target}, source: fix.py, md5: "7a85f4764bbd6daf1c3545efbbf0f279"}}]\n'
    spark.write("mods/fix/mod.yaml", manifest)
    name = spark.recipe("mods", more="mods: [fix]\n")
    run = ("run", "--detach", "--name", f"{name}-code", "--entrypoint", "sleep")
    spark.docker(*run, "--label", "sparkctl.throwaway=code", "sparkctl-test/standin:latest", "60")
    assert f"{name}-code" not in spark.run("verify-mods", name).err
    spark.docker("rm", "--force", f"{name}-code")
    spark.docker(*run, "sparkctl-test/standin:latest", "60")
    assert f"{name}-code, which sparkctl did not start" in spark.run("verify-mods", name).err
