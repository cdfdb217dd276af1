"""Claims about members as they are told: encoded, signed, and by subject, so that newer ones replace older ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.model.member import MemberState
from swimstream.wire.codec import encode_message
from swimstream.wire.messages import Accusation, Alive

if TYPE_CHECKING:
    from swimstream.model.identity import Run
    from swimstream.model.member import Member


def alive_of(member: Member) -> bytes:
    """Return an encoded claim that `member` lives."""
    return encode_message(Alive(run=member.run, incarnation=member.incarnation, profile=member.profile))


def accusation_of(member: Member, state: MemberState, accuser: str) -> bytes:
    """Return an encoded claim against `member`, signed by `accuser`, with what that one saw as far as it is known."""
    evidence = member.evidence_of(accuser)
    return encode_message(
        Accusation(run=member.run, incarnation=member.incarnation, state=state, accuser=accuser, evidence=evidence)
    )


def claims_of(member: Member) -> list[bytes]:
    """Return the encoded claims that make another peer hold the same, also when it knew nothing of the member."""
    claims = [] if member.state.is_gone else [alive_of(member)]
    if member.state is not MemberState.ALIVE:
        claims.append(accusation_of(member, member.state, signer_of(member)))
    return claims


def unsigned_death_of(run: Run, incarnation: int) -> bytes:
    """Return an encoded claim that who is said to live is dead; signed by nobody, so that it can refute it in time."""
    dead = Accusation(run=run, incarnation=incarnation, state=MemberState.DEAD, accuser=run.name)
    return encode_message(dead)


def goodbye_of(run: Run, incarnation: int) -> Accusation:
    """Return the claim of a run that it has left."""
    return Accusation(run=run, incarnation=incarnation, state=MemberState.LEFT, accuser=run.name)


def signer_of(member: Member) -> str:
    """Return who signs when a held accusation is told again: one of those who made it, never the teller.

    The accused's own name stands for nobody: hearsay that counts as no confirmation.
    """
    return member.accusers[0] if member.accusers else member.run.name


def subject_of(name: str) -> str:
    """Return the subject of rumours about a member."""
    return f"m/{name}"


def confirmation_of(name: str, accuser: str) -> str:
    """Return the subject of the rumour that one more member confirms a suspicion."""
    return f"m/{name}/{accuser}"
