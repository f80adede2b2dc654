"""What the adapter creates is what the docker command line creates: option by option, on a real engine."""

from __future__ import annotations

import os
import platform
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from sparkctl.base.errors import InputError
from sparkctl.world.docker.create import arguments
from sparkctl.world.docker.engine import connect
from sparkctl.world.docker_run import grammar
from sparkctl.world.spec import ContainerSpec, Device, GpuRequest, HealthCheck, Mount, Port, Ulimit
from tests.support.engine_fixtures import BASE, BOTH
from tests.support.inspect_parity import assert_same_container

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sparkctl.world.docker.engine import DockerEngine

pytestmark = BOTH


class Case(NamedTuple):
    """Words of ``docker create``, as an operator would write them, and the same as fields of the spec."""

    words: str
    fields: dict[str, Any]


GIB = 1024**3
HERE = {"x86_64": "linux/amd64", "aarch64": "linux/arm64"}[platform.machine()]
SECOND = 10**9
CASES = {
    "nothing": Case("", {}),
    "labels": Case("--label a=b --label c --label d=e=f", {"labels": (("a", "b"), ("c", ""), ("d", "e=f"))}),
    "env": Case("--env A=1 --env B= --env C=x=y", {"env": (("A", "1"), ("B", ""), ("C", "x=y"))}),
    "env over the image's": Case("--env PATH=/bin", {"env": (("PATH", "/bin"),)}),
    "env from the operator": Case("--env OPERATORS --env NOBODYS", {"env": (("OPERATORS", None), ("NOBODYS", None))}),
    "entrypoint": Case("--entrypoint cat", {"entrypoint": "cat"}),
    "no entrypoint": Case("--entrypoint=", {"entrypoint": ""}),
    "published port": Case("--publish 127.0.0.1:8003:8000", {"ports": (Port(8000, 8003, "127.0.0.1"),)}),
    "ports": Case(
        "--publish 8003:8000 --publish 8000 --publish [::1]:9:9/udp",
        {"ports": (Port(8000, 8003), Port(8000), Port(9, 9, "::1", "udp"))},
    ),
    "mount": Case(
        "--mount type=bind,source=/etc,target=/data,readonly",
        {"mounts": (Mount("/data", "/etc", read_only=True),)},
    ),
    "mount with a propagation": Case(
        "--mount type=bind,source=/etc,target=/data,bind-propagation=rslave",
        {"mounts": (Mount("/data", "/etc", options=("bind-propagation=rslave",)),)},
    ),
    "mount of one level": Case(
        "--mount type=bind,source=/etc,target=/data,bind-recursive=disabled,consistency=cached",
        {"mounts": (Mount("/data", "/etc", options=("bind-recursive=disabled", "consistency=cached")),)},
    ),
    "volume mount": Case(
        "--mount type=volume,target=/data,volume-label=a=b,volume-driver=local,volume-opt=type=tmpfs,"
        "volume-opt=device=tmpfs",
        {
            "mounts": (
                Mount(
                    "/data",
                    kind="volume",
                    options=(
                        "volume-label=a=b",
                        "volume-driver=local",
                        "volume-opt=type=tmpfs",
                        "volume-opt=device=tmpfs",
                    ),
                ),
            )
        },
    ),
    "capabilities but one": Case(
        "--cap-drop CHOWN --cap-drop KILL --cap-add KILL",
        {"cap_add": ("CAP_KILL",), "cap_drop": ("CAP_CHOWN", "CAP_KILL")},
    ),
    "unnamed volumes": Case(
        "--mount type=volume,target=/data,volume-nocopy --volume /more",
        {
            "mounts": (
                Mount("/data", kind="volume", options=("volume-nocopy",)),
                Mount("/more", kind="volume", create_source=True),
            )
        },
    ),
    "tmpfs mount": Case(
        "--mount type=tmpfs,target=/data,tmpfs-size=64m,tmpfs-mode=1770",
        {"mounts": (Mount("/data", kind="tmpfs", options=("tmpfs-size=64m", "tmpfs-mode=1770")),)},
    ),
    "volumes": Case(
        "--volume /etc:/data --volume /usr:/more:ro,rslave",
        {
            "mounts": (
                Mount("/data", "/etc", create_source=True),
                Mount("/more", "/usr", read_only=True, create_source=True, options=("rslave",)),
            )
        },
    ),
    "tmpfs": Case(
        "--tmpfs /run --tmpfs /srv:size=64m,mode=1777", {"tmpfs": (("/run", ""), ("/srv", "size=64m,mode=1777"))}
    ),
    "all GPUs": Case("--gpus all", {"gpus": GpuRequest(-1)}),
    "two GPUs": Case("--gpus 2", {"gpus": GpuRequest(2)}),
    "named GPUs": Case("--gpus '\"device=0,1\"'", {"gpus": GpuRequest(device_ids=("0", "1"))}),
    "GPU capabilities": Case(
        "--gpus 'all,\"capabilities=compute,utility\"'",
        {"gpus": GpuRequest(-1, capabilities=("compute", "utility", "gpu"))},
    ),
    "CDI": Case("--device nvidia.com/gpu=all", {"cdi_devices": ("nvidia.com/gpu=all",)}),
    "device": Case("--device /dev/null:/dev/nothing:rw", {"devices": (Device("/dev/null", "/dev/nothing", "rw"),)}),
    "runtime": Case("--runtime runc", {"runtime": "runc"}),
    "host network": Case("--network host", {"network": "host"}),
    "no network": Case("--network none", {"network": "none"}),
    "own network": Case(
        "--network of-nobody --network-alias a --network-alias b",
        {"network": "of-nobody", "network_aliases": ("a", "b")},
    ),
    "names": Case(
        "--hostname spark --add-host a:10.0.0.1 --add-host b:host-gateway --dns 10.0.0.2",
        {"hostname": "spark", "extra_hosts": ("a:10.0.0.1", "b:host-gateway"), "dns": ("10.0.0.2",)},
    ),
    "namespaces": Case("--ipc host --pid host --shm-size 1g", {"ipc": "host", "pid": "host", "shm_size": GIB}),
    "ulimits": Case(
        "--ulimit memlock=-1 --ulimit stack=67108864 --ulimit nofile=1024:2048",
        {"ulimits": (Ulimit("memlock", -1, -1), Ulimit("stack", 67108864, 67108864), Ulimit("nofile", 1024, 2048))},
    ),
    "memory": Case(
        "--memory 2g --memory-swap -1 --memory-reservation 1g",
        {"memory": 2 * GIB, "memory_swap": -1, "memory_reservation": GIB},
    ),
    "memory alone": Case("--memory 2g", {"memory": 2 * GIB}),
    "processors": Case("--cpus 1.5 --cpuset-cpus 0", {"cpus": "1.5", "cpuset_cpus": "0"}),
    "limits": Case(
        "--pids-limit 100 --oom-score-adj 500 --oom-kill-disable --memory 2g",
        {"pids_limit": 100, "oom_score_adj": 500, "oom_kill_disable": True, "memory": 2 * GIB},
    ),
    "restart": Case("--restart unless-stopped", {"restart": "unless-stopped"}),
    "restart with a count": Case("--restart on-failure:3", {"restart": "on-failure:3"}),
    "user": Case(
        "--user 1000:1000 --group-add 44 --group-add video --workdir /srv",
        {"user": "1000:1000", "group_add": ("44", "video"), "workdir": "/srv"},
    ),
    "flags": Case(
        "--privileged --read-only --init --interactive --tty --rm",
        {"privileged": True, "read_only": True, "init": True, "interactive": True, "tty": True, "auto_remove": True},
    ),
    "capabilities": Case(
        "--cap-add SYS_PTRACE --cap-add cap_ipc_lock --cap-drop ALL --cap-drop SYS_PTRACE",
        {"cap_add": ("CAP_SYS_PTRACE", "CAP_IPC_LOCK"), "cap_drop": ("ALL", "CAP_SYS_PTRACE")},
    ),
    "security": Case(
        "--security-opt seccomp=unconfined --security-opt no-new-privileges",
        {"security_opt": ("seccomp=unconfined", "no-new-privileges")},
    ),
    "sysctls": Case("--sysctl net.core.somaxconn=1024", {"sysctls": (("net.core.somaxconn", "1024"),)}),
    "log": Case(
        "--log-driver json-file --log-opt max-size=10m --log-opt max-file=3",
        {"log_driver": "json-file", "log_opts": (("max-size", "10m"), ("max-file", "3"))},
    ),
    "log options alone": Case("--log-opt max-size=10m", {"log_opts": (("max-size", "10m"),)}),
    "stop": Case("--stop-signal SIGINT --stop-timeout 30", {"stop_signal": "SIGINT", "stop_timeout": 30}),
    "platform": Case(f"--platform {HERE}", {"platform": HERE}),
    "health": Case(
        '--health-cmd "curl -f http://127.0.0.1/" --health-interval 30s --health-timeout 5s --health-start-period 1m '
        "--health-retries 4",
        {"health": HealthCheck("curl -f http://127.0.0.1/", 30 * SECOND, 5 * SECOND, 60 * SECOND, 4)},
    ),
    "no health": Case("--no-healthcheck", {"health": HealthCheck(disable=True)}),
    "pull": Case("--pull never", {"pull": "never"}),
}
ENVIRONMENT = {"OPERATORS": "theirs", "PATH": os.environ["PATH"]}


@pytest.fixture(scope="module")
def engine(docker_host: str) -> Iterator[DockerEngine]:
    with connect(environment=ENVIRONMENT | {"DOCKER_HOST": docker_host}) as engine:
        yield engine


@pytest.fixture
def plain(prefix: str) -> ContainerSpec:
    return ContainerSpec(BASE, ("sleep", "a b", "$(c)"), f"{prefix}-create")


def words(spec: ContainerSpec, options: list[str]) -> list[str]:
    return ["docker", "create", "--name", spec.name, *options, spec.image, *spec.command]


@pytest.mark.parametrize("name", CASES)
def test_the_grammar_reads_an_operators_words_as_the_spec(name: str) -> None:
    case = CASES[name]
    spec = ContainerSpec(BASE, ("sleep",), "container", **case.fields)

    assert grammar.parse(words(spec, shlex.split(case.words))) == spec


@pytest.mark.docker
@pytest.mark.parametrize("name", CASES)
def test_the_adapter_creates_what_the_command_line_creates_from_an_operators_words_and_from_the_specs_own(
    engine: DockerEngine, docker_host: str, plain: ContainerSpec, name: str
) -> None:
    case = CASES[name]
    spec = replace(plain, **case.fields)
    operators, own = words(spec, shlex.split(case.words)), grammar.words(spec, "create")

    assert_same_container(engine, docker_host, spec, operators, own, environment=ENVIRONMENT)


@pytest.mark.docker
def test_env_files_are_read_as_the_command_line_reads_them(
    engine: DockerEngine, docker_host: str, plain: ContainerSpec, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(b"\xef\xbb\xbf# a comment\n\n  A=1 \nB='q' \"r\" #s\r\nOPERATORS\nNOBODYS\nEMPTY=\nU=\xc3\xa9")
    second.write_text("A=2\n\t#C=3\nD==\n")
    spec = replace(plain, env_files=(str(first), str(second)), env=(("D", "over"),))
    options = ["--env-file", str(first), "--env-file", str(second), "--env", "D=over"]

    assert_same_container(engine, docker_host, spec, words(spec, options), environment=ENVIRONMENT)


@pytest.mark.docker
def test_a_difference_is_seen(engine: DockerEngine, docker_host: str, plain: ContainerSpec) -> None:
    spec = replace(plain, shm_size=GIB)

    with pytest.raises(AssertionError, match=r"HostConfig\.ShmSize: 2147483648 by the command line, 1073741824 by "):
        assert_same_container(engine, docker_host, spec, words(spec, ["--shm-size", "2g"]), environment=ENVIRONMENT)


def test_an_env_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"^cannot read the env-file {tmp_path}/none: No such file or directory$"):
        arguments(ContainerSpec("image", env_files=(str(tmp_path / "none"),)), {})


def test_a_mount_option_that_is_not_known_is_named() -> None:
    mounts = (Mount("/data", "/etc", options=("bind-recursive=maybe",)),)

    with pytest.raises(InputError, match="--mount does not know the option bind-recursive=maybe"):
        arguments(ContainerSpec("image", mounts=mounts), {})


@pytest.mark.parametrize("option", ["tmpfs-size=much", "tmpfs-mode=rwx"])
def test_a_mount_option_that_means_nothing_is_named(option: str) -> None:
    name, _, value = option.partition("=")

    with pytest.raises(InputError, match=f"^--mount has a value of {name} that means nothing: '{value}'$"):
        arguments(ContainerSpec("image", mounts=(Mount("/data", kind="tmpfs", options=(option,)),)), {})
