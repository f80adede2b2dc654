"""docker run words to a ContainerSpec and back."""

from __future__ import annotations

import shlex
from dataclasses import fields, replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sparkctl.base.errors import InputError
from sparkctl.world.docker_run import grammar
from sparkctl.world.docker_run.options import NOT_CARRIED, OPTIONS
from sparkctl.world.docker_run.values import ULIMITS
from sparkctl.world.spec import ContainerSpec, Device, GpuRequest, HealthCheck, Mount, Port, Ulimit

ANY = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
TEXT = ANY.filter(bool)
KEY = TEXT.filter(lambda text: "=" not in text)
# A carriage return cannot stand in docker's CSV, a colon separates the parts of --volume, --device and --tmpfs.
FIELD = st.text(st.characters(exclude_characters="\0\r", exclude_categories=["Cs"]), max_size=12)
PATH = st.text(st.characters(exclude_characters="\0\r:", exclude_categories=["Cs"]), max_size=12).map("/".__add__)
NAME = st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{1,9}", fullmatch=True)
IP = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)
SIZE = st.one_of(st.integers(0, 2**53 - 1), st.integers(0, 4096).map(lambda n: n * 1024**3))
CAPABILITY = st.from_regex(r"CAP_[A-Z]{1,9}", fullmatch=True) | st.just("ALL")
MODES = ["z", "Z", "nocopy", "rslave", "cached"]


def some(values: st.SearchStrategy, by: object = None) -> st.SearchStrategy:
    return st.lists(values, max_size=3, unique_by=by).map(tuple)


def some_pairs(value: st.SearchStrategy, key: st.SearchStrategy = KEY) -> st.SearchStrategy:
    return some(st.tuples(key, value), by=lambda pair: pair[0])


def gpu_requests() -> st.SearchStrategy[GpuRequest]:
    names = st.lists(FIELD.filter(lambda name: name and "," not in name), max_size=3)
    count = st.builds(GpuRequest, count=st.integers(-1, 8))
    devices = st.builds(GpuRequest, device_ids=names.filter(bool).map(tuple))
    return st.tuples(count | devices, names, FIELD).map(
        lambda parts: replace(parts[0], capabilities=(*parts[1], "gpu"), driver=parts[2])
    )


def mounts() -> st.SearchStrategy[Mount]:
    path = FIELD.map("/".__add__)
    bind = st.sampled_from(["bind-nonrecursive", "bind-propagation=rslave", "consistency=cached"])
    volume = st.sampled_from(["volume-nocopy", "volume-driver=local"]) | KEY.filter(lambda t: "\r" not in t).map(
        "volume-opt=o={}".format
    )
    tmpfs = st.sampled_from(["tmpfs-size=64m", "tmpfs-mode=1770"])
    read_only = st.booleans()
    return st.one_of(
        st.builds(Mount, path, path, st.just("bind"), read_only, options=some(bind)),
        st.builds(Mount, path, NAME | st.none(), st.just("volume"), read_only, options=some(volume)),
        st.builds(Mount, path, kind=st.just("tmpfs"), read_only=read_only, options=some(tmpfs)),
        st.builds(Mount, PATH, PATH, st.just("bind"), read_only, st.just(True), some(st.sampled_from(MODES))),
        st.builds(Mount, PATH, NAME, st.just("volume"), read_only, st.just(True), some(st.sampled_from(MODES))),
        st.builds(Mount, PATH, kind=st.just("volume"), create_source=st.just(True)),
    )


def ulimits() -> st.SearchStrategy[Ulimit]:
    hard = st.one_of(st.just((-1, -1)), st.tuples(st.integers(0, 2**63 - 1), st.just(-1)))
    both = st.tuples(st.integers(0, 2**31), st.integers(2**31, 2**63 - 1))
    return st.builds(
        lambda name, limits: Ulimit(name, *limits), st.sampled_from(sorted(ULIMITS)), st.one_of(hard, both)
    )


FIELDS = {
    "image": st.sampled_from(["a", "vllm/vllm-openai:gemma4-cu130", "localhost:5000/a/b:c", "x@sha256:" + "a" * 64]),
    "command": some(ANY),
    "name": st.just("") | NAME,
    "entrypoint": st.none() | ANY,
    "env": some_pairs(st.none() | ANY),
    "env_files": some(TEXT),
    "labels": some_pairs(ANY),
    "ports": some(
        st.builds(
            Port,
            st.integers(1, 65535),
            st.none() | st.integers(1, 65535),
            st.just("") | IP,
            st.sampled_from(["tcp", "udp", "sctp"]),
        )
    ),
    "mounts": some(mounts()),
    "gpus": st.none() | gpu_requests(),
    "cdi_devices": some(st.sampled_from(["nvidia.com/gpu=all", "nvidia.com/gpu=0", "a/b=c:d"])),
    "devices": some(st.builds(Device, PATH, PATH, st.sampled_from(["rwm", "r", "rw", "mr"]))),
    "runtime": st.sampled_from(["", "nvidia"]),
    "network": st.just("") | KEY,
    "network_aliases": some(TEXT),
    "hostname": ANY,
    "extra_hosts": some(st.sampled_from(["a:1.2.3.4", "b:::1", "c:host-gateway"])),
    "dns": some(IP),
    "ipc": st.sampled_from(["", "host", "private", "container:x"]),
    "pid": st.sampled_from(["", "host", "container:x"]),
    "shm_size": st.none() | SIZE,
    "ulimits": some(ulimits(), by=lambda limit: limit.name),
    "memory": st.none() | SIZE,
    "memory_swap": st.none() | SIZE | st.just(-1),
    "memory_reservation": st.none() | SIZE,
    "cpus": st.sampled_from(["", "0", "1.5", "12", "0.000000001"]),
    "cpuset_cpus": st.sampled_from(["", "0-3"]),
    "pids_limit": st.none() | st.integers(-1, 2**63 - 1),
    "oom_score_adj": st.none() | st.integers(-1000, 1000),
    "oom_kill_disable": st.booleans(),
    "restart": st.sampled_from(["", "always", "unless-stopped", "on-failure", "on-failure:3"]),
    "user": ANY,
    "group_add": some(TEXT),
    "workdir": st.just("") | PATH,
    "privileged": st.booleans(),
    "read_only": st.booleans(),
    "init": st.none() | st.booleans(),
    "interactive": st.booleans(),
    "tty": st.booleans(),
    "auto_remove": st.booleans(),
    "cap_add": some(CAPABILITY, by=str),
    "cap_drop": some(CAPABILITY, by=str),
    "security_opt": some(st.sampled_from(["seccomp=unconfined", "label:disable", "no-new-privileges"])),
    "sysctls": some_pairs(ANY),
    "tmpfs": some_pairs(ANY, key=PATH),
    "log_driver": st.sampled_from(["", "json-file", "none"]),
    "log_opts": some_pairs(ANY),
    "stop_signal": st.sampled_from(["", "SIGINT"]),
    "stop_timeout": st.none() | st.integers(-1, 2**31),
    "platform": st.sampled_from(["", "linux/arm64"]),
    "pull": st.sampled_from(["", "always", "missing", "never"]),
    "health": st.one_of(
        st.none(),
        st.just(HealthCheck(disable=True)),
        st.builds(
            HealthCheck,
            ANY,
            *[st.integers(0, 2**63 - 1)] * 3,
            st.integers(0, 2**63 - 1),
        ).filter(HealthCheck().__ne__),
    ),
}


def possible(spec: ContainerSpec) -> bool:
    """Leave out what docker itself refuses."""
    return not ((spec.auto_remove and spec.restart) or (spec.log_driver == "none" and spec.log_opts))


# Few fields at a time find the same faults as all of them, and much sooner.
SPECS = st.fixed_dictionaries(
    {"image": FIELDS["image"]}, optional={name: values for name, values in FIELDS.items() if name != "image"}
).map(lambda given: ContainerSpec(**given))


def test_the_property_tests_cover_every_field() -> None:
    assert list(FIELDS) == [field.name for field in fields(ContainerSpec)]


def test_every_field_has_an_option() -> None:
    spelled = {option.field.partition(".")[0] for option in OPTIONS} - {""}
    assert spelled == {field.name for field in fields(ContainerSpec)} - {"image", "command"}


@given(SPECS.filter(possible), st.sampled_from(["run", "create"]))
@example(ContainerSpec("a", gpus=GpuRequest(device_ids=("0", "1"))), "run")
@example(ContainerSpec("a", mounts=(Mount("/b", '/a "b",c\n'), Mount("/c", "/d", create_source=True))), "run")
@example(ContainerSpec("a", init=False, stop_timeout=0, entrypoint="", shm_size=0), "run")
def test_a_spec_written_as_words_is_read_back_as_itself(spec: ContainerSpec, verb: str) -> None:
    words = grammar.words(spec, verb)
    assert grammar.parse(words) == spec
    assert grammar.words(grammar.parse(words), verb) == words


LONG = st.sampled_from([f"--{option.long}" for option in OPTIONS] + [f"--{name}" for name in sorted(NOT_CARRIED)])
SHORT = st.sampled_from([f"-{option.short}" for option in OPTIONS if option.short])
VALUE = st.one_of(
    ANY,
    st.from_regex(r"[-+]?[0-9.]{1,24}[a-zA-Z]{0,4}", fullmatch=True),
    st.from_regex(r"""["a-z0-9/:,=.\n-]{1,30}""", fullmatch=True),
    st.sampled_from(["all", "host", "a", "type=bind,source=/a,target=/b", "²", "1²", "٣", "٣g", "[::1%1]:1:2", "--"]),
)
WORD = st.one_of(
    VALUE,
    LONG,
    SHORT,
    st.tuples(LONG, VALUE).map("=".join),
    st.tuples(SHORT, VALUE).map("".join),
    st.sampled_from(["-it", "-itd", "image", "-", "--", "\0"]),
)


@given(st.sampled_from([["docker", "run"], ["docker", "create"], [], ["docker"]]), st.lists(WORD, max_size=8))
def test_random_words_are_a_command_or_a_clear_error(front: list[str], rest: list[str]) -> None:
    try:
        spec = grammar.parse([*front, *rest])
    except InputError as error:
        message = error.message
    else:
        message = ""
        assert grammar.parse(grammar.words(spec)) == spec
    assert message or front


@given(st.sampled_from([option.long for option in OPTIONS]), VALUE)
def test_any_value_of_any_option_is_read_or_refused_by_name(name: str, value: str) -> None:
    words = ["docker", "run", f"--{name}={value}", "image"]
    try:
        spec = grammar.parse(words)
    except InputError:
        with pytest.raises(InputError, match=f"--{name}|NUL"):
            grammar.parse(words)
    else:
        assert grammar.parse(grammar.words(spec)) == spec


def test_the_seeds_command_is_read_as_docker_reads_it() -> None:
    command = """docker run -d --name gemma4-e4b-nvfp4 --gpus all --ipc=host --shm-size 32gb -p 8003:8000
        -v /home/me/models/gemma4-e4b-nvfp4:/models/gemma4-e4b vllm/vllm-openai:gemma4-cu130
        --model /models/gemma4-e4b --name inner"""
    assert grammar.parse(shlex.split(command)) == ContainerSpec(
        image="vllm/vllm-openai:gemma4-cu130",
        command=("--model", "/models/gemma4-e4b", "--name", "inner"),
        name="gemma4-e4b-nvfp4",
        gpus=GpuRequest(count=-1),
        ipc="host",
        shm_size=32 * 1024**3,
        ports=(Port(8000, 8003),),
        mounts=(Mount("/models/gemma4-e4b", "/home/me/models/gemma4-e4b-nvfp4", create_source=True),),
    )


def test_the_canonical_command_is_this() -> None:
    spec = ContainerSpec(image="a", name="n1", command=("x",), labels=(("k", "v"),), gpus=GpuRequest(count=-1))
    assert grammar.words(spec) == shlex.split("docker run --detach --name n1 --gpus all --label k=v a x")
    assert grammar.words(spec, "create") == shlex.split("docker create --name n1 --gpus all --label k=v a x")


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("-itd", "--interactive --tty --detach"),
        ("-p8000:8000", "--publish 8000:8000"),
        ("-p=8000:8000", "--publish 8000:8000"),
        ("-dp 8000:8000", "--detach --publish 8000:8000"),
        ("-dp=8000:8000", "--detach --publish 8000:8000"),
        ("-it=false", "--interactive"),
        ("--init=T", "--init"),
        ("--net host", "--network host"),
        ("--name aa --name bb", "--name bb"),
        ("-e A=1 -e B=2 -e A=3", "-e A=3 -e B=2"),
        ("--ulimit memlock=-1", "--ulimit memlock=-1:-1"),
        ("-p 8000-8002:9000-9002/udp", "-p 8000:9000/udp -p 8001:9001/udp -p 8002:9002/udp"),
        ("-p 0:8000", "-p 8000"),
        ("-p ::1:8003:8000", "-p [::1]:8003:8000"),
        ("--shm-size 1.5g", "--shm-size 1536m"),
        ("--cap-add sys_ptrace", "--cap-add CAP_SYS_PTRACE"),
        ("--restart no", ""),
        ("--restart on-failure:0", "--restart on-failure"),
        ("--cpus 1.50", "--cpus 1.5"),
        ("--health-interval 90s", "--health-interval 1m30s"),
        ("--add-host a=::1", "--add-host a:[::1]"),
        ("--mount src=/a,dst=/b,type=BIND,ro=true", "--mount type=bind,source=/a,target=/b,readonly"),
        ("--detach=false --", ""),
    ],
)
def test_spellings_of_the_same_option(short: str, long: str) -> None:
    assert grammar.parse(["docker", "run", *short.split(), "image"]) == grammar.parse(
        ["docker", "container", "run", *long.split(), "image"]
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2", GpuRequest(count=2)),
        ("device=GPU-1a2b", GpuRequest(device_ids=("GPU-1a2b",))),
        ('"device=0,1"', GpuRequest(device_ids=("0", "1"))),
        ("driver=nvidia", GpuRequest(count=1, driver="nvidia")),
        ("driver=cdi,device=nvidia.com/gpu=all", GpuRequest(device_ids=("nvidia.com/gpu=all",), driver="cdi")),
        ('all,"capabilities=utility,compute"', GpuRequest(count=-1, capabilities=("utility", "compute", "gpu"))),
    ],
)
def test_gpus(value: str, expected: GpuRequest) -> None:
    assert grammar.parse(["docker", "run", "--gpus", value, "image"]).gpus == expected


def test_a_cdi_name_is_no_device_node() -> None:
    spec = grammar.parse(["docker", "run", "--device", "nvidia.com/gpu=all", "--device", "/dev/fuse:rw", "image"])
    assert spec.cdi_devices == ("nvidia.com/gpu=all",)
    assert spec.devices == (Device("/dev/fuse", "/dev/fuse", "rw"),)


def test_mounts_keep_their_order_and_kind() -> None:
    spec = grammar.parse(
        ["docker", "run", "-v", "/a:/b:ro,z", "--mount", "type=tmpfs,target=/t,tmpfs-size=1g", "-v", "v1:/c", "image"]
    )
    assert spec.mounts == (
        Mount("/b", "/a", "bind", read_only=True, create_source=True, options=("z",)),
        Mount("/t", None, "tmpfs", options=("tmpfs-size=1g",)),
        Mount("/c", "v1", "volume", create_source=True),
    )


@pytest.mark.parametrize(
    ("command", "message", "hint"),
    [
        ("docker run", "docker run: no image", "write docker run [OPTIONS] IMAGE [COMMAND…]"),
        ("podman run a", "expected a docker run command, found podman run", None),
        ("docker run --shm 1g a", "docker run has no option --shm", "did you mean --shm-size?"),
        ("docker run --pubilsh 1:2 a", "docker run has no option --pubilsh", "did you mean --publish?"),
        ("docker run -name a a", "docker run has no option -n in -name", "did you mean --name?"),
        ("docker run -z a", "docker run has no option -z", None),
        ("docker run --userns=host a", "docker run has --userns, sparkctl does not carry it", None),
        ("docker run -P a", "docker run has -P (--publish-all), sparkctl does not carry it", None),
        ("docker run --name", "--name needs a value", None),
        ("docker run -dp", "-p needs a value", None),
        ("docker create -d a", "docker create has no --detach", "write docker run, or drop it"),
        ("docker run --init=yes a", "--init: expected true or false, found 'yes'", None),
        ("docker run -p 99999:1 a", "--publish: expected an integer from 0 to 65535, found '99999'", None),
        (
            "docker run --gpus device=0,1 a",
            "--gpus: expected a number of GPUs or a list, found both in 'device=0,1'",
            "quotes keep a list together: --gpus '\"device=0,1\"'",
        ),
        (
            "docker run -v models:/models:rx a",
            (
                "--volume: expected options of ro, rw, Z, cached, consistent, delegated, nocopy, private, rprivate, "
                "rshared, rslave, shared, slave, z, found 'rx'"
            ),
            None,
        ),
        (
            "docker run -v '~/models:/models' a",
            "--volume: expected an absolute path or a volume's name, found '~/models'",
            "no shell expands ~ here, and there is no current folder: write the whole path",
        ),
        (
            "docker run --shm-size 32q a",
            "--shm-size: expected a size such as 512m or 32g (powers of 1024), found '32q'",
            None,
        ),
        (
            "docker run --mount type=bind,source=a,target=/b a",
            "--mount: expected an absolute source=…, found 'a'",
            None,
        ),
        (
            "docker run --rm --restart always a",
            "--rm and --restart are given together, and docker refuses that",
            "keep one of them",
        ),
        (
            "docker run --no-healthcheck --health-cmd x a",
            "--no-healthcheck and --health-… are given together",
            "keep one of them",
        ),
        (
            "docker run --network host --network none a",
            "--network is given twice: docker would connect the container to both",
            "sparkctl connects a container to one network: keep one of them",
        ),
        (
            "docker run Vllm/Vllm a",
            "not an image: 'Vllm/Vllm'",
            "an image is written [HOST/]PATH[:TAG], the path in lower case",
        ),
        (
            "docker run --security-opt seccomp=/a.json a",
            "--security-opt: 'seccomp=/a.json' is carried out by the docker command line, not by the engine",
            "sparkctl creates containers through the engine: leave it out, or use seccomp=unconfined",
        ),
    ],
)
def test_what_is_not_understood_is_named(command: str, message: str, hint: str | None) -> None:
    with pytest.raises(InputError) as caught:
        grammar.parse(shlex.split(command))
    assert (caught.value.message, caught.value.hint) == (message, hint)


@pytest.mark.parametrize("name", sorted(NOT_CARRIED))
def test_an_option_that_is_not_carried_is_never_dropped(name: str) -> None:
    with pytest.raises(InputError, match=f"docker run has --{name}, sparkctl does not carry it"):
        grammar.parse(["docker", "run", f"--{name}=1", "image"])


@given(SPECS.filter(possible), st.dictionaries(KEY, ANY, max_size=3))
def test_labels_are_added_behind_the_name_and_nothing_else_changes(spec: ContainerSpec, labels: dict[str, str]) -> None:
    given = {label: text for label, text in labels.items() if label not in dict(spec.labels)}
    found = grammar.parse(grammar.labelled(grammar.words(spec), given))
    assert found == replace(spec, labels=(*given.items(), *spec.labels))
    assert found.digest() == spec.with_labels(given).digest()


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("docker run --name x -d i --name y", "docker run --name x --label a=1 -d i --name y"),
        ("docker run -d --name=x i", "docker run -d --name=x --label a=1 i"),
        ("docker container create i --name x", "docker container create --label a=1 i --name x"),
    ],
)
def test_labels_stand_where_a_reader_looks_for_them(command: str, expected: str) -> None:
    assert shlex.join(grammar.labelled(shlex.split(command), {"a": "1"})) == expected
