"""Mods: hashing against md5sum, and verify-mods of 50 mods over 8 running containers of a real engine."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.mods.on_disk import read_source
from sparkctl.mods.placed import md5_of

if TYPE_CHECKING:
    from pathlib import Path

SERVICES: Final = 8
MODS: Final = 50
FILES: Final = 32
FILE_BYTES: Final = 8 * 1024**2
ENGINE: Final = "SPARKCTL_TEST_DOCKER_HOST"
RECIPE: Final = """\
description: a stand-in for vLLM
template: vllm-openai
image: sparkctl-test/standin:latest
vllm: "0.29"
model: {{repo: test/tiny, path: {model}, mount: /models/tiny}}
gpus: none
serve: {{name: tiny, port: {port}}}
limits: {{context: 1024, sequences: 2, batched-tokens: 512}}
env: {{SPARKCTL_SIM_FAULTS: "load_s=0.1"}}
mods: [{mods}]
"""
HOST: Final = "total: 16 GiB\nreserve: 512 MiB\nsources: {total: this benchmark, reserve: this benchmark}\n"


class Times(NamedTuple):
    """Seconds of what is measured and of its baseline."""

    ours_s: float
    baseline_s: float


def hashing(folder: Path) -> Times:
    """Read and hash files as a mod's source is, and let md5sum do the same; both from a warm page cache."""
    folder.mkdir()
    paths = [folder / f"{number}.py" for number in range(FILES)]
    for path in paths:
        path.write_bytes(os.urandom(FILE_BYTES))
    subprocess.run(["md5sum", *paths], check=True, capture_output=True)
    start = time.perf_counter()
    subprocess.run(["md5sum", *paths], check=True, capture_output=True)
    middle = time.perf_counter()
    for path in paths:
        md5_of(read_source(path))
    return Times(time.perf_counter() - middle, middle - start)


def verifying(home: Path, model: Path) -> Times | None:
    """Verify the mods of running services; the baseline is one `docker exec … true` in each. None without an engine."""
    host = os.environ.get(ENGINE)
    if not host:
        return None
    environ = os.environ | {"HOME": str(home), "DOCKER_HOST": host, "SPARKCTL_RECIPES": str(home / "folder")}
    environ |= {"SPARKCTL_ENGINE": "docker", "SPARKCTL_PROFILE": "bench", "XDG_STATE_HOME": str(home / "state")}
    names = _written(home / "folder", model)
    sparkctl = [sys.executable, "-m", "sparkctl"]
    try:
        subprocess.run([*sparkctl, "up", *names], env=environ, check=True, capture_output=True)
        start = time.perf_counter()
        for name in names:
            subprocess.run(["docker", "exec", name, "true"], env=environ, check=True)
        middle = time.perf_counter()
        subprocess.run([*sparkctl, "verify-mods", *names], env=environ, check=True, capture_output=True)
        return Times(time.perf_counter() - middle, middle - start)
    finally:
        subprocess.run([*sparkctl, "down", *names], env=environ, check=False, capture_output=True)


def _written(folder: Path, model: Path) -> list[str]:
    """Write recipes that share 50 mods among them, and return their names."""
    (folder / "recipes" / "hosts").mkdir(parents=True)
    (folder / "recipes" / "hosts" / "bench.yaml").write_text(HOST)
    for number in range(MODS):
        own = folder / "mods" / f"m{number}"
        own.mkdir(parents=True)
        text = f"NUMBER = {number}\n"
        (own / "x.py").write_text(text)
        md5 = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
        module = f"vllm.model_executor.models.added_{number}"
        manifest = f'files: [{{module: {module}, source: x.py, md5: "{md5}", replaces: absent}}]\n'
        (own / "mod.yaml").write_text(manifest)
    names = [f"bench{os.getpid()}-{number}" for number in range(SERVICES)]
    for number, name in enumerate(names):
        mods = ", ".join(f"m{mod}" for mod in range(number, MODS, SERVICES))
        text = RECIPE.format(model=model, port=18300 + number, mods=mods)
        (folder / "recipes" / f"{name}.yaml").write_text(text)
    return names
