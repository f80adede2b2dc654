"""The files of a job for a real engine: a script of the standard library, its declaration, and the model it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.job_files import write_source

if TYPE_CHECKING:
    from pathlib import Path

BASE = "sparkctl-test/base:latest"
SCRIPT = """\
import json, os, shutil, socket, sys, time

given = json.loads(sys.argv[1])
said = given["with"]


def say(phase, **more):
    print(json.dumps({"phase": phase, **more}), flush=True)
    if said["hangs"] == phase:
        time.sleep(600)
    if said["fails"] == phase:
        sys.exit("error: as it was told")


def refused(act):
    try:
        act()
    except OSError:
        return True
    return False


say("import", versions={"python": "3"})
say("load")
time.sleep(said["waits"])
held = bytearray(said["holds"])
held[:: 4096] = b"1" * len(held[:: 4096])
say("quantize", layers=1)
sys.stderr.write("Quantizing:  45%|####      | 3/7\\\\r")
say("save")
for name in os.listdir(given["input"]):
    called = name + ".unfinished" if name == "config.json" else name
    shutil.copyfile(os.path.join(given["input"], name), os.path.join(given["output"], called))
os.chmod(os.path.join(given["output"], "model.safetensors"), 0o600)
seen = {
    "user": os.getuid(),
    "root": refused(lambda: open("/made", "w")),
    "input": refused(lambda: open("/input/made", "w")),
    "script": refused(lambda: open("/job/script.py", "a")),
    "network": refused(lambda: socket.create_connection(("192.0.2.1", 80), timeout=1)),
    "temporary": not refused(lambda: open("/tmp/made", "w")),
}
with open(os.path.join(given["output"], "seen.json"), "w") as file:
    json.dump(seen, file)
say("done", resident_bytes=1)
"""
DECLARED = """\
description: of this test
parameters:
  type: object
  additionalProperties: false
  properties:
    hangs: {type: string, default: none}
    fails: {type: string, default: none}
    holds: {type: integer, default: 0}
    waits: {type: integer, default: 0, description: seconds}
memory: [{base: 96 MiB, source: this test}]
"""
JOB = """\
description: of this test
image: {base}
script: shrink
input: {{path: {folder}/models/source}}
output: {folder}/models/made
gpus: none
disk: 1 MiB
checks: [whole, tensors, config]
lighter: {{words: with nothing held, set: {{with.holds: 0}}}}
"""


def write_job(folder: Path, name: str) -> Path:
    """Write a job into a folder of recipes, with its script and its model; return the folder of its product."""
    texts = {
        "jobs/shrink.py": SCRIPT.replace("\\\\r", "\\r"),
        "jobs/shrink.yaml": DECLARED,
        f"recipes/jobs/{name}.yaml": JOB.format(base=BASE, folder=folder),
    }
    for path, text in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    write_source(folder / "models" / "source")
    for one in (folder, *folder.rglob("*")):
        one.chmod(0o755 if one.is_dir() else 0o644)
    return folder / "models" / "made"
