"""A tiny Gemma 4 that was taught to say "four", quantized by the real tool and proved by the real vLLM; and spoiled.

The spoiled product has every header as it has to be: only its answer tells.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.job_fixtures import LLMCOMPRESSOR
from tests.support.vllm_machine import IMAGE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.vllm_machine import Machine

pytestmark = [pytest.mark.docker, pytest.mark.vllm, pytest.mark.jobs, pytest.mark.timeout(1200)]

SERVED = """\
template: vllm-cpu
image: {image}
vllm: "0.32"
model: {{repo: test/taught, path: {folder}/fp8}}
gpus: none
env: {{VLLM_CPU_OMP_THREADS_BIND: nobind, OMP_NUM_THREADS: "1", TORCHDYNAMO_DISABLE: "1"}}
container: {{shm-size: 1 GiB}}
serve: {{name: taught, port: 8100}}
limits: {{context: 256, sequences: 2, batched-tokens: 256}}
# The text class reads the multimodal checkpoint and skips its towers, which need torchvision.
args: {{enforce-eager: true, language-model-only: true, hf-overrides: {{architectures: [Gemma4ForCausalLM]}}}}
checks: [four]
"""
FOUR = """\
description: what the tiny model was taught
source: this test
requests:
  - {prompt: what is two and two, max-tokens: 8, expect: {contains: [four]}}
"""
QUANTIZE = """\
image: {image}
script: llm-compressor
with:
  scheme: FP8_DYNAMIC
  ignore: [lm_head, 're:.*vision_tower.*', 're:.*audio_tower.*', 're:.*embed_vision.*', 're:.*embed_audio.*']
input: {{repo: test/taught, path: {source}}}
output: {folder}/fp8
gpus: none
memory: {{peak: 2 GiB, source: this test}}
checks: [whole, declared, layers, kept, tensors, config, bytes, loads, answers]
serves: {prefix}-taught
"""
SPOIL = """\
image: sparkctl-test/base:latest
script: ./spoil.py
input: {{repo: test/taught, path: {folder}/fp8}}
output: {folder}/spoiled
gpus: none
memory: {{peak: 64 MiB, source: this test}}
checks: [whole, loads, answers]
serves: {prefix}-taught
"""
SPOILING = """\
import json, pathlib, shutil, sys

order = json.loads(sys.argv[1])
source, product = pathlib.Path(order["input"]), pathlib.Path(order["output"])
print(json.dumps({"phase": "save"}), flush=True)
for one in source.iterdir():
    if one.name not in {"config.json", "sparkctl-job.json"}:
        shutil.copyfile(one, product / one.name)
data = bytearray((source / "model.safetensors").read_bytes())
length = int.from_bytes(data[:8], "little")
for name, entry in json.loads(data[8 : 8 + length]).items():
    if name.endswith("mlp.down_proj.weight_scale"):
        begin, end = (8 + length + at for at in entry["data_offsets"])
        for at in range(begin + 1, end, 2):
            data[at] ^= 0x80  # the sign of a number of 16 bits
(product / "model.safetensors").write_bytes(data)
shutil.copyfile(source / "config.json", product / "config.json.unfinished")
print(json.dumps({"phase": "done"}), flush=True)
"""


def test_what_was_taught_is_still_known_after_quantizing_and_a_spoiled_product_gets_no_name(
    machine: Machine, tiny_gemma4: Path, tmp_path: Path
) -> None:
    named = {"folder": tmp_path, "prefix": machine.prefix, "source": tiny_gemma4 / "e4b-taught"}
    machine.write(f"recipes/{machine.prefix}-taught.yaml", SERVED.format(image=IMAGE, **named))
    machine.write("checks/four.yaml", FOUR)
    machine.write(f"recipes/jobs/{machine.prefix}-fp8.yaml", QUANTIZE.format(image=LLMCOMPRESSOR, **named))
    machine.write(f"recipes/jobs/{machine.prefix}-spoil.yaml", SPOIL.format(**named))
    machine.write("recipes/jobs/spoil.py", SPOILING)

    machine.run("job", "run", f"{machine.prefix}-fp8").expect(0)
    told = json.loads((tmp_path / "fp8" / "sparkctl-job.json").read_text())
    assert told["layers"] == 33
    assert told["checks"]["layers"] == "33 of 33 linear layers that are to be quantized are"
    assert told["checks"]["answers"] == "it passes the checks four"

    spoiled = machine.run("job", "run", f"{machine.prefix}-spoil").expect(7).err
    assert "fails 1 of its 1 checks" in spoiled
    assert "four: contains: not there, expected four" in spoiled
    assert sorted(one.name for one in tmp_path.iterdir()) == ["fp8"]
    there = machine.docker("ps", "--all", "--format", "{{.Names}}").split()
    mine = (f"{machine.prefix}-fp8", f"{machine.prefix}-spoil")
    assert not [name for name in there if any(one in name for one in mine)]
