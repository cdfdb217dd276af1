"""Bytes from outside: decoded, checked for the cluster, and each message handed to its room."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from swimstream.core.effects import Notify
from swimstream.errors import WireError
from swimstream.events import ForeignCluster, NameConflict
from swimstream.model.member import MemberState
from swimstream.wire.codec import decode_packet_untrusted, encode_message
from swimstream.wire.council_messages import (
    Append,
    AppendReply,
    AuthorityReply,
    AuthorityRequest,
    ChangeRequest,
    CouncilMessage,
    CouncilRequest,
    FoundReply,
    FoundRequest,
    PiecePull,
    PlanEntries,
    PlanPull,
    Propose,
    ProposeReply,
    Snapshot,
    SnapshotPiece,
    TimeoutNow,
    VoteReply,
    VoteRequest,
)
from swimstream.wire.messages import (
    Accusation,
    Ack,
    Alive,
    Broadcast,
    Header,
    Letter,
    LetterReceipt,
    Message,
    Nack,
    Packet,
    Ping,
    PingRequest,
    Query,
    QueryReply,
    Spoken,
    StatusUpdate,
    SyncCheck,
    SyncDigest,
    SyncWant,
    TagUpdate,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from swimstream.core.rooms import Rooms
    from swimstream.model.identity import Run

_TOLD = (StatusUpdate, Accusation, Alive)
"""Updates by members, the most frequent first: of most packets they are nearly all."""
FOREIGNERS_TOLD_MAX = 256
"""So many peers of other clusters are named in an event; the rest are only counted."""

NAMESAKES_TOLD_MAX = 64
"""Likewise of other runs of this worker's own name."""


class Reception:
    """The entrance of one node. Hostile bytes end here, or in the codec."""

    def __init__(self, rooms: Rooms, *, tell_members: Callable[[], None]) -> None:
        """Receive for these rooms. `tell_members()` tells the application of members that have changed."""
        self._rooms = rooms
        self._tell_members = tell_members
        self._foreigners: set[Run] = set()
        self._namesakes: set[Run] = set()
        self._now = 0.0
        """The time of the packet that is being received."""

    def receive(self, data: bytes, stream: int | None, now: float) -> bool:
        """Take one datagram (`stream` is None) or one frame; return whether anything may have changed by it.

        Drops and counts what is malformed or foreign. Anybody can send that, so it must cost next to nothing.
        """
        self._now = now
        envelope = self._rooms.envelopes.datagram if stream is None else self._rooms.envelopes.frame
        try:
            packet = decode_packet_untrusted(envelope.unwrap_untrusted(data))
        except WireError:
            self._rooms.counters["packets_malformed"] += 1
            return False
        self._rooms.counters["packets_received"] += 1
        self._rooms.counters["messages_skipped"] += packet.skipped
        if packet.header.sender == self._rooms.membership.run:
            self._rooms.counters["packets_from_oneself"] += 1
            return False
        if self._is_foreign(packet.header):
            self._refuse_foreigner(packet, stream)
        elif self._rooms.membership.is_announced or stream is not None:
            self._dispatch(packet, stream)
        return True

    def _dispatch(self, packet: Packet, stream: int | None) -> None:
        """Merge the updates first: they may say who the sender is and where it lives."""
        sender = packet.header.sender
        if sender.name == self._rooms.membership.run.name:
            self._meet_namesake(sender)
        teller = self._rooms.membership.table.get_run(sender)
        is_hearsay = stream is not None or teller is None or teller.state.is_gone
        if packet.header.cluster_id:
            self._rooms.founding.meet_cluster(self._now)
        spoken: list[Spoken] = []
        others: list[Message] = []
        for message in packet.messages:
            if isinstance(message, _TOLD):
                self._hear(message, sender, is_hearsay=is_hearsay)
            elif isinstance(message, Spoken):
                spoken.append(message)
            else:
                others.append(message)
        if spoken:  # only members are listened to; the packet may have told of one, which comes first
            self._tell_members()
        for said in spoken:
            self._rooms.conversation.hear(said, sender, self._now)
        for message in others:
            if isinstance(message, SyncDigest | SyncWant):
                self._receive_sync(packet.header, message, stream)
            else:
                self._receive_message(sender, message, stream)

    def _hear(self, update: Alive | Accusation | StatusUpdate, sender: Run, *, is_hearsay: bool) -> None:
        match update:
            case Alive():
                self._rooms.membership.hear_alive(update, self._now, by_itself=update.run == sender)
            case Accusation():
                self._rooms.membership.hear_accusation(update, self._now, is_hearsay=is_hearsay)
            case StatusUpdate(status=status):
                self._rooms.tell_status(status)

    def _receive_sync(self, header: Header, message: SyncDigest | SyncWant, stream: int | None) -> None:
        if stream is None:
            self._rooms.counters["syncs_by_datagram"] += 1
            return
        match message:
            case SyncDigest():
                self._read_about_oneself(message)
                self._rooms.syncer.receive_digest(stream, header.sender.name, message)
            case SyncWant():
                self._rooms.syncer.receive_want(stream, message)
                self._rooms.joining.receive_answer(stream, header, self._rooms.council.plan.cluster_id, self._now)

    def _read_about_oneself(self, digest: SyncDigest) -> None:
        """Refute what a digest says against this worker before answering it, so that the answer tells of that."""
        for entry in digest.entries:
            if entry.run.name == self._rooms.membership.run.name and entry.state is not MemberState.ALIVE:
                word = Accusation(
                    run=entry.run, incarnation=entry.incarnation, state=entry.state, accuser=entry.run.name
                )
                self._rooms.membership.hear_accusation(word, self._now, is_hearsay=True)

    def _receive_message(self, sender: Run, message: Message, stream: int | None) -> None:
        """Hand a message to its room."""
        now = self._now
        if not self._rooms.council.is_believable(_term_of(message)):
            return
        match message:
            case Ping():
                self._rooms.council.hear_mark(sender, message.mark, now)
                self._rooms.detector.receive_ping(sender, message, stream, now)
            case Ack():
                self._rooms.council.hear_mark(sender, message.mark, now)
                self._rooms.detector.receive_ack(sender, message, stream, now)
            case PingRequest():
                self._rooms.detector.receive_ping_request(sender, message, now)
            case Nack():
                self._rooms.detector.receive_nack(sender, message, now)
            case SyncCheck():
                self._rooms.syncer.receive_check(sender, message, now)
            case QueryReply() | Letter() | LetterReceipt():
                self._rooms.conversation.receive(sender, message, now)
            case (
                Alive()
                | Accusation()
                | StatusUpdate()
                | TagUpdate()
                | Broadcast()
                | Query()
                | SyncDigest()
                | SyncWant()
            ):
                raise AssertionError("handled before")
            case _:
                self._receive_for_council(sender, message)

    def _receive_for_council(self, sender: Run, message: CouncilMessage) -> None:
        """Hand over what the council's members, and those who follow them, tell each other."""
        now = self._now
        match message:
            case FoundRequest():
                self._rooms.founding.receive_request(sender, message, self._rooms.membership.table.live(), now)
            case FoundReply():
                self._rooms.founding.receive_reply(sender, message, self._rooms.membership.table.live(), now)
            case VoteRequest():
                self._rooms.council.receive_vote_request(sender, message, now)
            case VoteReply():
                self._rooms.council.receive_vote_reply(sender, message, now)
            case Append():
                self._rooms.council.receive_append(sender, message, now)
            case AppendReply():
                self._rooms.council.receive_append_reply(sender, message, now)
            case Snapshot():
                self._rooms.council.receive_snapshot(sender, message, now)
            case SnapshotPiece():
                self._rooms.council.receive_piece(sender, message, now)
            case PlanPull() | PiecePull():
                self._rooms.council.receive_pull(sender, message)
            case PlanEntries():
                self._rooms.council.receive_plan_entries(message, now)
            case Propose():
                self._rooms.submissions.receive_proposal(sender, message, now)
            case ProposeReply():
                self._rooms.requests.receive_reply(message)
            case ChangeRequest():
                self._rooms.changes.receive(sender, message, now)
            case CouncilRequest():
                self._rooms.commands.receive_request(sender, message, now)
            case TimeoutNow():
                self._rooms.council.receive_timeout_now(sender, message, now)
            case AuthorityRequest():
                self._tell_authority(sender, message)
            case AuthorityReply():
                self._rooms.council.hear_mark(sender, message.mark, now)
                self._rooms.council.authority.receive_reply(message)
            case _:
                assert_never(message)

    def _tell_authority(self, sender: Run, request: AuthorityRequest) -> None:
        """Answer a member, at its own address, with what is known of a quorum and how old that is now."""
        council = self._rooms.council
        member = self._rooms.membership.table.get_run(sender)
        if member is None:
            self._rooms.counters["authority_requests_ignored"] += 1
            return
        beacon = council.authority.beacon(self._now)
        reply = AuthorityReply(nonce=request.nonce, mark=council.mark, beacon=beacon)
        self._rooms.outbox.send(member.profile.address, reply)

    def _meet_namesake(self, sender: Run) -> None:
        """Somebody who lives goes by this worker's name: say so, once for each run."""
        self._rooms.counters["packets_from_namesakes"] += 1
        if sender not in self._namesakes and len(self._namesakes) < NAMESAKES_TOLD_MAX:
            self._namesakes.add(sender)
            self._rooms.outbox.put(Notify(NameConflict(sender)))

    def _is_foreign(self, header: Header) -> bool:
        own = self._rooms.council.plan.cluster_id
        return header.cluster_id != 0 and own not in (0, header.cluster_id)

    def _refuse_foreigner(self, packet: Packet, stream: int | None) -> None:
        """Drop what another cluster sends, but let a newcomer that asks know whom it met."""
        self._rooms.counters["packets_foreign"] += 1
        header = packet.header
        for message in packet.messages:
            if stream is not None and isinstance(message, SyncDigest):
                self._rooms.outbox.send_frame(stream, [encode_message(SyncWant(names=()))])
            elif stream is not None and isinstance(message, SyncWant):
                self._receive_sync(header, SyncWant(names=()), stream)
        if header.sender not in self._foreigners and len(self._foreigners) < FOREIGNERS_TOLD_MAX:
            self._foreigners.add(header.sender)
            self._rooms.outbox.put(Notify(ForeignCluster(header.sender, header.cluster_id)))


def _term_of(message: Message) -> int:
    """Return the highest term that a message would make its reader take up."""
    match message:
        case VoteRequest() | VoteReply() | Append() | AppendReply() | SnapshotPiece():
            return message.term
        case Snapshot():
            return max(message.term, message.plan.term)
        case PlanEntries():
            return message.entries[-1].term if message.entries else 0
        case _:
            return 0
