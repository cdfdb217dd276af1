"""Two peers compare and send each other what is missing, over a stream that is carried by hand."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swimstream.config import LOCAL
from swimstream.core.effects import CloseStream, OpenStream, SendPacket
from swimstream.core.membership.sync import SYNC_DEADLINE_S, SYNCS_MAX
from swimstream.model.identity import Address, InstanceId, Run
from swimstream.model.member import MemberState, Profile
from swimstream.wire.codec import encode_message
from swimstream.wire.messages import Accusation, Alive, Broadcast, SyncWant
from tests.core.membership.peers import ANY_STATUS, Peer, check_from, status, sync
from tests.core.membership.views import address_of, alive, dead, hear, held, left, suspect

if TYPE_CHECKING:
    from swimstream.model.status import InstanceStatus

LIVING = st.lists(
    st.builds(
        lambda make, name, incarnation, boot: make(name, incarnation, boot=boot),
        st.sampled_from([alive, alive, suspect]),
        st.sampled_from("cdef"),
        st.integers(0, 2),
        st.integers(1, 2),
    ),
    max_size=12,
)


@given(LIVING, LIVING)
def test_two_views_of_the_living_agree_after_one_sync(
    ours: list[Alive | Accusation], theirs: list[Alive | Accusation]
) -> None:
    one, two = Peer("a", *ours), Peer("b", *theirs)
    sync(one, two)
    assert one.states() == two.states()


@given(LIVING, LIVING)
def test_a_second_sync_has_nothing_to_send(ours: list[Alive | Accusation], theirs: list[Alive | Accusation]) -> None:
    one, two = Peer("a", *ours), Peer("b", *theirs)
    sync(one, two)
    assert sync(one, two) == []
    assert sync(two, one) == []


@given(st.lists(ANY_STATUS, max_size=6), st.lists(ANY_STATUS, max_size=6))
def test_two_status_tables_agree_after_one_sync(ours: list[InstanceStatus], theirs: list[InstanceStatus]) -> None:
    one, two = Peer("a", alive("b")), Peer("b", alive("a"))
    for each in ours:
        one.statuses.merge(each)
    for each in theirs:
        two.statuses.merge(each)
    sync(one, two)
    assert one.statuses.all() == two.statuses.all()
    assert sync(two, one) == []


def test_only_the_record_that_differs_is_sent() -> None:
    known = [alive(name) for name in "cdefgh"]
    one, two = Peer("a", alive("b"), *known), Peer("b", alive("a"), *known, alive("e", 1))
    assert sync(one, two) == [alive("e", 1)]


def test_a_death_arrives_as_a_suspicion_that_nobody_signed() -> None:
    one, two = Peer("a", alive("b"), alive("c")), Peer("b", alive("a"), alive("c"), dead("c", by="d"))
    sync(one, two)
    assert held(one.membership, "c").state is MemberState.SUSPECT
    assert held(one.membership, "c").accusers == ()


def test_a_death_also_arrives_as_a_suspicion_where_the_asker_knows_of_it() -> None:
    one, two = Peer("a", alive("b"), alive("c"), dead("c", by="d")), Peer("b", alive("a"), alive("c"))
    sync(one, two)
    assert held(two.membership, "c").state is MemberState.SUSPECT


def test_who_hears_is_hearsay_that_it_is_held_dead_refutes_and_is_alive_again_after_the_next() -> None:
    one, two = Peer("a", alive("b"), dead("b")), Peer("b", alive("a"))
    sync(one, two)
    sync(one, two)
    assert held(one.membership, "b").state is MemberState.ALIVE
    assert held(one.membership, "b").incarnation == 1


def test_a_goodbye_is_told_as_it_is() -> None:
    one, two = Peer("a", alive("b"), alive("c")), Peer("b", alive("a"), alive("c"), left("c"))
    sync(one, two)
    assert held(one.membership, "c").state is MemberState.LEFT


def test_a_later_run_replaces_the_earlier_on_both_sides() -> None:
    one = Peer("a", alive("b"), alive("c", 5, boot=1))
    two = Peer("b", alive("a"), alive("c", 0, boot=2))
    sync(one, two)
    assert one.states() == two.states()


def test_a_newcomer_learns_all_and_is_told_of_no_one_who_asks() -> None:
    newcomer, seed = Peer("a"), Peer("b", alive("c"), alive("d"))
    sync(newcomer, seed, joining=True)
    assert set(newcomer.states()) == {"a", "b", "c", "d"}
    assert "a" not in seed.states()


def test_a_newcomer_is_not_told_of_the_same_dead_at_every_sync() -> None:
    newcomer, elder = Peer("a"), Peer("b", alive("c"), dead("c"))
    sync(newcomer, elder)
    assert sync(newcomer, elder) == []


def test_an_answer_too_long_for_a_frame_still_arrives() -> None:
    """17 workers full of talkative instances are more than 4 MiB: from then on nobody can join."""
    newcomer, seed = Peer("a"), Peer("b")
    for index in range(17_000):
        talkative = status(index % 1_000, owner="b")
        place = InstanceId(f"job-{index // 1_000}", "operator", index % 1_000)
        seed.statuses.merge(
            attrs.evolve(talkative, instance=place, checkpoint=b"c" * 64, endpoint="e" * 64, cause="f" * 96)
        )
    sync(newcomer, seed, joining=True)
    assert len(newcomer.statuses.all()) == 17_000


# --- streams -------------------------------------------------------------------------------------------


def test_syncs_beyond_the_bound_are_refused_and_counted() -> None:
    peer = Peer("a")
    streams = [peer.syncer.ask(address_of("b"), 0.0) for _ in range(SYNCS_MAX + 1)]
    assert streams[-1] is None
    assert None not in streams[:-1]
    assert peer.counters["syncs_refused"] == 1


def test_a_sync_without_an_answer_is_given_up_and_its_stream_closed() -> None:
    peer = Peer("a")
    stream = peer.syncer.ask(address_of("b"), 0.0)
    assert stream is not None
    peer.outbox.take()
    assert peer.syncer.next_deadline() == SYNC_DEADLINE_S
    peer.syncer.fire_timers(SYNC_DEADLINE_S, seeds=())
    assert peer.outbox.take() == [CloseStream(stream)]
    assert peer.counters["syncs_failed"] == 1


def test_an_answer_on_a_stream_that_was_not_opened_here_gives_nothing_away() -> None:
    peer = Peer("a", alive("b"))
    peer.syncer.receive_want(-3, SyncWant(names=("b",)))
    assert peer.outbox.take() == []


def asked_at(peer: Peer, now: float, *, seeds: str = "") -> set[str]:
    peer.syncer.fire_timers(now, seeds=[address_of(seed) for seed in seeds])
    return {
        chr(int(effect.to.host.rpartition(".")[2])) for effect in peer.outbox.take() if isinstance(effect, OpenStream)
    }


def test_regular_syncs_go_to_the_alive() -> None:
    peer = Peer("a", alive("b"), alive("c"), suspect("c"), alive("d"), left("d"))
    peer.syncer.start(0.0)
    peer.syncer._reconnect_at = float("inf")
    assert asked_at(peer, LOCAL.sync_interval_s) == {"b"}


def test_the_dead_are_tried_again_and_those_who_left_are_not() -> None:
    peer = Peer("a", alive("b"), dead("b"), alive("c"), left("c"))
    peer.syncer.start(0.0)
    assert asked_at(peer, LOCAL.reconnect_interval_s) == {"b"}


def test_a_seed_that_is_no_live_member_is_tried_again() -> None:
    peer = Peer("a", alive("b"))
    peer.syncer.start(0.0)
    peer.syncer._sync_at = float("inf")
    assert asked_at(peer, LOCAL.reconnect_interval_s, seeds="abz") == {"z"}


# --- one hash for all -----------------------------------------------------------------------------


@given(LIVING, LIVING)
def test_peers_have_one_hash_exactly_when_a_sync_would_change_nothing_among_the_living(
    ours: list[Alive | Accusation], theirs: list[Alive | Accusation]
) -> None:
    one, two = Peer("a", alive("b"), *ours), Peer("b", alive("a"), *theirs)
    suspicion_apart = [
        {name: (run, incarnation) for name, (run, incarnation, _) in peer.states().items()} for peer in (one, two)
    ]
    assert (one.syncer.digest() == two.syncer.digest()) == (suspicion_apart[0] == suspicion_apart[1])
    sync(one, two)
    assert one.syncer.digest() == two.syncer.digest()


def test_what_a_gone_worker_said_of_its_instances_belongs_to_the_hash() -> None:
    one, two = Peer("a", alive("b")), Peer("b", alive("a"))
    for peer in (one, two):
        hear(peer.membership, alive("c"))
        hear(peer.membership, dead("c"))
    one.statuses.merge(status(0, owner="c"))
    assert one.syncer.digest() != two.syncer.digest()
    sync(one, two)
    assert one.syncer.digest() == two.syncer.digest()


def test_the_gone_do_not_belong_to_the_hash() -> None:
    one, two = Peer("a", alive("b"), alive("c"), dead("c"), alive("d"), left("d")), Peer("b", alive("a"))
    assert one.syncer.digest() == two.syncer.digest()


def test_who_agrees_keeps_quiet() -> None:
    one, two = Peer("a", alive("b")), Peer("b", alive("a"))
    assert check_from(one, two) == []
    assert one.counters["syncs_in_agreement"] == 1


def test_who_holds_something_else_opens_one_sync_however_often_it_hears_it() -> None:
    one, two = Peer("a", alive("b"), alive("c")), Peer("b", alive("a"))
    assert [effect.to for effect in check_from(one, two)] == [address_of("b")]
    assert check_from(one, two) == []


@pytest.mark.parametrize("claims", [(), (dead("b"),)])
def test_a_hash_from_a_stranger_or_from_the_dead_opens_nothing(claims: tuple[Accusation, ...]) -> None:
    one, two = Peer("a", *([alive("b")] if claims else []), *claims), Peer("b", alive("c"))
    assert check_from(one, two) == []
    assert one.counters["syncs_by_strangers"] == 1


def test_a_regular_sync_with_who_knows_the_check_is_one_small_datagram() -> None:
    newer = attrs.evolve(alive("b"), profile=attrs.evolve(alive("b").profile, speaks=2))
    peer = Peer("a", newer)
    peer.syncer.start(0.0)
    peer.syncer._reconnect_at = float("inf")
    peer.syncer.fire_timers(LOCAL.sync_interval_s, seeds=())
    (effect,) = peer.outbox.take()
    assert isinstance(effect, SendPacket)
    assert len(effect.payload) < 40


def test_all_together_try_a_dead_member_no_more_often_the_more_they_are() -> None:
    tries = 0
    for number in range(100):
        others = [
            attrs.evolve(alive(f"b{each}"), profile=Profile(address=Address("::1", 1 + each))) for each in range(99)
        ]
        peer = Peer("a", *others, alive("z"), dead("z"))
        peer.syncer._rng = Random(number)
        peer.syncer._reconnect_at = 0.0
        peer.syncer.fire_timers(0.0, seeds=())
        tries += len(peer.outbox.take())
    assert tries < 12


def test_each_side_hears_the_broadcasts_that_only_the_other_has_heard() -> None:
    one, other = Peer("a"), Peer("b")
    for peer, numbers in ((one, (1, 2)), (other, (2, 3))):
        for number in numbers:
            said = Broadcast(origin=Run("c", 1), number=number, time=number, topic="t", payload=b"")
            peer.heard[said.origin, number] = encode_message(said)
    records = sync(one, other)
    assert one.heard.keys() == other.heard.keys() == {(Run("c", 1), number) for number in (1, 2, 3)}
    assert [record.number for record in records if isinstance(record, Broadcast)] == [3, 1]


# --- who was forgotten ----------------------------------------------------------------------------


def forget(peer: Peer, name: str) -> None:
    """Let a peer hold a member dead for as long as a tombstone lasts."""
    hear(peer.membership, alive(name))
    hear(peer.membership, dead(name))
    peer.membership.fire_timers(LOCAL.tombstone_s + 1)
    assert peer.membership.table.get(name) is None


def test_who_was_forgotten_hears_of_it_when_it_asks_and_is_back_after_that_one_sync() -> None:
    """Nobody gossips with it, and pings of strangers are not answered: it would not learn of it otherwise."""
    one, two = Peer("a", alive("b")), Peer("b")
    forget(two, "a")
    sync(one, two)
    assert one.membership.incarnation == 1
    assert held(two.membership, "a").state is MemberState.ALIVE


def test_who_has_forgotten_a_member_says_so_to_the_peer_that_tells_of_it() -> None:
    one, two = Peer("a"), Peer("b", alive("c"))
    forget(one, "c")
    sync(one, two)
    assert one.membership.table.get("c") is None
    assert held(two.membership, "c").state is MemberState.SUSPECT
    assert held(two.membership, "c").accusers == ()


def test_a_peer_that_still_holds_the_dead_alive_does_not_bring_it_back_and_looks_again_itself() -> None:
    one, two = Peer("a", alive("b"), alive("c")), Peer("b", alive("a"))
    forget(two, "c")
    sync(one, two)
    assert two.membership.table.get("c") is None
    assert held(one.membership, "c").state is MemberState.SUSPECT


def test_what_was_refused_is_told_once() -> None:
    peer = Peer("a", alive("b"))
    forget(peer, "c")
    hear(peer.membership, alive("c"))
    assert len(peer.membership.past.take_refused()) == 1
    assert peer.membership.past.take_refused() == []
