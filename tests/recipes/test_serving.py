"""Under which names and how a service is served: several names, https, and what one GPU cannot be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.world import labels
from tests.support.fake_world import FakeSpark

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = """\
description: the house name and the one that old clients use
template: vllm-openai
image: vllm/vllm-openai:v0.20.2
vllm: "0.20.2"
model: {{repo: example-lab/gemma-e4b-base, facts: gemma-4-e4b}}
serve: {{name: {name}, port: 18514{more}}}
limits: {{context: 8192}}
args: {args}
"""


@pytest.fixture
def spark(tmp_path: Path) -> FakeSpark:
    (tmp_path / "recipes").mkdir()
    return FakeSpark(tmp_path)


def recipe(spark: FakeSpark, *, name: str = "house", more: str = "", args: str = "{}") -> str:
    path = spark.folder / "recipes" / "one.yaml"
    path.write_text(RECIPE.format(name=name, more=f", {more}" if more else "", args=args))
    return "one"


def lint(spark: FakeSpark, name: str) -> str:
    done = spark.run("recipes", "lint", name).expect(2)
    return done.out + done.err


# --- several names ---------------------------------------------------------------------------------------------------


def test_aliases_are_served_beside_the_name(spark: FakeSpark) -> None:
    spec = spark.run("render", recipe(spark, more="aliases: [gpt-4o, old]"), "--json").expect(0).json
    at = spec["command"].index("--served-model-name")
    assert spec["command"][at + 1 : at + 5] == ["house", "gpt-4o", "old", "--max-model-len"]
    assert labels.read(dict(spec["labels"])).served_names == ("house", "gpt-4o", "old")


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ({"name": "[house, gpt-4o]"}, "write name: house, aliases: [gpt-4o]"),
        ({"name": "house gpt-4o"}, "write name: house, aliases: [gpt-4o]"),
        ({"more": "aliases: [gpt-4o, house]"}, "serve.aliases[1]: 'house' is served already"),
        ({"more": "aliases: [gpt-4o, gpt-4o]"}, "serve.aliases[1]: 'gpt-4o' is served already"),
        ({"more": "aliases: ['a b']"}, "serve.aliases[0]: expected a name without spaces, found 'a b'"),
        ({"args": "{served-model-name: [house, gpt-4o]}"}, "write it as serve.name and serve.aliases"),
    ],
)
def test_names_written_otherwise_are_refused_with_the_fix(spark: FakeSpark, written: dict[str, str], told: str) -> None:
    assert told in lint(spark, recipe(spark, **written))


def test_a_template_that_leaves_the_aliases_out_is_refused(spark: FakeSpark) -> None:
    (spark.folder / "templates").mkdir()
    own = "docker run --name {{ name }} {{ image }} --served-model-name {{ served_name }}\n"
    (spark.folder / "templates" / "vllm-openai.j2").write_text(own)
    spark.run("render", recipe(spark)).expect(0)
    refused = spark.run("render", recipe(spark, more="aliases: [gpt-4o]")).expect(2).err
    assert "expected serve.aliases after --served-model-name, found no gpt-4o" in refused


# --- https -----------------------------------------------------------------------------------------------------------


def test_a_server_that_speaks_tls_has_its_files_and_its_address(spark: FakeSpark) -> None:
    tls = "bind: 0.0.0.0, tls: {certificate: ~/tls/spark.pem, key: /etc/tls/spark.key}"
    spec = spark.run("render", recipe(spark, more=tls), "--json").expect(0).json
    mounts = {mount["target"]: (mount["source"], mount["read_only"]) for mount in spec["mounts"]}
    certificate = str(spark.operator.home / "tls" / "spark.pem")
    assert mounts["/run/tls/certificate.pem"] == (certificate, True)
    assert mounts["/run/tls/key.pem"] == ("/etc/tls/spark.key", True)
    words = " ".join(spec["command"])
    assert "--ssl-certfile /run/tls/certificate.pem --ssl-keyfile /run/tls/key.pem" in words
    record = labels.read(dict(spec["labels"]))
    assert (record.url, record.certificate) == ("https://127.0.0.1:18514", certificate)


def test_a_certificate_that_the_flags_name_makes_https_too(spark: FakeSpark) -> None:
    args = "{ssl-certfile: /certs/spark.pem, ssl-keyfile: /certs/spark.key}"
    spec = spark.run("render", recipe(spark, args=args), "--json").expect(0).json
    assert {"/certs/spark.pem", "/certs/spark.key"} <= {mount["source"] for mount in spec["mounts"]}
    record = labels.read(dict(spec["labels"]))
    assert (record.url, record.certificate) == ("https://127.0.0.1:18514", "/certs/spark.pem")
    both = recipe(spark, args=args, more="tls: {certificate: /a.pem, key: /a.key}")
    assert "serve.tls already says what --ssl-certfile would" in lint(spark, both)


def test_a_certificate_in_a_folder_of_the_image_is_taken_for_the_images_own(spark: FakeSpark) -> None:
    args = "{ssl-certfile: /etc/ssl/own.pem, ssl-keyfile: /etc/ssl/own.key}"
    spec = spark.run("render", recipe(spark, args=args), "--json").expect(0).json
    record = labels.read(dict(spec["labels"]))
    assert (record.url, record.certificate) == ("https://127.0.0.1:18514", None)
    assert "/etc/ssl/own.pem" not in {mount["source"] for mount in spec["mounts"]}


def test_files_that_are_not_there_are_named_before_anything_starts(spark: FakeSpark) -> None:
    spark.models.cache.add("example-lab/gemma-e4b-base")
    spark.engine.images["vllm/vllm-openai:v0.20.2"] = {}
    tls = "tls: {certificate: ~/tls/spark.pem, key: ~/tls/spark.key}"
    refused = spark.run("up", recipe(spark, more=tls)).expect(2).err
    assert "one.yaml:6:54: serve.tls.certificate: ~/tls/spark.pem is not there" in refused
    assert "serve.tls.key: ~/tls/spark.key is not there" in refused
    args = "{ssl-certfile: /certs/spark.pem, ssl-keyfile: /certs/spark.key}"
    assert "args.ssl-certfile: /certs/spark.pem is not there" in spark.run("up", recipe(spark, args=args)).expect(2).err
    assert spark.engine.calls == []


def test_a_service_over_tls_is_asked_with_its_certificate_everywhere(spark: FakeSpark) -> None:
    name = recipe(spark, more="tls: {certificate: ~/tls/spark.pem, key: ~/tls/spark.key}")
    spark.models.cache.add("example-lab/gemma-e4b-base")
    spark.models.files |= {spark.operator.home / "tls" / name for name in ("spark.pem", "spark.key")}
    spark.engine.images["vllm/vllm-openai:v0.20.2"] = {}
    spark.http.serving["127.0.0.1:18514"] = "house"
    assert "ready at https://127.0.0.1:18514" in spark.run("up", name).expect(0).err
    for command in (["ps"], ["status", name], ["check", name, "--only", "text"]):
        spark.http.certificates.clear()
        spark.run(*command)
        assert set(spark.http.certificates) == {"/home/operator/tls/spark.pem"}, command
    assert all(url.startswith("https://") for url in spark.http.asked)


# --- what one GPU cannot be ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ("{tensor-parallel-size: 2}", "--tensor-parallel-size 2 needs 2 GPUs; the recipe has 1"),
        ("{data-parallel-size: 2}", "--data-parallel-size 2 needs 2 GPUs; the recipe has 1"),
        ("{headless: true}", "it has no API server"),
        ("{uds: /run/vllm.sock}", "on no port"),
        ("{nnodes: 2, distributed-executor-backend: ray}", "needs a Ray cluster of several hosts"),
    ],
)
def test_a_recipe_of_two_boxes_is_refused_by_lint_and_by_plan(spark: FakeSpark, args: str, told: str) -> None:
    name = recipe(spark, args=args)
    for refused in (lint(spark, name), spark.run("plan", name).expect(2).err):
        assert "one.yaml:8:" in refused
        assert told in refused


def test_several_api_servers_on_one_gpu_are_no_mistake(spark: FakeSpark) -> None:
    spark.run("plan", recipe(spark, args="{api-server-count: 4}")).expect(0)
