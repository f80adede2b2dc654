"""What of the host a container gets: files that flags name, links below folders, declared mounts, caches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.command_line import Operator
from tests.support.weights import EMPTY, POINTER

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = """{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "intermediate_size": 128,
"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 320,
"max_position_embeddings": 4096}"""
RECIPE = """\
template: vllm-openai
image: vllm/vllm-openai:v0.20.2
vllm: "0.20.2"
model: {{repo: lab/tiny, path: {path}, facts: gemma-4-e4b}}
serve: {{name: tiny, port: 18504}}
limits: {{context: 2048}}
"""


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    (tmp_path / "home").mkdir()
    found = Operator(tmp_path / "home", tmp_path / "own", {"SPARKCTL_ENGINE": "docker"})
    model(found.home / "models/tiny")
    return found


def model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(CONFIG)
    (folder / "model.safetensors").write_bytes(EMPTY)
    return folder


def snapshot(root: Path) -> Path:
    """Write a model as the hub's library lays it out, and return its snapshot."""
    blobs, folder = root / "models--lab--tiny" / "blobs", root / "models--lab--tiny" / "snapshots" / "1"
    for made in (blobs, folder):
        made.mkdir(parents=True)
    for name, content in {"config.json": CONFIG.encode(), "model.safetensors": EMPTY}.items():
        (blobs / f"b{name}").write_bytes(content)
        (folder / name).symlink_to(f"../../blobs/b{name}")
    return folder


def command(operator: Operator, more: str = "", path: str = "~/models/tiny") -> list[str]:
    """Return the lines of a recipe's command."""
    operator.write("recipes/mine.yaml", RECIPE.format(path=path) + more)
    done = operator.run("render", "mine").expect(0)
    return [line.strip(" \\") for line in done.out.splitlines()]


def mounts(lines: list[str]) -> dict[str, str]:
    """Return the sources of a command's --mount by their targets, " ro" behind those that are read-only."""
    found = {}
    for line in lines:
        if line.startswith("--mount "):
            fields = dict(field.partition("=")[::2] for field in line.removeprefix("--mount ").strip("'").split(","))
            found[fields["target"]] = fields["source"] + (" ro" if "readonly" in fields else "")
    return found


def test_a_hub_snapshot_as_the_models_folder_brings_its_blobs(operator: Operator) -> None:
    folder = snapshot(operator.home / "hub")
    found = mounts(command(operator, path=str(folder)))
    assert found == {"/models/1": f"{folder} ro", "/blobs": f"{folder.parent.parent}/blobs ro"}


def test_links_to_another_disk_are_mounted_where_the_container_looks_for_them(operator: Operator) -> None:
    disk, folder = operator.home / "disk", operator.home / "models/tiny"
    disk.mkdir()
    (disk / "weights").write_bytes(EMPTY)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(disk / "weights")
    found = mounts(command(operator))
    assert found == {"/models/tiny": f"{folder} ro", f"{disk}/weights": f"{disk}/weights ro"}


def test_a_link_into_a_folder_that_every_image_has_is_refused(operator: Operator) -> None:
    (operator.home / "models/tiny/tokenizer.json").symlink_to("/etc/hostname")
    operator.write("recipes/mine.yaml", RECIPE.format(path="~/models/tiny"))
    done = operator.run("render", "mine").expect(2)
    assert "tokenizer.json is a link to /etc/hostname, which the container would look for at" in done.err


def test_a_model_of_the_cache_that_is_a_link_is_mounted_too(operator: Operator) -> None:
    folder = snapshot(operator.home / "disk")
    (folder.parent.parent / "refs").mkdir()
    (folder.parent.parent / "refs/main").write_text("1")
    hub = operator.home / ".cache/huggingface/hub"
    hub.mkdir(parents=True)
    (hub / "models--lab--tiny").symlink_to(operator.home / "disk/models--lab--tiny")
    found = mounts(command(operator, path="null"))
    where = f"{operator.home}/disk/models--lab--tiny"
    assert found == {"/root/.cache/huggingface": f"{hub.parent}", where: where}


def test_files_of_the_host_in_flags_and_variables_are_mounted_under_their_own_paths(operator: Operator) -> None:
    files = {"templates/house.jinja", "plugins/parser.py", "certs/ca.pem", "lora/a/adapter_config.json"}
    for file in files:
        (operator.home / file).parent.mkdir(parents=True, exist_ok=True)
        (operator.home / file).write_text("")
    more = """\
args:
  chat-template: ~/templates/house.jinja
  tool-parser-plugin: OWN/plugins/parser.py
  lora-modules: [a=~/lora/a, '{"name": "b", "path": "~/lora/a"}']
  default-mm-loras: {audio: ~/lora/a}
  root-path: /data/v1
  generation-config: vllm
env: {SSL_CERT_FILE: ~/certs/ca.pem, CUDA_HOME: /usr/local/cuda, LD_PRELOAD: /usr/lib/x.so}
"""
    home = operator.home
    lines = command(operator, more.replace("OWN", str(home)))
    assert mounts(lines).keys() - {"/models/tiny"} == {
        *(f"{home}/{file}" for file in files if not file.startswith("lora")),
        f"{home}/lora/a",
    }
    assert all(source.endswith(" ro") for source in mounts(lines).values())
    assert f"--chat-template {home}/templates/house.jinja" in lines
    assert f'--lora-modules a={home}/lora/a \'{{"name":"b","path":"{home}/lora/a"}}\'' in lines
    assert f"--env SSL_CERT_FILE={home}/certs/ca.pem" in lines
    assert "--root-path /data/v1" in lines


@pytest.mark.parametrize(
    "value",
    [
        "/vllm-workspace/examples/tool_chat_template_hermes.jinja",
        "/models/tiny/chat_template.jinja",
        "'{% for m in messages %}{{ m }}{% endfor %}'",
        "/templates/x.jinja",
    ],
)
def test_what_the_container_has_of_its_own_is_left_as_it_is(operator: Operator, value: str) -> None:
    (operator.home / "t").mkdir()
    more = f"args: {{chat-template: {value}}}\ncontainer: {{mounts: ['~/t:/templates']}}\n"
    lines = command(operator, more)
    assert mounts(lines).keys() == {"/models/tiny", "/templates"}
    assert any(line.startswith("--chat-template") for line in lines)


def test_what_is_not_there_is_named_at_its_line_by_render_and_refused_by_up(operator: Operator) -> None:
    more = "args: {chat-template: ~/no.jinja}\ncontainer: {mounts: ['/home/nobody/x:/x:rw']}\n"
    operator.write("recipes/mine.yaml", RECIPE.format(path="~/models/tiny") + more)
    operator.environ["SPARKCTL_ENGINE"] = "sim"
    rendered, started = operator.run("render", "mine").expect(0), operator.run("up", "mine").expect(2)
    for done in (rendered, started):
        assert "mine.yaml:7:23: args.chat-template: ~/no.jinja is not there" in done.err
        assert "mine.yaml:8:22: container.mounts: /home/nobody/x is not there" in done.err
    assert "warning" not in started.err


@pytest.mark.a_part(4)
@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("env: {HF_HOME: ~/disk}\n", "env.HF_HOME: the server writes in ~/disk, a folder of this host"),
        ("args: {download-dir: /data/hf}\n", "args.download-dir: the server writes in /data/hf"),
        ("args: {chat-template: ./x.jinja}\n", "args.chat-template: ./x.jinja depends on a folder"),
        ("container: {mounts: [x]}\n", "expected HOST:CONTAINER[:ro|rw] with whole paths, found 'x'"),
        ("container: {mounts: ['~/x:/']}\n", "expected HOST:CONTAINER[:ro|rw] with whole paths"),
        ("container: {devices: [kvm]}\n", "expected HOST[:CONTAINER][:rwm], found 'kvm'"),
        ("container: {capabilities: [sys admin]}\n", "expected a capability such as SYS_PTRACE"),
    ],
)
def test_what_no_mount_can_bring_is_refused_by_lint_too(operator: Operator, more: str, told: str) -> None:
    operator.write("recipes/mine.yaml", RECIPE.format(path="~/models/tiny") + more)
    for words in (["render", "mine"], ["recipes", "lint", "mine"]):
        done = operator.run(*words)
        assert done.code == 2, done.err
        assert told in done.err


def test_the_containers_own_options_are_docker_runs_and_lint_names_what_they_reach(operator: Operator) -> None:
    more = """\
container:
  entrypoint: ''
  devices: [/dev/infiniband]
  init: true
  runtime: nvidia
  privileged: true
  capabilities: [IPC_LOCK]
  mounts: ['/srv:/srv:rw']
"""
    lines = command(operator, more)
    for line in (
        *("--entrypoint ''", "--device /dev/infiniband", "--init=true", "--runtime nvidia", "--privileged"),
        *("--cap-add IPC_LOCK", "--mount type=bind,source=/srv,target=/srv"),
    ):
        assert line in lines
    told = operator.run("recipes", "lint", "mine").expect(0).err
    for reached in (
        *("mounts /srv on /srv, writable", "is given the device /dev/infiniband", "is privileged"),
        "is given the capability IPC_LOCK",
    ):
        assert told.count(f": {reached}\n") == 1
    assert "the template adds" not in told


def test_a_certificate_of_serve_tls_is_mounted_and_missed_as_other_files_are(operator: Operator) -> None:
    (operator.home / "cert.pem").write_text("")
    more = "serve: {tls: {certificate: ~/cert.pem, key: ~/key.pem}}\n"
    operator.write("recipes/base.yaml", RECIPE.format(path="~/models/tiny"))
    operator.write("recipes/mine.yaml", f"extends: base\n{more}")
    done = operator.run("render", "mine").expect(0)
    found = mounts([line.strip(" \\") for line in done.out.splitlines()])
    assert {source for source in found.values() if ".pem" in source} == {
        f"{operator.home}/cert.pem ro",
        f"{operator.home}/key.pem ro",
    }
    assert "serve.tls.key: ~/key.pem is not there" in done.err
    assert "the template adds" not in operator.run("recipes", "lint", "mine").err


def test_compiled_files_are_kept_by_image_unless_a_recipe_wants_none_or_another_place(operator: Operator) -> None:
    kept = f"--volume {operator.home}/.cache/sparkctl/compiled/vllm_vllm-openai_v0.20.2/by-tag:/compiled"
    lines = command(operator)
    assert kept in lines
    assert "--env VLLM_CACHE_ROOT=/compiled/vllm" in lines
    lines = command(operator, "container: {caches: /disk/c}\nenv: {TRITON_CACHE_DIR: /t}\n")
    assert "--volume /disk/c/vllm_vllm-openai_v0.20.2/by-tag:/compiled" in lines
    assert "--env TRITON_CACHE_DIR=/t" in lines
    assert not [line for line in command(operator, "container: {caches: false}\n") if ":/compiled" in line]


def test_a_server_that_is_not_root_gets_caches_that_it_can_reach(operator: Operator) -> None:
    lines = command(operator, "container: {user: '1000:1000'}\n", path="null")
    assert mounts(lines) == {"/huggingface": f"{operator.home}/.cache/huggingface"}
    for variable in ("HF_HOME=/huggingface", "HOME=/compiled", "USER=vllm"):
        assert f"--env {variable}" in lines


def test_pointers_are_named_also_where_facts_are_known(operator: Operator) -> None:
    (operator.home / "models/tiny/model.safetensors").write_bytes(POINTER)
    operator.write("recipes/mine.yaml", RECIPE.format(path="~/models/tiny"))
    operator.environ["SPARKCTL_ENGINE"] = "sim"
    told = "has a git-lfs pointer in place of model.safetensors (1.4 GiB)"
    assert f"warning: mine: {operator.home}/models/tiny {told}" in operator.run("plan", "mine").err
    assert told in operator.run("up", "mine").expect(2).err


def test_what_lies_here_damaged_is_named_where_the_hub_does_not_answer(operator: Operator) -> None:
    (operator.home / "models/tiny/model.safetensors").write_bytes(POINTER)
    text = RECIPE.format(path="~/models/tiny").replace(", facts: gemma-4-e4b", "")
    operator.write("recipes/mine.yaml", text)
    operator.environ |= {"SPARKCTL_ENGINE": "sim", "HF_ENDPOINT": "http://127.0.0.1:9"}
    done = operator.run("plan", "mine").expect(2)
    assert "models/tiny has a git-lfs pointer in place of model.safetensors" in done.err
    assert "Traceback" not in done.err
