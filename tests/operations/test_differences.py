"""A changed recipe is shown as a difference of flags."""

from __future__ import annotations

from sparkctl.operations.differences import differences, flags
from sparkctl.world.engine import Container
from sparkctl.world.spec import ContainerSpec, Mount

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
    assert differences(spec, RUNNING) == [
        "image: vllm/vllm-openai:old runs, vllm/vllm-openai:new wanted",
        "--max-model-len: 16384 runs, 32768 wanted",
        "--kv-cache-dtype: not in what runs, fp8 wanted",
        "--trust-remote-code: set runs, not wanted",
        "--env VLLM_MODE: another value",
        "--env NEW: not set in what runs",
        "mount /models/e4b: /m/old runs, /m/new wanted",
        "mount /mod.py: not in what runs, /state/mod.py wanted",
    ]


def test_what_no_flag_shows_is_said_in_general() -> None:
    spec = ContainerSpec(
        image=RUNNING.image, command=RUNNING.command, mounts=(Mount("/models/e4b", "/m/old"),), ipc="host"
    )
    assert differences(spec, RUNNING) == ["the container's settings (docker run's own flags, or its labels)"]


def test_words_before_the_first_flag_and_values_of_several_words_are_kept() -> None:
    assert flags(["serve", "/m", "--names", "a", "b", "--eager"]) == {"": "serve /m", "--names": "a b", "--eager": ""}
