"""Measure what an operator waits for, each figure beside a baseline of the same run; exit 1 when one is missed."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import fits
import memory
import placement
import stacks
import streams
import waves

import mods

if TYPE_CHECKING:
    from collections.abc import Callable

TESTBED: Final = Path(__file__).resolve().parent.parent / "tests" / "testbed" / "testbed"
ROUNDS: Final = 15
SPARKCTL: Final = [sys.executable, "-m", "sparkctl"]
CLICK: Final = [sys.executable, "-c", "import click"]
RECIPE: Final = "e4b-nvfp4"
URL: Final = "http://127.0.0.1:8003"
LOAD_S: Final = 4.0
FITS: Final = 40
"""2 s where the import of click takes 50 ms."""
PLAN: Final = 7
"""A third of a plan is the import of pydantic and YAML."""
EXPLAIN: Final = 8
"""0.4 s where the import of click takes 50 ms: a plan, with Jinja, which makes the words."""


class Figure(NamedTuple):
    """One measure: its value and its limit in the same unit, and how it stands to the baseline."""

    name: str
    value: float
    limit: float
    unit: str
    note: str

    def row(self) -> str:
        """Return the line that is printed."""
        mark = "ok" if self.value <= self.limit else "MISSED"
        return f"{mark:7}{self.name:45}{self.value:8.2f} {self.unit:6} at most {self.limit:g}   {self.note}"


def wall(command: list[str], environ: dict[str, str]) -> float:
    """Return the wall time of one run of a command, in seconds."""
    start = time.perf_counter()
    subprocess.run(command, env=environ, check=True, capture_output=True)
    return time.perf_counter() - start


def cpu(command: list[str], environ: dict[str, str]) -> float:
    """Return the CPU time of one run of a command, in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=environ, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def against_click(
    cost: Callable[[list[str], dict[str, str]], float], arguments: list[str], environ: dict[str, str]
) -> tuple[float, str]:
    """Return the median cost of a command of sparkctl over that of importing click, and both in seconds.

    They take turns, so that a machine that is busy for a while changes both. A first run, which may compile, is not
    counted.
    """
    times = [(cost([*SPARKCTL, *arguments], environ), cost(CLICK, environ)) for _ in range(ROUNDS + 1)][1:]
    value, baseline = (statistics.median(column) for column in zip(*times, strict=True))
    return value / baseline, f"{value:.3f} s / {baseline:.3f} s"


def help_page(environ: dict[str, str]) -> Figure:
    """Measure `--help` against importing click."""
    ratio, note = against_click(wall, ["--help"], environ)
    return Figure("sparkctl --help / import click", ratio, 1.3, "times", note)


def plan(environ: dict[str, str]) -> Figure:
    """Measure the CPU time of a plan of two recipes against importing click."""
    ratio, note = against_click(cpu, ["plan", RECIPE, "26b-a4b-fp8"], environ)
    return Figure("sparkctl plan of two recipes / import click", ratio, PLAN, "times", note)


def explaining(environ: dict[str, str]) -> Figure:
    """Measure the CPU time of explaining every word of a command against importing click."""
    ratio, note = against_click(cpu, ["explain", "26b-a4b-fp8-mtp"], environ)
    return Figure("sparkctl explain / import click", ratio, EXPLAIN, "times", note)


def sizes(environ: dict[str, str], home: Path) -> list[Figure]:
    """Measure `size` on a folder of 200 shards: its CPU time against importing click, and what reading it takes."""
    folder = home / "shards"
    whole = memory.make_folder(folder)
    read = memory.bytes_read(folder)
    ratio, note = against_click(cpu, ["size", str(folder), "--json"], environ)
    return [
        Figure("size of 200 shards / import click", ratio, 7, "times", note),
        Figure("size of 200 shards, read of the whole", 100 * read / whole, 1, "%", f"{read:,} of {whole:,} bytes"),
    ]


def planning() -> list[Figure]:
    """Measure a plan of 64 services inside the process, admitted and refused."""
    admitted, refused = (
        statistics.median(memory.planning_ms(available) for _ in range(ROUNDS)) for available in (110, 60)
    )
    return [
        Figure("plan of 64 services, admitted", admitted, 50, "ms", "inside the process"),
        Figure("plan of 64 services, refused", refused, 50, "ms", f"{refused / admitted:.0f} times the admitted one"),
    ]


def overlays(home: Path) -> list[Figure]:
    """Measure the hashing of mods' files against md5sum, and where there is an engine, 50 mods over 8 containers."""
    hashed = mods.hashing(home / "hashed")
    ratio = hashed.ours_s / hashed.baseline_s
    note = f"{hashed.ours_s:.2f} s / {hashed.baseline_s:.2f} s"
    figures = [Figure("hashing of mods' files / md5sum", ratio, 1.2, "times", note)]
    subprocess.run([sys.executable, TESTBED, "model", home / "tiny"], check=True, capture_output=True)
    verified = mods.verifying(home, home / "tiny")
    if verified is None:
        print(f"not measured: verify-mods of 50 mods over 8 containers: {mods.ENGINE} names no engine")
        return figures
    note = f"docker exec true in each: {verified.baseline_s:.2f} s"
    return [*figures, Figure("verify-mods of 50 mods over 8 containers", verified.ours_s, 1.5, "s", note)]


def together(home: Path) -> list[Figure]:
    """Measure three stand-ins that wait while they load, in a wave against one by one, where there is an engine."""
    took = waves.starting(home, home / "tiny")
    if took is None:
        print(f"not measured: three in a wave against one by one: {waves.ENGINE} names no engine")
        return []
    note = f"{took.wave_s:.1f} s / {took.serial_s:.1f} s"
    return [Figure("three in a wave / one by one", took.ratio, 0.6, "times", note)]


def honest() -> list[Figure]:
    """Measure what `bench` reports of a server that streams at known rates; the worst of all rates."""
    found = streams.honesty()
    note = f"{len(found)} pairs of 5 to 500 tok/s and 1 to 64 at once"
    return [
        Figure("bench: tok/s off the true ones", 100 * max(one.speed_off for one in found), 1, "%", note),
        Figure("bench: first token off", 1000 * max(one.first_off_s for one in found), 5, "ms", note),
        Figure("bench: client's CPU, cores", max(one.cores for one in found), 1, "cores", "64 streams of 500 tok/s"),
    ]


def whole_stacks(environ: dict[str, str], home: Path) -> list[Figure]:
    """Measure `diff` of a stack of 64 services, and `apply` of one of ten that is as declared."""
    seconds = stacks.diff_seconds(home, environ)
    value, baseline = stacks.apply_seconds(home, environ)
    return [
        Figure("diff of 64 services, CPU", 1000 * seconds, 300, "ms", "inside the process, imports not counted"),
        Figure("apply of 10 services as declared / import click", value / baseline, 20, "times", f"{value:.2f} s"),
    ]


def catalog(environ: dict[str, str], home: Path) -> list[Figure]:
    """Measure `fits` over 300 recipes, without and with their speeds."""
    fits.write(home / "catalog")
    found = []
    for more in ([], ["--speed"]):
        words = ["--recipes", str(home / "catalog"), "fits", "--beside", fits.BESIDE, *more]
        value, note = against_click(cpu, words, environ)
        found.append(
            Figure(" ".join(["fits of 300 recipes", *more, "/ import click, CPU"]), value, FITS, "times", note)
        )
    return found


def over_hosts() -> list[Figure]:
    """Measure the placement of 500 services over 100 hosts."""
    rounds = [placement.placed(seed) for seed in range(3)]
    used, least = sum(one.used for one in rounds), sum(one.least for one in rounds)
    name = f"placing {placement.SERVICES} services over {placement.HOSTS} hosts"
    note = "inside the process, imports not counted"
    return [
        Figure(name, 1000 * statistics.median(one.seconds for one in rounds), 1000, "ms", note),
        Figure("hosts that it uses / the fewest possible", used / least, 1.10, "times", f"{used} and {least}"),
    ]


def waiting(environ: dict[str, str]) -> list[Figure]:
    """Measure how late "ready" is said after the server's first healthy answer, and how large `up` is meanwhile."""
    ordered = environ | {"SPARKCTL_SIM_FAULTS": f"load_s={LOAD_S}"}
    process = subprocess.Popen([*SPARKCTL, "up", RECIPE], env=ordered, stderr=subprocess.DEVNULL)
    resident = 0.0
    while not healthy():
        resident = max(resident, resident_mb(process.pid))
        time.sleep(0.01)
    first = time.perf_counter()
    process.wait()
    late = time.perf_counter() - first
    probe = generation()
    subprocess.run([*SPARKCTL, "down", RECIPE], env=environ, check=True, capture_output=True)
    note = f"{late:.2f} s in all, the probe alone {probe:.2f} s"
    return [
        Figure("from healthy to ready, beyond the probe", late - probe, 1, "s", note),
        Figure("resident memory of up while waiting", resident, 80, "MB", "all its libraries loaded"),
    ]


def healthy() -> bool:
    """Return whether the server answers /health."""
    try:
        with urllib.request.urlopen(f"{URL}/health", timeout=1) as reply:  # noqa: S310  (the loopback)
            return bool(reply.status == 200)  # noqa: PLR2004
    except (urllib.error.URLError, OSError):
        return False


def generation() -> float:
    """Return the seconds of one generation of four tokens: what the probe cannot be quicker than."""
    body = b'{"model": "gemma-4-e4b", "prompt": "1 2 3", "max_tokens": 4}'
    request = urllib.request.Request(f"{URL}/v1/completions", body, {"Content-Type": "application/json"})  # noqa: S310
    start = time.perf_counter()
    with urllib.request.urlopen(request, timeout=60) as reply:  # noqa: S310  (the loopback)
        reply.read()
    return time.perf_counter() - start


def resident_mb(pid: int) -> float:
    """Return a process's resident memory, in MB (10^6 bytes)."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (FileNotFoundError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> int:
    """Run them all, in a home of their own."""
    with tempfile.TemporaryDirectory() as home:
        own = {"HOME": home, "XDG_STATE_HOME": f"{home}/state", "XDG_CONFIG_HOME": f"{home}/config"}
        environ = os.environ | own | {"SPARKCTL_ENGINE": "sim", "SPARKCTL_SIM_DIR": f"{home}/sim"}
        environ.pop("PYTHONDONTWRITEBYTECODE", None)  # pip compiles what it installs
        figures = [help_page(environ), plan(environ), explaining(environ), *sizes(environ, Path(home)), *planning()]
        figures += waiting(environ)
        figures += [*overlays(Path(home)), *together(Path(home)), *honest(), *whole_stacks(environ, Path(home))]
        figures += catalog(environ, Path(home))
        figures += over_hosts()
    for figure in figures:
        print(figure.row())
    return int(any(figure.value > figure.limit for figure in figures))


if __name__ == "__main__":
    sys.exit(main())
