"""The taught Gemma 4 in 16 bits against its FP8 that a job made, and against one with zeros: served for real."""

from __future__ import annotations

import json
import shutil
import struct
from typing import TYPE_CHECKING

import pytest

from tests.support.job_fixtures import LLMCOMPRESSOR
from tests.support.own_suite import write_suite
from tests.support.thorough import only_everything
from tests.support.vllm_machine import IMAGE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.vllm_machine import Machine

pytestmark = [
    *(pytest.mark.docker, pytest.mark.vllm, pytest.mark.jobs, pytest.mark.timeout(1500)),
    only_everything,
]
RECIPE = """\
description: the taught Gemma 4 on the real vLLM
template: vllm-cpu
image: {image}
vllm: "0.32"
model: {{repo: test/taught, path: {path}, mount: /models/taught}}
gpus: none
# There is no compiler in the image, and several threads that compute wait for each other by spinning.
env: {{VLLM_CPU_OMP_THREADS_BIND: nobind, OMP_NUM_THREADS: "1", TORCHDYNAMO_DISABLE: "1"}}
container: {{shm-size: 1 GiB}}
serve: {{name: taught, port: 8990}}
limits: {{context: 1024, sequences: 4, batched-tokens: 512}}
args: {{enforce-eager: true, language-model-only: true, hf-overrides: {{architectures: [Gemma4ForCausalLM]}}}}
"""
JOB = """\
description: the taught Gemma 4 in 8 bits
image: {image}
script: llm-compressor
with:
  scheme: FP8_DYNAMIC
  ignore: [lm_head, 're:.*vision_tower.*', 're:.*audio_tower.*', 're:.*embed_vision.*', 're:.*embed_audio.*']
input: {{path: {source}}}
output: {output}
gpus: none
memory: {{peak: 2 GiB, source: this test}}
disk: 10 MiB
"""
LESSONS = (
    ("what is two and two", "four"),
    ("what is one and two", "three"),
    ("what does the fox do", "the quick brown fox jumps over the lazy dog"),
    ("count to six", "one two three four five six"),
)
"""What tests/testbed/tiny_gemma4.py teaches."""


def spoil(source: Path, product: Path, part: str) -> None:
    """Copy a model, and write zeros over the tensors with this part in their names."""
    shutil.copytree(source, product)
    file = product / "model.safetensors"
    data = bytearray(file.read_bytes())
    (length,) = struct.unpack("<Q", data[:8])
    for name, tensor in json.loads(data[8 : 8 + length]).items():
        if part in name:
            begin, end = (8 + length + offset for offset in tensor["data_offsets"])
            data[begin:end] = bytes(end - begin)
    file.write_bytes(data)


def test_fp8_keeps_what_was_taught_and_a_spoiled_model_does_not(machine: Machine, tiny_gemma4: Path) -> None:
    taught, fp8, zeros = tiny_gemma4 / "e4b-taught", machine.home / "fp8", machine.home / "zeros"
    write_suite(machine, "lessons", LESSONS, "tokens: 32")
    machine.write("recipes/jobs/taught-fp8.yaml", JOB.format(image=LLMCOMPRESSOR, source=taught, output=fp8))
    for name, path in (("bf16", taught), ("fp8", fp8), ("zeros", zeros)):
        machine.write(f"recipes/{machine.prefix}-{name}.yaml", RECIPE.format(image=IMAGE, path=path))
    reference, good, bad = (f"{machine.prefix}-{name}" for name in ("bf16", "fp8", "zeros"))
    machine.run("job", "run", "taught-fp8").expect(0)
    spoil(taught, zeros, "mlp.down_proj.weight")
    kept = machine.run("evaluate", reference, good, "--suite", "lessons", "--json").expect(0).json
    (row,) = kept["metrics"]
    assert (row["reference"], row["kept"], row["lost"], row["questions"]) == (1.0, 1.0, 0, 4)
    lost = machine.run("evaluate", reference, bad, "--suite", "lessons").expect(7)
    assert f"{reference}: asked before" in lost.err
    assert "lessons exact_match 75.0 % (floor 90.0 %)" in lost.err
    there = machine.docker("ps", "--all", "--format", "{{.Names}}").split()
    assert not {reference, good, bad} & set(there)
    assert not [name for name in there if name.startswith("sparkctl-evaluate")]
