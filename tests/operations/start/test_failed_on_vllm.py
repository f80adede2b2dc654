"""Starts of the real vLLM that fail, and what is said of them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.support.thorough import only_everything

if TYPE_CHECKING:
    from tests.support.vllm_machine import Machine

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1200)]


@pytest.mark.parametrize(
    ("overrides", "own", "cause", "fix"),
    [
        (
            ("args.max-modle-len=1",),
            "unrecognized arguments: --max-modle-len",
            "this vLLM has no flag --max-modle-len",
            "sparkctl recipes lint",
        ),
        (
            ("limits.context=4096", "memory={kv: 1 MiB}"),
            "larger than the available KV cache memory",
            "one request of 4096 tokens needs",
            "--set limits.context=",
        ),
    ],
    ids=["flag", "context over the cache"],
)
def test_a_real_failure_is_told_in_vllms_words_and_explained(
    machine: Machine, overrides: tuple[str, ...], own: str, cause: str, fix: str
) -> None:
    name, _ = machine.recipe("fails")
    words = [word for override in overrides for word in ("--set", override)]
    failed = machine.run("up", name, *words)
    assert failed.code in {3, 5}, failed.err
    assert re.search(rf"{name} is not ready: the container exited with code [12]\b", failed.err)
    assert own in failed.err
    assert f"cause: {cause}" in failed.err
    assert fix in failed.err
    assert machine.docker("ps", "--all", "--quiet", "--filter", f"name=^{name}$") == ""


@only_everything  # its words are in the catalogue of failures, as a real vLLM printed them
def test_a_folder_without_a_config_is_explained(machine: Machine) -> None:
    name, _ = machine.recipe("bare")
    config = machine.model / "config.json"
    bare = machine.home / "bare"
    bare.mkdir()
    for file in machine.model.iterdir():
        if file.name != config.name:
            (bare / file.name).write_bytes(file.read_bytes())
    (bare / "config.json").write_text(json.dumps(json.loads(config.read_text()) | {"model_type": "nosuch"}))
    failed = machine.run("up", name, "--set", f"model.path={bare}").expect(5)
    assert "cause: the transformers in this image does not know nosuch" in failed.err
