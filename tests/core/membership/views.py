"""Views and claims to test with: one owner `a`, others by letter."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import TYPE_CHECKING

from swimstream.config import LOCAL
from swimstream.core.membership.membership import Membership
from swimstream.model.identity import Address, Run
from swimstream.model.member import Member, MemberState, Profile
from swimstream.wire.codec import decode_packet_untrusted, encode_packet
from swimstream.wire.messages import Accusation, Alive, Header

if TYPE_CHECKING:
    from collections.abc import Iterable

    from swimstream.config import Timing
    from swimstream.wire.messages import Message


def address_of(name: str) -> Address:
    return Address(f"10.0.0.{ord(name[0])}", 7946)


def alive(name: str, incarnation: int = 0, *, boot: int = 1) -> Alive:
    return Alive(run=Run(name, boot), incarnation=incarnation, profile=Profile(address=address_of(name)))


def suspect(name: str, incarnation: int = 0, *, by: str = "x", boot: int = 1) -> Accusation:
    return Accusation(run=Run(name, boot), incarnation=incarnation, state=MemberState.SUSPECT, accuser=by)


def dead(name: str, incarnation: int = 0, *, by: str = "x", boot: int = 1) -> Accusation:
    return Accusation(run=Run(name, boot), incarnation=incarnation, state=MemberState.DEAD, accuser=by)


def left(name: str, incarnation: int = 0, *, boot: int = 1) -> Accusation:
    return Accusation(run=Run(name, boot), incarnation=incarnation, state=MemberState.LEFT, accuser=name)


def view(name: str = "a", *, boot: int = 1, others: str = "", timing: Timing = LOCAL) -> Membership:
    """Return the view of a member that has heard of `others`."""
    profile = Profile(address=address_of(name))
    membership = Membership(Run(name, boot), profile, timing=timing, rng=Random(1), counters=Counter())
    membership.announce(0.0)
    for other in others:
        membership.hear_alive(alive(other), 0.0)
    return membership


def hear(membership: Membership, claim: Alive | Accusation, *, now: float = 0.0, is_hearsay: bool = False) -> None:
    if isinstance(claim, Alive):
        membership.hear_alive(claim, now)
    else:
        membership.hear_accusation(claim, now, is_hearsay=is_hearsay)


def held(membership: Membership, name: str) -> Member:
    member = membership.table.get(name)
    assert member is not None
    return member


def spread(membership: Membership) -> list[Message]:
    """Return what the view gossips next, decoded."""
    return messages_of(membership.gossip.take(60_000, members=9))


def messages_of(fragments: Iterable[bytes]) -> list[Message]:
    return list(decode_packet_untrusted(encode_packet(Header(0, Run("z", 1)), fragments)).messages)
