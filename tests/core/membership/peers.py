"""Peers that sync with each other, over a stream that is carried by hand."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from swimstream.config import LOCAL
from swimstream.core.effects import OpenStream, SendFrame
from swimstream.core.membership.sync import Syncer
from swimstream.core.outbox import Outbox
from swimstream.core.status.table import StatusTable
from swimstream.model.identity import InstanceId, Run
from swimstream.model.status import InstanceState, InstanceStatus
from swimstream.wire.codec import decode_packet_untrusted, encode_message
from swimstream.wire.messages import (
    Accusation,
    Alive,
    Broadcast,
    Message,
    StatusUpdate,
    SyncCheck,
    SyncDigest,
    SyncWant,
    Update,
)
from swimstream.wire.seal import PLAIN
from tests.core.membership.views import address_of, hear, view

if TYPE_CHECKING:
    from swimstream.model.member import MemberState


class Peer:
    """A view, a status table and the syncer that speaks for both."""

    def __init__(self, name: str, *claims: Alive | Accusation) -> None:
        self.counters: Counter[str] = Counter()
        self.membership = view(name)
        self.statuses = StatusTable(self.counters)
        self.outbox = Outbox(packet_bytes_max=1_200, piggyback=lambda _: [], counters=self.counters, envelopes=PLAIN)
        self.outbox.identify(self.membership.run, 0)
        self.heard: dict[tuple[Run, int], bytes] = {}
        self.syncer = Syncer(
            self.membership,
            self.outbox,
            timing=LOCAL,
            rng=Random(1),
            counters=self.counters,
            status_hash=self.statuses.hash_of,
            lasting_hash=self.statuses.lasting_hash_of,
            status_fragments=self.statuses.fragments_of,
            status_owners=self.statuses.owners,
            heard_broadcasts=lambda: tuple(sorted(self.heard)),
            broadcast_fragments=lambda ids: [self.heard[each] for each in ids if each in self.heard],
            broadcasts_lacking=lambda ids: tuple(each for each in ids if each not in self.heard),
        )
        for claim in claims:
            hear(self.membership, claim)

    def receive(self, stream: int, sender: str, messages: tuple[Message, ...]) -> None:
        """Merge first, then speak, as the entrance of a node does."""
        for message in messages:
            if isinstance(message, StatusUpdate):
                self.statuses.merge(message.status)
            elif isinstance(message, Broadcast):
                self.heard[message.origin, message.number] = encode_message(message)
            elif isinstance(message, Alive | Accusation):
                hear(self.membership, message, is_hearsay=True)
        for message in messages:
            if isinstance(message, SyncDigest):
                self.syncer.receive_digest(stream, sender, message)
            elif isinstance(message, SyncWant):
                self.syncer.receive_want(stream, message)

    def states(self) -> dict[str, tuple[Run, int, MemberState]]:
        return {member.run.name: (member.run, member.incarnation, member.state) for member in self.membership.table}


def sync(asker: Peer, answerer: Peer, *, joining: bool = False, with_progress: bool = True) -> list[Update]:
    """Let `asker` sync with `answerer` to the end; return the records that went over the stream."""
    stream = asker.syncer.ask(address_of("z"), 0.0, joining=joining, with_progress=with_progress)
    assert stream is not None
    records: list[Update] = []
    while True:
        asked, answered = asker.outbox.take(), answerer.outbox.take()
        for effects, to, number in ((asked, answerer, -1), (answered, asker, stream)):
            for effect in effects:
                if isinstance(effect, OpenStream | SendFrame):
                    packet = decode_packet_untrusted(effect.frame)
                    messages = packet.messages
                    records += [message for message in messages if isinstance(message, Update)]
                    to.receive(number, packet.header.sender.name, messages)
        if not asked and not answered:
            return records


def status(index: int, *, epoch: int = 1, seq: int = 1, progress: int = 0, owner: str = "b") -> InstanceStatus:
    return InstanceStatus(
        instance=InstanceId("j", "o", index),
        epoch=epoch,
        run=Run(owner, 1),
        seq=seq,
        state=InstanceState.RUNNING,
        since_ms=0,
        progress=progress,
    )


ANY_STATUS = st.builds(
    lambda index, epoch, seq: status(index, epoch=epoch, seq=seq, progress=seq),
    st.integers(0, 3),
    st.integers(1, 3),
    st.integers(1, 3),
)


def check_from(peer: Peer, other: Peer, *, with_progress: bool = True) -> list[OpenStream]:
    """Let `peer` hear the hash of `other`; return the syncs that it opens."""
    digest = other.syncer.digest(with_progress=with_progress)
    peer.syncer.receive_check(other.membership.run, SyncCheck(digest=digest, with_progress=with_progress), 0.0)
    return [effect for effect in peer.outbox.take() if isinstance(effect, OpenStream)]
