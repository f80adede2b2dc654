"""The simulated engine: containers as processes, files, ports, faults and the pool."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from sparkctl.base.errors import EngineError, InputError
from sparkctl.base.units import GIB
from sparkctl.world.labels import LABEL_RECIPE
from sparkctl.world.local.models.folders import DiskModels
from sparkctl.world.opening import simulated
from sparkctl.world.sim.engine import SimEngine
from sparkctl.world.sim.host import SimHost, SimModels
from sparkctl.world.spec import ContainerSpec, Mount, Port
from tests.support.plain_http import NO_TLS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sparkctl.world.engine import Container

IMAGE = "vllm/vllm-openai:gemma4-cu130"
MTP_IMAGE = "vllm/vllm-openai:gemma4-0505-arm64-cu130"
MODELS = "/usr/local/lib/python3.12/dist-packages/vllm/model_executor/models"
COMMAND = ("/models/gemma4-e4b", "--served-model-name", "gemma-4-e4b", "--kv-cache-memory-bytes", str(GIB))
FRACTION = ("--gpu-memory-utilization", "0.2")


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., SimEngine]]:
    made = []

    def engine(faults: str = "load_s=0.1", images: tuple[str, ...] = (IMAGE,)) -> SimEngine:
        engine = SimEngine(tmp_path / "sim", {"SPARKCTL_SIM_FAULTS": faults}, pull_s=0)
        for image in images:
            list(engine.pull(image))
        made.append(engine)
        return engine

    yield engine
    for container in made[-1].containers() if made else ():
        made[-1].remove(container.id)


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def spec(name: str = "executor", **changes: Any) -> ContainerSpec:  # noqa: ANN401 - any field
    return ContainerSpec(**({"image": IMAGE, "command": (*COMMAND, *FRACTION), "name": name} | changes))


def until(seen: Callable[[], object], seconds: float = 10) -> object:
    end = time.monotonic() + seconds
    while not (found := seen()):
        assert time.monotonic() < end, "nothing came of it"
        time.sleep(0.01)
    return found


def state(engine: SimEngine, name: str) -> Container:
    container = engine.container(name)
    assert container is not None
    return container


def test_an_image_is_there_after_its_pull_and_the_pull_tells_how_far_it_is(tmp_path: Path) -> None:
    engine = SimEngine(tmp_path, {}, pull_s=0)

    assert engine.image(IMAGE) is None
    with pytest.raises(EngineError, match=f"the engine does not have the image {IMAGE}"):
        engine.create(spec())
    moments = list(engine.pull(IMAGE))

    assert moments[-1].current_bytes == moments[-1].total_bytes == 9_000_000_000
    assert len(moments) == 10
    image = engine.image(IMAGE)
    assert image is not None
    assert image.id.startswith("sha256:")


def test_a_pull_that_is_ordered_to_fail_fails(tmp_path: Path) -> None:
    engine = SimEngine(tmp_path, {"SPARKCTL_SIM_FAULTS": "no_such_image"}, pull_s=0)

    with pytest.raises(EngineError, match="there is no such image"):
        list(engine.pull(IMAGE))
    assert engine.image(IMAGE) is None


def test_a_container_serves_on_its_published_port_once_it_is_ready(make: Callable[..., SimEngine], port: int) -> None:
    engine = make("load_s=0.6")
    engine.create(spec(ports=(Port(8000, port, "127.0.0.1"),)))
    engine.start("executor")

    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False, verify=NO_TLS)
    tail = engine.follow("executor")
    lines: list[str] = []
    until(lambda: lines.extend(tail.read()) or any("startup complete" in line for line in lines))
    assert httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False, verify=NO_TLS).status_code == 200


def test_a_port_is_taken_from_the_start_on_also_while_its_server_loads(
    make: Callable[..., SimEngine], port: int
) -> None:
    engine = make("load_s=30")
    for name in ("first", "second"):
        engine.create(spec(name, ports=(Port(8000, port, "127.0.0.1"),)))
    engine.start("first")

    with pytest.raises(EngineError, match=f"cannot start the container second: port 127.0.0.1:{port} is taken"):
        engine.start("second")
    assert state(engine, "second").state == "created"


def test_an_address_that_is_not_here_is_refused_also_where_the_engine_chooses_the_port(
    make: Callable[..., SimEngine],
) -> None:
    engine = make()
    engine.create(spec(ports=(Port(8000, None, "203.0.113.9"),)))

    with pytest.raises(EngineError, match=r"203\.0\.113\.9 is no address of the engine's host"):
        engine.start("executor")


def test_a_mount_without_its_source_is_refused_unless_it_is_the_model(
    make: Callable[..., SimEngine], tmp_path: Path
) -> None:
    engine = make()
    model = Mount("/models/gemma4-e4b", str(tmp_path / "no-model"), read_only=True)
    mod = Mount(f"{MODELS}/gemma4.py", str(tmp_path / "no-mod.py"), read_only=True)

    with pytest.raises(EngineError, match=f"there is no {tmp_path}/no-mod.py on the engine's host to mount"):
        engine.create(spec(mounts=(model, mod)))
    assert engine.containers() == []
    engine.create(spec(mounts=(model,)))


def test_a_running_container_sees_its_mounted_file_and_else_the_images(
    make: Callable[..., SimEngine], tmp_path: Path
) -> None:
    engine = make("load_s=30")
    source = tmp_path / "gemma4.py"
    source.write_bytes(b"patched")
    engine.create(spec(mounts=(Mount(f"{MODELS}/gemma4.py", str(source), read_only=True),)))

    with pytest.raises(EngineError, match="in the container executor: it does not run"):
        engine.read_file("executor", f"{MODELS}/gemma4.py")
    engine.start("executor")

    assert engine.read_file("executor", f"{MODELS}/gemma4.py") == b"patched"
    original = engine.read_image_files(IMAGE, [f"{MODELS}/gemma4_mtp.py"])[f"{MODELS}/gemma4_mtp.py"]
    assert original is not None
    assert engine.read_file("executor", f"{MODELS}/gemma4_mtp.py") == original
    assert engine.read_file("executor", f"{MODELS}/llama.py") is None


def test_wrong_bytes_and_lost_mods_come_as_ordered(make: Callable[..., SimEngine], tmp_path: Path) -> None:
    source = tmp_path / "gemma4.py"
    source.write_bytes(b"patched")
    engine = make()
    right = engine.read_image_files(IMAGE, [f"{MODELS}/gemma4.py"])[f"{MODELS}/gemma4.py"]

    engine = make(f'{{"{IMAGE}": {{"wrong_bytes": "gemma4.py"}}, "executor": {{"lost_mods": true, "load_s": 30}}}}')
    engine.create(spec(mounts=(Mount(f"{MODELS}/gemma4.py", str(source)),)))
    engine.start("executor")

    wrong = engine.read_image_files(IMAGE, [f"{MODELS}/gemma4.py"])[f"{MODELS}/gemma4.py"]
    assert wrong is not None
    assert wrong != right
    assert engine.read_file("executor", f"{MODELS}/gemma4.py") == wrong


@pytest.mark.parametrize(("mounted", "accepted"), [(True, 19), (False, 0)])
def test_an_image_that_drafts_in_vain_is_mended_by_the_mod_over_its_file(
    make: Callable[..., SimEngine], tmp_path: Path, port: int, *, mounted: bool, accepted: int
) -> None:
    engine = make(images=(MTP_IMAGE,))
    fix = tmp_path / "gemma4_mtp.py"
    fix.write_bytes(b"fixed")
    drafting = ("--speculative-config", '{"method":"mtp","num_speculative_tokens":1}')
    engine.create(
        spec(
            image=MTP_IMAGE,
            command=(*COMMAND, *FRACTION, *drafting),
            ports=(Port(8000, port),),
            mounts=(Mount(f"{MODELS}/gemma4_mtp.py", str(fix)),) if mounted else (),
        )
    )
    engine.start("executor")
    until(lambda: "startup complete" in "\n".join(engine.logs("executor")))
    url = f"http://127.0.0.1:{port}"
    httpx.post(f"{url}/v1/completions", json={"prompt": "1", "max_tokens": 46}, trust_env=False, verify=NO_TLS)

    metrics = httpx.get(f"{url}/metrics", trust_env=False, verify=NO_TLS).text
    name = "vllm:spec_decode_num_accepted_tokens_per_pos_total"
    labels = 'engine="0",model_name="gemma-4-e4b",position="0"'
    assert f"{name}{{{labels}}} {float(accepted)}" in metrics


def test_the_start_outlives_the_command_that_ordered_it(make: Callable[..., SimEngine], tmp_path: Path) -> None:
    engine = make()
    engine.create(spec())
    command = (
        "from pathlib import Path; from sparkctl.world.sim.engine import SimEngine; import os, signal;"
        f"SimEngine(Path({str(tmp_path / 'sim')!r}), {{}}).start('executor'); os.kill(os.getpid(), signal.SIGKILL)"
    )

    done = subprocess.run([sys.executable, "-c", command], check=False)

    assert done.returncode == -signal.SIGKILL
    assert state(engine, "executor").state == "running"


def test_a_killed_process_is_an_exited_container(make: Callable[..., SimEngine]) -> None:
    engine = make("load_s=30")
    engine.create(spec())
    engine.start("executor")
    (pid,) = engine.processes("executor")

    os.kill(pid, signal.SIGKILL)
    until(lambda: state(engine, "executor").state == "exited")

    dead = state(engine, "executor")
    assert (dead.exit_code, dead.oom_killed) == (137, False)
    engine.start("executor")
    assert state(engine, "executor").state == "running"
    assert state(engine, "executor").exit_code is None


@pytest.mark.a_part(3)
@pytest.mark.parametrize(
    ("fault", "code", "line"),
    [
        ("die_in=loading,exit_code=3", 3, "RuntimeError: ordered to die while loading"),
        ("die_in=compiling", 1, "RuntimeError: ordered to die while compiling"),
        ("die_in=capturing", 1, "RuntimeError: ordered to die while capturing"),
        ("die_in=serving,after_s=0", 1, "EngineDeadError"),
        ("oom", 1, "torch.OutOfMemoryError: CUDA out of memory."),
        ("engine_dead,after_s=0", 0, "EngineDeadError"),
    ],
)
def test_a_server_dies_as_ordered(make: Callable[..., SimEngine], fault: str, code: int, line: str) -> None:
    engine = make(f"load_s=0.1,{fault}")
    engine.create(spec())
    engine.start("executor")
    until(lambda: state(engine, "executor").state == "exited")

    assert state(engine, "executor").exit_code == code
    assert line in "\n".join(engine.logs("executor"))


def test_faults_are_ordered_for_one_service_by_a_file_and_the_variable_wins(
    make: Callable[..., SimEngine], tmp_path: Path
) -> None:
    (tmp_path / "sim").mkdir()
    (tmp_path / "sim" / "faults.yaml").write_text("one: {oom: true}\ntwo: {oom: true}\n")
    engine = make('{"two": {"load_s": 30}}')
    for name in ("one", "two"):
        engine.create(spec(name))
        engine.start(name)

    until(lambda: state(engine, "one").state == "exited")
    assert state(engine, "two").state == "running"


def test_faults_that_cannot_be_read_are_an_error_that_names_them(tmp_path: Path) -> None:
    engine = SimEngine(tmp_path, {"SPARKCTL_SIM_FAULTS": "{broken"})

    with pytest.raises(InputError, match="SPARKCTL_SIM_FAULTS: expected a map"):
        list(engine.pull(IMAGE))


def test_what_a_service_takes_is_gone_from_the_pool_while_it_runs(
    make: Callable[..., SimEngine], tmp_path: Path
) -> None:
    engine, host = make(), SimHost(tmp_path / "sim")
    before = host.memory()
    engine.create(spec(labels=((LABEL_RECIPE, "26b-a4b-nvfp4"),)))
    engine.start("executor")
    until(lambda: "startup complete" in "\n".join(engine.logs("executor")))
    (pid,) = engine.processes("executor")

    assert before.total_bytes == 125442396 * 1024
    assert before.total_bytes - before.available_bytes == 8 * GIB
    # 15.7 GiB of weights, 4 beside them, 1 of KV cache; 2 on the host.
    assert host.gpu_bytes() == {pid: pytest.approx(20.7 * GIB, rel=1e-6)}
    assert host.resident_bytes(pid) == 2 * GIB
    assert before.available_bytes - host.memory().available_bytes == pytest.approx(22.7 * GIB, rel=1e-6)
    engine.stop("executor", grace_s=5)
    assert host.memory() == before
    assert host.resident_bytes(pid) is None


def test_a_service_can_be_ordered_to_take_a_fifth_more_than_recorded(
    make: Callable[..., SimEngine], tmp_path: Path
) -> None:
    engine = make('{"executor": {"take": 1.2, "load_s": 0.1}}')
    engine.create(spec(labels=((LABEL_RECIPE, "26b-a4b-nvfp4"),)))
    engine.start("executor")
    until(lambda: "startup complete" in "\n".join(engine.logs("executor")))

    assert sum(SimHost(tmp_path / "sim").gpu_bytes().values()) == pytest.approx(1.2 * 20.7 * GIB, rel=1e-6)


def test_a_service_that_takes_more_than_is_left_dies_where_a_gb10_would_freeze(make: Callable[..., SimEngine]) -> None:
    engine = make('{"*": {"load_s": 0.1}, "second": {"take_gib": 100}}')
    for name in ("first", "second"):
        engine.create(spec(name))
        engine.start(name)
    until(lambda: state(engine, "second").state == "exited")

    dead = state(engine, "second")
    assert (dead.exit_code, dead.oom_killed) == (137, False)
    assert "a GB10 would have frozen here" in dead.error
    assert dead.error in "\n".join(engine.logs("second"))
    assert state(engine, "first").state == "running"


def test_a_fraction_that_is_not_free_is_refused_in_vllms_words(make: Callable[..., SimEngine]) -> None:
    engine = make()
    engine.create(spec(command=(*COMMAND, "--gpu-memory-utilization", "0.98")))
    engine.start("executor")
    until(lambda: state(engine, "executor").state == "exited")

    assert state(engine, "executor").exit_code == 1
    log = "\n".join(engine.logs("executor"))
    assert "is less than desired GPU memory utilization (0.98, 117.24 GiB)" in log


@pytest.mark.parametrize("own", [None, 4096])
def test_a_context_longer_than_the_models_is_refused_in_vllms_words(
    make: Callable[..., SimEngine], tmp_path: Path, own: int | None
) -> None:
    engine = make()
    folder = tmp_path / "models" / "gemma4-e4b-nvfp4"
    if own is not None:
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(f'{{"max_position_embeddings": {own}}}')
    asked = (*COMMAND, *FRACTION, "--max-model-len", "131073")
    engine.create(spec(command=asked, mounts=(Mount("/models/gemma4-e4b", str(folder)),)))
    engine.start("executor")
    until(lambda: state(engine, "executor").state == "exited")

    assert state(engine, "executor").exit_code == 1
    most = float(own or 131072)
    assert f"(131073) is greater than the derived max_model_len (max_position_embeddings={most} or " in "\n".join(
        engine.logs("executor")
    )


def test_a_damaged_file_of_a_container_is_named_with_what_to_do(make: Callable[..., SimEngine], tmp_path: Path) -> None:
    engine = make()
    identity = engine.create(spec())
    file = tmp_path / "sim" / "containers" / identity / "spec.json"
    whole = file.read_text()
    other = {"id": 1, "command": "x", "env": [["A"]], "ports": [[8000, "80", ""]], "settings": [[]], "network": None}
    changed = [json.dumps(json.loads(whole) | {key: value}) for key, value in other.items()]
    for damaged in ("", "[]", '{"id": "x"}', "\x00", *changed):
        file.write_text(damaged)
        with pytest.raises(EngineError, match=f"the simulated Spark's file {file} is damaged") as refused:
            engine.containers()
        assert refused.value.hint == f"rm -r {file.parent} removes that simulated container"
    file.write_text(whole)


def test_a_tail_gives_each_line_once(make: Callable[..., SimEngine]) -> None:
    engine = make("load_s=0.1,oom")
    engine.create(spec())
    engine.start("executor")
    tail = engine.follow("executor")
    seen: list[str] = []
    until(lambda: state(engine, "executor").state == "exited")
    seen += tail.read()

    assert seen == engine.logs("executor")
    assert tail.read() == []
    assert engine.logs("executor", tail=1) == seen[-1:]
    tail.close()


def test_the_environment_comes_from_env_files_and_the_operator(tmp_path: Path) -> None:
    (tmp_path / "secrets.env").write_text("# a comment\nHF_TOKEN=t\nFROM_OPERATOR\n")
    engine = SimEngine(tmp_path / "sim", {"FROM_OPERATOR": "o", "GIVEN": "g"}, pull_s=0)
    list(engine.pull(IMAGE))
    engine.create(spec(env_files=(str(tmp_path / "secrets.env"),), env=(("GIVEN", None), ("ABSENT", None))))

    assert state(engine, "executor").env == (("HF_TOKEN", "t"), ("FROM_OPERATOR", "o"), ("GIVEN", "g"))
    mode = next((tmp_path / "sim" / "containers").iterdir()).joinpath("spec.json").stat().st_mode
    assert mode & 0o077 == 0


def test_a_folder_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    engine = SimEngine(tmp_path, {}, pull_s=0)
    list(engine.pull(IMAGE))
    (tmp_path / "containers").write_text("a file in the way")

    with pytest.raises(EngineError, match=f"cannot create the container executor in {tmp_path}: "):
        engine.create(spec())


def test_the_host_has_one_gb10_without_a_memory_total_and_every_model(tmp_path: Path) -> None:
    host = SimHost(tmp_path)

    assert [(gpu.name, gpu.compute_capability, gpu.total_bytes) for gpu in host.gpus()] == [
        ("NVIDIA GB10", "12.1", None)
    ]
    assert host.memory().available_bytes == host.memory().total_bytes - 8 * GIB
    models = SimModels(DiskModels())
    assert models.folder_problem(tmp_path / "none") is None
    snapshot = models.cached(tmp_path, "google/gemma-4-E4B-it", None)
    assert snapshot == tmp_path / "models--google--gemma-4-E4B-it/snapshots/main"


def test_a_part_of_a_model_that_this_machine_has_is_no_model_of_the_simulated_host(tmp_path: Path) -> None:
    models = SimModels(DiskModels())
    (tmp_path / "models--a--b").mkdir()
    assert models.cached(tmp_path, "a/b", None) is None
    assert models.cache_problem(tmp_path, "a/b", None) == f"is not in the cache {tmp_path}"
    assert models.folder_problem(tmp_path / "models--a--b") == "is empty"


def test_the_ports_are_a_simulated_sparks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARKCTL_SIM_DIR", str(tmp_path / "sim"))
    told: list[str] = []
    doors = simulated.ports(SimpleNamespace(state=tmp_path), told.append)

    assert doors.engine.info().kind == "sim"
    assert told == ["simulated engine: info"]
    assert doors.engine.info().id == SimEngine(tmp_path / "sim", {}).info().id
    assert doors.engine.info().elsewhere is None


def test_a_folder_that_cannot_be_written_is_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARKCTL_SIM_DIR", str(tmp_path / "sim"))
    (tmp_path / "sim").write_text("no folder")
    engine = simulated.ports(SimpleNamespace(state=tmp_path), lambda _: None).engine
    with pytest.raises(EngineError, match=r"cannot pull image:1 in .*sim: File exists") as refused:
        list(engine.pull("image:1"))
    assert "SPARKCTL_SIM_DIR" in (refused.value.hint or "")
