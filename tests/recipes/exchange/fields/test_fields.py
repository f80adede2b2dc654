"""From docker run and vllm serve to the keys of a recipe, with an account of every word."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparkctl.operations.files.render import render
from sparkctl.recipes.exchange.fields.differences import differences
from sparkctl.recipes.exchange.fields.file_text import recipe_text
from sparkctl.recipes.exchange.fields.made import Choices
from sparkctl.world.docker_run import grammar
from tests.support.fake_world import FakeSpark
from tests.support.fakes import FakeReport
from tests.support.imports import imported, one, usable
from tests.support.paths import FIXTURES
from tests.support.thorough import examples

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.recipes.exchange.fields.made import Made

REPO = "google/gemma-4-E4B-it"
EVERYWHERE = "0.0.0.0"  # noqa: S104  (as published commands have it)
IMAGE = "vllm/vllm-openai:v0.32.0"


def keys(options: str = "", flags: str = "", image: str = IMAGE, model: str = f"--model {REPO}") -> dict[str, Any]:
    return dict(usable(f"docker run --gpus all {options} {image} {model} {flags}").keys)


@pytest.mark.parametrize(
    ("options", "path", "value"),
    [
        ("--ipc=host", "container.ipc", "host"),
        ("--shm-size 32g", "container.shm-size", "32 GiB"),
        ("--ulimit memlock=-1 --ulimit nofile=1:2", "container.ulimits", {"memlock": -1, "nofile": "1:2"}),
        ("--restart unless-stopped", "container.restart", "unless-stopped"),
        ("--user 1000:1000", "container.user", "1000:1000"),
        ("--user $(id -u)", "container.user", "1000"),
        ("--init", "container.init", True),
        ("--runtime nvidia", "container.runtime", "nvidia"),
        ("--network my-net", "container.network", "my-net"),
        ("--oom-score-adj 500", "container.oom-score-adj", 500),
        ("-e A=1 -e B='x y'", "env", {"A": 1, "B": "x y"}),
        ("-e HF_TOKEN=hf_secret -e MY_PASSWORD", "secrets", ["HF_TOKEN", "MY_PASSWORD"]),
        ("-v ~/.cache/huggingface:/root/.cache/huggingface", "cache", "~/.cache/huggingface"),
        ("-v /data/hf:/hf -e HF_HOME=/hf", "cache", "/data/hf"),
        ("-v ~/.cache:/root/.cache", "cache", "~/.cache/huggingface"),
        ("-v $(pwd)/a:/a:ro -v ./b:/b", "container.mounts", ["/work/a:/a", "/work/b:/b:rw"]),
        ("--mount type=bind,src=~/a,dst=/a,readonly", "container.mounts", ["~/a:/a"]),
        ("-p 8003:8000", "serve", {"name": REPO, "port": 8003, "bind": EVERYWHERE}),
        ("-p 127.0.0.1:8003:8000", "serve", {"name": REPO, "port": 8003, "bind": "127.0.0.1"}),
        ("--network host", "serve", {"name": REPO, "port": 8000, "bind": EVERYWHERE}),
        ("--gpus '\"device=0\"'", "gpus", "0"),
        ("--gpus '\"device=GPU-0a,GPU-0b\"'", "gpus", "all"),
        ("--device nvidia.com/gpu=all", "gpus", "cdi:nvidia.com/gpu=all"),
    ],
)
def test_an_option_of_docker_goes_into_its_key(options: str, path: str, value: object) -> None:
    options = f"docker run {'' if 'gpu' in options else '--gpus all '}{options} {IMAGE} --model {REPO}"
    found: Any = usable(options).keys
    for key in path.split("."):
        found = found[key]
    assert found == value


@pytest.mark.parametrize(
    ("flags", "path", "value"),
    [
        ("--max-model-len 16k", "limits.context", 16_000),
        ("--max_num_seqs=8 --max-num-batched-tokens 4096", "limits", {"sequences": 8, "batched-tokens": 4096}),
        ("--limit-mm-per-prompt '{\"image\": 2}'", "limits.multimodal", {"image": 2}),
        ("--limit-mm-per-prompt image=2,video=0", "limits.multimodal", {"image": 2, "video": 0}),
        ("--limit-mm-per-prompt.image 3", "limits.multimodal", {"image": 3}),
        ("--limit-mm-per-prompt '{\"image\": 2, \"video\": {\"count\": 1, \"num_frames\": 16}}'", "limits.multimodal",
         {"image": 2, "video": {"count": 1, "num_frames": 16}}),
        ("--limit-mm-per-prompt.video.count 1 --limit-mm-per-prompt.video.num_frames 16", "limits.multimodal",
         {"video": {"count": 1, "num_frames": 16}}),
        ("--gpu-memory-utilization 0.805", "memory.utilization", 0.805),
        ("--gpu-memory-utilization 0.80", "memory.utilization", 0.8),
        ("--kv-cache-memory 4800M --gpu-memory-utilization 0.9", "memory", {"kv": 4800 * 2**20}),
        ("--served-model-name a b", "serve", {"name": "a", "aliases": ["b"]}),
        ("--moe-backend marlin --attention-backend X", "backend", {"moe": "marlin", "attention": "X"}),
        ("--speculative-config '{\"method\":\"mtp\",\"num_speculative_tokens\":2}'", "speculative",
         {"method": "mtp", "num_speculative_tokens": 2}),
        ("-sc.method ngram --speculative-config.num_speculative_tokens 3", "speculative",
         {"method": "ngram", "num_speculative_tokens": 3}),
        ("--revision abc", "model.revision", "abc"),
        ("--api-key sk-1 --hf-token hf_1", "secrets", ["VLLM_API_KEY", "HF_TOKEN"]),
        ("--no-enable-prefix-caching -O3 --kv-cache-dtype fp8", "args",
         {"enable-prefix-caching": False, "optimization-level": 3, "kv-cache-dtype": "fp8"}),
        ("--override-generation-config '{\"a\": {\"b\": 1}}'", "args", {"override-generation-config": {"a": {"b": 1}}}),
        ("--port 9000", "serve.container-port", 9000),
    ],
)  # fmt: skip
def test_a_flag_of_vllm_goes_into_its_field_or_into_args(flags: str, path: str, value: object) -> None:
    found: Any = keys(flags=flags)
    for key in path.split("."):
        found = found[key]
    assert found == value


@pytest.mark.parametrize(
    ("command", "template", "entrypoint"),
    [
        (f"{IMAGE} --model {REPO}", "vllm-openai", None),
        (f"{IMAGE} {REPO}", "vllm-openai", None),
        (f"nvidia/vllm:26.02 vllm serve {REPO}", "vllm-serve", None),
        (f"own:1 serve {REPO}", "vllm-serve", ""),
        (f"--entrypoint vllm own:1 serve {REPO}", "vllm-serve", ""),
        (f"--entrypoint python3 own:1 -m vllm.entrypoints.openai.api_server --model {REPO}", "vllm-serve", ""),
        (f"--entrypoint bash own:1 -c 'exec vllm serve {REPO}'", "vllm-serve", ""),
        (f"-e MODEL={REPO} own:1 bash -c 'vllm serve $MODEL'", "vllm-serve", None),
        (f"own:1 bash -lc 'export A=1 && cd /x && vllm serve {REPO}'", "vllm-serve", None),
    ],
)
def test_the_server_is_found_behind_each_way_to_start_it(command: str, template: str, entrypoint: str | None) -> None:
    made = usable(f"docker run --gpus all {command}")
    assert made.keys["template"] == template
    assert made.keys["model"] == {"repo": REPO}
    container: Any = made.keys.get("container", {})
    assert container.get("entrypoint") == entrypoint


def test_what_a_shell_in_the_container_does_beside_the_server_stays_over() -> None:
    made = usable(f"docker run --gpus all own:1 bash -c 'pip install x && export B=2 && vllm serve {REPO}'")
    assert [left.what for left in made.leftovers] == ["pip install x"]
    assert made.keys["env"] == {"B": 2}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("docker run nginx:1 -g x", "no vLLM server"),
        ("docker run own:1", "starts by its image alone"),
        (f"docker run $IMAGE --model {REPO}", "a value is missing"),
        (f"docker run {IMAGE} --model $MODEL", "a value is missing"),
        (f"docker run {IMAGE} --port 1", "no model"),
        (f"docker run -v /a:/b {IMAGE} --model /models/x", "no model"),
        (f"docker run --nonsense {IMAGE} --model {REPO}", "docker option"),
        (f"docker run --gpus all # all of them \\\n {IMAGE}", "no image"),
        (f"docker run {IMAGE} --model {REPO} --nnodes 2", "several hosts"),
        (f"docker run {IMAGE} --model {REPO} --headless", "several hosts"),
        (f"docker run {IMAGE} --model {REPO} -tp 2 --nnodes 2 --node-rank 1 --headless", "several hosts"),
        (f"docker run {IMAGE} --model {REPO} -tp 4 --nnodes 2", "several hosts"),
        (f"docker run {IMAGE} --model {REPO} -tp 2 -dp 2 --nnodes 4", "several hosts"),
        (f"docker run {IMAGE} --model {REPO} -tp 2 --nnodes 2 --data-parallel-address 10.0.0.1", "several hosts"),
        (f"docker run {IMAGE} --model {REPO} -tp $TP --nnodes 2", "a value is missing"),
        (f"docker run own:1 bash -c 'vllm serve {REPO} & vllm serve {REPO}'", "several servers in one container"),
        (f"eval 'docker run {IMAGE}'", "eval"),
        (f"docker run {IMAGE} --model '{REPO}", "unreadable shell text"),
    ],
)
def test_what_is_no_server_of_one_spark_is_refused_with_its_one_reason(text: str, reason: str) -> None:
    made = one(text)
    assert made.refused is not None
    assert made.refused.reason == reason
    assert made.refused.place is None or made.refused.place.file == "run.sh"


def test_the_heads_command_of_a_group_is_a_recipe_for_several_hosts() -> None:
    made = usable(
        "docker run --gpus all --network host --restart always --device /dev/infiniband --cap-add IPC_LOCK "
        "-e VLLM_HOST_IP=$HEAD_IP -e NCCL_SOCKET_IFNAME=enp1s0f1np1 -e RAY_memory_monitor_refresh_ms=0 -e OWN=1 "
        f"{IMAGE} --model {REPO} --tensor-parallel-size 2 --pipeline-parallel-size 1 --nnodes 2 --node-rank $RANK "
        "--master-addr 10.0.0.1 --master-port 29501 --distributed-executor-backend ray"
    )
    assert made.keys["nodes"] == 2
    assert made.keys["args"] == {"tensor-parallel-size": 2}
    assert made.keys["env"] == {"OWN": 1}
    assert made.keys["container"] == {"network": "host"}
    assert [left.what for left in made.leftovers] == ["--restart always"]
    told = {account.text.split("=")[0].split()[0]: account.why for account in made.accounts if account.why}
    for name in ("--nnodes", "--node-rank", "--master-addr", "--master-port", "--device", "--cap-add", "--env"):
        assert told[name]
    assert "without Ray" in (told["--distributed-executor-backend"] or "")


def test_what_shares_its_model_between_gpus_is_read_for_as_many_hosts_when_that_is_said() -> None:
    text = f"docker run --gpus all {IMAGE} --model {REPO} -tp 2"
    assert one(text, choices=Choices(nodes=2)).keys["nodes"] == 2
    assert "nodes" not in one(text, choices=Choices(nodes=4)).keys
    made = one(text)
    assert "nodes" not in made.keys
    assert any("--nodes 2 reads it for as many hosts" in note for note in made.notes)


def test_ranks_that_share_a_cache_keep_to_it() -> None:
    made = usable(f"docker run --gpus all {IMAGE} --model {REPO} -tp 2 -dcp 2 --nnodes 2 --node-rank 0")
    assert made.keys["args"] == {"tensor-parallel-size": 2, "decode-context-parallel-size": 2}
    assert any("as if each rank had the whole of it" in note for note in made.notes)


def test_a_rank_of_its_own_is_no_recipe_and_ranks_on_one_host_are_served_by_its_gpu() -> None:
    made = usable(f"docker run --gpus all -e NCCL_IB_HCA=mlx5_0 {IMAGE} --model {REPO} -tp 2 --nnodes 1")
    assert "nodes" not in made.keys
    assert made.keys["env"] == {"NCCL_IB_HCA": "mlx5_0"}
    assert any("on one Spark" in note for note in made.notes)


def test_what_gives_power_over_the_host_is_taken_over_only_when_it_is_allowed_and_named_each_time() -> None:
    text = (
        "docker run --gpus all --privileged --cap-add SYS_ADMIN --device /dev/fuse --pid host "
        f"-v /var/run/docker.sock:/var/run/docker.sock {IMAGE} --model {REPO}"
    )
    made = usable(text)
    assert "container" not in made.keys
    needs = {left.what.split()[0]: left.needs for left in made.leftovers}
    assert needs["--privileged"] == "--allow privileged"
    assert needs["--cap-add"] == "--allow capabilities"
    assert needs["--device"] == "--allow devices"
    assert needs["--volume"] == "--allow docker-socket"
    assert "--pid" in needs
    allowed = frozenset({"privileged", "capabilities", "devices", "docker-socket"})
    made = one(text, choices=Choices(allowed))
    container: Any = made.keys["container"]
    assert container["privileged"] is True
    assert container["capabilities"] == ["SYS_ADMIN"]
    assert container["devices"] == ["/dev/fuse"]
    assert container["mounts"] == ["/var/run/docker.sock:/var/run/docker.sock:rw"]
    assert len([note for note in made.notes if "--allow" in note]) == len(allowed)


@pytest.mark.parametrize("folder", ["/", "/run", "/var/run/", "//var/run/../run", "/run/podman/podman.sock"])
def test_a_folder_that_holds_a_socket_of_the_engine_is_taken_as_the_socket(folder: str) -> None:
    made = usable(f"docker run --gpus all -v {folder}:/host {IMAGE} --model {REPO}")
    assert "container" not in made.keys
    assert [left.needs for left in made.leftovers] == ["--allow docker-socket"]


@pytest.mark.parametrize(
    "text",
    [
        "--label token={0}",
        "--label password={1}",
        "{image} --otlp-traces-endpoint http://me:{1}@host",
        "{image} --allowed-origins '[\"http://me:{1}@host\"]'",
        '{image} --override-generation-config \'{{"api_key": "{1}"}}\'',
        "{image} stray --hf-token={1}",
        "-e HTTP_PROXY=http://me:{1}@host",
    ],
)
def test_no_secret_of_the_source_is_in_the_recipe_or_in_what_is_said_of_it(text: str) -> None:
    secrets = ("hf_" + "aB3" * 6, "hunter2hunter2")
    filled = text.format(*secrets, image=f"{IMAGE} --model {REPO}")
    made = usable(f"docker run --gpus all {filled}{'' if IMAGE in filled else f' {IMAGE} --model {REPO}'}")
    told = repr(made) + recipe_text(made, "run.sh")
    assert not [secret for secret in secrets if secret in told]


def test_which_gpus_another_host_had_is_not_taken_over_and_that_is_said() -> None:
    options = "--gpus device=1 -e CUDA_VISIBLE_DEVICES=1 -e NVIDIA_VISIBLE_DEVICES=all"
    made = usable(f"docker run {options} {IMAGE} --model {REPO}")
    assert made.keys["gpus"] == "all"
    assert made.keys["env"] == {"NVIDIA_VISIBLE_DEVICES": "all"}
    assert "--gpus device=1: a Spark has one GPU" in made.notes[0]


@pytest.mark.parametrize(
    "before",
    [
        "uv run --with vllm",
        "uvx --from vllm",
        "conda run --no-capture-output -n vllm",
        "poetry run",
        "numactl -N 0 --membind 0",
        "srun --gpus 1",
        "$",
        "me@spark:~$",
    ],
)
def test_what_starts_a_command_in_an_environment_of_its_own_hides_no_server(before: str) -> None:
    assert usable(f"{before} vllm serve {REPO} \\\n  --max-num-seqs 3").keys["limits"]["sequences"] == 3  # type: ignore[index]


@pytest.mark.parametrize("started", ["taskset -c 0-3 {}", "bash -c 'taskset -c 0-3 {}'", "env A=1 taskset -c 0-3 {}"])
def test_what_stands_before_the_server_in_its_container_stays_over(started: str) -> None:
    made = usable(f"docker run --gpus all {IMAGE} {started.format(f'vllm serve {REPO}')}")
    assert [one.what for one in made.leftovers if "stands before" in one.why] == ["taskset -c 0-3"]


def test_a_terminal_that_was_pasted_is_read_without_its_prompts() -> None:
    made = usable(f"$ docker run --gpus all {IMAGE} --model {REPO} \\\n>   --max-num-seqs 3")
    assert made.keys["limits"]["sequences"] == 3  # type: ignore[index]


def test_a_server_that_docker_exec_starts_in_a_shell_is_found() -> None:
    assert usable(f"docker exec -d box bash -c 'vllm serve {REPO} --port 9'").keys["serve"]["port"] == 9  # type: ignore[index]


def test_several_ranks_are_one_gpu_of_a_spark_and_that_is_said() -> None:
    made = usable(f"docker run --gpus all {IMAGE} --model {REPO} -tp 2 --distributed-executor-backend ray")
    assert "args" not in made.keys
    assert "-tp 2: on one Spark the model is served by its one GPU" in made.notes[0]


def test_what_the_source_leaves_open_is_written_out_as_its_vllm_takes_it() -> None:
    made = usable(f"docker run --gpus all {IMAGE} --model {REPO}")
    assert made.keys["limits"] == {"sequences": 256}  # 2048 tokens, and more where the model needs it, as vLLM
    assert "get_batch_defaults" in made.comments["limits", "sequences"]
    doubled = keys(flags="--performance-mode throughput")
    assert doubled["limits"] == {"sequences": 512, "batched-tokens": 4096}
    assert keys(flags="--no-enable-chunked-prefill --max-model-len 9000")["limits"]["batched-tokens"] == 9000


def test_a_folder_of_the_host_is_the_models_path() -> None:
    made = usable(f"docker run --gpus all -v ~/models:/models:ro {IMAGE} --model /models/Qwen3-8B")
    assert made.keys["model"] == {"repo": "Qwen3-8B", "path": "~/models/Qwen3-8B", "mount": "/models/Qwen3-8B"}
    assert "guessed" in made.comments["model", "repo"]
    assert any(
        "model.repo: Qwen3-8B is a guess, from the name of the folder ~/models/Qwen3-8B" in one for one in made.notes
    )
    made = usable(f"docker run --gpus all -v /m/Qwen3-8B:/model -v /m/Draft:/d {IMAGE} --model /model "
                  "-sc '{\"method\":\"eagle3\",\"model\":\"/d\",\"num_speculative_tokens\":3}'")  # fmt: skip
    assert made.keys["model"] == {"repo": "Qwen3-8B", "path": "/m/Qwen3-8B", "mount": "/model"}
    assert made.keys["speculative"] == {
        "method": "eagle3", "model": "Draft", "num_speculative_tokens": 3, "path": "/m/Draft",
    }  # fmt: skip
    hub = "/root/.cache/huggingface"
    snapshot = f"{hub}/hub/models--org--name/snapshots/abc"
    made = usable(f"docker run --gpus all -v /hf:{hub} {IMAGE} --model {snapshot} --served-model-name q")
    assert (made.keys["model"], made.keys["cache"]) == ({"repo": "org/name", "revision": "abc"}, "/hf")
    mounted = "-v ~/.cache/huggingface/hub/models--org--name:/m:ro"
    made = usable(f"docker run --gpus all {mounted} {IMAGE} --model /m/snapshots/abc --served-model-name q")
    assert made.keys["model"] == {"repo": "org/name", "revision": "abc"}
    assert made.keys["cache"] == "~/.cache/huggingface"


def test_no_value_of_a_secret_is_in_anything_that_is_made() -> None:
    values = ("hf_AbCdEfGhIjKlMnOpQrStUvWxYz", "sk-secret-1", "hunter2", "ghp_0123456789abcdef0123456789abcdef0123")
    made = usable(
        f"docker run --gpus all -e HF_TOKEN={values[0]} -e DB_PASSWORD={values[2]} -e NOTE={values[3]} "
        f'{IMAGE} --model {REPO} --api-key={values[1]} --hf-overrides \'{{"a": "{values[0]}"}}\''
    )
    shown = repr(made) + recipe_text(made, "run.sh")
    assert [value for value in values if value in shown] == []
    assert made.keys["secrets"] == ["HF_TOKEN", "DB_PASSWORD", "NOTE", "VLLM_API_KEY"]


def test_a_bare_server_has_the_image_of_a_hub_name_and_its_port_on_this_host() -> None:
    made = usable(f"export VLLM_USE_V1=1\nvllm serve {REPO} --host 127.0.0.1 --port 9000")
    assert made.keys["extends"] == "_hub"
    assert made.keys["serve"] == {"name": REPO, "port": 9000, "bind": "127.0.0.1"}
    assert made.keys["env"] == {"VLLM_USE_V1": 1}
    assert one(f"vllm serve {REPO}", choices=Choices(image="own:1")).keys["image"] == "own:1"


def test_a_line_of_a_comment_cannot_become_a_key() -> None:
    made = usable(f"docker run --gpus all --label 'a\nimage: evil' {IMAGE} --model {REPO}")
    text = recipe_text(made, "run.sh\nimage: evil")
    assert "\nimage: evil" not in text


# --- every word, and the way back ------------------------------------------------------------------------------------

OPTIONS = st.lists(
    st.sampled_from([
        "--ipc host", "--shm-size 8g", "--ulimit memlock=-1", "--restart always", "--init", "-e A=1", "-e 'B=x y'",
        "-p 8002:9000", "-v /a:/b:ro", "-v /c:/d", "--oom-score-adj 300", "--rm", "-d", "-it",
        "--runtime nvidia", "--label a=b", "--memory 9g", "--privileged", "-v ~/.cache/vllm:/root/.cache/vllm",
        "-v ~/.cache/huggingface:/root/.cache/huggingface", "-e HF_TOKEN=x", "--user 0", "--health-cmd x", "-e C=$C",
    ]),
    max_size=8, unique=True,
)  # fmt: skip
FLAGS = st.lists(
    st.sampled_from([
        "--max-num-seqs 4", "--max-num-batched-tokens 4096", "--kv-cache-dtype fp8", "-tp 2",
        "--served-model-name a b", "--trust-remote-code", "--no-enable-prefix-caching", "--enforce-eager",
        "--dtype auto",
        "--limit-mm-per-prompt '{\"image\":0}'", "--moe-backend marlin", "--load-format safetensors", "--api-key s",
        "--compilation-config '{\"mode\": 3}'", "--seed 7", "--tool-call-parser gemma4", "--enable-auto-tool-choice",
        "--override-generation-config '{\"temperature\": 0.7}'", "--of-a-fork 3", "--max-logprobs $N", "-O3",
    ]),
    max_size=8, unique=True,
)  # fmt: skip


def source(options: list[str], flags: list[str]) -> str:
    always = "--gpu-memory-utilization 0.755 --max-model-len 8k"
    published = " ".join(["-p 8001:8000", *options])
    return f"docker run --gpus all --name x1 {published} {IMAGE} --model {REPO} {always} {' '.join(flags)}\n"


@given(OPTIONS, FLAGS)
def test_every_word_of_a_source_is_in_a_key_or_has_a_reason_or_stays_over(options: list[str], flags: list[str]) -> None:
    made = usable(source(options, flags))
    names = Counter(account.text.split("=")[0].split()[0] for account in made.accounts)
    for word in (*options, *flags):
        assert names[_shown(word)], f"{word} is lost"
    left = {(one.place, one.what) for one in made.leftovers}
    for account in made.accounts:
        assert account.path or account.why or (account.place, account.text) in left


SHORT = {"-e": "--env", "-v": "--volume", "-p": "--publish", "-d": "--detach", "-it": "--tty"}


def _shown(word: str) -> str:
    first = word.split(maxsplit=1)[0]
    return SHORT.get(first, first)


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> FakeSpark:
    return FakeSpark(tmp_path_factory.mktemp("imports"))


def rendered(spark: FakeSpark, made: Made) -> list[str]:
    path = spark.folder / "recipes" / f"{made.name}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(recipe_text(made, "run.sh"))
    return list(render(spark.world(FakeReport()), made.name).words)


@settings(max_examples=examples(15))
@given(options=OPTIONS, flags=FLAGS)
def test_import_of_what_an_import_renders_has_the_same_keys(
    spark: FakeSpark, options: list[str], flags: list[str]
) -> None:
    options, flags = [one for one in options if "TOKEN" not in one], [one for one in flags if "api-key" not in one]
    first = usable(source(options, flags))
    again = usable(grammar.shell_text(rendered(spark, first)))
    assert _settled(again) == _settled(first)


def _settled(made: Made) -> dict[str, Any]:
    """Return the keys, with a recipe's own default of the tokens, and without the cache, which every recipe has."""
    limits: Any = made.keys["limits"]
    found = {key: value for key, value in made.keys.items() if key != "cache"}
    return {**found, "limits": {"batched-tokens": 2048, **limits}}


def test_each_difference_of_the_words_has_its_reason(spark: FakeSpark) -> None:
    made = usable(
        source(["--rm", "-p 8003:8000", "-e A=1", "-e HF_TOKEN=x", "-v /a:/b:ro"], ["--max-model-len 8k", "-tp 2"])
    )
    rows = differences(made, rendered(spark, made))
    assert [row for row in rows if not row.why and row.rendered is None] == []
    of_source = {row.source: row for row in rows if row.source}
    assert of_source["--gpu-memory-utilization 0.755"].why == ""
    assert of_source["--max-model-len 8k"].rendered == "--max-model-len 8000"
    assert of_source["-tp 2"].why == "a Spark has one GPU: served on it alone"
    assert of_source["--volume /a:/b:ro"].rendered == "--mount type=bind,source=/a,target=/b,readonly"
    added = {str(row.rendered).split()[0] for row in rows if row.source is None}
    assert {"--label", "--max-num-seqs", "--max-num-batched-tokens"} <= added


SAMPLES = sorted((FIXTURES / "imports").iterdir())


@pytest.mark.parametrize("sample", SAMPLES, ids=[sample.name for sample in SAMPLES])
def test_every_word_of_a_sample_is_rendered_or_has_its_reason(spark: FakeSpark, sample: Path) -> None:
    served = [made for made in imported(sample.read_text(), sample.name) if made.refused is None]
    assert served
    for made in served:
        rows = differences(made, rendered(spark, made))
        assert [row.source for row in rows if row.rendered is None and not row.why] == []
        assert [row.source for row in rows if row.rendered is None and row.why.startswith("said by")] == []
        told = [account.text for account in made.accounts]
        assert [row.source for row in rows if row.source is not None] == told
