"""News for the application. Immutable values, delivered in the order in which the peer learned of them."""

from __future__ import annotations

import attrs

from swimstream.model.identity import Address, Run
from swimstream.model.member import Member
from swimstream.model.plan import Decision
from swimstream.model.status import InstanceStatus


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
class EventsLost:
    """This reader was too slow: `count` events were dropped. Read the snapshot again."""

    count: int


Event = MemberChanged | InstanceChanged | LeaderChanged | Decided | Superseded | ForeignCluster
