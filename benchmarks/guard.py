"""How soon the guard acts: real processes that take memory at given rates, beside one of higher priority that answers.

    python benchmarks/guard.py [--runs 20] [--rates 1,4,10] [--real] [--seconds 60]

Without --real the memory is one that is pretended (a file like /proc/meminfo), which falls at exactly the rate; with
it, 5 GiB are taken of this machine's, as fast as it gives them, and each run says how fast that was. --seconds measures
what a guard takes that looks ten times a second meanwhile.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from sparkctl.operations.guard.alone.lines import GIB, Lines
from tests.support.guarding import GuardBench, fall


def one_run(rate: float, *, real: bool) -> tuple[float, float, float, int, str]:
    """Return of a run: ms after the line crossed, GiB available then, GiB/s, the hog's exit code, who was hit."""
    with tempfile.TemporaryDirectory() as folder:
        bench = GuardBench(Path(folder))
        try:
            found = fall(bench, rate, real=real)
        finally:
            bench.close()
    action = found.action
    fell = action.bytes_per_second / GIB
    return action.after_ms, action.available_bytes / GIB, fell, found.hog_code, action.victim


def takes(seconds: float) -> str:
    """Return what a guard takes that looks ten times a second."""
    with tempfile.TemporaryDirectory() as folder:
        bench = GuardBench(Path(folder))
        try:
            memory = bench.pool()
            bench.available(14.5)
            guard = bench.guard(Lines(16 * GIB, 14 * GIB, 12 * GIB), memory)
            before, looks = _cpu_s(guard.pid), bench.until(lambda _: True).looks
            time.sleep(seconds)
            used, looked = _cpu_s(guard.pid) - before, bench.until(lambda _: True).looks - looks
            status = Path(f"/proc/{guard.pid}/status").read_text()
        finally:
            bench.close()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]
    return f"{int(resident) / 1024:.1f} MiB; {used / seconds:.2%} of a core at {looked / seconds:.1f} looks a second"


def _cpu_s(pid: int) -> float:
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def main() -> None:
    """Run all and print a line for each rate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--rates", default="1,4,10")
    parser.add_argument("--real", action="store_true")
    parser.add_argument("--seconds", type=float, default=0)
    given = parser.parse_args()
    for rate in map(float, given.rates.split(",")):
        runs = [one_run(rate, real=given.real) for _ in range(given.runs)]
        well = sum(code < 0 and victim == "hog" for *_, code, victim in runs)
        after = sorted(ms for ms, *_ in runs)
        seen = statistics.median(fell for _, _, fell, *_ in runs)
        print(
            f"{rate:4.0f} GiB/s asked, {seen:.1f} seen in the last second: {well} of {given.runs} ended the hog alone;",
            f"after the line {statistics.median(after):.0f} ms, at most {after[-1]:.0f} ms;",
            f"least available {min(left for _, left, *_ in runs):.1f} GiB",
            flush=True,
        )
    if given.seconds:
        print(takes(given.seconds))


if __name__ == "__main__":
    main()
