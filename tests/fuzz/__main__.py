"""The project's own fuzzer: ``python -m tests.fuzz --seconds 60``, or ``make fuzz SECONDS=60``.

Every fault that it finds is minimised and written to the corpus, which a test replays. Exit code 1 where it found one.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.fuzz.mutations import mutated
from tests.fuzz.runs import Finding, Spent, minimised, tried
from tests.fuzz.targets import TARGETS

CORPUS: Final = Path(__file__).parent / "corpus"


def inputs(name: str, chance: random.Random, count: int) -> list[bytes]:
    """Return so many inputs for a target, made of its seeds; the same for the same state of ``chance``."""
    seeds = TARGETS[name].seeds()
    return [mutated(chance, chance.choice(seeds), seeds) for _ in range(count)]


def at_home(folder: str) -> dict[str, str]:
    """Return an environment in which commands neither see the operator's files nor change them, nor ask the hub."""
    folders = ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "SPARKCTL_SIM_DIR")
    return {**dict.fromkeys(folders, folder), "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "1"}


def main() -> int:
    """Fuzz the targets in turn until the time is over, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0, help="0: another one each time")
    parser.add_argument("targets", nargs="*", choices=[[], *TARGETS], help="all unless some are named")
    asked = parser.parse_args()
    seed = asked.seed or time.time_ns() % 2**32
    chance = random.Random(seed)  # noqa: S311  (the same seed, the same inputs)
    names = asked.targets or list(TARGETS)
    ends = time.monotonic() + asked.seconds
    found: dict[tuple[str, str], Path] = {}
    spent = {name: Spent() for name in names}
    sys.stdout.write(f"seed {seed}, {len(names)} targets\n")
    while time.monotonic() < ends:
        for name in names:
            for finding in tried(TARGETS[name].read, inputs(name, chance, TARGETS[name].batch), spent[name]):
                if (name, finding.what) not in found:
                    found[name, finding.what] = _kept(name, finding)
                    sys.stdout.write(f"{name}: {finding.what}: {found[name, finding.what]}\n")
                    sys.stdout.flush()
            if time.monotonic() > ends:
                break
    for name, one in spent.items():
        sys.stdout.write(f"{name:24} {one.count:9,} {one.cpu_s:6.2f} s {one.memory_bytes // 1024**2:5} MiB\n")
    sys.stdout.write(f"{sum(one.count for one in spent.values())} inputs, {len(found)} faults\n")
    return 1 if found else 0


def _kept(name: str, finding: Finding) -> Path:
    data = minimised(TARGETS[name].read, finding)
    path = CORPUS / name / hashlib.sha256(data).hexdigest()[:12]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="fuzz-home-") as home:
        os.environ |= at_home(home)
        raise SystemExit(main())
