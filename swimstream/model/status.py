"""What a worker says of one of its instances (states after Flink's ExecutionState)."""

from __future__ import annotations

import enum
import re
from typing import TYPE_CHECKING

import attrs

from swimstream.model.identity import InstanceId, Run

if TYPE_CHECKING:
    from swimstream.model.plan import Assignment

CAUSE_BYTES_MAX = 96
CHECKPOINT_BYTES_MAX = 64
ENDPOINT_CHARS_MAX = 64
ENDPOINT_PATTERN = re.compile(rf"[!-~]{{0,{ENDPOINT_CHARS_MAX}}}")
"""Visible ASCII, so that a status has a known size and a terminal shows nothing but text."""
PROGRESS_MAX = 2**63 - 1
STATUS_BYTES_MAX = 512
STATUSES_MAX = 100_000
WORKER_CRASHED = "worker process "
"""With these words, and `ErrorClass.INFRASTRUCTURE`, begins the cause that a surviving peer gives when its worker's
process has ended without a goodbye; how it has ended follows."""
NOBODYS_FAULT = (
    *(f"{WORKER_CRASHED}was killed by {name}" for name in ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP")),
    f"{WORKER_CRASHED}has ended without a goodbye",
)
"""A person, a supervisor or the system has ended it, or nobody knows who: no sign against what ran there."""


class InstanceState(enum.IntEnum):
    """STARTING → RUNNING → STOPPING → STOPPED; from any live state FINISHED or FAILED.

    ISOLATED is for an at-most-one instance whose worker cannot prove that a quorum stands: it does not run, and
    starts again under the same epoch once the worker can. A RUNNING one becomes STALLED while it makes no progress
    though input waits, and FROZEN while its worker's loop does not tick; both may pass.
    """

    STARTING = 1
    RUNNING = 2
    STOPPING = 3
    STOPPED = 4
    FINISHED = 5
    FAILED = 6
    ISOLATED = 7
    STALLED = 8
    FROZEN = 9

    @property
    def is_up(self) -> bool:
        """Return whether it has begun and was not asked to stop: it is found where it serves, however it fares."""
        return self in (InstanceState.RUNNING, InstanceState.STALLED, InstanceState.FROZEN)

    @property
    def is_over(self) -> bool:
        """Return whether this copy of the instance has ended for good."""
        return self in (InstanceState.STOPPED, InstanceState.FINISHED, InstanceState.FAILED)


class ErrorClass(enum.IntEnum):
    """What a failure says about the operator."""

    RETRYABLE = 0
    """It may succeed when it is executed again; counts against its restart strategy."""
    FATAL = 1
    """It would fail again: it is not executed any more until somebody changes something."""
    INFRASTRUCTURE = 2
    """Not the operator's doing: its worker, its machine or its network failed. Counts against nothing."""


@attrs.frozen(kw_only=True)
class InstanceStatus:
    """Written only by the worker that holds `epoch`; merges by the higher `(epoch, seq)`, like a member record."""

    instance: InstanceId
    epoch: int
    run: Run
    seq: int
    """Rises with each change that the worker makes to this record."""
    state: InstanceState
    since_ms: int
    """When the state was entered, by the worker's own calendar: for people, never for decisions."""
    progress: int = 0
    """A counter of the operator's own choosing that never falls within an epoch."""
    checkpoint: bytes = b""
    """Opaque resume handle, at most `CHECKPOINT_BYTES_MAX`; empty means none yet."""
    endpoint: str = ""
    """`host:port` where the instance serves its neighbours; empty means not yet."""
    cause: str = ""
    """Why it failed or stopped, at most `CAUSE_BYTES_MAX` of UTF-8."""
    error: ErrorClass = ErrorClass.RETRYABLE
    """What kind of failure, if it is FAILED."""
    watermark_ms: int | None = None
    """Event time up to which the instance has seen everything, in its own calendar; None: it tells none."""
    backlog: int | None = None
    """How much input waits for it, in units of its own; None: it does not tell."""

    @property
    def version(self) -> tuple[int, int]:
        """Return what decides between two records of one instance."""
        return (self.epoch, self.seq)

    def is_of(self, held: Assignment) -> bool:
        """Return whether it tells of the copy of that assignment, started by that very run.

        The epoch alone does not say so: in another cluster with the same job another run may have been given it.
        """
        return (self.instance, self.run, self.epoch) == (held.instance, held.run, held.epoch)


def cut_cause(cause: str) -> str:
    """Return `cause` in at most `CAUSE_BYTES_MAX` bytes of UTF-8, cut between characters."""
    return cause.encode("utf-8", "replace")[:CAUSE_BYTES_MAX].decode("utf-8", "ignore")
