"""Pinned packages for an image: installed outside of it with pip, compiled by the image's Python.

A container has no way to an index, and a job's has a root file system that is read-only. So nothing can be fetched or
compiled there.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from .engine import docker
from .state import State, TestbedError, run, say

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

UNNEEDED = (
    "torch/test",
    "torch/include",
    "torch/bin/*test*",
    "torch/bin/*benchmark*",
    "torch/bin/protoc*",
    "pyarrow/include",
    "pyarrow/tests",
    "sympy/**/tests",
    "numpy/**/tests",
    "networkx/**/tests",
    "pandas/tests",
    "scipy/**/tests",
    "sklearn/**/tests",
    "**/*.a",
    "bin",
)


def read_pins(path: Path) -> list[str]:
    """Return the lines `name==version` of a file of constraints."""
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]


def gather(
    state: State, pins: Iterable[str], packages: Path, python: str, image: str, unneeded: Iterable[str] = UNNEEDED
) -> None:
    """Install pinned packages into a folder, without what nobody reads, compiled by the Python of ``image``."""
    packages.mkdir(parents=True)
    _install(list(pins), packages, python)
    _refuse_cuda(packages)
    _prune(packages, unneeded)
    _compile(state, packages, python, image)


def python_of(state: State, image: str) -> str:
    """Ask an image for the version of Python that the packages have to fit."""
    program = "import sys; print('%d.%d' % sys.version_info[:2])"
    return docker(state, "run", "--rm", "--network=none", image, "python3", "-c", program).strip()


def folder(python: str) -> str:
    """Return where Debian's Python of this version finds packages that were copied into an image."""
    return f"/usr/local/lib/python{python}/dist-packages"


def _install(pins: list[str], packages: Path, python: str) -> None:
    """Install outside of any image, where pip has its settings and its cache; each list is whole as it is."""
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
        f"--python-version={python}",
        f"--target={packages}",
        *pins,
    ]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise TestbedError(f"`{' '.join(command)}` failed ({done.returncode})\n{done.stderr[-2000:]}")


def _refuse_cuda(packages: Path) -> None:
    """Stop at a torch for CUDA: it is several gigabytes larger, and of no use here."""
    version = packages / "torch" / "version.py"
    if version.exists() and "cuda: Optional[str] = None" not in version.read_text():
        raise TestbedError("pip chose a torch for CUDA; let PIP_EXTRA_INDEX_URL name an index of builds for the CPU")


def _prune(packages: Path, unneeded: Iterable[str]) -> None:
    for pattern in unneeded:
        for path in list(packages.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
    # pip runs with the umask of whoever builds; the server or the job is another user.
    run("chmod", "--recursive", "a+rX", str(packages))


def _compile(state: State, packages: Path, python: str, image: str) -> None:
    """Compile with the image's own Python, or every start of a container would do it again."""
    say("compiling the packages")
    target = folder(python)
    # Not `python3 -m compileall`: a few files are for later Pythons, and it fails because of them.
    program = f"import compileall; compileall.compile_dir({target!r}, quiet=2, workers=0)"
    docker(
        state,
        "run",
        "--rm",
        "--network=none",
        f"--mount=type=bind,source={packages},target={target}",
        image,
        "python3",
        "-c",
        program,
    )
