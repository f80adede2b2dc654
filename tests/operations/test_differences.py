"""A changed recipe is shown as a difference of flags."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sparkctl.operations import secrets
from sparkctl.operations.differences import flags, of_command, of_image, of_secrets
from sparkctl.world import settings
from sparkctl.world.engine import Container, Image
from sparkctl.world.labels import SecretDigests, ServiceLabels
from sparkctl.world.spec import ContainerSpec, GpuRequest, Mount, Port, Ulimit

RUNNING = Container(
    "c1",
    "e4b",
    "vllm/vllm-openai:old",
    "sha",
    "running",
    {},
    mounts=(("/m/old", "/models/e4b", True),),
    command=("--model", "/models/e4b", "--max-model-len", "16384", "--trust-remote-code"),
    env=(("PATH", "/bin"), ("VLLM_MODE", "one"), ("HF_TOKEN", "hf_secret")),
)


def test_every_difference_is_a_line_and_no_value_of_a_variable_is_shown() -> None:
    spec = ContainerSpec(
        image="vllm/vllm-openai:new",
        command=("--model", "/models/e4b", "--max-model-len=32768", "--kv-cache-dtype", "fp8"),
        env=(("VLLM_MODE", "two"), ("NEW", "1"), ("HF_TOKEN", None)),
        mounts=(Mount("/models/e4b", "/m/new"), Mount("/mod.py", "/state/mod.py")),
    )
    assert of_command(spec, RUNNING) == [
        "image: vllm/vllm-openai:old runs, vllm/vllm-openai:new wanted",
        "--max-model-len: 16384 runs, 32768 wanted",
        "--kv-cache-dtype: not in what runs, fp8 wanted",
        "--trust-remote-code: set runs, not wanted",
        "--env VLLM_MODE: another value",
        "--env NEW: not set in what runs",
        "mount /models/e4b: /m/old runs, /m/new wanted",
        "mount /mod.py: not in what runs, /state/mod.py wanted",
    ]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (
            {"ports": (Port(8000, 8004, "127.0.0.1"),)},
            "--publish of 8000/tcp: 127.0.0.1:8003 runs, 127.0.0.1:8004 wanted",
        ),
        (
            {"ports": (Port(8000, 8003, "192.0.2.7"),)},
            "--publish of 8000/tcp: 127.0.0.1:8003 runs, 192.0.2.7:8003 wanted",
        ),
        ({"restart": "unless-stopped"}, "--restart: not in what runs, unless-stopped wanted"),
        ({"shm_size": None}, "--shm-size: 8.0 GiB runs, not wanted"),
        ({"ipc": "host"}, "--ipc: not in what runs, host wanted"),
        ({"ulimits": (Ulimit("memlock", -1, -1),)}, "--ulimit memlock: not in what runs, -1:-1 wanted"),
        ({"gpus": GpuRequest(device_ids=("0",))}, "--gpus: all runs, 0 wanted"),
        ({"user": "1000"}, "--user: not in what runs, 1000 wanted"),
        ({"labels": (("team", "b"),)}, "--label team: a runs, b wanted"),
    ],
)
def test_an_option_of_docker_run_is_named_with_both_values(changed: dict[str, Any], told: str) -> None:
    spec = ContainerSpec(
        image=RUNNING.image,
        ports=(Port(8000, 8003, "127.0.0.1"),),
        shm_size=8 * 2**30,
        gpus=GpuRequest(-1),
        labels=(("team", "a"),),
    )
    running = RUNNING._replace(
        command=(), mounts=(), settings=settings.of_spec(replace(spec, ipc="private", restart="no", runtime="runc"))
    )._replace(labels={"team": "a", "of.the.image": "1"})
    assert of_command(spec, running) == []
    assert of_command(replace(spec, **changed), running) == [told]


def test_a_tag_that_names_another_image_is_said_with_both_ids() -> None:
    running = RUNNING._replace(image_id="sha256:" + "a" * 64)
    assert of_image(running, Image("sha256:" + "a" * 64, (), 1)) == []
    assert of_image(running, None) == [], "removed since: nothing is behind the tag"
    recorded_then = running._replace(labels=ServiceLabels(image_id="sha256:" + "b" * 64).to_labels())
    assert of_image(recorded_then, Image("sha256:" + "b" * 64, (), 1)) == [], "as this engine names it"
    assert of_image(running, Image("sha256:" + "b" * 64, (), 1)) == [
        "changed: the image behind this tag (vllm/vllm-openai:old): aaaaaaaaaaaa runs, bbbbbbbbbbbb is there now"
    ]


def recorded(digests: SecretDigests | None) -> Container:
    return RUNNING._replace(labels=ServiceLabels(secrets=digests).to_labels())


def test_secrets_are_compared_by_digest_and_only_their_names_are_said() -> None:
    running = recorded(secrets.digests({"HF_TOKEN": "hf_secret", "VLLM_API_KEY": "old"}))
    assert of_secrets(running, {"HF_TOKEN": "hf_secret", "VLLM_API_KEY": "old"}) == []
    assert of_secrets(running, {"HF_TOKEN": "hf_secret", "VLLM_API_KEY": "new", "MORE": "x"}) == [
        "changed: secret VLLM_API_KEY",
        "changed: secret MORE",
    ]
    assert of_secrets(running, {}) == [], "without their values nothing is known"


def test_a_container_without_digests_is_compared_by_its_environment() -> None:
    assert of_secrets(recorded(None), {"HF_TOKEN": "hf_secret"}) == []
    assert of_secrets(recorded(None), {"HF_TOKEN": "hf_other"}) == ["changed: secret HF_TOKEN"]


def test_words_before_the_first_flag_and_values_of_several_words_are_kept() -> None:
    assert flags(["serve", "/m", "--names", "a", "b", "--eager"]) == {"": "serve /m", "--names": "a b", "--eager": ""}
