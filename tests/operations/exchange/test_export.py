"""`sparkctl export`: what is printed and written, for which tool, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.mods.checksum import md5_of
from sparkctl.recipes.exchange.exports.exported import ExportTarget
from tests.support.exporting import as_compose, read_yaml
from tests.support.fake_world import FakeSpark

if TYPE_CHECKING:
    from pathlib import Path

OWN = """\
extends: e4b-nvfp4
mods: [fix]
secrets: [HF_TOKEN]
"""
FIXED = b"FIXED = True\n"
TOKEN = "a-token-of-nobody"  # noqa: S105  (of nobody)


@pytest.fixture
def spark(tmp_path: Path) -> FakeSpark:
    return FakeSpark(tmp_path)


def own(spark: FakeSpark, md5: str = md5_of(FIXED), more: str = "") -> None:
    """Write a recipe with a mod and a secret."""
    folder = spark.folder / "mods/fix"
    folder.mkdir(parents=True)
    (folder / "fix.py").write_bytes(FIXED)
    (folder / "mod.yaml").write_text(f"files:\n  - {{path: /app/fix.py, source: fix.py, md5: '{md5}'}}\n")
    recipe = spark.folder / "recipes/own.yaml"
    recipe.parent.mkdir(exist_ok=True)
    recipe.write_text(OWN + more)


def mounted(text: str) -> object:
    """Return what is mounted over the mod's file."""
    volumes = read_yaml(text)["services"]["own"]["volumes"]
    return next(one["source"] for one in volumes if isinstance(one, dict) and one["target"] == "/app/fix.py")


def test_one_file_is_printed_and_nothing_is_written(spark: FakeSpark) -> None:
    done = spark.run("export", "e4b-nvfp4", "--as", "compose").expect(0)
    assert done.out.startswith("# Written by `sparkctl export e4b-nvfp4 --as compose`")
    one = as_compose(read_yaml(done.out)["services"]["e4b-nvfp4"])
    rendered = spark.run("render", "e4b-nvfp4", "--json").expect(0).json
    assert (one["command"], one["image"]) == (rendered["command"], rendered["image"])
    assert one["labels"] == dict(rendered["labels"])
    assert "missing: /home/operator/models/gemma4-e4b-nvfp4 is not there" in done.err
    assert spark.engine.calls == []
    assert spark.files.written == {}


def test_several_files_want_a_folder(spark: FakeSpark, tmp_path: Path) -> None:
    refused = spark.run("export", "pair", "--as", "systemd").expect(2).err
    assert "as systemd it is 3 files: vllm-e4b-nvfp4.service, vllm-26b-a4b-fp8.service, vllm-pair.target" in refused
    assert "→ --out FOLDER writes them there" in refused
    out = tmp_path / "out"
    done = spark.run("export", "pair", "--as", "systemd", "--out", str(out)).expect(0)
    assert done.out.splitlines() == [
        str(out / name) for name in ("vllm-e4b-nvfp4.service", "vllm-26b-a4b-fp8.service", "vllm-pair.target")
    ]
    assert (out / "vllm-pair.target").stat().st_mode & 0o777 == 0o644


def test_what_is_there_is_written_over_only_when_it_is_said_and_the_rest_is_left(
    spark: FakeSpark, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "compose.yaml").write_text("mine")
    (out / "other").write_text("kept")
    refused = spark.run("export", "e4b-nvfp4", "--as", "compose", "--out", str(out)).expect(2).err
    assert f"{out} has compose.yaml already" in refused
    assert (out / "compose.yaml").read_text() == "mine"
    spark.run("export", "e4b-nvfp4", "--as", "compose", "--out", str(out), "--replace").expect(0)
    assert "e4b-nvfp4" in (out / "compose.yaml").read_text()
    assert (out / "other").read_text() == "kept"
    spark.run("export", "e4b-nvfp4", "--as", "compose", "--replace").expect(2)


def test_all_is_written_or_nothing(spark: FakeSpark, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "vllm-e4b-nvfp4.service").write_text("mine")
    (out / "vllm-pair.target").mkdir()  # what cannot be written over
    spark.run("export", "pair", "--as", "systemd", "--out", str(out), "--replace").expect(2)
    assert (out / "vllm-e4b-nvfp4.service").read_text() == "mine"
    assert sorted(path.name for path in out.iterdir()) == ["vllm-e4b-nvfp4.service", "vllm-pair.target"]
    file = tmp_path / "file"
    file.write_text("")
    refused = spark.run("export", "pair", "--as", "systemd", "--out", str(file)).expect(2).err
    assert "is there already, and no folder" in refused


def test_verified_copies_of_mods_go_along(spark: FakeSpark, tmp_path: Path) -> None:
    own(spark)
    out = tmp_path / "out"
    done = spark.run("export", "own", "--as", "compose", "--out", str(out)).expect(0)
    assert done.out.splitlines() == [str(out / "compose.yaml"), str(out / "fix-fix.py")]
    assert (out / "fix-fix.py").read_bytes() == FIXED
    assert mounted((out / "compose.yaml").read_text()) == "./fix-fix.py"
    printed = spark.run("export", "own", "--as", "compose").expect(0).out
    assert mounted(printed) == f"/state/mods/{md5_of(FIXED)}/fix.py"


def test_a_mod_that_is_not_what_it_has_to_be_goes_nowhere(spark: FakeSpark, tmp_path: Path) -> None:
    own(spark, md5="0" * 32)
    out = tmp_path / "out"
    refused = spark.run("export", "own", "--as", "kubernetes", "--out", str(out)).expect(6).err
    assert f"expected md5 {'0' * 32}, found {md5_of(FIXED)}" in refused
    assert not out.exists()
    spark.run("export", "own", "--as", "litellm", "--out", str(out)).expect(0)  # which mounts nothing


@pytest.mark.parametrize("target", list(ExportTarget))
def test_secrets_are_names_and_never_values(spark: FakeSpark, tmp_path: Path, target: ExportTarget) -> None:
    own(spark)
    spark.environ["HF_TOKEN"] = TOKEN
    out = tmp_path / "out"
    spark.run("export", "own", "--as", target.value, "--out", str(out)).expect(0)
    text = "".join(path.read_text() for path in out.iterdir())
    assert TOKEN not in text
    assert "HF_TOKEN" in text or target is ExportTarget.LITELLM


def test_the_value_of_a_secret_in_a_recipe_is_refused(spark: FakeSpark) -> None:
    own(spark, more=f"args: {{chat-template: {TOKEN}}}\n")
    spark.environ["HF_TOKEN"] = TOKEN
    refused = spark.run("export", "own", "--as", "systemd").expect(2).err
    assert "own: the value of the secret HF_TOKEN stands in its recipe" in refused
    assert TOKEN not in refused


@pytest.mark.parametrize("env", ["DB_URL: 'postgres://user:pass-word@host/db'", "MY_KEY: abcdef"])
def test_what_may_be_a_secret_in_the_environment_is_refused(spark: FakeSpark, env: str) -> None:
    own(spark, more=f"env: {{{env}}}\n")
    refused = spark.run("export", "own", "--as", "compose").expect(2).err
    assert f"the value of {env.partition(':')[0]} may be a secret, and no exported file has one" in refused
    assert "pass-word" not in refused


HOSTS = """\
hosts:
  a: {ssh: local, fabric: {address: 10.0.0.1, interface: enp1s0f1np1, hca: [rocep1s0f1]}}
  b: {ssh: spark-b, fabric: {address: 10.0.0.2, interface: enp1s0f0np0}}
"""


def test_a_recipe_for_several_hosts_is_bound_to_those_that_are_named(spark: FakeSpark) -> None:
    (spark.folder / "hosts.yaml").write_text(HOSTS)
    file = spark.folder / "pair2.yaml"
    file.write_text("extends: e4b-bf16\nnodes: 2\nserve: {name: p, port: 8555}\nargs: {tensor-parallel-size: 2}\n")
    kube = ("export", str(file), "--as", "kubernetes")
    value = read_yaml(spark.run(*kube, "--hosts", "a,b").expect(0).out.split("---\n")[1])
    template = value["spec"]["leaderWorkerTemplate"]
    (leader,), (worker,) = (template[part]["spec"]["containers"] for part in ("leaderTemplate", "workerTemplate"))
    assert leader["args"][-2:] == ["--master-port", "29501"]
    assert {"name": "GLOO_SOCKET_IFNAME", "value": "enp1s0f0np0"} in worker["env"]
    head, other = (int(one["resources"]["requests"]["memory"].removesuffix("Mi")) for one in (leader, worker))
    assert head / 2 < other < head - 512
    planned = spark.run("size", str(file), "--json").expect(0).json
    assert head == planned["steady_bytes"] // 2**20
    assert "LeaderWorkerSet" in spark.run(*kube).expect(0).out
    assert "needs 2 hosts (nodes of its recipe), and 1 are named: a" in spark.run(*kube, "--hosts", "a").expect(2).err
    assert "needs 2 hosts" in spark.run(*kube, "--hosts", "a,a").expect(2).err
    assert "no host c in" in spark.run(*kube, "--hosts", "a,c").expect(2).err
    assert "2 hosts share its model" in spark.run("export", str(file), "--as", "compose").expect(2).err
    assert "and --hosts is for one" in spark.run("export", "pair", "--as", "kubernetes", "--hosts", "a").expect(2).err


STACK = """\
hosts: [a, b]
services:
  one: {recipe: e4b-fp8, host: a}
  two: {recipe: e4b-bf16, labels: {room: cellar}}
  three: {recipe: e4b-nvfp4, spread: x, set: {serve.port: 8099}}
"""


def test_a_stack_for_several_hosts_has_each_service_where_it_says(spark: FakeSpark) -> None:
    (spark.folder / "hosts.yaml").write_text(HOSTS.replace("spark-b,", "spark-b, labels: {room: cellar},"))
    file = spark.folder / "over.yaml"
    file.write_text(STACK)
    out = spark.run("export", str(file), "--as", "kubernetes").expect(0).out
    values = [read_yaml(text) for text in out.split("---\n")[1:]]
    pods = {one["metadata"]["name"]: one["spec"]["template"]["spec"] for one in values if one["kind"] == "Deployment"}
    assert pods["one"]["nodeSelector"] == {"sparkctl.host": "a"}
    assert pods["two"]["nodeSelector"] == {"sparkctl.host": "b"}
    assert "nodeAffinity" in pods["three"]["affinity"]
    assert "runs on a, b, and compose" in spark.run("export", str(file), "--as", "compose").expect(2).err
    file.write_text(STACK.replace("cellar", "attic"))
    refused = spark.run("export", str(file), "--as", "kubernetes").expect(2).err
    assert "two needs 1 of the stack's hosts with room=attic, and there are 0" in refused
    file.write_text(STACK.replace("host: a", "host: [a, b]"))
    assert "needs one host" in spark.run("export", str(file), "--as", "kubernetes").expect(2).err


def test_the_gateway_of_a_stack_is_told_and_a_recipe_may_be_a_file(spark: FakeSpark) -> None:
    text = spark.run("export", "pair", "--as", "compose").expect(0).out
    assert "The stack's gateway at 127.0.0.1:8090 is sparkctl's alone" in text
    own(spark)
    path = str(spark.folder / "recipes/own.yaml")
    text = spark.run("export", path, "--as", "docker-run").expect(0).out.replace("\n# ", " ")
    assert f"`sparkctl up {path}` starts the same" in text
    assert "--name own" in text


def test_json_has_the_files_and_what_the_tool_does_not_do(spark: FakeSpark) -> None:
    value = spark.run("export", "26b-a4b-fp8", "--as", "kubernetes", "--json").expect(0).json
    assert (value["target"], value["folder"]) == ("kubernetes", None)
    assert [one["name"] for one in value["files"]] == ["vllm-26b-a4b-fp8.yaml"]
    assert any("--restart no" in one for one in value["lost"])


def test_a_service_of_a_stack_is_exported_as_the_stack_has_it(spark: FakeSpark) -> None:
    text = spark.run("export", "pair:26b-a4b-fp8", "--as", "systemd", "--set", "limits.context=4096").expect(0).out
    assert "--oom-score-adj 1000" in text
    assert "--max-model-len 4096" in text
    assert "sparkctl render pair:26b-a4b-fp8 --stage" in text
    assert "StartLimitBurst=3" in text
    assert "no recipe" in spark.run("export", "nothing", "--as", "systemd").expect(2).err
