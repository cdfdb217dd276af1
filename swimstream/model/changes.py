"""Changes of the plan: what the leader proposes and the council commits, one at each index of the log."""

from __future__ import annotations

import attrs

from swimstream.model.identity import InstanceId, Run
from swimstream.model.job import JobSpec

EVIDENCE_ITEMS_MAX = 16
COUNCIL_SIZES = (1, 3, 5, 7)


@attrs.frozen(order=True)
class Seat:
    """A vote: a worker's name and the identity of the memory behind its vote (`Profile.voter`)."""

    name: str
    voter: int


@attrs.frozen(kw_only=True)
class Found:
    """The cluster begins. Entry 1 of every log."""

    cluster_id: int
    council: tuple[Seat, ...]


@attrs.frozen(kw_only=True)
class Noop:
    """A new leader's first entry (Raft §5.4.2: an own-term entry must commit before older ones count)."""


@attrs.frozen(kw_only=True)
class SubmitJob:
    """A job is accepted; assignments follow as changes of their own."""

    job: JobSpec


@attrs.frozen(kw_only=True)
class Assign:
    """`instance` belongs to `run` from here on; the entry's index is the epoch."""

    instance: InstanceId
    run: Run
    failures: int
    """How often the operator itself has failed so far; deaths of workers do not count."""
    resume_from: bytes
    reason: str
    evidence: tuple[str, ...]


@attrs.frozen(kw_only=True)
class Evict:
    """`run`, and every earlier run of its name, is gone for good."""

    run: Run
    reason: str
    evidence: tuple[str, ...]


@attrs.frozen(kw_only=True)
class Conclude:
    """`instance` has finished in `epoch` and is never executed again."""

    instance: InstanceId
    epoch: int


Change = Found | Noop | SubmitJob | Assign | Evict | Conclude


@attrs.frozen(kw_only=True)
class Entry:
    """One change at its place in the log."""

    index: int
    term: int
    change: Change
