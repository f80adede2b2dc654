"""What other tools read in exported files is what the container is: every word, every variable, whatever is in it."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparkctl.base import document
from sparkctl.base.errors import InputError
from sparkctl.base.shown import unseen
from sparkctl.planning.box.declared import DeclaredRoute, StartMode
from sparkctl.recipes.exchange.exports.exported import CarriedMod, ExportTarget
from sparkctl.recipes.exchange.exports.systemd_words import joined
from sparkctl.recipes.exchange.exports.written import WRITERS, written
from sparkctl.recipes.exchange.yaml_text import document as yaml_document
from sparkctl.recipes.exchange.yaml_text import lines, noted
from sparkctl.world.docker_run import grammar
from sparkctl.world.docker_run.spelling import split
from sparkctl.world.spec import ContainerSpec, Device, GpuRequest, HealthCheck, Mount, Port, Ulimit
from tests.support.exporting import (
    ODD,
    as_compose,
    as_kubernetes,
    as_llama_swap,
    as_systemd,
    declared,
    entries,
    odd,
    read_yaml,
    service,
    together,
)
from tests.support.thorough import examples

if TYPE_CHECKING:
    from sparkctl.recipes.exchange.exports.exported import ExportedService

TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12) | st.sampled_from(ODD)
WITH_LINES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12) | TEXTS
FEW = settings(max_examples=examples(40))


def only(target: ExportTarget, *services: ExportedService, folder: str = "") -> str:
    """Return the text of the one file of an export."""
    (file,) = written(together(*services, folder=folder), target).files
    assert isinstance(file.content, str)
    return file.content


# --- YAML ------------------------------------------------------------------------------------------------------------


@FEW
@given(
    st.recursive(
        WITH_LINES | st.integers() | st.booleans() | st.none(),
        lambda one: st.lists(one) | st.dictionaries(WITH_LINES, one),
        max_leaves=8,
    )
)
def test_every_reader_of_yaml_reads_the_value_that_was_written(value: object) -> None:
    text = yaml_document(
        {"key": noted(value, "a comment: of two words\nand a line"), "list": [noted({"a": value}, "b")]}
    )
    wanted = {"key": value, "list": [{"a": value}]}
    assert read_yaml(text) == wanted
    if not any(one in text for one in ("<<", "\\")):  # the strict reader has no merge keys, and numbers of 18 digits
        assert document.load(text, "x").value == wanted or len(text) > 100


def test_a_text_of_several_lines_is_written_line_by_line_only_where_that_changes_nothing() -> None:
    for text in ("a\nb\n", "a\n  b", "a \nb", " a\nb", "a\n\n", "a\x1b\nb", "\n"):
        assert read_yaml(yaml_document({"text": lines(text)})) == {"text": text}
    assert yaml_document({"text": lines("a\nb\n")}) == "text: |\n  a\n  b\n"


# --- each tool reads the words ---------------------------------------------------------------------------------------


@FEW
@given(st.lists(TEXTS, max_size=4))
def test_compose_reads_the_container(texts: list[str]) -> None:
    read = as_compose(read_yaml(only(ExportTarget.COMPOSE, odd(texts)))["services"]["one"])
    assert read["command"][2:] == texts
    assert list(read.get("environment", {}).values()) == texts
    assert list(read.get("labels", {}).values()) == texts


@FEW
@given(st.lists(WITH_LINES, max_size=4))
def test_systemd_starts_the_words_of_docker_run(texts: list[str]) -> None:
    one = odd(texts)
    (start,) = entries(only(ExportTarget.SYSTEMD, one))["ExecStart"]
    words = as_systemd(start)
    assert words[:2] == ["/usr/bin/docker", "run"]
    assert grammar.parse(["docker", *words[1:]]) == one.spec


@FEW
@given(st.lists(WITH_LINES, max_size=4))
def test_quadlet_has_the_words_and_variables(texts: list[str]) -> None:
    if "" in texts:
        with pytest.raises(InputError, match="what follows an empty word"):
            only(ExportTarget.QUADLET, odd(texts))
        return
    read = entries(only(ExportTarget.QUADLET, odd(texts)))
    assert as_systemd(read["Exec"][0])[2:] == texts
    assert [as_systemd(one) for one in read.get("Environment", [])] == [
        [f"V{n}={text}"] for n, text in enumerate(texts)
    ]


@FEW
@given(st.lists(WITH_LINES, max_size=4))
def test_kubernetes_reads_the_words_and_variables(texts: list[str]) -> None:
    deployment = read_yaml(only(ExportTarget.KUBERNETES, odd(texts)).split("---\n")[1])
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert as_kubernetes(container["args"])[2:] == texts
    assert as_kubernetes([one["value"] for one in container.get("env", [])]) == texts


@FEW
@given(st.lists(TEXTS, max_size=4))
def test_llama_swap_reads_the_words_and_no_macro(texts: list[str]) -> None:
    one = odd(texts)
    if any(map(unseen, texts)):
        with pytest.raises(InputError, match="cannot take the word"):
            only(ExportTarget.LLAMA_SWAP, one)
        return
    text = only(ExportTarget.LLAMA_SWAP, one)
    words = as_llama_swap(read_yaml(text)["models"]["one"]["cmd"])
    assert grammar.parse(words) == replace(one.spec, auto_remove=True)


@FEW
@given(st.lists(WITH_LINES, max_size=4))
def test_the_script_has_the_commands(texts: list[str]) -> None:
    one = odd(texts)
    text = only(ExportTarget.DOCKER_RUN, one)
    assert grammar.parse(split(text[text.index("docker run \\\n") :])) == one.spec


@FEW
@given(st.lists(st.sampled_from(["--max-model-len", "8192", "a b", '{"a":1}', "--trust-remote-code", "0.50"])))
def test_sparkrun_fills_in_the_same_command(words: list[str]) -> None:
    one = service(command=("--model", "m", "--served-model-name", "n", *words))
    value = read_yaml(only(ExportTarget.SPARKRUN, one))
    command = value["command"].replace("{model}", "m")
    for key, default in value["defaults"].items():
        command = command.replace(f"{{{key}}}", str(default))
    read = shlex.split(command.replace("\\\n", ""))
    assert read[:3] == ["vllm", "serve", "m"]
    assert read[7:9] == ["--served-model-name", "n"]
    assert read[9:] == words


# --- what is in the files --------------------------------------------------------------------------------------------

FULL = ContainerSpec(
    image="local/image:1",
    name="one",
    command=("vllm", "serve", "m", "--port", "9000"),
    entrypoint="",
    env=(("A", "1"), ("B", None)),
    env_files=("/state/secrets/one.env",),
    ports=(Port(9000, 8001, "127.0.0.1"),),
    mounts=(
        Mount("/models/m", "/srv/m", read_only=True),
        Mount("/compiled", "/cache/by-tag", create_source=True, options=("z",)),
        Mount("/data", "data", kind="volume"),
        Mount("/scratch", kind="tmpfs", options=("tmpfs-size=1g", "tmpfs-mode=1777")),
        Mount("/etc/file", "/srv/file", options=("bind-propagation=rslave", "bind-nonrecursive")),
    ),
    gpus=GpuRequest(0, ("0", "1")),
    devices=(Device("/dev/infiniband", "/dev/infiniband"),),
    runtime="nvidia",
    network="llm",
    network_aliases=("model",),
    hostname="box",
    extra_hosts=("db:10.0.0.1",),
    dns=("10.0.0.2",),
    ipc="host",
    pid="host",
    shm_size=2**30,
    ulimits=(Ulimit("memlock", -1, -1),),
    memory=2**35,
    memory_swap=2**35,
    memory_reservation=2**34,
    cpus="2.5",
    cpuset_cpus="0-3",
    pids_limit=100,
    oom_score_adj=500,
    restart="unless-stopped",
    user="1000:1000",
    group_add=("video",),
    workdir="/work",
    privileged=True,
    read_only=True,
    init=True,
    cap_add=("CAP_IPC_LOCK",),
    cap_drop=("CAP_NET_RAW",),
    security_opt=("no-new-privileges",),
    sysctls=(("net.core.somaxconn", "1024"),),
    tmpfs=(("/run", "size=64m"),),
    log_driver="json-file",
    log_opts=(("max-size", "10m"),),
    stop_signal="SIGINT",
    stop_timeout=20,
    platform="linux/arm64",
    pull="never",
    health=HealthCheck("curl localhost", interval_ns=10**10, retries=2),
)
"""A container with something in every field."""


def full() -> ExportedService:
    """Return the service of that container."""
    return replace(service(), spec=FULL, inside="http://127.0.0.1:9000", secrets=("HF_TOKEN",))


def test_compose_has_a_key_for_every_field() -> None:
    export = written(together(full()), ExportTarget.COMPOSE)
    (file,) = export.files
    value = read_yaml(str(file.content))
    one = as_compose(value["services"]["one"])
    assert one["entrypoint"] == [""]
    assert one["environment"] == {"A": "1", "B": None}
    assert one["env_file"] == ["/state/secrets/one.env"]
    (device,) = one["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"device_ids": ["0", "1"], "capabilities": ["gpu"]}
    assert one["networks"] == {"llm": {"aliases": ["model"]}}
    assert value["networks"] == {"llm": {"external": True}}
    assert value["volumes"] == {"data": {"name": "data"}}
    assert one["volumes"][0]["bind"] == {"create_host_path": False}
    assert one["volumes"][1] == "/cache/by-tag:/compiled:z"
    assert one["volumes"][3]["tmpfs"] == {"size": 2**30, "mode": 0o1777}
    assert one["volumes"][4]["bind"] == {"create_host_path": False, "propagation": "rslave"}
    assert one["healthcheck"] == {"test": ["CMD-SHELL", "curl localhost"], "interval": "10s", "retries": 2}
    assert one["ulimits"] == {"memlock": {"soft": -1, "hard": -1}}
    assert (one["restart"], one["stop_grace_period"], one["mem_limit"]) == ("unless-stopped", "20s", 2**35)
    assert export.notes == ("one: compose has no bind-nonrecursive of --mount, and leaves it out",)


def test_kubernetes_says_what_it_has_no_word_for() -> None:
    export = written(together(full()), ExportTarget.KUBERNETES)
    said = "\n".join(export.notes)
    for option in ("--ulimit", "--device", "--oom-score-adj", "--network llm", "--dns", "--init", "--log-driver"):
        assert option in said
    _, deployment, of_service = str(export.files[0].content).split("---\n")
    pod = read_yaml(deployment)["spec"]["template"]["spec"]
    assert (pod["hostIPC"], pod["hostPID"], pod["runtimeClassName"]) == (True, True, "nvidia")
    (container,) = pod["containers"]
    assert (container["command"], container["args"][0]) == (["vllm"], "serve")
    assert container["env"][0]["valueFrom"] == {"secretKeyRef": {"name": "one-secrets", "key": "HF_TOKEN"}}
    assert container["securityContext"]["capabilities"] == {"add": ["IPC_LOCK"], "drop": ["NET_RAW"]}
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 2
    assert container["resources"]["requests"]["memory"] == "1024Mi"
    assert container["startupProbe"]["failureThreshold"] * container["startupProbe"]["periodSeconds"] == 600
    assert read_yaml(of_service)["spec"]["ports"][0]["port"] == 9000


def test_kubernetes_asks_for_no_more_memory_than_the_limit() -> None:
    deployment = read_yaml(only(ExportTarget.KUBERNETES, service(memory=2**29)).split("---\n")[1])
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["requests"] == {"memory": "512Mi"}
    assert container["resources"]["limits"] == {"nvidia.com/gpu": 1, "memory": str(2**29)}


def test_quadlet_gives_podman_what_has_no_key_of_its_own() -> None:
    (file,) = written(together(full()), ExportTarget.QUADLET).files
    read = entries(str(file.content))
    assert read["AddDevice"] == ["nvidia.com/gpu=0", "nvidia.com/gpu=1"]
    (more,) = read["PodmanArgs"]
    for word in ("--ipc host", "--privileged", "--oom-score-adj 500", "--runtime nvidia", "--memory 32g"):
        assert word in more
    assert read["Notify"] == ["healthy"]
    assert read["Entrypoint"] == ["[]"]


@pytest.mark.parametrize("target", list(ExportTarget))
def test_an_export_says_what_made_it_and_what_the_tool_does_not_do(target: ExportTarget) -> None:
    for file in written(together(service(), service("two", 8002)), target).files:
        text = str(file.content)
        assert "Written by `sparkctl export box --as it`" in text or file.name.endswith(".target")
        assert "`sparkctl up" in text
    assert set(WRITERS) == set(ExportTarget)


def test_a_program_that_keeps_docker_run_running_leaves_out_what_would_fight_with_it() -> None:
    one = service(restart="always", tty=True)
    for target in (ExportTarget.SYSTEMD, ExportTarget.LLAMA_SWAP):
        export = written(together(one), target)
        tool = target.value
        assert export.notes == (
            f"one: {tool} starts it again, and not docker: --restart is left out",
            f"one: {tool} has no terminal to give: --tty is left out",
        )
        assert "--restart" not in str(export.files[0].content)
    assert "Restart=always" in only(ExportTarget.SYSTEMD, one)


def test_what_starts_by_itself_waits_for_the_one_before_it() -> None:
    first, last = service(declared=declared("one")), service("two", 8002, declared=declared("two"))
    asked = service("three", 8003, declared=declared("three", StartMode.ON_DEMAND, after=("one",), idle_s=1800))
    services = read_yaml(only(ExportTarget.COMPOSE, first, last, asked))["services"]
    assert services["two"]["depends_on"] == {"one": {"condition": "service_healthy", "required": False}}
    assert services["three"]["depends_on"] == {"one": {"condition": "service_healthy"}}
    assert services["three"]["profiles"] == ["three"]
    assert "healthcheck" in services["one"]
    assert "healthcheck" not in services["two"]
    files = {file.name: str(file.content) for file in written(together(first, last, asked), ExportTarget.SYSTEMD).files}
    assert list(files) == ["vllm-one.service", "vllm-two.service", "vllm-three.service", "vllm-box.target"]
    assert "vllm-one.service" in entries(files["vllm-two.service"])["After"][0]
    assert "Requires" not in entries(files["vllm-two.service"])
    assert entries(files["vllm-three.service"])["Requires"] == ["vllm-one.service"]
    assert "WantedBy" not in entries(files["vllm-three.service"])
    assert entries(files["vllm-one.service"])["StartLimitBurst"] == ["3"]


def test_who_waits_for_a_service_that_is_asked_for_starts_it_too() -> None:
    first = service(declared=declared("one", StartMode.ON_DEMAND))
    last = service("two", 8002, declared=declared("two", StartMode.MANUAL, after=("one",)))
    services = read_yaml(only(ExportTarget.COMPOSE, first, last))["services"]
    assert services["one"]["profiles"] == ["one", "two"]
    assert services["two"]["profiles"] == ["two"]


def test_mods_are_mounted_from_the_copies_beside_the_files() -> None:
    mod = CarriedMod("fix", "/app/a.py", "/state/a.py", "fix-a.py", b"FIXED = 1\n")
    one = service(mods=(mod,), mounts=(Mount("/app/a.py", "/state/a.py", read_only=True),))
    compose = read_yaml(only(ExportTarget.COMPOSE, one, folder="/out"))["services"]["one"]
    assert compose["volumes"][0]["source"] == "./fix-a.py"
    (start,) = entries(only(ExportTarget.SYSTEMD, one, folder="/out"))["ExecStart"]
    assert "source=/out/fix-a.py" in start
    config, deployment, _ = only(ExportTarget.KUBERNETES, one, folder="/out").split("---\n")[1:]
    assert read_yaml(config)["binaryData"] == {"fix-a.py": "RklYRUQgPSAxCg=="}
    (mounted,) = read_yaml(deployment)["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    assert mounted == {"name": "mods", "mountPath": "/app/a.py", "subPath": "fix-a.py", "readOnly": True}
    assert read_yaml(only(ExportTarget.SPARKRUN, one, folder="/out"))["pre_exec"] == [
        {"copy": "/out/fix-a.py", "dest": "/app/a.py"}
    ]


def test_litellm_has_each_name_once_and_the_routes() -> None:
    first = service(
        declared=declared("one", names=("fast",), defaults={"temperature": 0.7}), served_names=("m", "both")
    )
    first = replace(first, secrets=("VLLM_API_KEY",), own_key=True)
    last = service("two", 8002, served_names=("n", "both"))
    route = DeclaredRoute("auto", "one", "two", ("context", "images"), start=False, waiting=4)
    (file,) = written(replace(together(first, last), routes=(route,)), ExportTarget.LITELLM).files
    value = read_yaml(str(file.content))
    assert [one["model_name"] for one in value["model_list"]] == ["one", "fast", "m", "two", "n", "auto"]
    assert value["model_list"][0]["litellm_params"] == {
        "temperature": 0.7,
        "model": "hosted_vllm/m",
        "api_base": "http://127.0.0.1:8001/v1",
        "api_key": "os.environ/VLLM_API_KEY_ONE",
    }
    assert value["router_settings"] == {
        "fallbacks": [{"auto": ["two"]}],
        "context_window_fallbacks": [{"auto": ["two"]}],
    }
    assert "it has no: images" in str(file.content).replace("\n# ", " ")


def test_llama_swap_keeps_what_stays_and_takes_turns_with_the_rest() -> None:
    first = service(declared=declared("one", names=("fast",)))
    last = service("two", 8002, declared=declared("two", StartMode.ON_DEMAND, idle_s=1800, force={"n": 1}))
    value = read_yaml(only(ExportTarget.LLAMA_SWAP, first, last))
    assert value["groups"]["stays"]["members"] == ["one"]
    assert value["groups"]["on-demand"] == {"swap": True, "exclusive": False, "members": ["two"]}
    assert (value["models"]["two"]["ttl"], value["models"]["one"]["ttl"]) == (1800, 0)
    assert value["models"]["two"]["filters"] == {"setParams": {"n": 1}}
    assert value["models"]["one"]["aliases"] == ["fast"]
    assert value["hooks"] == {"on_startup": {"preload": ["one"]}}
    assert value["healthCheckTimeout"] == 600


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("second", "refused"),
    [
        (service("two"), "one and two both listen on port 8001"),
        (service("two", ports=(Port(8000, 8001, "0.0.0.0"),)), "one and two both listen"),  # noqa: S104  (compared)
        (service("two", network="host", ports=()), "one and two both listen"),
    ],
)
def test_two_services_on_one_port_are_refused(second: ExportedService, refused: str) -> None:
    with pytest.raises(InputError, match=refused):
        written(together(service(), second), ExportTarget.COMPOSE)


def test_two_addresses_may_share_a_port() -> None:
    written(together(service(), service("two", ports=(Port(8000, 8001, "127.0.0.2"),))), ExportTarget.COMPOSE)


def test_names_that_become_one_in_kubernetes_are_refused_and_others_are_made_to_fit() -> None:
    with pytest.raises(InputError, match="would both be called my-model in Kubernetes"):
        written(together(service("my.model"), service("my_model", 8002)), ExportTarget.KUBERNETES)
    long = "26b_" + "x" * 80
    deployment = read_yaml(only(ExportTarget.KUBERNETES, service(long)).split("---\n")[1])
    name = deployment["metadata"]["name"]
    assert name.startswith("vllm-26b-xxx")
    assert len(name) == 63


@pytest.mark.parametrize("target", [one for one in ExportTarget if one is not ExportTarget.LITELLM])
def test_a_byte_that_is_no_utf8_is_refused(target: ExportTarget) -> None:
    with pytest.raises(InputError, match="no UTF-8"):
        written(together(service(command=("\udcff",))), target)


def test_sparkrun_takes_a_server_of_vllm_alone() -> None:
    words = ("serve", "m", "--served-model-name", "n")
    assert "--served-model-name n" in only(ExportTarget.SPARKRUN, service(entrypoint="vllm", command=words))
    with pytest.raises(InputError, match="this container starts bash"):
        only(ExportTarget.SPARKRUN, service(entrypoint="bash", command=("-c", "vllm serve m")))
    with pytest.raises(InputError, match="this container starts python3"):
        only(ExportTarget.SPARKRUN, service(command=("python3", "-m", "mine")))


def test_llama_swap_takes_no_line_end() -> None:
    with pytest.raises(InputError, match="line by line"):
        only(ExportTarget.LLAMA_SWAP, odd(["a\nb"]))
    with pytest.raises(InputError, match="as a macro"):
        only(ExportTarget.LLAMA_SWAP, service(declared=declared("one", force={"x": "${PORT}"})))


def test_what_systemd_would_take_for_its_own_is_written_for_it() -> None:
    assert joined(["a", "b c", "%h$X", 'q"\\\n', "\u202e"], command=True) == 'a "b c" %%h$$X "q\\"\\\\\\n" "\\u202e"'
