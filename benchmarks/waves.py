"""Waves: three services that load at once against the same three one after another, on a real engine.

Run by itself it measures three of the real vLLM on the CPU, too, by turns. No order of them is quicker than their CPU
time on all cores together, and where others use these, it is slower: that time is printed beside it.
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ENGINE: Final = "SPARKCTL_TEST_DOCKER_HOST"
TESTBED: Final = Path(__file__).resolve().parent.parent / "tests" / "testbed"
SPARKCTL: Final = (sys.executable, "-m", "sparkctl")
SERVICES: Final = 3
LOAD_S: Final = 10.0
"""What a stand-in takes to load, in which it waits and computes nothing."""
TURNS: Final = 3
STANDIN: Final = """\
description: a stand-in for vLLM
template: vllm-openai
image: sparkctl-test/standin:latest
vllm: "0.29"
model: {{repo: test/tiny, path: {model}, mount: /models/tiny}}
gpus: none
serve: {{name: tiny, port: {port}}}
limits: {{context: 1024, sequences: 2, batched-tokens: 512}}
env: {{SPARKCTL_SIM_FAULTS: "load_s={load_s}"}}
"""
VLLM: Final = """\
description: a random Llama of 300 KB on the real vLLM
template: vllm-cpu
image: sparkctl-test/vllm-cpu:0.32.0
vllm: "0.32"
model: {{repo: test/tiny, path: {model}, mount: /models/tiny}}
gpus: none
env: {{VLLM_CPU_OMP_THREADS_BIND: nobind, OMP_NUM_THREADS: "1"}}
container: {{ipc: host}}
serve: {{name: tiny, port: {port}}}
limits: {{context: 1024, sequences: 4, batched-tokens: 512}}
args: {{enforce-eager: true}}
"""
TEMPLATE: Final = """\
{% set package_root = "/usr/local/lib/python3.11/dist-packages" %}
docker run
{% include "_docker.j2" %}
{{ image }}
--model {{ model }}
{% include "_serve.j2" %}
"""
HOST: Final = "total: 20 GiB\nreserve: 512 MiB\nsources: {total: this benchmark, reserve: this benchmark}\n"


class Starts(NamedTuple):
    """Seconds from `up` to all of them ready, in a wave and one by one; ``cpu_s`` is what their processes computed."""

    wave_s: float
    serial_s: float
    cpu_s: float

    @property
    def ratio(self) -> float:
        """The wave's over the serial ones'."""
        return self.wave_s / self.serial_s


def starting(home: Path, model: Path, recipe: str = STANDIN, turns: int = 1) -> Starts | None:
    """Start three by turns in a wave and one by one, and return the medians; None without an engine."""
    host = os.environ.get(ENGINE)
    if not host:
        return None
    folder = home / "waves"
    environ = os.environ | {"HOME": str(home), "DOCKER_HOST": host, "SPARKCTL_RECIPES": str(folder)}
    environ |= {"SPARKCTL_ENGINE": "docker", "SPARKCTL_PROFILE": "bench", "XDG_STATE_HOME": str(home / "state")}
    names = _written(folder, model, recipe)
    wave, serial = [], []
    for _ in range(turns):
        wave.append(_up(names, [], environ))
        serial.append(_up(names, ["--one-by-one"], environ))
    columns = [seconds for seconds, _ in wave], [seconds for seconds, _ in serial], [cpu for _, cpu in serial]
    return Starts(*(statistics.median(column) for column in columns))


def _up(names: Sequence[str], options: Sequence[str], environ: Mapping[str, str]) -> tuple[float, float]:
    """Start services and remove them again; return the seconds that the start took, and those of their processes."""
    start = time.perf_counter()
    try:
        subprocess.run([*SPARKCTL, "up", *names, *options], env=environ, check=True, capture_output=True, text=True)
        return time.perf_counter() - start, sum(_cpu_s(name, environ) for name in names)
    except subprocess.CalledProcessError as error:
        print(error.stderr, file=sys.stderr)
        raise
    finally:
        subprocess.run([*SPARKCTL, "down", *names], env=environ, check=False, capture_output=True)


def _cpu_s(name: str, environ: Mapping[str, str]) -> float:
    """Return the CPU seconds of a container's processes, with those of their children that ended (proc(5), stat)."""
    told = subprocess.run(
        ["docker", "top", name, "-eo", "pid"], env=environ, check=True, capture_output=True, text=True
    )
    ticks = 0
    for pid in told.stdout.split()[1:]:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def _written(folder: Path, model: Path, recipe: str) -> list[str]:
    """Write the recipes, and return their names."""
    (folder / "recipes" / "hosts").mkdir(parents=True, exist_ok=True)
    (folder / "templates").mkdir(exist_ok=True)
    (folder / "recipes" / "hosts" / "bench.yaml").write_text(HOST)
    (folder / "templates" / "vllm-cpu.j2").write_text(TEMPLATE)
    names = [f"wave{os.getpid()}-{number}" for number in range(SERVICES)]
    for name in names:
        text = recipe.format(model=model, port=_free_port(), load_s=LOAD_S)
        (folder / "recipes" / f"{name}.yaml").write_text(text)
    return names


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def main() -> None:
    """Print the figures of the stand-in and of the real vLLM."""
    with tempfile.TemporaryDirectory() as home:
        model = Path(home) / "tiny"
        subprocess.run([sys.executable, TESTBED / "testbed", "model", model], check=True, capture_output=True)
        compiled = Path(os.environ.get("SPARKCTL_TESTBED", "/var/tmp/sparkctl-testbed")) / "compiled"  # noqa: S108
        (Path(home) / ".cache" / "sparkctl").mkdir(parents=True)
        (Path(home) / ".cache" / "sparkctl" / "compiled").symlink_to(compiled)
        for what, recipe, turns in (("stand-ins that wait", STANDIN, 1), ("real vLLMs", VLLM, TURNS)):
            took = starting(Path(home), model, recipe, turns)
            if took is None:
                sys.exit(f"{ENGINE} names no engine")
            print(f"three {what}: {took.wave_s:.1f} s in a wave, {took.serial_s:.1f} s one by one: {took.ratio:.2f}")
            cores = os.cpu_count() or 1
            least = f"{took.cpu_s / cores:.1f} s on all of {cores} cores: {took.cpu_s / cores / took.serial_s:.2f}"
            print(f"  they compute {took.cpu_s:.1f} s, which is {least}")


if __name__ == "__main__":
    main()
