"""Changes of the plan: what the leader proposes and the council commits, one at each index of the log."""

from __future__ import annotations

import attrs

from swimstream.model.identity import InstanceId, Run
from swimstream.model.job import JobSpec

EVIDENCE_ITEMS_MAX = 16
COUNCIL_SIZES = (1, 3, 5, 7)
"""Between two of them a council has one seat more for a while."""
SEATS_MAX = max(COUNCIL_SIZES) + 1


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


@attrs.frozen(kw_only=True)
class Hold:
    """`run` is suspected: from here on it may not renew its authority, but keeps running on what it has."""

    run: Run
    reason: str
    evidence: tuple[str, ...]


@attrs.frozen(kw_only=True)
class Release:
    """The suspicion of `run` was refuted: its hold is over, and whatever was waited for since is void."""

    run: Run
    reason: str


@attrs.frozen(kw_only=True)
class Revoke:
    """`instance` is taken from the run that holds it in `epoch`, without being given to another yet."""

    instance: InstanceId
    epoch: int
    reason: str


@attrs.frozen(kw_only=True)
class SetAuthority:
    """How long a proof of a quorum lasts, and how much clock rates may differ. The first one stands for ever."""

    isolation_ms: int
    drift_ppm: int


@attrs.frozen(kw_only=True)
class ChangeCouncil:
    """The council from here on, as soon as it is in a log: one seat more or one less (Ongaro's thesis §4.1)."""

    council: tuple[Seat, ...]
    reason: str
    evidence: tuple[str, ...]


@attrs.frozen(kw_only=True)
class ResizeCouncil:
    """The council shall have so many seats; changes of single seats follow."""

    seats: int
    asked_by: str


@attrs.frozen(kw_only=True)
class RecoverCouncil:
    """A person has declared the council's majority lost for good, and put this one in its place."""

    council: tuple[Seat, ...]
    lost: tuple[str, ...]
    asked_by: str


Change = (
    Found
    | Noop
    | SubmitJob
    | Assign
    | Evict
    | Conclude
    | Hold
    | Release
    | Revoke
    | SetAuthority
    | ChangeCouncil
    | ResizeCouncil
    | RecoverCouncil
)
COUNCIL_CHANGES = (Found, ChangeCouncil, RecoverCouncil)
"""The changes that carry a council."""


@attrs.frozen(kw_only=True)
class Entry:
    """One change at its place in the log."""

    index: int
    term: int
    change: Change
