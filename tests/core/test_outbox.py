"""Messages are packed into packets, and the order of effects is kept."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from swimstream.core.effects import CloseStream, OpenStream, Persist, SendFrame, SendPacket, VoteRecord
from swimstream.core.outbox import Outbox
from swimstream.model.identity import Address, Run
from swimstream.wire.codec import decode_packet_untrusted, encode_message
from swimstream.wire.messages import Nack, SyncWant
from swimstream.wire.seal import PLAIN

TO = Address("10.0.0.2", 7946)
BYTES_MAX = 512


class Pile:
    """Gossip that never ends: as many small updates as fit, and a note of what was asked for."""

    def __init__(self) -> None:
        self.budgets: list[int] = []

    def take(self, budget: int) -> list[bytes]:
        self.budgets.append(budget)
        return [encode_message(Nack(seq=9))] * max(0, budget // len(encode_message(Nack(seq=9))))


def outbox(pile: Pile | None = None) -> Outbox:
    take = pile.take if pile is not None else lambda _: []
    box = Outbox(packet_bytes_max=BYTES_MAX, piggyback=take, counters=Counter(), envelopes=PLAIN)
    box.identify(Run("a", 1), 77)
    return box


@given(names=st.lists(st.text("ab", min_size=1, max_size=64), unique=True, max_size=12))
def test_no_datagram_is_longer_than_the_bound_and_gossip_fills_it(names: list[str]) -> None:
    box = outbox(Pile())
    box.send(TO, SyncWant(names=tuple(names)))
    for effect in box.take():
        if isinstance(effect, SendPacket):
            assert BYTES_MAX - len(encode_message(Nack(seq=9))) < len(effect.payload) <= BYTES_MAX


@given(names=st.lists(st.text("ab", min_size=1, max_size=64), unique=True, max_size=20))
def test_a_message_arrives_whole_whatever_its_length(names: list[str]) -> None:
    box = outbox()
    box.send(TO, SyncWant(names=tuple(names)))
    effect = box.take()[0]
    assert isinstance(effect, SendPacket | OpenStream)
    data = effect.payload if isinstance(effect, SendPacket) else effect.frame
    assert decode_packet_untrusted(data).messages == (SyncWant(names=tuple(names)),)


def test_what_is_too_long_for_a_datagram_goes_by_a_stream_that_is_closed_behind_it() -> None:
    box = outbox(pile := Pile())
    box.send(TO, SyncWant(names=tuple(f"name-{i:03}" for i in range(100))))
    opened, closed = box.take()
    assert isinstance(opened, OpenStream)
    assert closed == CloseStream(opened.stream)
    assert pile.budgets == []


def test_updates_of_the_sender_go_ahead_of_gossip() -> None:
    box = outbox(Pile())
    box.send(TO, Nack(seq=1), updates=[encode_message(Nack(seq=2))])
    [effect] = box.take()
    assert isinstance(effect, SendPacket)
    assert decode_packet_untrusted(effect.payload).messages[:3] == (Nack(seq=1), Nack(seq=2), Nack(seq=9))


def test_without_news_no_gossip_leaves() -> None:
    box = outbox()
    box.gossip(TO)
    assert box.take() == []


def test_effects_keep_their_order_and_are_taken_once() -> None:
    box = outbox()
    box.send(TO, Nack(seq=1))
    box.persist(VoteRecord(1, "a"))
    box.send(TO, Nack(seq=2))
    stream = box.open_stream(TO, [])
    box.send_frame(stream, [])
    kinds = [type(effect) for effect in box.take()]
    assert kinds == [SendPacket, Persist, SendPacket, OpenStream, SendFrame]
    assert box.take() == []


def test_each_stream_has_a_positive_number_of_its_own() -> None:
    box = outbox()
    numbers = [box.open_stream(TO, []) for _ in range(3)]
    assert len(set(numbers)) == 3
    assert min(numbers) > 0


def test_a_packet_says_who_sends_also_after_a_change() -> None:
    box = outbox()
    box.identify(Run("a", 2), 78)
    box.send(TO, Nack(seq=1))
    [effect] = box.take()
    assert isinstance(effect, SendPacket)
    header = decode_packet_untrusted(effect.payload).header
    assert (header.sender, header.cluster_id) == (Run("a", 2), 78)
