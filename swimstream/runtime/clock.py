"""The driver's clock: seconds that never go back and that count while the machine is suspended.

CLOCK_BOOTTIME where there is one, so that a laptop that slept for an hour knows that an hour has passed.
"""

from __future__ import annotations

import time

_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", None)


def now() -> float:
    """Return the time in seconds since some fixed moment; comparable within this machine's uptime only."""
    return time.monotonic() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)


def calendar_ms() -> int:
    """Return the calendar time in milliseconds: for boots and for people, never for decisions."""
    return time.time_ns() // 1_000_000
