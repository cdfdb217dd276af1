"""The messages by which a council is founded, elects its leader and commits, and by which everybody learns of it."""

from __future__ import annotations

import attrs

from swimstream.model.changes import Command, Entry, SubmitJob
from swimstream.model.identity import Run
from swimstream.model.plan import Plan, PlanMark

ERROR_BYTES_MAX = 4_096
"""Longest text of a refusal, UTF-8."""


@attrs.frozen(kw_only=True)
class Beacon:
    """Proof that a leader of `term` had a majority `age_ms` before the writer wrote this.

    Whoever asked for it may count from the moment when it *sent* that very question, and from no later one.
    """

    term: int
    index: int
    """The leader's commit index when it made the beacon: counts only for a run whose plan has come so far."""
    age_ms: int
    """Rounded up; by the writer's clock when it wrote."""


# --- council (Raft §5, §7; Ongaro's thesis §9.6 for the pre-vote) ---------------------------------


@attrs.frozen(kw_only=True)
class FoundRequest:
    """Do you, too, see exactly these workers as the lowest `expect` names, and no cluster?"""

    round: int
    runs: tuple[Run, ...]


@attrs.frozen(kw_only=True)
class FoundReply:
    """`agrees` promises not to agree with another founder for a while. `round` is that of the question."""

    round: int
    runs: tuple[Run, ...]
    agrees: bool


@attrs.frozen(kw_only=True)
class VoteRequest:
    """RequestVote; with `pre` only a question that changes nothing."""

    term: int
    voter: int
    last_index: int
    last_term: int
    pre: bool
    transfer: bool = False
    """Whether the leader itself asked for this election (thesis §3.10): then nobody sticks to it."""


@attrs.frozen(kw_only=True)
class VoteReply:
    """The answer; a refusal carries the refuser's own term."""

    term: int
    voter: int
    granted: bool
    pre: bool


@attrs.frozen(kw_only=True)
class Append:
    """AppendEntries. `round` numbers the leader's heartbeats and comes back in the reply."""

    term: int
    voter: int
    round: int
    prev_index: int
    prev_term: int
    commit: int
    entries: tuple[Entry, ...]
    heartbeat_ms: int = 0
    """The leader's pace, by which voters set their patience; 0 from older peers."""
    echo: int = 0
    """The `token` of the newest reply from this follower: `beacon` answers that one. 0: none yet."""
    beacon: Beacon | None = None


@attrs.frozen(kw_only=True)
class AppendReply:
    """`index` is the last entry known to match, or after a refusal the highest that may match."""

    term: int
    voter: int
    round: int
    success: bool
    index: int
    token: int = 0
    """Numbers the replies of this follower, so that it can tell which one a beacon answers."""


@attrs.frozen(kw_only=True)
class Snapshot:
    """InstallSnapshot: the plan is the snapshot. Also answers a `PlanPull` from too far behind."""

    term: int
    voter: int
    round: int
    plan: Plan


@attrs.frozen(kw_only=True)
class SnapshotPiece:
    """InstallSnapshot with offset (Raft §7): bytes `offset` on of the encoded plan at `index`, `total` B in all.

    `round` as in `Append`; 0 answers a pull. The reader asks for the next piece with a `PiecePull`.
    """

    term: int
    voter: int
    round: int
    index: int
    offset: int
    total: int
    data: bytes


@attrs.frozen(kw_only=True)
class PiecePull:
    """Give me the plan at `index` from byte `offset` on; if you no longer have it, begin with the newest."""

    index: int
    offset: int
    round: int
    """That of the piece before; 0 if it was none of a leader's heartbeat."""


@attrs.frozen(kw_only=True)
class TimeoutNow:
    """The leader of `term` has brought the receiver up to date: campaign at once (Ongaro's thesis §3.10)."""

    term: int


# --- authority ------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class AuthorityRequest:
    """What do you know of a quorum? `nonce` is used for one question only."""

    nonce: int


@attrs.frozen(kw_only=True)
class AuthorityReply:
    """The answer to the request of that nonce, written after it came."""

    nonce: int
    mark: PlanMark
    beacon: Beacon | None = None


# --- the plan, to everyone ------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class PlanPull:
    """My plan ends at `index`: give me what was committed after it."""

    index: int


@attrs.frozen(kw_only=True)
class PlanEntries:
    """Committed entries in order, without a gap."""

    entries: tuple[Entry, ...]


@attrs.frozen(kw_only=True)
class Propose:
    """A worker asks the leader to commit a job. Asked again until answered; accepting twice is harmless."""

    request: int
    change: SubmitJob


@attrs.frozen(kw_only=True)
class CouncilRequest:
    """A worker asks the leader to change the council. Asked again until answered, as `Propose`.

    Exactly one is set: `seats`, how many there shall be, or `leader`, who shall lead.
    """

    request: int
    seats: int = 0
    leader: str = ""


@attrs.frozen(kw_only=True)
class ChangeRequest:
    """A worker asks the leader to commit what somebody wants. Asked again until answered, as `Propose`."""

    request: int
    change: Command


@attrs.frozen(kw_only=True)
class ProposeReply:
    """The leader refuses what it was asked for, or says where it is committed. The latter an asker may find by itself.

    Exactly one is set: `error`, or `index`.
    """

    request: int
    error: str = ""
    index: int = 0


CouncilMessage = (
    FoundRequest
    | FoundReply
    | VoteRequest
    | VoteReply
    | Append
    | AppendReply
    | Snapshot
    | SnapshotPiece
    | PiecePull
    | TimeoutNow
    | AuthorityRequest
    | AuthorityReply
    | PlanPull
    | PlanEntries
    | Propose
    | CouncilRequest
    | ChangeRequest
    | ProposeReply
)
