"""The small print of the rules in docs/membership.md: what no story would miss, until the day it matters."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import TYPE_CHECKING

import attrs
import pytest

from swimstream.config import LOCAL
from swimstream.core.effects import SendFrame, SendPacket
from swimstream.core.membership.gossip import GossipQueue
from swimstream.core.membership.probing import ProbeRing
from swimstream.core.membership.suspicion import timeouts_s
from swimstream.core.membership.table import BOOT_JUMP_MAX_MS
from swimstream.core.outbox import Outbox
from swimstream.events import MemberChanged
from swimstream.model.identity import Address, Run
from swimstream.model.member import MemberState
from swimstream.model.plan import PlanMark
from swimstream.wire.codec import decode_packet_untrusted, encode_message, encode_packet
from swimstream.wire.messages import Accusation, Ack, Alive, DigestEntry, Header, Nack, Ping, SyncDigest
from swimstream.wire.seal import envelopes_for
from tests.core.lab import Lab
from tests.core.membership.peers import Peer
from tests.core.membership.test_detector import INTERVAL_S, MARK, Bench, gossip_goes_to
from tests.core.membership.views import address_of, alive, dead, hear, held, left, spread, suspect, view

if TYPE_CHECKING:
    from swimstream.core.node import Node
    from swimstream.wire.messages import Message


# --- which claim wins ------------------------------------------------------------------------------


def test_a_suspicion_of_who_has_left_still_raises_the_stored_incarnation() -> None:
    membership = view(others="b")
    hear(membership, left("b"))
    hear(membership, suspect("b", 5))
    assert (held(membership, "b").state, held(membership, "b").incarnation) == (MemberState.LEFT, 5)


def test_a_forged_boot_far_ahead_ends_no_run() -> None:
    membership = view("a")
    forged = attrs.evolve(alive("a", boot=BOOT_JUMP_MAX_MS + 2), profile=alive("b").profile)
    hear(membership, forged)
    assert (membership.namesakes.superseded_by, membership.namesakes.highest_boot) == (None, 0)
    assert membership._counters["boot_jumps_refused"] == 1


def test_who_was_held_for_dead_tells_no_accusation_that_it_had_queued() -> None:
    """It was cut off, and judged the others by that."""
    membership = view(others="bcdef")
    hear(membership, suspect("b", by="c"))
    hear(membership, suspect("b", by="d"))
    hear(membership, dead("c", by="a"))
    hear(membership, dead("a"))
    assert [claim for claim in spread(membership) if isinstance(claim, Accusation)] == []


@pytest.mark.parametrize("host", [3, 9])
def test_a_newcomer_never_speaks_under_a_boot_below_that_of_its_dead_namesake(host: int) -> None:
    lab = Lab()
    lab.start_group("abc")
    lab.crash("c")
    lab.run_until(lambda: lab.state("a", "c") is MemberState.DEAD)
    lab.run_for(5.0)
    lab.told.clear()
    lab.start("c", host=host, seeds=("a",), boot=5)
    lab.run_for(5.0)
    own = [told.what.member.run for told in lab.told if told.who == "c" and isinstance(told.what, MemberChanged)]
    boots = {run.boot for run in own if run.name == "c"}
    assert len(boots) == 1
    assert min(boots) > 1_002


# --- probes ----------------------------------------------------------------------------------------


def ring_of(names: str, *, seed: int = 1) -> ProbeRing:
    ring = ProbeRing(Random(seed))
    for name in names:
        ring.add(name)
    return ring


def test_each_walk_has_an_order_of_its_own() -> None:
    ring = ring_of("abcdefgh")
    walks = [[ring.next() for _ in range(8)] for _ in range(6)]
    assert len({tuple(walk) for walk in walks}) == 6
    assert all(sorted(filter(None, walk)) == list("abcdefgh") for walk in walks)


def test_newcomers_enter_the_order_at_a_random_place() -> None:
    turns = set()
    for seed in range(30):
        ring = ring_of("abcdefghz", seed=seed)
        turns.add([ring.next() for _ in range(9)].index("z"))
    assert len(turns) > 4


def test_nobody_probes_itself() -> None:
    membership = view("a", others="bc")
    hear(membership, suspect("a"))
    membership.begin_new_run(7, 1.0)
    assert {membership.ring.next() for _ in range(9)} == {"b", "c"}


def test_members_that_start_together_do_not_beat_in_step() -> None:
    firsts = []
    for seed in range(20):
        bench = Bench("b")
        bench.detector._rng = Random(seed)
        firsts.append(bench.begin_round()[1])
    assert all(0 <= first < INTERVAL_S for first in firsts)
    assert max(firsts) - min(firsts) > INTERVAL_S / 2


def test_a_later_run_introduces_itself_anew() -> None:
    bench = Bench("b")
    ping, at = bench.begin_round()
    bench.ack(ping.target, Ack(seq=ping.seq, mark=MARK))
    bench.membership.begin_new_run(9, at)
    bench.detector.begin_new_run()
    sent = [message for _, message in bench.fire(at + INTERVAL_S)]
    assert alive("a", boot=9) in sent
    assert any(isinstance(message, Ping) for message in sent)


# --- suspicions ------------------------------------------------------------------------------------


def test_an_accuser_that_is_heard_again_is_told_no_further() -> None:
    membership = view(others="bcdef")
    hear(membership, suspect("b", by="c"))
    hear(membership, suspect("b", by="d"))
    while len(membership.gossip):
        spread(membership)
    hear(membership, suspect("b", by="d"))
    hear(membership, suspect("b", by="c"))
    assert spread(membership) == []


def test_a_suspicion_that_nobody_signed_begins_at_its_longest() -> None:
    membership = view(others="bcdefg")
    hear(membership, dead("b", by="c"), is_hearsay=True)
    _, longest_s = timeouts_s(
        members=7,
        probe_interval_s=LOCAL.probe_interval_s,
        mult=LOCAL.suspicion_mult,
        max_mult=LOCAL.suspicion_max_mult,
    )
    assert membership.next_deadline() == pytest.approx(longest_s)
    hear(membership, suspect("b", by="c"))
    assert membership.next_deadline() == pytest.approx(longest_s), "the first signature is no confirmation"


# --- a whole node ----------------------------------------------------------------------------------


def run_of(lab: Lab, name: str) -> Run:
    return lab.node(name).run


def packet(sender: Run, *messages: Message) -> bytes:
    return encode_packet(Header(0, sender), [encode_message(message) for message in messages])


def told_to(node: Node) -> list[tuple[Address, tuple[Message, ...]]]:
    """Return the datagrams that leave a node now, by receiver."""
    effects = [effect for effect in node.take_effects() if isinstance(effect, SendPacket)]
    return [(effect.to, decode_packet_untrusted(effect.payload).messages) for effect in effects]


def word_against(lab: Lab, name: str, state: MemberState, *, by: str) -> Accusation:
    member = lab.member(by, name)
    assert member is not None
    return Accusation(run=member.run, incarnation=member.incarnation, state=state, accuser=by)


def settled(names: str) -> Lab:
    lab = Lab()
    lab.start_group(names)
    lab.run_for(5.0)
    return lab


def test_the_ack_to_the_ping_that_tells_of_a_suspicion_carries_the_refutation() -> None:
    lab = settled("ab")
    ping = Ping(seq=77, target=run_of(lab, "b"), mark=PlanMark(term=0, leader="", index=0))
    data = packet(run_of(lab, "a"), ping, word_against(lab, "b", MemberState.SUSPECT, by="a"))
    node = lab.node("b")
    node.receive_packet(data, source=lab.seat("a").address, now=lab.now)
    [(_, messages)] = told_to(node)
    assert isinstance(messages[0], Ack)
    assert [(each.run.name, each.incarnation) for each in messages if isinstance(each, Alive)] == [("b", 1)]


@pytest.mark.parametrize("by_stream", [False, True])
def test_a_death_told_by_a_member_is_a_death_unless_it_comes_by_stream(*, by_stream: bool) -> None:
    lab = settled("abc")
    data = packet(run_of(lab, "b"), word_against(lab, "c", MemberState.DEAD, by="b"))
    if by_stream:
        lab.node("a").receive_frame(-9, data, now=lab.now)
    else:
        lab.node("a").receive_packet(data, source=lab.seat("b").address, now=lab.now)
    assert lab.state("a", "c") is (MemberState.SUSPECT if by_stream else MemberState.DEAD)


def test_who_is_held_dead_by_a_digest_refutes_in_the_answer_to_it() -> None:
    """Else a partition heals one sync later."""
    lab = settled("ab")
    b = lab.node("b")
    entry = DigestEntry(run=b.run, incarnation=4, state=MemberState.DEAD, statuses=0)
    b.receive_frame(-9, packet(run_of(lab, "a"), SyncDigest(entries=(entry,))), now=lab.now)
    frames = [effect.frame for effect in b.take_effects() if isinstance(effect, SendFrame) and effect.stream == -9]
    answers = [message for frame in frames for message in decode_packet_untrusted(frame).messages]
    assert (b.run, 5) in [(each.run, each.incarnation) for each in answers if isinstance(each, Alive)]


def test_a_death_told_by_who_is_itself_held_dead_is_a_suspicion() -> None:
    """Who was cut off holds the others dead for the same reason."""
    lab = settled("abcd")
    a = lab.node("a")
    word = packet(run_of(lab, "d"), word_against(lab, "b", MemberState.DEAD, by="d"))
    a.receive_packet(word, source=lab.seat("d").address, now=lab.now)
    word = packet(run_of(lab, "b"), word_against(lab, "c", MemberState.DEAD, by="b"))
    a.receive_packet(word, source=lab.seat("b").address, now=lab.now)
    assert (lab.state("a", "b"), lab.state("a", "c")) == (MemberState.DEAD, MemberState.SUSPECT)


def test_who_is_called_dead_by_the_dead_answers_with_no_packet_of_its_own() -> None:
    """Else two that hold each other dead would answer each other for ever; the refutation goes with the gossip."""
    lab = settled("abc")
    a = lab.node("a")
    word = packet(run_of(lab, "c"), word_against(lab, "b", MemberState.DEAD, by="c"))
    a.receive_packet(word, source=lab.seat("c").address, now=lab.now)
    a.take_effects()
    word = packet(run_of(lab, "b"), word_against(lab, "a", MemberState.DEAD, by="b"))
    a.receive_packet(word, source=lab.seat("b").address, now=lab.now)
    assert told_to(a) == []
    assert a.next_deadline() <= lab.now, "it goes at once, but no more often than gossip does"


# --- gossip ----------------------------------------------------------------------------------------


def test_what_fits_no_datagram_is_counted_and_not_queued() -> None:
    counters: Counter[str] = Counter()
    news = GossipQueue(retransmit_mult=4, fragment_bytes_max=600, counters=counters)
    news.push("m/a", b"x" * 600)
    news.push("m/b", b"x" * 601)
    assert (len(news), counters["gossip_unsendable"]) == (1, 1)


def test_a_full_datagram_is_as_long_as_the_bound_its_seal_included() -> None:
    one = encode_message(Nack(seq=9))
    box = Outbox(
        packet_bytes_max=512,
        piggyback=lambda budget: [one] * (budget // len(one)),
        counters=Counter(),
        envelopes=envelopes_for((b"k" * 32,), rng=Random(1), counters=Counter(), here=address_of("a")),
    )
    box.identify(Run("a", 1), 77)
    box.send(address_of("b"), Nack(seq=1))
    [effect] = box.take()
    assert isinstance(effect, SendPacket)
    assert 512 - len(one) < len(effect.payload) <= 512


def test_two_members_fall_silent_when_all_is_told() -> None:
    lab = settled("ab")
    assert [len(lab.node(name)._rooms.membership.gossip) for name in "ab"] == [0, 0]


def test_a_worker_alone_queues_no_more_than_one_rumour_a_subject() -> None:
    lab = Lab()
    node = lab.start("a")
    for incarnation in range(50):
        claim = Accusation(run=node.run, incarnation=incarnation, state=MemberState.SUSPECT, accuser="z")
        node.receive_packet(packet(Run("z", 1), claim), source=address_of("z"), now=lab.now)
    lab.run_for(60.0)
    assert len(node._rooms.membership.gossip) == 1


def test_gossip_goes_to_suspects_as_well() -> None:
    bench = Bench("bc")
    hear(bench.membership, suspect("b", by="c"))
    assert gossip_goes_to(bench, 1.0) == {"b", "c"}


def test_in_a_small_cluster_each_tick_reaches_everybody() -> None:
    bench = Bench("bcd")
    assert [gossip_goes_to(bench, float(now)) for now in range(1, 20)] == [set("bcd")] * 19


def test_syncs_come_at_a_random_pace() -> None:
    peer = Peer("a", alive("b"))
    peer.syncer.start(0.0)
    peer.syncer._reconnect_at = float("inf")
    gaps = []
    for _ in range(10):
        at = peer.syncer._sync_at
        peer.syncer.fire_timers(at, seeds=())
        gaps.append(peer.syncer._sync_at - at)
    assert len(set(gaps)) == 10
    assert all(0.75 * LOCAL.sync_interval_s <= gap <= 1.25 * LOCAL.sync_interval_s for gap in gaps)


# --- the end ---------------------------------------------------------------------------------------


def test_who_has_left_is_forgotten_too() -> None:
    membership = view(others="b")
    hear(membership, left("b"))
    membership.fire_timers(LOCAL.tombstone_s)
    assert "b" not in membership.table


def test_a_goodbye_leaves_at_once_and_directly() -> None:
    lab = settled("abcd")
    node = lab.node("d")
    own = lab.member("d", "d")
    assert own is not None
    node.leave(2, now=lab.now)
    goodbye = Accusation(run=own.run, incarnation=own.incarnation, state=MemberState.LEFT, accuser="d")
    told = {to for to, messages in told_to(node) if goodbye in messages}
    assert told == {lab.seat(name).address for name in "abc"}


def test_a_goodbye_is_known_to_all_before_it_is_answered() -> None:
    names = "abcdefghijklmnopqrstuvwxyz"
    lab = settled(names)
    lab.leave("z")
    lab.run_until(lambda: _has_left(lab, "z"), limit_s=5.0)
    assert {told.who for told in lab.entered(MemberState.LEFT, "z")} == set(names)


def _has_left(lab: Lab, name: str) -> bool:
    return any(told.who == name and not isinstance(told.what, MemberChanged) for told in lab.told[-200:] if told.at > 5)


def test_who_leaves_answers_probes_until_it_is_gone() -> None:
    """Else somebody who has not heard of it yet would accuse it."""
    lab = settled("abc")
    node = lab.node("c")
    node.leave(2, now=lab.now)
    node.take_effects()
    ping = Ping(seq=77, target=node.run, mark=PlanMark(term=0, leader="", index=0))
    node.receive_packet(packet(run_of(lab, "a"), ping), source=lab.seat("a").address, now=lab.now)
    [(to, messages)] = told_to(node)
    assert to == lab.seat("a").address
    assert isinstance(messages[0], Ack)
