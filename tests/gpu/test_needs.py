"""What the tests on a GPU need, said in sentences: judged without a GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sparkctl.world.host import Gpu
from tests.gpu import needs
from tests.gpu.needs import Found
from tests.support.paths import REPOSITORY

READY = Found(
    "vllm/vllm-openai:v0.20.2",
    "unix:///var/run/docker.sock",
    version="28.5.2",
    entrypoint=("vllm", "serve"),
    devices=("nvidia.com/gpu=0", "nvidia.com/gpu=all"),
    gpus=(Gpu("NVIDIA GB10", "580.95.05", "12.1", None),),
    folder=Path("/data/models"),
    file_system="ext4",
)
OLD = replace(READY, version="26.1.5+dfsg1", devices=())


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (READY, None),
        (replace(READY, image=""), "SPARKCTL_TEST_GPU_IMAGE names no image"),
        (replace(READY, gpus=()), "NVML finds no GPU"),
        (replace(READY, problem="Connection refused"), "no Docker Engine answers at unix:///var/run/docker.sock: Conn"),
        (replace(READY, entrypoint=None), "the engine has no image vllm/vllm-openai:v0.20.2: docker pull"),
        (replace(READY, devices=("vendor.com/net=0",)), "the engine knows no CDI device nvidia.com/gpu"),
        (OLD, "Docker 26.1.5+dfsg1 lists no CDI devices (28.2 and newer do)"),
        (replace(OLD, version="a fork"), "the engine knows no CDI device"),
        (replace(OLD, runtimes=("runc", "nvidia")), None),
        (replace(OLD, device="cdi:nvidia.com/gpu=1"), None),
        (replace(READY, file_system="tmpfs"), "/data/models is in memory (tmpfs)"),
        (replace(READY, figures_file="a.json"), "SPARKCTL_TEST_GPU_FIGURES names a.json, which is a file"),
    ],
)
def test_what_is_missing_is_said(found: Found, said: str | None) -> None:
    sentences = needs.missing(found)
    assert len(sentences) == (0 if said is None else 1)
    assert all(sentence.startswith(said or "") for sentence in sentences)


def test_several_things_are_said_at_once() -> None:
    assert len(needs.missing(Found("", "tcp://127.0.0.1:1", problem="Connection refused"))) == 3


@pytest.mark.parametrize(
    ("found", "request_", "template"),
    [
        (READY, "cdi:nvidia.com/gpu=0", "vllm-openai"),
        (replace(READY, devices=("nvidia.com/gpu=all",), entrypoint=()), "cdi:nvidia.com/gpu=all", "vllm-serve"),
        (replace(OLD, runtimes=("nvidia",), entrypoint=("/opt/nvidia/nvidia_entrypoint.sh",)), "all", "vllm-serve"),
        (replace(READY, entrypoint=("python3", "-m", "vllm.entrypoints.openai.api_server")), None, "vllm-openai"),
        (replace(READY, device="1"), "1", "vllm-openai"),
    ],
)
def test_the_way_to_the_gpu_and_the_template(found: Found, request_: str | None, template: str) -> None:
    assert needs.request(found) == (request_ or "cdi:nvidia.com/gpu=0")
    assert needs.template(found) == template


def test_variables_for_the_servers_are_read() -> None:
    assert needs.environment("A=1  B=x=y") == {"A": "1", "B": "x=y"}


def test_a_machine_that_lacks_everything_is_told_in_sentences(tmp_path: Path) -> None:
    own = {"PATH": os.environ["PATH"], needs.HOST: "unix:///nowhere/docker.sock", needs.FOLDER: str(tmp_path / "new")}
    done = subprocess.run(
        [sys.executable, "-m", "tests.gpu"], cwd=REPOSITORY, env=own, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    lines = done.stderr.splitlines()
    assert all(line.startswith("make test-gpu: ") for line in lines)
    assert f"unix:///nowhere/docker.sock: No such file or directory; set {needs.HOST} to" in done.stderr
    assert lines[-1].endswith("README.md says what it needs")
