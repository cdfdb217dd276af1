"""Which CPU a guest gets.

User-mode-linux and the process that it traces take strict turns. On one CPU a system call costs some 7 us; spread over
two it waits for the other CPU to wake up, which takes ten times as long. So the whole guest is bound to one.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

SAMPLE_S = 0.2


def least_busy(before: str, after: str, allowed: set[int]) -> int:
    """Return which of the allowed CPUs had the most idle time between two texts of /proc/stat; the last if equal.

    The last, since interrupts and what nobody has bound tend to sit on the first.
    """
    assert allowed
    first, second = _idle_ticks(before), _idle_ticks(after)
    return max(sorted(allowed), key=lambda cpu: (second.get(cpu, 0) - first.get(cpu, 0), cpu))


def pick() -> int:
    """Watch the machine for `SAMPLE_S` and return the CPU that was least busy. Linux."""
    stat = Path("/proc/stat")
    before = stat.read_text()
    time.sleep(SAMPLE_S)
    return least_busy(before, stat.read_text(), os.sched_getaffinity(0))


def _idle_ticks(stat: str) -> dict[int, int]:
    """Return each CPU's ticks of idling and of waiting for disks."""
    ticks = {}
    for line in stat.splitlines():
        name, *counts = line.split()
        if name.startswith("cpu") and name != "cpu":
            ticks[int(name.removeprefix("cpu"))] = int(counts[3]) + int(counts[4])
    return ticks
