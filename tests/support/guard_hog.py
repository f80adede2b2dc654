"""What takes memory: `python -I -S guard_hog.py RATE MOST [MEMINFO]`, in GiB a second and GiB, once a line comes.

With MEMINFO it takes none, and says so in a file like /proc/meminfo, of a memory that falls at exactly this rate for as
long as this process lives: what no shared machine does.
"""

from __future__ import annotations

import mmap
import sys
import time
from pathlib import Path

GIB = 1 << 30
PIECE = 16 << 20
HUGE_PAGES = 14
POPULATE = 23
"""MADV_HUGEPAGE and MADV_POPULATE_WRITE (madvise(2)): the kernel gives the pages at once, in large ones."""
SAID = b"MemTotal:     %11d kB\nMemFree:      %11d kB\nMemAvailable: %11d kB\n"


def take(rate: float, most: float) -> None:
    """Take real memory."""
    area = mmap.mmap(-1, int(most * GIB), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    area.madvise(HUGE_PAGES)
    began, taken = time.monotonic(), 0
    while taken <= len(area) - PIECE:
        area.madvise(POPULATE, taken, PIECE)
        taken += PIECE
        time.sleep(max(taken / GIB / rate - (time.monotonic() - began), 0))
    time.sleep(60)


def pretend(rate: float, most: float, path: str) -> None:
    """Let a file say that memory goes."""
    with Path(path).open("r+b", buffering=0) as file:
        total = int(file.read().split()[1])
        began = time.monotonic()
        while (taken := (time.monotonic() - began) * rate) < most:
            left = total - int(taken * (GIB >> 10))
            file.seek(0)
            file.write(SAID % (total, left, left))
            time.sleep(0.001)
        time.sleep(60)


if __name__ == "__main__":
    sys.stdin.readline()
    numbers = float(sys.argv[1]), float(sys.argv[2])
    if len(sys.argv) > 3:
        pretend(*numbers, sys.argv[3])
    take(*numbers)
