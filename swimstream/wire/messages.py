"""Every message that peers exchange. Values only; `codec.py` turns them into bytes and back.

A packet, by datagram or as one frame of a stream, is a header and some messages. Any message may travel
either way: what does not fit a datagram goes by stream.
"""

from __future__ import annotations

import attrs

from swimstream.model.coordinate import Coordinate
from swimstream.model.identity import Address, Run
from swimstream.model.member import NOTHING_SEEN, Evidence, MemberState, Profile
from swimstream.model.plan import PlanMark
from swimstream.model.status import InstanceStatus
from swimstream.model.talk import Question
from swimstream.wire.council_messages import Beacon, CouncilMessage


@attrs.frozen
class Header:
    """Who sends. `cluster_id` is 0 while the sender belongs to no founded cluster."""

    cluster_id: int
    sender: Run


# --- probing (SWIM §4.1, Lifeguard) ---------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Ping:
    """Are you there? Dropped by any run other than `target`."""

    seq: int
    target: Run
    mark: PlanMark


@attrs.frozen(kw_only=True)
class Ack:
    """I am here, or: the target of your `PingRequest` answered."""

    seq: int
    mark: PlanMark
    coordinate: Coordinate | None = None
    """Where the sender stands. None from older peers, and on an answer that is passed on: its way was another."""
    beacon: Beacon | None = None
    """What the sender knows of a quorum. None on an answer that is passed on."""


@attrs.frozen(kw_only=True)
class PingRequest:
    """Please ping `target` for me; send a `Nack` if it stays silent."""

    seq: int
    target: Run
    address: Address


@attrs.frozen(kw_only=True)
class Nack:
    """I am here, but the target of your `PingRequest` has not answered me so far (Lifeguard, LHA-Probe)."""

    seq: int


# --- updates: encoded once, spliced into packets, merged by (boot, incarnation, state) ------------


@attrs.frozen(kw_only=True)
class Alive:
    """`run` lives; only its owner raises the incarnation."""

    run: Run
    incarnation: int
    profile: Profile


@attrs.frozen(kw_only=True)
class Accusation:
    """`accuser` holds `run` suspect or dead; with state LEFT, `run` says goodbye, or was removed through `accuser`."""

    run: Run
    incarnation: int
    state: MemberState
    accuser: str
    evidence: Evidence = NOTHING_SEEN
    """What `accuser` saw."""


@attrs.frozen(kw_only=True)
class StatusUpdate:
    """How an instance fares, by the worker that holds its epoch."""

    status: InstanceStatus


# --- what applications say ------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class TagUpdate:
    """A tag of `run` has this value from now on. The owner counts `version` up with every change of any tag."""

    run: Run
    version: int
    key: str
    value: str | None
    """None: the tag was removed."""


@attrs.frozen(kw_only=True)
class Broadcast:
    """Something for every application of the cluster, told once to each. `origin` and `number` name it."""

    origin: Run
    number: int
    time: int
    """Lamport time: above that of everything its origin had heard when it spoke."""
    topic: str
    payload: bytes


@attrs.frozen(kw_only=True)
class Query:
    """A question that is passed on like any other update; answers go straight to its origin."""

    question: Question


@attrs.frozen(kw_only=True)
class QueryReply:
    """The answer to the query of that number of the receiver's own."""

    number: int
    payload: bytes


@attrs.frozen(kw_only=True)
class Letter:
    """Something for one application. Sent again until its `LetterReceipt` comes; `number` tells repetitions.

    Dropped by any run other than `to`: its address may be somebody else's by now.
    """

    to: Run
    number: int
    topic: str
    payload: bytes


@attrs.frozen(kw_only=True)
class LetterReceipt:
    """The letter of that number has been handed to the application."""

    number: int


# --- anti-entropy ---------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class SyncCheck:
    """By datagram: all that I would compare has this hash. Who holds something else opens a sync."""

    digest: int
    with_progress: bool = False
    """Whether how far the instances have come counts as well."""


@attrs.frozen(kw_only=True)
class DigestEntry:
    """What one peer holds of one worker, short enough to compare. `statuses` hashes its status records and tags.

    With or without how far the instances have come: the reader takes either.
    """

    run: Run
    incarnation: int
    state: MemberState
    statuses: int


@attrs.frozen(kw_only=True)
class SyncDigest:
    """Opens a sync. A peer that is no member yet sends no entries: it only wants to read."""

    entries: tuple[DigestEntry, ...]
    broadcasts: tuple[tuple[Run, int], ...] = ()
    """Origin and number of the broadcasts that it remembers."""


@attrs.frozen(kw_only=True)
class SyncWant:
    """Answers a digest, together with the updates that the asker lacks: tell me of these names, and broadcasts."""

    names: tuple[str, ...]
    broadcasts: tuple[tuple[Run, int], ...] = ()


Spoken = TagUpdate | Broadcast | Query
"""Updates by applications."""
Update = Alive | Accusation | StatusUpdate | Spoken
Message = (
    Ping
    | Ack
    | PingRequest
    | Nack
    | Update
    | QueryReply
    | Letter
    | LetterReceipt
    | SyncCheck
    | SyncDigest
    | SyncWant
    | CouncilMessage
)


@attrs.frozen(kw_only=True)
class Packet:
    """One datagram or frame, decoded. `skipped` counts messages of unknown kind."""

    header: Header
    messages: tuple[Message, ...]
    skipped: int
