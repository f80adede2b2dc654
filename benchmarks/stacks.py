"""What a whole stack costs: `diff` of many services inside the process, and `apply` where there is nothing to do."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

SERVICES: Final = 64
APPLIED: Final = 10
RECIPES: Final = ("e4b-nvfp4", "26b-a4b-fp8", "e4b-fp8", "e2b-nvfp4")
ROUNDS: Final = 5
HOST: Final = "memory: 512 GiB\ngpus: [{name: NVIDIA GB10}]\n"
"""A simulated host on which ten services have room."""


def write(folder: Path, count: int) -> None:
    """Write so many recipes and a stack of them."""
    (folder / "recipes" / "stacks").mkdir(parents=True, exist_ok=True)
    lines = []
    for number in range(count):
        limits = "limits: {context: 1024, sequences: 1}\n"
        text = f"extends: {RECIPES[number % len(RECIPES)]}\nserve: {{name: m{number}, port: {9300 + number}}}\n{limits}"
        (folder / "recipes" / f"r{number}.yaml").write_text(text)
        lines.append(f"  s{number}: {{recipe: r{number}, priority: {number}}}\n")
    (folder / "recipes" / "stacks" / "many.yaml").write_text(f"services:\n{''.join(lines)}")


def diff_seconds(home: Path, environ: dict[str, str]) -> float:
    """Return the CPU time of a diff of a box as it was applied, imports not counted; the median of fresh processes."""
    write(home / "many", SERVICES)
    own = environ | {"SPARKCTL_SIM_DIR": str(home / "many-sim"), "HOME": str(home)}
    own |= {"PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    command = [sys.executable, __file__, str(home / "many")]
    subprocess.run([*command, "keep"], env=own, check=True, capture_output=True)
    told = [
        subprocess.run([*command, "diff"], env=own, check=True, capture_output=True, text=True) for _ in range(ROUNDS)
    ]
    return statistics.median(float(one.stdout) for one in told)


def apply_seconds(home: Path, environ: dict[str, str]) -> tuple[float, float]:
    """Return the wall time of an apply where there is nothing to do, and that of importing click beside it."""
    write(home / "ten", APPLIED)
    (home / "ten-sim").mkdir()
    (home / "ten-sim" / "host.yaml").write_text(HOST)
    own = environ | {"SPARKCTL_SIM_DIR": str(home / "ten-sim"), "SPARKCTL_SIM_FAULTS": "load_s=0.1"}
    command = [sys.executable, "-m", "sparkctl", "--recipes", str(home / "ten")]
    subprocess.run([*command, "apply", "many"], env=own, check=True, capture_output=True)
    try:
        times = [(_wall([*command, "apply", "many"], own), _wall([sys.executable, "-c", "import click"], own))]
        times += [(_wall([*command, "apply", "many"], own), _wall([sys.executable, "-c", "import click"], own))]
        times += [(_wall([*command, "apply", "many"], own), _wall([sys.executable, "-c", "import click"], own))]
    finally:
        subprocess.run([*command, "down", "--all"], env=own, check=True, capture_output=True)
    value, baseline = (statistics.median(column) for column in zip(*times, strict=True))
    return value, baseline


def _wall(command: list[str], environ: dict[str, str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, env=environ, check=True, capture_output=True)
    return time.perf_counter() - start


def _in_process(folder: str, what: str) -> None:
    """Keep a generation of the stack and create its containers; or print the seconds of a diff."""
    import jinja2  # noqa: F401, PLC0415  (what a diff imports is no part of what it costs)

    import sparkctl.recipes.command  # noqa: PLC0415
    import sparkctl.world.docker_run.grammar  # noqa: F401, PLC0415
    from sparkctl.cli.session import begun  # noqa: PLC0415
    from sparkctl.operations.stack.diff import diff  # noqa: PLC0415
    from sparkctl.operations.stack.generations import Generations  # noqa: PLC0415
    from sparkctl.operations.stack.resolved import kept, resolved  # noqa: PLC0415
    from sparkctl.planning.box.generation import APPLIED as DONE  # noqa: PLC0415
    from sparkctl.planning.box.generation import GenerationEnd  # noqa: PLC0415
    from sparkctl.world.labels import SecretDigests  # noqa: PLC0415

    world = begun(engine="sim", folder=folder, profile="gb10", verbose=False).world
    if what == "keep":
        stack = resolved(world, "many", touch=False)
        for image in {service.spec.image for service in stack.services}:
            list(world.engine.pull(image))
        generation = Generations(world).keep(kept(world, stack, 0, 1.0, "nobody"))
        Generations(world).end(GenerationEnd(generation.number, DONE, 2.0))
        for service in stack.services:
            world.engine.create(service.at_creation(None, SecretDigests()))
        return
    before = time.process_time()
    found = diff(world)
    print(time.process_time() - before)
    sys.exit(len(found.services) != SERVICES)


if __name__ == "__main__":
    os.environ.setdefault("SPARKCTL_ENGINE", "sim")
    _in_process(*sys.argv[1:])
