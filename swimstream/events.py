"""News for the application. Immutable values, delivered in the order in which the peer learned of them."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from swimstream.model.history import Decision
from swimstream.model.identity import Address, Run
from swimstream.model.member import Member
from swimstream.model.status import InstanceStatus
from swimstream.model.talk import Question


@attrs.frozen
class MemberChanged:
    """A member entered `member.state`: it joined, is suspected, was cleared, died or left."""

    member: Member


@attrs.frozen
class InstanceChanged:
    """An instance somewhere entered another state, began another epoch or moved to another worker."""

    status: InstanceStatus


@attrs.frozen
class LeaderChanged:
    """This peer learned of another leader or term; an empty name means that it knows of none."""

    name: str
    term: int


@attrs.frozen
class Decided:
    """A decision was committed and has been applied here."""

    decision: Decision


@attrs.frozen
class IsolationChanged:
    """This worker cannot prove any more that a quorum stands, or can again.

    While it is isolated it runs no at-most-one instance; the others go on. A worker that has just joined is given as
    much time for its first proof as a proof lasts.
    """

    is_isolated: bool
    age_s: float
    """How old the newest proof is that this worker may use; infinity if it has none."""


@attrs.frozen
class Superseded:
    """A later run of this worker's own name has taken over: this one has stopped taking part."""

    by: Run
    address: Address


@attrs.frozen
class ForeignCluster:
    """A peer of another cluster spoke to this one and was refused."""

    peer: Run
    cluster_id: int


@attrs.frozen
class NameConflict:
    """Two live processes claim one name: this worker and `run`. Both are told, once, and one of them is refused."""

    run: Run


@attrs.frozen
class MemberForgotten:
    """A member that had been dead or gone for long is not remembered any more."""

    run: Run


@attrs.frozen
class TagsChanged:
    """A worker has changed its tags; `tags` are all that it has now, by key."""

    run: Run
    tags: Mapping[str, str]


@attrs.frozen
class BroadcastReceived:
    """A worker (perhaps this one) has told everybody something. Once for each that reaches this worker.

    `time` is a Lamport time: what was said after something else was heard has the higher one.
    """

    origin: Run
    time: int
    topic: str
    payload: bytes


@attrs.frozen
class MessageReceived:
    """A worker has sent this one something."""

    sender: Run
    topic: str
    payload: bytes


@attrs.frozen
class QueryReceived:
    """A worker (perhaps this one) asks everybody something; `Worker.answer(question, payload)` answers."""

    question: Question


@attrs.frozen
class EventsLost:
    """This reader was too slow: `count` events were dropped. Read the snapshot again."""

    count: int


Event = (
    MemberChanged
    | MemberForgotten
    | InstanceChanged
    | LeaderChanged
    | Decided
    | IsolationChanged
    | Superseded
    | NameConflict
    | ForeignCluster
    | TagsChanged
    | BroadcastReceived
    | MessageReceived
    | QueryReceived
)
