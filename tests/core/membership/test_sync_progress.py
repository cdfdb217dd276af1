"""Progress passes and the rest lasts: what syncs compare always, and what only now and then."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
from hypothesis import given
from hypothesis import strategies as st

from swimstream.config import LOCAL
from swimstream.core.effects import SendFrame, SendPacket
from swimstream.wire.codec import decode_packet_untrusted
from swimstream.wire.messages import SyncCheck, SyncDigest
from tests.core.membership.peers import ANY_STATUS, Peer, check_from, status, sync
from tests.core.membership.views import alive, hear

if TYPE_CHECKING:
    from swimstream.model.status import InstanceStatus


def apart_in_progress() -> tuple[Peer, Peer]:
    """Return two that agree on all but how far an instance has come."""
    peers = Peer("a", alive("b"), alive("c")), Peer("b", alive("a"), alive("c"))
    for seq, peer in enumerate(peers, start=1):
        peer.statuses.merge(status(0, seq=seq, progress=100 * seq, owner="c"))
    return peers


def test_who_differs_in_progress_alone_agrees_until_progress_counts() -> None:
    one, two = apart_in_progress()
    assert check_from(one, two, with_progress=False) == []
    assert one.counters["syncs_in_agreement"] == 1
    assert len(check_from(one, two, with_progress=True)) == 1


def test_progress_is_left_out_of_a_sync_about_something_else() -> None:
    one, two = apart_in_progress()
    hear(two.membership, alive("c", 1))
    assert sync(one, two, with_progress=False) == [alive("c", 1)]


def test_what_was_told_last_arrives_with_the_sync_that_progress_opens() -> None:
    one, two = apart_in_progress()
    (opened,) = check_from(one, two, with_progress=True)
    (digest,) = decode_packet_untrusted(opened.frame).messages
    assert isinstance(digest, SyncDigest)
    two.syncer.receive_digest(-1, "a", digest)
    for effect in two.outbox.take():
        assert isinstance(effect, SendFrame)
        one.receive(opened.stream, "b", decode_packet_untrusted(effect.frame).messages)
    assert one.statuses.all() == two.statuses.all()
    assert check_from(one, two, with_progress=True) == []


@given(st.lists(ANY_STATUS, max_size=6), st.lists(ANY_STATUS, max_size=6))
def test_a_sync_without_progress_leaves_nothing_but_progress_apart(
    ours: list[InstanceStatus], theirs: list[InstanceStatus]
) -> None:
    one, two = Peer("a", alive("b")), Peer("b", alive("a"))
    for peer, told in ((one, ours), (two, theirs)):
        for each in told:
            peer.statuses.merge(each)
    sync(one, two, with_progress=False)
    lasting = [[attrs.evolve(each, seq=0, progress=0) for each in peer.statuses.all()] for peer in (one, two)]
    assert lasting[0] == lasting[1]
    sync(one, two)
    assert one.statuses.all() == two.statuses.all()


def test_every_fourth_check_of_a_node_counts_progress() -> None:
    newer = attrs.evolve(alive("b"), profile=attrs.evolve(alive("b").profile, speaks=2))
    peer = Peer("a", newer)
    peer.syncer.start(0.0)
    peer.syncer._reconnect_at = float("inf")
    for number in range(1, 9):
        peer.syncer.fire_timers(number * 10 * LOCAL.sync_interval_s, seeds=())
    checks = [
        message
        for effect in peer.outbox.take()
        if isinstance(effect, SendPacket)
        for message in decode_packet_untrusted(effect.payload).messages
    ]
    assert [isinstance(check, SyncCheck) and check.with_progress for check in checks] == [False, False, False, True] * 2
