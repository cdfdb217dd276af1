"""What acks say of a quorum: only to who asked, and only in answer to the very ping (rules 4 and 5 of authority)."""

from __future__ import annotations

from random import Random

import attrs

from swimstream.model.identity import Run
from swimstream.wire.council_messages import Beacon
from swimstream.wire.messages import Ack, Ping, PingRequest
from tests.core.membership.test_detector import INTERVAL_S, MARK, TIMEOUT_S, Bench
from tests.core.membership.views import address_of

BEACON = Beacon(term=1, index=4, age_ms=250)
B = Run("b", 1)


def ack(ping: Ping) -> Ack:
    return Ack(seq=ping.seq, mark=MARK, beacon=BEACON)


def test_an_ack_says_what_is_known_of_a_quorum_and_how_old_that_is_now() -> None:
    bench = Bench("b")
    asked_for: list[float] = []

    def beacon(now: float) -> Beacon:
        asked_for.append(now)
        return BEACON

    bench.detector._beacon = beacon  # the bench has a fixed one
    for bench.now in (3.0, 4.5):
        bench.detector.receive_ping(B, Ping(seq=7, target=bench.membership.run, mark=MARK), None, bench.now)
    assert [message.beacon for _, message in bench.sent() if isinstance(message, Ack)] == [BEACON, BEACON]
    assert asked_for == [3.0, 4.5]


def test_what_the_target_answers_counts_from_the_sending_of_the_ping_not_from_the_receipt() -> None:
    bench = Bench("b")
    ping, sent_at = bench.begin_round()
    bench.now = sent_at + 0.9 * TIMEOUT_S
    bench.ack(B, ack(ping))
    assert bench.proofs == [(BEACON, sent_at)]


def test_an_answer_by_stream_counts_from_the_first_ping_of_its_number() -> None:
    bench = Bench("bc")
    ping, sent_at = bench.begin_round()
    bench.fire(sent_at + TIMEOUT_S)
    bench.ack(ping.target, ack(ping), stream=1)
    assert bench.proofs == [(BEACON, sent_at)]


def test_an_answer_to_the_probe_before_proves_nothing() -> None:
    bench = Bench("b")
    ping, sent_at = bench.begin_round()
    bench.fire(sent_at + TIMEOUT_S)
    bench.fire(sent_at + INTERVAL_S)
    bench.ack(B, ack(ping))
    assert bench.proofs == []


def test_what_a_relay_passes_on_proves_nothing() -> None:
    bench = Bench("bc")
    ping, sent_at = bench.begin_round()
    bench.fire(sent_at + TIMEOUT_S)
    relay = "c" if ping.target == B else "b"
    bench.ack(Run(relay, 1), ack(ping))
    assert bench.proofs == []


def test_a_relay_passes_on_the_answer_without_what_it_says_of_a_quorum() -> None:
    bench = Bench("bc")
    request = PingRequest(seq=40, target=Run("c", 1), address=address_of("c"))
    bench.detector.receive_ping_request(B, request, 0.0)
    [ping] = [message for _, message in bench.sent() if isinstance(message, Ping)]
    bench.ack(Run("c", 1), ack(ping))
    assert [message for _, message in bench.sent()] == [Ack(seq=40, mark=MARK)]
    assert bench.proofs == []


def test_a_ping_says_nothing_of_a_quorum() -> None:
    assert "beacon" not in {field.name for field in attrs.fields(Ping)}


def test_a_late_answer_to_a_former_process_matches_no_ping_of_this_one() -> None:
    """The ack names no run of the asker's: only its number tells which process asked."""
    numbers: set[int] = set()
    for seed in range(50):
        bench = Bench("b")
        bench.detector._rng = Random(seed)  # every process draws its own numbers
        numbers.add(bench.begin_round()[0].seq)
    assert len(numbers) == 50
