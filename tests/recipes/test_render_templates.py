"""The shipped templates and the one in the docs: from a rich context to the container that it means."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from sparkctl.recipes import template
from sparkctl.world.docker_run import grammar
from sparkctl.world.spec import ContainerSpec, Device, GpuRequest, Mount, Port, Ulimit
from tests.support.paths import REPOSITORY

ROOT = REPOSITORY
TEMPLATES = ROOT / "templates"
SERVER = (
    "--served-model-name",
    "gemma 4",
    "gpt-4o",
    "--max-model-len",
    "16384",
    "--limit-mm-per-prompt",
    '{"image":0}',
    "--async",
)
RICH: dict[str, object] = {
    "name": "e4b-nvfp4",
    "image": "vllm/vllm-openai:gemma4-cu130",
    "labels": [],
    "env": [["VLLM_NVFP4_GEMM_BACKEND", "marlin"], ["GREETING", "$(hello) 'world'\n"], ["EMPTY", ""]],
    "secrets_env_file": "/home/a b/secrets/e4b.env",
    "ports": [{"bind": "127.0.0.1", "host": 8003, "container": 8000}, {"bind": "::1", "host": 8003, "container": 8000}],
    "network": "",
    "gpus": {"kind": "all", "value": ""},
    "ipc": "host",
    "shm_size": "32g",
    "ulimits": ["memlock=-1:-1", "stack=67108864"],
    "restart": "unless-stopped",
    "oom_score_adj": "750",
    "user": "1000:1000",
    "devices": ["/dev/infiniband"],
    "runtime": "nvidia",
    "capabilities": ["IPC_LOCK"],
    "privileged": True,
    "init": "true",
    "entrypoint": [""],
    "mounts": [
        {"source": '/home/me/a,b "c"', "target": "/models/e4b", "readonly": True},
        {"source": "/home/me/.cache/huggingface", "target": "/root/.cache/huggingface", "readonly": False},
    ],
    "caches": [{"source": "/home/me/compiled/x", "target": "/compiled", "readonly": False}],
    "model": "/models/e4b",
    "served_name": "gemma 4",
    "aliases": ["gpt-4o"],
    "args": [["--max-model-len", "16384"], ["--limit-mm-per-prompt", '{"image":0}'], ["--async"]],
}
BARE: dict[str, object] = {
    **RICH,
    **{key: [] for key in ("labels", "env", "ports", "ulimits", "mounts", "args", "aliases", "caches", "entrypoint")},
    **{key: [] for key in ("devices", "capabilities")},
    **dict.fromkeys(("secrets_env_file", "ipc", "shm_size", "oom_score_adj", "user", "runtime", "init"), ""),
    "privileged": False,
    "network": "host",
    "gpus": {"kind": "none", "value": ""},
    "restart": "no",
}
SPEC = ContainerSpec(
    image="vllm/vllm-openai:gemma4-cu130",
    name="e4b-nvfp4",
    env=(("VLLM_NVFP4_GEMM_BACKEND", "marlin"), ("GREETING", "$(hello) 'world'\n"), ("EMPTY", "")),
    env_files=("/home/a b/secrets/e4b.env",),
    ports=(Port(8000, 8003, "127.0.0.1"), Port(8000, 8003, "::1")),
    gpus=GpuRequest(count=-1),
    ipc="host",
    shm_size=32 * 1024**3,
    ulimits=(Ulimit("memlock", -1, -1), Ulimit("stack", 67108864, 67108864)),
    restart="unless-stopped",
    oom_score_adj=750,
    user="1000:1000",
    devices=(Device("/dev/infiniband", "/dev/infiniband"),),
    runtime="nvidia",
    cap_add=("CAP_IPC_LOCK",),
    privileged=True,
    init=True,
    entrypoint="",
    mounts=(
        Mount("/models/e4b", '/home/me/a,b "c"', read_only=True),
        Mount("/root/.cache/huggingface", "/home/me/.cache/huggingface"),
        Mount("/compiled", "/home/me/compiled/x", create_source=True),
    ),
)
COMMANDS = {"vllm-openai": ("--model", "/models/e4b"), "vllm-serve": ("vllm", "serve", "/models/e4b")}


def expand(name: str, context: dict[str, object]) -> list[str]:
    source = (TEMPLATES / f"{name}.j2").read_text()
    return template.expand(source, f"{name}.j2", context, loader_folders=[TEMPLATES])


@pytest.mark.parametrize("name", COMMANDS)
def test_a_rich_context_becomes_the_container_that_it_means(name: str) -> None:
    assert grammar.parse(expand(name, RICH)) == replace(SPEC, command=(*COMMANDS[name], *SERVER))


@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_empty_renders_nothing(name: str) -> None:
    assert expand(name, BARE) == [
        *("docker", "run", "--detach", "--name", "e4b-nvfp4", "--network", "host", "vllm/vllm-openai:gemma4-cu130"),
        *COMMANDS[name],
        *("--served-model-name", "gemma 4"),
    ]


@pytest.mark.parametrize(
    ("gpus", "words"),
    [
        ({"kind": "ids", "value": "0,1"}, ["--gpus", '"device=0,1"']),
        ({"kind": "ids", "value": "GPU-1a2b"}, ["--gpus", "device=GPU-1a2b"]),
        ({"kind": "cdi", "value": "nvidia.com/gpu=all"}, ["--device", "nvidia.com/gpu=all"]),
    ],
)
def test_gpus_are_asked_for_as_docker_wants_it(gpus: dict[str, str], words: list[str]) -> None:
    rendered = expand("vllm-openai", {**BARE, "gpus": gpus})
    at = rendered.index(words[0])
    assert rendered[at : at + 2] == words
    grammar.parse(rendered)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_shipped_templates_declare_where_packages_are(name: str) -> None:
    source = (TEMPLATES / f"{name}.j2").read_text()
    assert template.package_root(source) == "/usr/local/lib/python3.12/dist-packages"


def documented(heading: str) -> str:
    text = (ROOT / "docs" / "templates.md").read_text()
    return text.partition(heading)[2]


def test_the_example_of_the_docs_renders() -> None:
    example = documented("## One's own template").split("```jinja\n")[1].partition("```")[0]
    words = template.expand(example, "ngc-debug.j2", RICH, loader_folders=[TEMPLATES])
    assert grammar.parse(words) == replace(
        SPEC,
        ulimits=(*SPEC.ulimits, Ulimit("core", -1, -1)),
        env=(*SPEC.env, ("VLLM_LOGGING_LEVEL", "DEBUG")),
        mounts=(*SPEC.mounts, Mount("/root/.cache/vllm", "/var/cache/vllm/e4b-nvfp4")),
        command=(*COMMANDS["vllm-serve"], *SERVER),
    )
    assert template.package_root(example) == "/usr/local/lib/python3.12/dist-packages"


def test_the_docs_describe_the_whole_context() -> None:
    table = documented("## The context").partition("## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(RICH)
