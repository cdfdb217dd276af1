"""Changes of the plan: what the leader proposes and the council commits, one at each index of the log."""

from __future__ import annotations

import enum

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
    handover: bool = False
    """The former copy goes on until this one is RUNNING: make before break. Never of an at-most-one instance."""


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


@attrs.frozen(kw_only=True)
class UpdateJob:
    """A new version of an accepted job: what has changed in it is restarted, what is gone from it is stopped.

    Ignored if the job is not at version `base` (0: whatever it is at), or if an operator's guarantee differs.
    """

    job: JobSpec
    base: int
    asked_by: str
    fresh: bool = False
    """Whether a job that was cancelled begins as if it had never run, without its checkpoints. Ignored if it was not
    cancelled at version `base`, 0 being none here: whoever cancels it once more meanwhile is not overruled."""


@attrs.frozen(kw_only=True)
class CancelJob:
    """Nothing of the job is executed from here on, until a new version of it revives it."""

    job: str
    asked_by: str


@attrs.frozen(kw_only=True)
class Forget:
    """`instance`, revoked in `epoch` and ended, belongs to no job any more, or to a cancelled one."""

    instance: InstanceId
    epoch: int
    reason: str


@attrs.frozen(kw_only=True)
class Restart:
    """The present copies of `instances` are out of date: each is to get a new epoch."""

    instances: tuple[InstanceId, ...]
    reason: str
    evidence: tuple[str, ...]


@attrs.frozen(kw_only=True)
class Quarantine:
    """`instance`, last given out in `epoch`, is executed no more until somebody pardons it or changes its job."""

    instance: InstanceId
    epoch: int
    reason: str
    evidence: tuple[str, ...]


@attrs.frozen(kw_only=True)
class Pardon:
    """`instance` may be executed again, with nothing held against it."""

    instance: InstanceId
    asked_by: str
    """The worker at which a person asked for it; empty: the leader itself, since it has run well for long."""


class Proof(enum.IntEnum):
    """What is known of how a run has ended."""

    NONE = 0
    """It was given up. Nobody is blamed yet, but it is remembered who ran there, for the time when more is known."""
    ENDED = 1
    """Its process has ended without a goodbye, whoever has ended it."""
    CRASHED = 2
    """Its surviving peer has seen it end, and not by somebody's hand."""


@attrs.frozen(kw_only=True)
class Blame:
    """`instances` were RUNNING on `run` when it ended, so one of them may have been the cause: each gets its part.

    Judged once for each run: what follows for the same one is ignored, but for a better proof after `Proof.NONE`.
    """

    run: Run
    instances: tuple[InstanceId, ...]
    """None of them with `Proof.ENDED`: it was not their doing, or the process goes on after all."""
    reason: str
    proof: Proof = Proof.CRASHED


@attrs.frozen(kw_only=True)
class SetWorkerMode:
    """Whether the worker of that name is given instances, and keeps those that it has: one of `MODES`."""

    name: str
    mode: str
    level: int
    """How often it was quarantined in a row: the delay grows with it. Kept for a while in the normal mode after a
    quarantine; 0 for the other modes."""
    boot: int
    """The run that leaves: the mode ends with it. 0 for the other modes, which hold for the name."""
    reason: str
    asked_by: str
    """The worker at which a person asked for it; empty: the leader itself."""


@attrs.frozen(kw_only=True)
class DeclareDead:
    """A person's word that `run` is dead: nothing of it runs any more, so nobody waits for its end."""

    run: Run
    asked_by: str


@attrs.frozen(kw_only=True)
class SetPolicy:
    """What the leader does of its own accord."""

    rebalance_moves: int
    """So many instances may be moved at a time to a worker that has joined; 0: none."""
    asked_by: str


@attrs.frozen(kw_only=True)
class SetStandbys:
    """`instance` is kept warm on `runs`, and nowhere else."""

    instance: InstanceId
    runs: tuple[Run, ...]
    reason: str


@attrs.frozen(kw_only=True)
class ClaimProgress:
    """`run` says how far the copy of `instance` in `epoch` had come, which its worker held while it was given up.

    Counts for an instance that is to be settled by progress, once for each time that its worker was given up.
    """

    instance: InstanceId
    epoch: int
    """Of the copy that was given up."""
    run: Run
    """Who says so: that worker's present run, which could go on with it."""
    progress: int
    """How far it can be gone on with: as far as it was when it told its newest checkpoint, if it told any."""
    checkpoint: bytes


@attrs.frozen(kw_only=True)
class KeepReplacement:
    """`instance` stays with the run that has it in `epoch`, whatever the copy before it had come to."""

    instance: InstanceId
    epoch: int
    reason: str
    evidence: tuple[str, ...]


NORMAL = ""
CORDONED = "cordoned"
"""Gets nothing new, keeps what it has."""
DRAINING = "draining"
"""Gets nothing new, and what it has moves elsewhere."""
LEAVING = "leaving"
"""Draining until its run has left; then the name is free again."""
QUARANTINED = "quarantined"
"""Gets nothing new for a while, since it came and went too often; keeps what it has."""
MODES = (NORMAL, CORDONED, DRAINING, LEAVING, QUARANTINED)
LEVEL_MAX = 64
REBALANCE_MOVES_MAX = 1_024
RESTARTED_MAX = 20_000
"""So many instances one change can name."""

ConflictChange = ClaimProgress | KeepReplacement
"""The changes that came with `SPEAKS_CONFLICTS`."""
Directive = (
    Forget
    | Restart
    | Quarantine
    | Pardon
    | Blame
    | SetWorkerMode
    | DeclareDead
    | SetPolicy
    | SetStandbys
    | ConflictChange
)
"""The changes of what `directives.py` holds, and of single assignments for its sake."""
LaterChange = UpdateJob | CancelJob | Directive
"""The changes that came with `SPEAKS_DIRECTIVES`, or later."""

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
    | LaterChange
)
Command = UpdateJob | CancelJob | Restart | Pardon | SetWorkerMode | DeclareDead | SetPolicy | ClaimProgress
"""What any worker may ask the leader for: on behalf of a person or an application, or of its own accord."""
COUNCIL_CHANGES = (Found, ChangeCouncil, RecoverCouncil)
"""The changes that carry a council."""


@attrs.frozen(kw_only=True)
class Entry:
    """One change at its place in the log."""

    index: int
    term: int
    change: Change
