"""What a node asks of its driver, in order. The driver carries out each effect before the next.

A `Persist` is on disk before any later effect of the list leaves.
"""

from __future__ import annotations

import attrs

from swimstream.events import Event
from swimstream.model.changes import Entry
from swimstream.model.identity import Address, InstanceId
from swimstream.model.job import OperatorSpec
from swimstream.model.plan import Plan
from swimstream.model.talk import QueryResult


@attrs.frozen
class SendPacket:
    """Send one datagram; failures are silent."""

    to: Address
    payload: bytes


@attrs.frozen
class OpenStream:
    """Connect to `to` and send `frame` first. On failure the driver calls `Node.stream_closed(stream)`."""

    stream: int
    to: Address
    frame: bytes


@attrs.frozen
class SendFrame:
    """Send one frame on an open stream, whoever opened it. A closed stream swallows it."""

    stream: int
    frame: bytes


@attrs.frozen
class CloseStream:
    """Close after everything sent so far has left. No `stream_closed` follows."""

    stream: int


@attrs.frozen
class VoteRecord:
    """Raft's hard state."""

    term: int
    voted_for: str
    """Name of the candidate, or empty."""
    voter: int = 0
    """Identity of the candidate's memory: without it a worker of that name is another candidate. 0: not known."""


@attrs.frozen
class EntriesRecord:
    """Drop every stored entry from `first` on, then append `entries` (which start at `first`)."""

    first: int
    entries: tuple[Entry, ...]


@attrs.frozen
class SnapshotRecord:
    """Replace the stored snapshot and drop stored entries: up to and including `plan.index`, or else all.

    One record, so that no crash leaves a tail behind that belongs to another history.
    """

    plan: Plan
    keeps_tail: bool


@attrs.frozen
class PeersRecord:
    """Where members live that were alive of late, so that a restarted worker finds them without its seeds."""

    addresses: tuple[Address, ...]


@attrs.frozen
class BootRecord:
    """The boot under which this worker becomes a member: a later process must take a higher one, whatever its clock."""

    boot: int


Record = VoteRecord | EntriesRecord | SnapshotRecord | PeersRecord | BootRecord


@attrs.frozen
class Persist:
    """Make a record durable."""

    record: Record


@attrs.frozen(kw_only=True)
class StartInstance:
    """Run this instance under this epoch. An older copy of it on this worker is stopped first."""

    instance: InstanceId
    epoch: int
    spec: OperatorSpec
    inputs: tuple[InstanceId, ...]
    """All instances of the operator's inputs, in the order of the spec."""
    outputs: tuple[InstanceId, ...]
    """All instances of the operators that read this one, in the order of the job."""
    resume_from: bytes
    fence_at: float | None = None
    """When an at-most-one instance must have ended, on the node's clock, unless a `RenewFence` comes before. None: any
    other instance."""


@attrs.frozen
class RenewFence:
    """Every instance that was started with a fence may run until then, on the node's clock. Never earlier than told.

    But not one that was told to stop before: its fence stays where it is, since others may wait for its end.
    """

    until: float


@attrs.frozen
class StopInstance:
    """Stop the copy of `instance` that runs under `epoch`, if it still does."""

    instance: InstanceId
    epoch: int


@attrs.frozen
class DumpStack:
    """The copy of `instance` that runs under `epoch` is STALLED: log where it stands, and report the place as cause."""

    instance: InstanceId
    epoch: int


@attrs.frozen
class KeepWarm:
    """Keep exactly these instances warm, each with the kind of its operator; what else is warm is given up.

    It begins nothing: only a `StartInstance` does, which takes over what is warm. It comes after those of its turn.
    """

    copies: tuple[tuple[InstanceId, str], ...]


@attrs.frozen
class StoreKeys:
    """Put these keys into the worker's key file, if it has one; the first one seals."""

    keys: tuple[bytes, ...] = attrs.field(repr=False)


@attrs.frozen
class Answer:
    """A command is done; `error` is empty on success."""

    request: int
    error: str


@attrs.frozen
class QueryAnswered:
    """The query `request` is over."""

    request: int
    result: QueryResult


@attrs.frozen
class Notify:
    """Tell the application."""

    event: Event


Effect = (
    SendPacket
    | OpenStream
    | SendFrame
    | CloseStream
    | Persist
    | StartInstance
    | RenewFence
    | StopInstance
    | DumpStack
    | KeepWarm
    | StoreKeys
    | Answer
    | QueryAnswered
    | Notify
)


@attrs.frozen(kw_only=True)
class Saved:
    """What a state directory held at the start of a process; the default is an empty one."""

    voter: int
    """Identity of this memory: the boot of the run that created it."""
    vote: VoteRecord = VoteRecord(0, "")
    plan: Plan = attrs.field(factory=Plan)
    """The snapshot."""
    entries: tuple[Entry, ...] = ()
    """What follows the snapshot, in order, without a gap."""
    peers: tuple[Address, ...] = ()
    """Where members lived when this memory was last told."""
    boot: int = 0
    """The highest boot of this worker that the memory was told of."""
