"""Probe rounds, step by step: what leaves a detector at which moment."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import TYPE_CHECKING

import attrs
import pytest

from swimstream.config import LOCAL
from swimstream.core.effects import CloseStream, Effect, OpenStream, SendFrame, SendPacket
from swimstream.core.membership.detector import Detector
from swimstream.core.membership.gossip import ROUTINE, URGENT
from swimstream.core.outbox import Outbox
from swimstream.model.coordinate import Coordinate
from swimstream.model.identity import Run
from swimstream.model.member import Evidence, MemberState
from swimstream.model.plan import PlanMark
from swimstream.wire.codec import decode_packet_untrusted
from swimstream.wire.messages import Ack, Message, Nack, Ping, PingRequest
from swimstream.wire.seal import PLAIN
from tests.core.membership.views import address_of, alive, dead, hear, held, left, suspect, view

if TYPE_CHECKING:
    from swimstream.wire.council_messages import Beacon

MARK = PlanMark(term=0, leader="", index=0)
INTERVAL_S, TIMEOUT_S = LOCAL.probe_interval_s, LOCAL.probe_timeout_s


class Bench:
    """The detector of `a` with its view of `others`; nothing is gossiped, so that only probes are seen."""

    def __init__(self, others: str) -> None:
        self.now = 0.0
        self.counters: Counter[str] = Counter()
        self.membership = view("a", others=others)
        self.outbox = Outbox(packet_bytes_max=1_200, piggyback=lambda _: [], counters=self.counters, envelopes=PLAIN)
        self.outbox.identify(self.membership.run, 0)
        self.streams: list[Effect] = []
        self.beacon: Beacon | None = None
        """What `a` would say of a quorum."""
        self.proofs: list[tuple[Beacon, float]] = []
        """What it was told of one, and when it had asked."""
        self.detector = Detector(
            self.membership,
            self.outbox,
            timing=LOCAL,
            rng=Random(1),
            counters=self.counters,
            mark=lambda: MARK,
            beacon=lambda _: self.beacon,
            beacon_heard=lambda beacon, asked_at: self.proofs.append((beacon, asked_at)),
        )

    def ack(self, by: Run, ack: Ack, *, stream: int | None = None) -> None:
        """Let an answer arrive, by datagram unless on a stream."""
        self.detector.receive_ack(by, ack, stream, self.now)

    def nack(self, by: str, seq: int) -> None:
        self.detector.receive_nack(Run(by, 1), Nack(seq=seq), self.now)

    def begin_round(self) -> tuple[Ping, float]:
        """Start probing; return the first ping and when it left."""
        self.detector.start(0.0)
        while True:
            now = self.detector.next_deadline()
            for _, message in self.fire(now):
                if isinstance(message, Ping):
                    return message, now

    def fire(self, now: float) -> list[tuple[str, Message]]:
        self.now = now
        self.detector.fire_timers(now)
        return self.sent()

    def sent(self) -> list[tuple[str, Message]]:
        """Return what has left since the last look, with the receiver's name."""
        found: list[tuple[str, Message]] = []
        for effect in self.outbox.take():
            if not isinstance(effect, SendPacket):
                self.streams.append(effect)
                continue
            name = chr(int(effect.to.host.rpartition(".")[2]))
            found += [(name, message) for message in decode_packet_untrusted(effect.payload).messages]
        return found


def seq_of(message: Message) -> int:
    assert isinstance(message, Ack)
    return message.seq


def requests(sent: list[tuple[str, Message]]) -> list[tuple[str, PingRequest]]:
    return [(to, message) for to, message in sent if isinstance(message, PingRequest)]


def test_a_target_that_answers_is_not_suspected() -> None:
    bench = Bench("b")
    ping, at = bench.begin_round()
    bench.ack(ping.target, Ack(seq=ping.seq, mark=MARK))
    bench.fire(at + TIMEOUT_S)
    bench.fire(at + INTERVAL_S)
    assert held(bench.membership, "b").state is MemberState.ALIVE


def test_no_relay_is_asked_before_the_time_out() -> None:
    bench = Bench("bcde")
    _, at = bench.begin_round()
    assert requests(bench.fire(at + TIMEOUT_S - 0.001)) == []


def test_after_the_time_out_as_many_relays_are_asked_as_configured() -> None:
    bench = Bench("bcdefg")
    ping, at = bench.begin_round()
    asked = requests(bench.fire(at + TIMEOUT_S))
    assert len({to for to, _ in asked}) == LOCAL.indirect_probes
    assert ping.target.name not in {to for to, _ in asked}
    assert {request.target for _, request in asked} == {ping.target}


def test_no_relay_is_asked_about_a_target_that_has_answered() -> None:
    bench = Bench("bcdefg")
    ping, at = bench.begin_round()
    bench.ack(ping.target, Ack(seq=ping.seq, mark=MARK))
    assert requests(bench.fire(at + TIMEOUT_S)) == []


def test_a_target_that_has_answered_leaves_no_timer_for_relays() -> None:
    bench = Bench("b")
    ping, at = bench.begin_round()
    bench.detector.receive_ack(ping.target, Ack(seq=ping.seq, mark=MARK), None, at)
    woken_at = []
    while (now := bench.detector.next_deadline()) < at + INTERVAL_S:
        woken_at.append(now)
        bench.fire(now)
    assert at + TIMEOUT_S not in woken_at


def test_a_refusal_by_anybody_else_brings_nothing_forward() -> None:
    bench = Bench("bcdefg")
    ping, at = bench.begin_round()
    for name in set("bcdefg") - {ping.target.name}:
        bench.detector.packet_refused(address_of(name), at + 0.001)
    assert requests(bench.fire(at + 0.001)) == []


def test_a_refusal_accuses_nobody_that_answers_its_relays() -> None:
    bench = Bench("bcd")
    ping, at = bench.begin_round()
    bench.detector.packet_refused(address_of(ping.target.name), at + 0.001)
    relay, _ = requests(bench.fire(at + 0.001))[0]
    bench.detector.receive_ack(Run(relay, 1), Ack(seq=ping.seq, mark=MARK), None, at)
    bench.fire(at + INTERVAL_S)
    assert held(bench.membership, ping.target.name).state is MemberState.ALIVE


def test_an_ack_through_a_relay_saves_the_target() -> None:
    bench = Bench("bcd")
    ping, at = bench.begin_round()
    relay, _ = requests(bench.fire(at + TIMEOUT_S))[0]
    bench.ack(Run(relay, 1), Ack(seq=ping.seq, mark=MARK))
    bench.fire(at + INTERVAL_S)
    assert held(bench.membership, ping.target.name).state is MemberState.ALIVE


def test_who_stays_silent_is_suspected_at_the_end_of_the_round_and_not_before() -> None:
    bench = Bench("b")
    _, at = bench.begin_round()
    bench.fire(at + TIMEOUT_S)
    bench.fire(at + INTERVAL_S - 0.001)
    assert held(bench.membership, "b").state is MemberState.ALIVE
    bench.fire(at + INTERVAL_S)
    assert held(bench.membership, "b").state is MemberState.SUSPECT


def test_a_late_ack_changes_nothing() -> None:
    bench = Bench("b")
    ping, at = bench.begin_round()
    bench.fire(at + TIMEOUT_S)
    bench.fire(at + INTERVAL_S)
    bench.ack(ping.target, Ack(seq=ping.seq, mark=MARK))
    assert held(bench.membership, "b").state is MemberState.SUSPECT
    assert bench.counters["acks_ignored"] == 1


def test_an_ack_by_somebody_who_was_not_asked_does_not_save_the_target() -> None:
    bench = Bench("bcd")
    ping, at = bench.begin_round()
    stranger = next(name for name in "bcd" if name != ping.target.name)
    bench.ack(Run(stranger, 1), Ack(seq=ping.seq, mark=MARK))
    assert requests(bench.fire(at + TIMEOUT_S))


def test_a_prober_that_wakes_up_late_gives_its_relays_time_before_it_accuses() -> None:
    bench = Bench("bcd")
    ping, at = bench.begin_round()
    bench.fire(at + 10 * INTERVAL_S)
    assert held(bench.membership, ping.target.name).state is MemberState.ALIVE


def test_a_target_that_leaves_during_its_probe_is_no_reason_to_doubt_oneself() -> None:
    bench = Bench("bc")
    ping, at = bench.begin_round()
    hear(bench.membership, left(ping.target.name))
    bench.fire(at + TIMEOUT_S)
    bench.fire(at + INTERVAL_S)
    assert bench.membership.health.score == 0


def test_relays_that_nack_spare_the_prober_the_doubt() -> None:
    bench = Bench("bcde")
    ping, at = bench.begin_round()
    for relay, request in requests(bench.fire(at + TIMEOUT_S)):
        bench.nack(relay, request.seq)
    bench.fire(at + INTERVAL_S)
    assert held(bench.membership, ping.target.name).state is MemberState.SUSPECT
    assert bench.membership.health.score == 0


def test_each_relay_that_owes_a_nack_costs_the_prober_a_point() -> None:
    bench = Bench("bcde")
    _, at = bench.begin_round()
    asked = requests(bench.fire(at + TIMEOUT_S))
    bench.nack(asked[0][0], asked[0][1].seq)
    bench.fire(at + INTERVAL_S)
    assert bench.membership.health.score == len(asked) - 1


def test_a_nack_by_somebody_who_was_not_asked_does_not_count() -> None:
    bench = Bench("bcdefgh")
    ping, at = bench.begin_round()
    asked = {to for to, _ in requests(bench.fire(at + TIMEOUT_S))}
    stranger = next(name for name in "bcdefgh" if name not in asked and name != ping.target.name)
    bench.nack(stranger, ping.seq)
    bench.fire(at + INTERVAL_S)
    assert bench.membership.health.score == len(asked)


@pytest.mark.parametrize("score", [0, 1, 8])
def test_doubt_stretches_the_round_and_its_time_out(score: int) -> None:
    bench = Bench("bcd")
    bench.membership.health = attrs.evolve(bench.membership.health, score=score)
    ping, at = bench.begin_round()
    bench.detector._gossip_at = float("inf")
    stretch = 1 + score
    assert bench.detector.next_deadline() == pytest.approx(at + TIMEOUT_S * stretch)
    assert requests(bench.fire(at + TIMEOUT_S * stretch))
    assert bench.detector.next_deadline() == pytest.approx(at + INTERVAL_S * stretch)
    assert held(bench.membership, ping.target.name).state is MemberState.ALIVE


# --- answering -----------------------------------------------------------------------------------------


def test_a_ping_of_a_member_is_answered_at_the_address_of_the_member() -> None:
    bench = Bench("b")
    bench.detector.receive_ping(Run("b", 1), Ping(seq=7, target=Run("a", 1), mark=MARK), None, bench.now)
    [(to, ack)] = bench.sent()
    assert (to, seq_of(ack)) == ("b", 7)


@pytest.mark.parametrize(("sender", "target"), [("b", Run("a", 2)), ("b", Run("c", 1)), ("z", Run("a", 1))])
def test_a_ping_for_another_run_or_by_a_stranger_is_ignored_and_counted(sender: str, target: Run) -> None:
    bench = Bench("b")
    bench.detector.receive_ping(Run(sender, 1), Ping(seq=7, target=target, mark=MARK), None, bench.now)
    assert bench.sent() == []
    assert bench.counters["pings_ignored"] == 1


def relay_for(bench: Bench) -> Ping:
    """Let `b` ask for a probe of `c`; return the ping that `a` makes for it."""
    request = PingRequest(seq=40, target=Run("c", 1), address=address_of("c"))
    bench.detector.receive_ping_request(Run("b", 1), request, 0.0)
    [(to, ping)] = [(to, message) for to, message in bench.sent() if isinstance(message, Ping)]
    assert to == "c"
    return ping


def test_a_relay_hands_the_ack_on_under_the_number_of_the_requester() -> None:
    bench = Bench("bc")
    ping = relay_for(bench)
    bench.ack(Run("c", 1), Ack(seq=ping.seq, mark=MARK))
    assert bench.sent() == [("b", Ack(seq=40, mark=MARK))]


def test_a_relay_sends_its_nack_at_four_fifths_of_the_time_that_the_prober_has_left() -> None:
    bench = Bench("bc")
    relay_for(bench)
    assert bench.detector.next_deadline() == pytest.approx(0.8 * min(TIMEOUT_S, INTERVAL_S - TIMEOUT_S))
    assert bench.fire(bench.detector.next_deadline()) == [("b", Nack(seq=40))]


def test_a_relay_that_doubts_itself_sends_its_nack_no_later() -> None:
    """The requester counts on it: a nack that comes after the round counts as missing."""
    bench = Bench("bc")
    bench.membership.health = attrs.evolve(bench.membership.health, score=4)
    relay_for(bench)
    assert bench.detector.next_deadline() == pytest.approx(0.8 * min(TIMEOUT_S, INTERVAL_S - TIMEOUT_S))


def test_a_relay_hands_on_an_ack_that_comes_after_its_nack() -> None:
    bench = Bench("bc")
    ping = relay_for(bench)
    bench.fire(bench.detector.next_deadline())
    bench.ack(Run("c", 1), Ack(seq=ping.seq, mark=MARK))
    assert bench.sent() == [("b", Ack(seq=40, mark=MARK))]


def test_a_stranger_gets_no_probe_made_for_it() -> None:
    bench = Bench("c")
    request = PingRequest(seq=40, target=Run("c", 1), address=address_of("c"))
    bench.detector.receive_ping_request(Run("z", 1), request, 0.0)
    assert bench.sent() == []


# --- what a ping carries -------------------------------------------------------------------------------


def test_a_member_introduces_itself_with_each_ping_until_the_target_has_answered() -> None:
    bench = Bench("b")
    bench.detector._gossip_at = float("inf")
    ping, at = bench.begin_round()
    bench.fire(at + TIMEOUT_S)
    again = bench.fire(at + INTERVAL_S)
    assert alive("a") in [message for _, message in again]
    probe = next(message for _, message in again if isinstance(message, Ping))
    bench.ack(ping.target, Ack(seq=probe.seq, mark=MARK))
    third = [message for _, message in bench.fire(at + 3 * INTERVAL_S + 0.001)]  # the round that failed made it doubt
    assert any(isinstance(message, Ping) for message in third)
    assert alive("a") not in third


def test_a_suspect_hears_of_its_suspicion_with_the_ping() -> None:
    bench = Bench("b")
    hear(bench.membership, suspect("b", by="c"))
    bench.detector.start(0.0)
    sent = bench.fire(INTERVAL_S)
    assert suspect("b", by="c") in [message for _, message in sent]


def test_a_suspect_hears_of_its_suspicion_also_with_a_ping_made_for_another() -> None:
    bench = Bench("bc")
    hear(bench.membership, suspect("c", by="b"))
    request = PingRequest(seq=40, target=Run("c", 1), address=address_of("c"))
    bench.detector.receive_ping_request(Run("b", 1), request, 0.0)
    assert suspect("c", by="b") in [message for _, message in bench.sent()]


def test_the_dead_and_those_who_left_are_not_probed() -> None:
    bench = Bench("bc")
    hear(bench.membership, dead("b"))
    hear(bench.membership, left("c"))
    bench.detector.start(0.0)
    assert [message for _, message in bench.fire(10.0) if isinstance(message, Ping)] == []


def gossip_goes_to(bench: Bench, now: float) -> set[str]:
    told: set[str] = set()
    bench.outbox = Outbox(
        packet_bytes_max=1_200, piggyback=lambda _: [b"\x00"], counters=bench.counters, envelopes=PLAIN
    )
    bench.outbox.identify(bench.membership.run, 0)
    bench.detector._outbox = bench.outbox
    bench.detector._gossip_at = now
    bench.detector.fire_timers(now)
    for effect in bench.outbox.take():
        assert isinstance(effect, SendPacket)
        told.add(chr(int(effect.to.host.rpartition(".")[2])))
    return told


def test_gossip_goes_to_the_newly_dead_and_never_to_those_who_left() -> None:
    bench = Bench("bc")
    hear(bench.membership, dead("b"))
    hear(bench.membership, left("c"))
    assert gossip_goes_to(bench, 1.0) == {"b"}


def test_gossip_does_not_go_to_the_long_dead() -> None:
    bench = Bench("bc")
    hear(bench.membership, dead("b"))
    assert gossip_goes_to(bench, 31 * INTERVAL_S) == {"c"}


def test_mere_progress_makes_no_packet_of_its_own() -> None:
    """Else every instance would cost every worker packets for ever, however idle it is otherwise."""
    bench = Bench("bc")
    for subject in "abc":
        bench.membership.gossip.discard(f"m/{subject}")
    bench.membership.gossip.push("s/job/op[0]", b"progress", lane=ROUTINE)
    assert gossip_goes_to(bench, 1.0) == set()
    bench.membership.gossip.push("s/job/op[0]", b"state", lane=URGENT)
    assert gossip_goes_to(bench, 2.0) == {"b", "c"}


def at_rest(bench: Bench) -> float:
    """Let the gossip of `bench` find nothing to tell; return when."""
    bench.membership.gossip.discard("m/a")
    bench.detector._gossip_at = 1.0
    bench.fire(1.0)
    return 1.0


def test_without_news_no_gossip_tick_wakes_anybody() -> None:
    bench = Bench("")
    at_rest(bench)
    assert bench.detector.next_deadline() == float("inf")


def test_news_after_a_rest_goes_at_once_and_the_next_with_the_tick() -> None:
    """A refutation must not wait for a tick that had nothing to tell before."""
    bench = Bench("b")
    for subject in "ab":
        bench.membership.gossip.discard(f"m/{subject}")
    at_rest(bench)
    bench.membership.gossip.push("m/x", b"news")
    bench.detector.wake_gossip(5.0)
    assert bench.detector.next_deadline() == 5.0
    bench.fire(5.0)
    bench.membership.gossip.push("m/y", b"more")
    bench.detector.wake_gossip(5.01)
    assert bench.detector.next_deadline() == 5.0 + LOCAL.gossip_interval_s


def told_after_a_rest(others: str) -> list[int]:
    """Return to how many members news goes at once, and with the tick after that."""
    bench = Bench(others)
    for subject in "a" + others:
        bench.membership.gossip.discard(f"m/{subject}")
    at_rest(bench)
    bench.membership.gossip.push("m/x", b"news")
    bench.detector.wake_gossip(5.0)
    return [len(gossip_goes_to(bench, now)) for now in (5.0, 5.0 + LOCAL.gossip_interval_s)]


def test_news_after_a_rest_goes_to_more_members_than_with_a_tick() -> None:
    """Else one in 20 is left out of the first wave and waits for a tick."""
    assert told_after_a_rest("bcdefghijklmnop") == [5, 3]


def test_a_burst_leaves_enough_sends_for_a_tick() -> None:
    """Among 9, news is sent 4 times: if all went at once, one lost moment could lose it."""
    assert told_after_a_rest("bcdefghi") == [3, 3]


# --- by stream, in case only datagrams are lost -----------------------------------------------------


def opened(bench: Bench) -> OpenStream:
    (stream,) = [effect for effect in bench.streams if isinstance(effect, OpenStream)]
    return stream


def test_after_the_time_out_the_target_is_pinged_by_stream_as_well() -> None:
    bench = Bench("bcd")
    ping, at = bench.begin_round()
    bench.fire(at + TIMEOUT_S)
    (message,) = decode_packet_untrusted(opened(bench).frame).messages
    assert message == ping
    assert opened(bench).to == address_of(ping.target.name)


def test_a_target_that_answers_by_stream_alone_is_not_suspected_but_counted() -> None:
    bench = Bench("b")
    ping, at = bench.begin_round()
    bench.fire(at + TIMEOUT_S)
    bench.ack(ping.target, Ack(seq=ping.seq, mark=MARK), stream=opened(bench).stream)
    bench.fire(at + INTERVAL_S)
    assert held(bench.membership, "b").state is MemberState.ALIVE
    assert bench.counters["acks_by_stream_only"] == 1


def test_a_target_that_answered_in_time_is_pinged_by_no_stream() -> None:
    bench = Bench("b")
    ping, at = bench.begin_round()
    bench.ack(ping.target, Ack(seq=ping.seq, mark=MARK))
    bench.fire(at + TIMEOUT_S)
    assert bench.streams == []


def test_the_stream_is_closed_with_its_round() -> None:
    bench = Bench("b")
    _, at = bench.begin_round()
    bench.fire(at + TIMEOUT_S)
    number = opened(bench).stream
    bench.fire(at + INTERVAL_S)
    assert CloseStream(number) in bench.streams


def test_a_ping_by_stream_is_answered_on_that_stream() -> None:
    bench = Bench("b")
    bench.detector.receive_ping(Run("b", 1), Ping(seq=7, target=bench.membership.run, mark=MARK), -3, bench.now)
    assert bench.sent() == []
    (answer,) = bench.streams
    assert isinstance(answer, SendFrame)
    (ack,) = decode_packet_untrusted(answer.frame).messages
    assert (answer.stream, seq_of(ack)) == (-3, 7)


def test_who_fires_its_own_timer_too_late_doubts_itself() -> None:
    """Lifeguard: a starved node must slow down before it accuses others."""
    bench = Bench("")  # nobody to probe, so that no failed round adds to it
    bench.detector.start(0.0)
    bench.fire(bench.detector.next_deadline() + TIMEOUT_S)
    assert (bench.counters["timers_late"], bench.membership.health.score) == (0, 0)
    bench.fire(bench.detector.next_deadline() + TIMEOUT_S * 1.01)
    assert (bench.counters["timers_late"], bench.membership.health.score) == (1, 1)


# --- round trips ---------------------------------------------------------------------------------------


def answer(bench: Bench, ping: Ping, at: float, *, after_s: float) -> None:
    """Let the target answer by datagram, so long after the ping."""
    bench.now = at + after_s
    bench.ack(ping.target, Ack(seq=ping.seq, mark=MARK, coordinate=Coordinate(height_s=1e-5)))


def asked_after(bench: Bench, ping: Ping, at: float) -> float:
    """Let the round end and the next one begin; return after what time its relays are asked."""
    bench.detector._gossip_at = float("inf")
    bench.fire(at + TIMEOUT_S)
    bench.fire(at + INTERVAL_S)
    return bench.detector.next_deadline() - (at + INTERVAL_S)


def test_an_own_ack_says_where_this_node_stands() -> None:
    bench = Bench("b")
    bench.detector.receive_ping(Run("b", 1), Ping(seq=7, target=Run("a", 1), mark=MARK), None, bench.now)
    [(_, ack)] = bench.sent()
    assert isinstance(ack, Ack)
    assert ack.coordinate is not None


def test_relays_are_asked_about_a_near_target_sooner_than_configured() -> None:
    bench = Bench("b")
    ping, at = bench.begin_round()
    answer(bench, ping, at, after_s=0.001)
    assert asked_after(bench, ping, at) == pytest.approx(TIMEOUT_S / 4)


def test_relays_are_asked_about_a_farther_target_once_nearly_every_answer_would_have_come() -> None:
    bench = Bench("b")
    ping, at = bench.begin_round()
    answer(bench, ping, at, after_s=0.03)
    assert asked_after(bench, ping, at) == pytest.approx(0.09)


def test_doubt_stretches_a_measured_time_out_as_well() -> None:
    bench = Bench("b")
    ping, at = bench.begin_round()
    answer(bench, ping, at, after_s=0.03)
    bench.membership.health = attrs.evolve(bench.membership.health, score=3)  # the good round takes one away
    assert asked_after(bench, ping, at) == pytest.approx(3 * 0.09)


def test_relays_are_asked_about_a_far_target_no_later_than_configured_and_it_is_counted() -> None:
    bench = Bench("b")
    ping, at = bench.begin_round()
    bench.fire(at + TIMEOUT_S)
    answer(bench, ping, at, after_s=TIMEOUT_S + 0.01)
    assert asked_after(bench, ping, at) == pytest.approx(TIMEOUT_S)
    assert bench.counters["probes_slower_than_timeout"] == 1


def test_a_near_target_that_falls_silent_is_suspected_no_sooner_than_others() -> None:
    """Only the relays are asked sooner; the target's own answer counts to the end of the round."""
    bench = Bench("b")
    ping, at = bench.begin_round()
    answer(bench, ping, at, after_s=0.001)
    bench.fire(at + INTERVAL_S)
    bench.fire(at + INTERVAL_S + TIMEOUT_S / 4)
    bench.fire(at + 2 * INTERVAL_S - 0.001)
    assert held(bench.membership, "b").state is MemberState.ALIVE
    bench.fire(at + 2 * INTERVAL_S)
    assert held(bench.membership, "b").state is MemberState.SUSPECT


def test_who_has_overslept_measures_nothing() -> None:
    """The answer may have lain in the socket for as long as this node slept."""
    bench = Bench("b")
    ping, at = bench.begin_round()
    answer(bench, ping, at, after_s=TIMEOUT_S + 0.05)
    assert bench.detector.coordinates.estimate_s(ping.target) is None


def test_an_answer_by_stream_or_through_a_relay_measures_nothing() -> None:
    bench = Bench("bc")
    ping, at = bench.begin_round()
    [(relay, _)] = requests(bench.fire(at + TIMEOUT_S))
    bench.ack(Run(relay, 1), Ack(seq=ping.seq, mark=MARK))
    bench.ack(ping.target, Ack(seq=ping.seq, mark=MARK), stream=opened(bench).stream)
    assert bench.detector.coordinates.estimate_s(ping.target) is None


def test_an_answer_that_comes_after_that_of_a_relay_is_measured_all_the_same() -> None:
    """Else only the quick answers would count, and the relays would be asked too soon for ever."""
    bench = Bench("bc")
    ping, at = bench.begin_round()
    [(relay, _)] = requests(bench.fire(at + TIMEOUT_S))
    bench.ack(Run(relay, 1), Ack(seq=ping.seq, mark=MARK))
    answer(bench, ping, at, after_s=TIMEOUT_S + 0.02)
    assert bench.detector.coordinates.estimate_s(ping.target) == pytest.approx(3 * (TIMEOUT_S + 0.02))
    assert bench.counters["probes_slower_than_timeout"] == 1


def test_an_answer_that_comes_twice_is_measured_once() -> None:
    bench = Bench("b")
    ping, at = bench.begin_round()
    answer(bench, ping, at, after_s=0.02)
    answer(bench, ping, at, after_s=0.03)
    assert bench.detector.coordinates.estimate_s(ping.target) == pytest.approx(0.06)


def test_coordinates_are_forgotten_with_their_member() -> None:
    bench = Bench("bc")
    ping, at = bench.begin_round()
    answer(bench, ping, at, after_s=0.001)
    bench.membership.table.remove(ping.target.name)
    bench.membership.ring.remove(ping.target.name)
    [(_, second)] = [(to, each) for to, each in bench.fire(at + INTERVAL_S) if isinstance(each, Ping)]
    answer(bench, second, at + INTERVAL_S, after_s=0.001)
    assert set(bench.detector.coordinates.by_name("a")) == {"a", second.target.name}


# --- refused -------------------------------------------------------------------------------------------


def refuse(bench: Bench, name: str) -> list[tuple[str, Message]]:
    """Let the host of `name` say that nobody listens there."""
    bench.detector.packet_refused(address_of(name), bench.now)
    return bench.sent()


def test_a_refused_ping_has_the_relays_asked_at_once() -> None:
    bench = Bench("bcde")
    ping, _ = bench.begin_round()
    assert len(requests(refuse(bench, ping.target.name))) == LOCAL.indirect_probes


def test_a_refused_ping_alone_accuses_nobody_before_the_end_of_the_round() -> None:
    """The host's word may be forged."""
    bench = Bench("bcde")
    ping, at = bench.begin_round()
    refuse(bench, ping.target.name)
    bench.fire(at + INTERVAL_S - 0.001)
    assert held(bench.membership, ping.target.name).state is MemberState.ALIVE
    bench.fire(at + INTERVAL_S)
    assert held(bench.membership, ping.target.name).state is MemberState.SUSPECT


def say_no(bench: Bench, ping: Ping, *, datagram: bool = True, stream: bool = True, nacks: int = 3) -> None:
    """Let a round fail by these, in this order."""
    asked = requests(bench.fire(bench.now + TIMEOUT_S))
    for relay, _ in asked[:nacks]:
        bench.nack(relay, ping.seq)
    if stream:
        bench.detector.stream_closed(opened(bench).stream, bench.now)
    if datagram:
        refuse(bench, ping.target.name)


def test_a_target_is_suspected_at_once_when_everything_has_said_no() -> None:
    bench = Bench("bcde")
    ping, _ = bench.begin_round()
    say_no(bench, ping)
    accused = held(bench.membership, ping.target.name)
    assert (accused.state, accused.accusers) == (MemberState.SUSPECT, ("a",))
    assert accused.evidence == (Evidence(relays=3, nacks=3, datagram_refused=True, stream_refused=True),)
    assert bench.membership.health.score == 0


def test_the_next_round_begins_no_sooner_because_one_has_ended_early() -> None:
    bench = Bench("bcde")
    ping, at = bench.begin_round()
    bench.detector._gossip_at = float("inf")
    say_no(bench, ping)
    assert bench.detector.next_deadline() == pytest.approx(at + INTERVAL_S)


@pytest.mark.parametrize(
    ("datagram", "stream", "nacks"), [(False, True, 3), (True, False, 3), (True, True, 2)], ids=str
)
def test_as_long_as_one_of_them_may_still_say_yes_nobody_is_suspected(
    datagram: bool,  # noqa: FBT001  # a parameter of the test
    stream: bool,  # noqa: FBT001  # a parameter of the test
    nacks: int,
) -> None:
    """A process that is slow still holds its port: nothing is refused then."""
    bench = Bench("bcde")
    ping, at = bench.begin_round()
    say_no(bench, ping, datagram=datagram, stream=stream, nacks=nacks)
    bench.fire(at + INTERVAL_S - 0.001)
    assert held(bench.membership, ping.target.name).state is MemberState.ALIVE


def test_without_relays_even_a_refusal_by_all_waits_for_the_end_of_the_round() -> None:
    bench = Bench("b")
    ping, at = bench.begin_round()
    say_no(bench, ping)
    bench.fire(at + INTERVAL_S - 0.001)
    assert held(bench.membership, "b").state is MemberState.ALIVE
    bench.fire(at + INTERVAL_S)
    assert held(bench.membership, "b").evidence == (Evidence(datagram_refused=True, stream_refused=True),)


def test_who_has_answered_is_not_suspected_for_what_is_refused_afterwards() -> None:
    bench = Bench("bcde")
    ping, at = bench.begin_round()
    bench.ack(ping.target, Ack(seq=ping.seq, mark=MARK))
    assert requests(refuse(bench, ping.target.name)) == []
    bench.fire(at + INTERVAL_S)
    assert held(bench.membership, ping.target.name).state is MemberState.ALIVE


def test_a_relay_whose_ping_is_refused_sends_its_nack_at_once() -> None:
    bench = Bench("bc")
    relay_for(bench)
    assert refuse(bench, "c") == [("b", Nack(seq=40))]
    assert Nack(seq=40) not in [message for _, message in bench.fire(0.8 * TIMEOUT_S)]


def test_a_refusal_by_another_host_sends_no_nack() -> None:
    bench = Bench("bcd")
    relay_for(bench)
    assert refuse(bench, "d") == []


def test_a_member_that_refuses_any_packet_is_probed_next() -> None:
    bench = Bench("bcdefgh")
    ping, at = bench.begin_round()
    bench.ack(ping.target, Ack(seq=ping.seq, mark=MARK))
    last = bench.membership.ring._names[-1]
    refuse(bench, last)
    pings = [to for to, message in bench.fire(at + INTERVAL_S) if isinstance(message, Ping)]
    assert pings == [last]
    assert held(bench.membership, last).state is MemberState.ALIVE


def test_who_asks_about_a_member_that_has_left_is_told_so() -> None:
    bench = Bench("bc")
    hear(bench.membership, left("c"))
    request = PingRequest(seq=40, target=Run("c", 1), address=address_of("c"))
    bench.detector.receive_ping_request(Run("b", 1), request, 0.0)
    assert bench.sent() == [("b", Nack(seq=40)), ("b", left("c"))]


def test_the_probe_under_way_ends_with_the_run_that_made_it() -> None:
    """Its answer goes to a run that is no more; nobody may be accused for that."""
    bench = Bench("b")
    _, at = bench.begin_round()
    bench.fire(at + TIMEOUT_S)
    bench.detector.begin_new_run()
    assert CloseStream(opened(bench).stream) in [*bench.streams, *bench.outbox.take()]
    bench.fire(at + INTERVAL_S)
    assert held(bench.membership, "b").state is MemberState.ALIVE


@pytest.mark.parametrize(("boot", "is_told"), [(0, True), (2, False)])
def test_an_earlier_run_that_pings_by_stream_is_told_who_has_taken_over(boot: int, *, is_told: bool) -> None:
    """Nobody answers it any more. Else it would hold everybody for dead before it hears why."""
    bench = Bench("b")
    bench.detector.receive_ping(Run("b", boot), Ping(seq=7, target=bench.membership.run, mark=MARK), -3, bench.now)
    bench.sent()
    told = [
        message
        for effect in bench.streams
        if isinstance(effect, SendFrame)
        for message in decode_packet_untrusted(effect.frame).messages
    ]
    assert told == ([alive("b")] if is_told else [])


def test_an_earlier_run_that_pings_by_datagram_is_not_answered_since_it_has_no_address() -> None:
    bench = Bench("b")
    bench.detector.receive_ping(Run("b", 0), Ping(seq=7, target=bench.membership.run, mark=MARK), None, bench.now)
    assert bench.sent() == []
    assert bench.streams == []


def test_a_relay_pings_a_member_that_it_knows_where_that_one_has_said_that_it_lives() -> None:
    bench = Bench("bc")
    request = PingRequest(seq=40, target=Run("c", 1), address=address_of("z"))
    bench.detector.receive_ping_request(Run("b", 1), request, 0.0)
    assert [to for to, _ in bench.sent()] == ["c", "c"]  # the ping, and that `b` lives


def test_a_relay_pings_a_member_that_it_does_not_know_where_the_requester_says() -> None:
    bench = Bench("b")
    request = PingRequest(seq=40, target=Run("c", 1), address=address_of("c"))
    bench.detector.receive_ping_request(Run("b", 1), request, 0.0)
    assert [to for to, _ in bench.sent()] == ["c"]
