"""A job's container: what it may see and do, and that its words and its specification say the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.base.errors import InputError
from sparkctl.recipes.host_side.mounts import HostMount
from sparkctl.recipes.job import command
from sparkctl.recipes.job.command import RunOrder, input_mounts
from sparkctl.recipes.job.confined import ScriptCode
from sparkctl.world.docker_run import grammar
from sparkctl.world.docker_run.spelling import split
from sparkctl.world.local.models.folders import DiskModels
from sparkctl.world.spec import GpuRequest
from tests.support.job_shop import loaded_job

if TYPE_CHECKING:
    from sparkctl.recipes.job.loaded import LoadedJob

PATHS = st.from_regex(r"(/[A-Za-z0-9 ,\"'äß=:-]{1,12}){1,4}", fullmatch=True).map(Path)
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
GPUS = st.sampled_from(["all", "none", "0", "0,1", "GPU-1a2b,GPU-3c4d", "cdi:nvidia.com/gpu=all"])


def order(loaded: LoadedJob, **changes: object) -> RunOrder:
    given = {
        "image": "sparkctl-job:0123456789ab",
        "input": Path("/models/in"),
        "partial": Path("/models/out.partial-1"),
        "code": ScriptCode(Path("/state/script.py")),
        "user": "1000:1000",
        "container": "sparkctl-job-x",
        "labels": {"sparkctl.job": "x"},
        "memory_bytes": 2**33,
    }
    return RunOrder(loaded, **{**given, **changes})  # type: ignore[arg-type]


def with_gpus(loaded: LoadedJob, gpus: str) -> LoadedJob:
    return loaded._replace(job=loaded.job.model_copy(update={"gpus": gpus}))


@given(
    parameters=st.dictionaries(TEXTS, VALUES, max_size=4),
    folders=st.tuples(PATHS, PATHS, PATHS, PATHS),
    gpus=GPUS,
    labels=st.dictionaries(st.from_regex(r"sparkctl\.[a-z-]{1,9}", fullmatch=True), TEXTS, max_size=3),
    memory=st.none() | st.integers(min_value=6 * 2**20, max_value=2**40),
)
def test_the_words_and_the_specification_say_the_same_also_after_they_were_pasted(
    parameters: dict[str, object],
    folders: tuple[Path, Path, Path, Path],
    gpus: str,
    labels: dict[str, str],
    memory: int | None,
) -> None:
    read, made, script, library = folders
    job = with_gpus(loaded_job([]), gpus)._replace(parameters=parameters)
    one = order(job, input=read, partial=made, code=ScriptCode(script, library), labels=labels, memory_bytes=memory)
    words = command.words(one)
    assert grammar.parse(words) == command.spec(one)
    assert split(grammar.shell_text(words).replace(" \\\n", " ")) == list(words)
    assert json.loads(command.spec(one).command[1]) == {"input": "/input", "output": "/output", "with": parameters}


def test_the_library_for_scripts_lies_beside_the_script_that_uses_it() -> None:
    spec = command.spec(order(loaded_job([]), code=ScriptCode(Path("/state/a.py"), Path("/state/sparkctl_job.py"))))
    mounts = {mount.target: (mount.source, mount.read_only) for mount in spec.mounts if mount.target.startswith("/job")}
    assert mounts == {
        "/job/script.py": ("/state/a.py", True),
        "/job/sparkctl_job.py": ("/state/sparkctl_job.py", True),
    }


def test_a_job_sees_no_network_and_of_the_host_three_mounts_of_which_it_writes_one() -> None:
    spec = command.spec(order(loaded_job([])))
    assert (spec.network, spec.read_only, spec.cap_drop, spec.security_opt) == (
        "none",
        True,
        ("ALL",),
        ("no-new-privileges",),
    )
    assert (spec.privileged, spec.devices, spec.cap_add, spec.ipc, spec.pid) == (False, (), (), "", "")
    mounts = {mount.target: (mount.source, mount.read_only, mount.create_source) for mount in spec.mounts}
    assert mounts == {
        "/job/script.py": ("/state/script.py", True, False),
        "/input": ("/models/in", True, False),
        "/output": ("/models/out.partial-1", False, False),
    }
    assert (spec.memory, spec.memory_swap, spec.user) == (2**33, 2**33, "1000:1000")
    assert dict(spec.env)["HF_HUB_OFFLINE"] == "1"
    assert (spec.entrypoint, spec.command[0]) == ("python3", "/job/script.py")


@pytest.mark.parametrize(
    ("gpus", "expected"),
    [
        ("all", (GpuRequest(count=-1), ())),
        ("none", (None, ())),
        ("0,1", (GpuRequest(device_ids=("0", "1")), ())),
        ("cdi:nvidia.com/gpu=0", (None, ("nvidia.com/gpu=0",))),
    ],
)
def test_a_job_gets_the_gpus_that_it_says(gpus: str, expected: object) -> None:
    spec = command.spec(order(with_gpus(loaded_job([]), gpus)))
    assert (spec.gpus, spec.cdi_devices) == expected


def test_parameters_that_no_program_can_be_given_are_refused() -> None:
    with pytest.raises(InputError, match=r"the parameters take 140,0\d\d bytes, more than the 131,071 of one word"):
        command.words(order(loaded_job([], texts="x" * 140_000)))


def test_a_snapshot_of_the_cache_brings_its_blobs(tmp_path: Path) -> None:
    repo = tmp_path / "models--a--b"
    (repo / "blobs").mkdir(parents=True)
    (repo / "blobs" / "0f").write_text("{}")
    snapshot = repo / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").symlink_to("../../blobs/0f")
    found = input_mounts(DiskModels(), snapshot)
    assert found == (HostMount(snapshot, "/input"), HostMount(repo / "blobs", "/blobs"))
    targets = {mount.target for mount in command.spec(order(loaded_job([]), inputs=found)).mounts if mount.read_only}
    assert targets == {"/job/script.py", "/input", "/blobs"}
