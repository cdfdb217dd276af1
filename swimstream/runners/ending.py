"""What it means that the process of an operator or a command has ended as it has. Pure."""

from __future__ import annotations

import signal

import attrs

from swimstream.model.status import ErrorClass, InstanceState

FENCED = "fenced: authority ended"
UNRENEWED = "fenced: renewals did not reach it in time (does it hold the GIL?)"
UNSTARTED = "fenced: it took longer to start than its worker's authority lasts without a renewal"


@attrs.frozen
class Ending:
    """How an execution has ended."""

    state: InstanceState
    cause: str | None = None
    error: ErrorClass = ErrorClass.RETRYABLE


def fenced(now: float, fence_at: float, *, armed_until: float, has_begun: bool) -> Ending | None:
    """Return how a process has ended that was killed by `now`, if its own deadline may have done it.

    It may live until `fence_at`, and has confirmed `armed_until`. One that had not begun is no failure of its own: the
    machine was slow, and another may be faster.
    """
    if now >= fence_at:
        return Ending(InstanceState.STOPPED, FENCED)
    if now < armed_until:
        return None
    if not has_begun:
        return Ending(InstanceState.FAILED, UNSTARTED, ErrorClass.INFRASTRUCTURE)
    return Ending(InstanceState.FAILED, UNRENEWED)


def exited(status: int, *, was_asked: bool) -> Ending:
    """Return what it means that a command has ended so: a negative status is the signal that it died of."""
    if status == 0:
        return Ending(InstanceState.FINISHED)
    if was_asked and status in (-signal.SIGTERM, 128 + signal.SIGTERM):  # the latter is how a shell tells it
        return Ending(InstanceState.STOPPED)
    if status < 0:
        return Ending(InstanceState.FAILED, f"ended by {signal.Signals(-status).name}")
    return Ending(InstanceState.FAILED, f"exit status {status}")
