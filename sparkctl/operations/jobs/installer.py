"""Builds the image of a job: the base image's ``python3`` runs this text, in a container of its own.

It needs nothing but the standard library of a Python 3.8. It installs the steps of request.json with pip, one after
the other. What it is told lies beside it, in a folder that is no part of the image.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

NO_PIP = 90
"""The exit code where there is no pip, neither in the image nor among the wheels; pip's own are 1 and 2."""
STEP = "sparkctl: step "
"""How the line begins that says which step begins."""


def pip(folder: Path) -> list[str]:
    """Return the words that run pip: the image's own, else one among the wheels; [] if there is none.

    A wheel of pip runs as it is: Python imports from a zip file.
    """
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    wheels = sorted(folder.glob("wheels/pip-*.whl"))
    return [sys.executable, str(wheels[-1] / "pip")] if wheels else []


def main() -> int:
    """Install; return pip's exit code where a step failed."""
    folder = Path(__file__).resolve().parent
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    command = pip(folder)
    if not command:
        return NO_PIP
    # Debian's Python refuses pip beside apt (PEP 668): this image is nobody's system.
    environment = {**os.environ, **request["settings"], "PIP_BREAK_SYSTEM_PACKAGES": "1"}
    environment.update(PIP_ROOT_USER_ACTION="ignore", PYTHONUNBUFFERED="1", HOME="/tmp")  # noqa: S108
    options = ["install", "--no-cache-dir", "--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
    if request["wheels"]:
        options += ["--no-index", "--find-links", str(folder / "wheels")]
    if request["constraints"]:
        options += ["--constraint", str(folder / request["constraints"])]
    steps = request["steps"]
    for number, step in enumerate(steps, 1):
        sys.stdout.write("{}{} of {}: {}\n".format(STEP, number, len(steps), " ".join(step)))
        sys.stdout.flush()
        done = subprocess.run(  # noqa: S603  (this Python, and words that the job's declaration allows)
            [*command, *options, *step], env=environment, stderr=subprocess.STDOUT, check=False
        )
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
