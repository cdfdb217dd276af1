"""The deadline of an at-most-one instance, kept by the kernel: SIGKILL to this very process, whatever it does by then.

A worker that has lost its authority must have stopped its at-most-one instances by a deadline. A loop that looks at
a clock cannot promise that: between its look and the next write the process may stand still for an hour. A kernel
timer can: `timer_create(CLOCK_BOOTTIME)` with SIGKILL goes on while the process is stopped, starved or busy in native
code, and no handler stands in its way. A process that is stopped by SIGSTOP past its deadline dies *stopped*.

Refused: `alarm` and `setitimer` (one a process, shared with everybody, by the wall of CLOCK_REALTIME or of CPU time),
a thread that watches (stands still together with the process), CLOCK_MONOTONIC (stops while the machine sleeps).

What it cannot do: reach processes that the operator has forked (timers are not inherited), survive `os.exec*` (which
deletes them), or call back a write that the kernel has taken already. For those the sink checks the fencing token.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading

from swimstream.runtime import clock

CLOCK_BOOTTIME = 7
TIMER_ABSTIME = 1
SIGEV_SIGNAL = 0
SIGEVENT_BYTES = 64
SIGEVENT_HEAD_BYTES = ctypes.sizeof(ctypes.c_void_p) + 2 * ctypes.sizeof(ctypes.c_int)
UNTIL_S_MIN = 0.001
"""A timer that is set to zero is off, so a deadline in the far past is set to this: it fires at once."""


class _TimeSpec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _TimerSpec(ctypes.Structure):
    _fields_ = (("interval", _TimeSpec), ("value", _TimeSpec))


class _SignalEvent(ctypes.Structure):
    """`struct sigevent` of Linux, whose size is fixed."""

    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signal", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("padding", ctypes.c_byte * (SIGEVENT_BYTES - SIGEVENT_HEAD_BYTES)),
    )


class KernelFence:
    """A POSIX timer of this process. One thread arms it; it cannot be taken back, only moved to a later time."""

    def __init__(self, until: float) -> None:
        """Arm it: the process dies at `until` on `clock.now()`, at once if that is over. May raise `OSError`."""
        self._library = _library_with_timers()
        self._timer = ctypes.c_void_p()
        event = _SignalEvent(signal=signal.SIGKILL, notify=SIGEV_SIGNAL)
        status = self._library.timer_create(CLOCK_BOOTTIME, ctypes.byref(event), ctypes.byref(self._timer))
        _check("timer_create", status)
        self._set(until)

    def renew(self, until: float) -> None:
        """Let the process live until then."""
        self._set(until)

    def _set(self, until: float) -> None:
        seconds, nanoseconds = divmod(int(max(until, UNTIL_S_MIN) * 1e9), 1_000_000_000)
        spec = _TimerSpec(value=_TimeSpec(seconds, nanoseconds))
        _check("timer_settime", self._library.timer_settime(self._timer, TIMER_ABSTIME, ctypes.byref(spec), None))


class WatchdogFence:
    """The best there is without such timers: a thread that kills the process. It stands still when the process does.

    So a process that is paused past its deadline may go on for a moment when it is continued, and one whose GIL is
    held goes on until it is let go; the host kills it from outside too, as soon as the host itself runs.
    """

    def __init__(self, until: float) -> None:
        """Begin to watch."""
        self._until = until
        self._moved = threading.Condition()
        threading.Thread(target=self._watch, name="swimstream-fence-watchdog", daemon=True).start()

    def renew(self, until: float) -> None:
        """Let the process live until then."""
        with self._moved:
            self._until = until
            self._moved.notify()

    def _watch(self) -> None:
        with self._moved:
            while (left_s := self._until - clock.now()) > 0:
                self._moved.wait(left_s)
        os.kill(os.getpid(), signal.SIGKILL)


def is_kernel_enforced() -> bool:
    """Return whether `arm` sets a timer of the kernel here: on Linux. Elsewhere a thread watches."""
    return sys.platform == "linux"


def arm(until: float) -> KernelFence | WatchdogFence:
    """Have this process killed at `until` on `clock.now()` unless renewed before; raise `OSError` if it cannot be.

    Never falls back from the kernel's timer to the weaker watchdog by itself: who asked for a fence must not run
    without one.
    """
    return KernelFence(until) if is_kernel_enforced() else WatchdogFence(until)


def _library_with_timers() -> ctypes.CDLL:
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "timer_create"):  # glibc before 2.34 has them in a library apart
        library = ctypes.CDLL("librt.so.1", use_errno=True)
    return library


def _check(call: str, status: int) -> None:
    if status != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}; without it no at-most-one instance can run here")
