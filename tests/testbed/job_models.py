"""The tiny Gemma 4 models, written in the image of llm-compressor, which has torch and transformers."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from . import images, job_images
from .engine import docker
from .state import HERE, State, say

if TYPE_CHECKING:
    from pathlib import Path

WRITER = HERE / "tiny_gemma4.py"
TINY = {"e4b": ("e4b",), "26b": ("26b",), "e4b-taught": ("e4b", "--taught")}
LARGE = {"e4b-large": ("e4b", "--large"), "26b-large": ("26b", "--large")}


def build(state: State, kinds: dict[str, tuple[str, ...]]) -> list[Path]:
    """Write the models that are not there, or that an earlier writer wrote; return their folders."""
    inputs = images.fingerprint(WRITER)
    for name, words in kinds.items():
        made_from = state.tiny / f".{name}"
        if made_from.exists() and made_from.read_text() == inputs:
            continue
        say(f"writing the model {name}")
        shutil.rmtree(state.tiny / name, ignore_errors=True)
        _write(state, name, words)
        made_from.write_text(inputs)
    return [state.tiny / name for name in kinds]


def _write(state: State, name: str, words: tuple[str, ...]) -> None:
    state.tiny.mkdir(parents=True, exist_ok=True)
    docker(
        state,
        "run",
        "--rm",
        "--network=none",
        f"--user={os.getuid()}:{os.getgid()}",
        "--env=HOME=/tmp",
        "--env=OMP_NUM_THREADS=2",
        f"--mount=type=bind,source={WRITER},target=/write.py,readonly",
        f"--mount=type=bind,source={state.tiny},target=/models",
        job_images.LLMCOMPRESSOR,
        "python3",
        "/write.py",
        words[0],
        f"/models/{name}",
        *words[1:],
    )
