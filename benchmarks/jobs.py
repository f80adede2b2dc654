"""What quantizing takes of memory: the scripts of jobs/ on models of a gigabyte, against what they declare.

    sudo tests/testbed/testbed jobs --large
    eval "$(tests/testbed/testbed env)"
    python benchmarks/jobs.py [NAME ...]

Each runs in its container as a job does. `resident` is the process's own highest (ru_maxrss), with the pages of the
source that it has mapped; `anonymous` the highest of the container's memory that no file backs, looked at every 50 ms
(cgroup v1 only). A NAME is the beginning of a row's; without any, all rows are measured: half an hour on two cores.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from sparkctl.memory.job import peak
from sparkctl.recipes.job.script import JobScript

MIB = 2**20
JOBS = Path(__file__).resolve().parent.parent / "jobs"
IMAGES = {
    "llm-compressor": "sparkctl-test/llmcompressor:0.14.0.1",
    "modelopt": "sparkctl-test/modelopt:0.47.0",
}
IGNORE = [
    "lm_head",
    "re:.*vision_tower.*",
    "re:.*audio_tower.*",
    "re:.*embed_vision.*",
    "re:.*embed_audio.*",
    "re:.*router.*",
]
QUICK = "/usr/local/lib/python3.11/dist-packages/sparkctl-test-quick.pth"
TEXTS = {"texts": ["the quick brown fox jumps over the lazy dog"] * 4}


class Row(NamedTuple):
    """A run: which script, on which model, with which parameters."""

    name: str
    script: str
    model: str
    values: dict[str, Any]


def rows() -> list[Row]:
    """Return all that is measured."""
    found = []
    for model in ("e4b-large", "26b-large"):
        for scheme in ("FP8_DYNAMIC", "NVFP4A16", "NVFP4", "W4A16", "W8A8", "FP8_BLOCK"):
            more = {"calibration": TEXTS} if scheme == "NVFP4" else {}
            found.append(Row(f"oneshot {scheme} {model}", "llm-compressor", model, {"scheme": scheme, **more}))
        for scheme in ("FP8_DYNAMIC", "W4A16"):
            values = {"way": "model-free", "scheme": scheme}
            found.append(Row(f"model-free {scheme} {model}", "llm-compressor", model, values))
        for algorithm in ("NVFP4_DEFAULT_CFG", "W4A16_NVFP4_CFG", "FP8_DEFAULT_CFG"):
            values = {"algorithm": algorithm, "calibration": TEXTS}
            found.append(Row(f"modelopt {algorithm} {model}", "modelopt", model, values))
    free = {"way": "model-free", "scheme": "NVFP4A16"}
    return [*found, Row("model-free NVFP4A16 e4b-large", "llm-compressor", "e4b-large", free)]


class Taken(NamedTuple):
    """The most memory of a run, in bytes, and its seconds."""

    resident: int
    anonymous: int
    seconds: float


def measure(row: Row, models: Path) -> Taken:
    """Run a row in its container."""
    given = {"input": "/input", "output": "/output", "with": {"way": "oneshot", "ignore": IGNORE, **row.values}}
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        (product := Path(folder) / "product").mkdir()
        identity = Path(folder) / "container"
        command = [
            *(
                "docker",
                "run",
                "--rm",
                "--cidfile",
                str(identity),
                "--network=none",
                "--read-only",
                "--tmpfs=/tmp:exec",
            ),
            *(f"--user={os.getuid()}:{os.getgid()}", "--env=HOME=/tmp", "--env=USER=job", "--env=HF_HUB_OFFLINE=1"),
            # Several threads wait for each other by spinning, and take no less memory.
            "--env=OMP_NUM_THREADS=1",
            # The testbed's images let Python look for garbage more rarely: a file of experts then leaves much of it.
            f"--mount=type=bind,source=/dev/null,target={QUICK}",
            f"--mount=type=bind,source={JOBS / row.script}.py,target=/job/script.py,readonly",
            f"--mount=type=bind,source={JOBS}/sparkctl_job.py,target=/job/sparkctl_job.py,readonly",
            f"--mount=type=bind,source={models / row.model},target=/input,readonly",
            f"--mount=type=bind,source={product},target=/output",
            *(IMAGES[row.script], "python3", "/job/script.py", json.dumps(given)),
        ]
        began = time.monotonic()
        with tempfile.TemporaryFile("w+") as errors:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
            anonymous = watch(process, identity)
            lines = (process.stdout.read() if process.stdout else "").splitlines()
            if process.wait() != 0:
                errors.seek(0)
                raise SystemExit(f"{row.name} failed: {errors.read()[-3000:]}")
        return Taken(json.loads(lines[-1])["resident_bytes"], anonymous, time.monotonic() - began)


def watch(process: subprocess.Popen[str], identity: Path) -> int:
    """Look at the container's memory until it ends; return the most that no file backed, in bytes."""
    most = 0
    while process.poll() is None:
        time.sleep(0.05)
        try:
            stat = Path("/sys/fs/cgroup/memory/docker", identity.read_text(), "memory.stat").read_text()
        except OSError:
            continue
        most = max(most, int(dict(line.split() for line in stat.splitlines())["total_rss"]))
    return most


def size_of(folder: Path) -> peak.JobInputSize:
    """Return the bytes of a model's files."""
    files = [path.stat().st_size for path in folder.glob("*.safetensors")]
    return peak.JobInputSize(sum(files), max(files), experts="26b" in folder.name, source=str(folder))


def predicted(row: Row, size: peak.JobInputSize) -> int | None:
    """Return what the script declares for this run, in bytes."""
    declared = JobScript.model_validate(yaml.safe_load((JOBS / f"{row.script}.yaml").read_text()), strict=False)
    given = {"way": "oneshot", **row.values}
    rule = peak.rule_for(declared.memory, given, experts=size.experts, gpus=False)
    return peak.script_peak(rule, given, size).bytes if rule else None


def main() -> None:
    """Print a row of the table for each run, as it ends."""
    os.environ["DOCKER_HOST"] = os.environ["SPARKCTL_TEST_DOCKER_HOST"]
    models = Path(os.environ["SPARKCTL_TEST_TINY"])
    wanted = sys.argv[1:]
    print("| run | weights | largest file | predicted | resident | ratio | anonymous | seconds |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for row in rows():
        if wanted and not row.name.startswith(tuple(wanted)):
            continue
        size, taken = size_of(models / row.model), measure(row, models)
        says = predicted(row, size)
        cells = [
            *(f"{count / MIB:,.0f}" for count in (size.bytes, size.shard_bytes or 0)),
            f"{says / MIB:,.0f}" if says else "",
            f"{taken.resident / MIB:,.0f}",
            f"{says / taken.resident:.2f}" if says else "",
            *(f"{taken.anonymous / MIB:,.0f}", f"{taken.seconds:.0f}"),
        ]
        print(f"| {row.name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
