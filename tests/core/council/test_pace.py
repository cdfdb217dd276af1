"""The council's pace follows the round trips that its leader measures, within bounds."""

from __future__ import annotations

import heapq
from random import Random
from typing import TYPE_CHECKING
from unittest.mock import patch

import attrs
import pytest

from swimstream.config import LAN
from swimstream.core.council import pace as pace_module
from swimstream.core.council.pace import STRETCH_MAX, TIMES_KEPT, Pace
from swimstream.wire.council_messages import Append
from tests.core.council.peers import (
    ELECTION_S,
    HEARTBEAT_S,
    Peer,
    Sent,
    Table,
    append,
    founding,
    saved_after,
    seats_of,
    vote_request,
)

if TYPE_CHECKING:
    from swimstream.model.changes import Seat

VOTERS = seats_of("abc")
A, B, C = VOTERS
LATER = 100.0


def measured(*times_s: tuple[Seat, float]) -> Pace:
    pace = Pace(LAN)
    for seat, time_s in times_s:
        pace.measure(seat, time_s, voters=VOTERS)
    return pace


def test_a_fast_network_keeps_the_configured_pace() -> None:
    pace = measured((B, 0.001), (C, 0.1))
    assert (pace.heartbeat_s, pace.election_timeout_s_min) == (HEARTBEAT_S, ELECTION_S)


def test_heartbeats_are_two_round_trips_of_the_slowest_voter_apart() -> None:
    assert measured((B, 0.001), (C, 0.4)).heartbeat_s == pytest.approx(0.8)


def test_patience_is_as_many_heartbeats_as_before() -> None:
    assert measured((C, 0.4)).election_timeout_s_min == pytest.approx(0.8 * LAN.election_heartbeats)


@pytest.mark.parametrize("time_s", [1.0, 60.0, 1e9, float("inf")])
def test_no_voter_however_slow_stretches_it_beyond_the_bound(time_s: float) -> None:
    assert measured((B, time_s)).heartbeat_s == STRETCH_MAX * HEARTBEAT_S


@pytest.mark.parametrize("told_ms", [10**4, 2**63 - 1])
def test_no_leader_whatever_it_tells_stretches_it_beyond_the_bound(told_ms: int) -> None:
    pace = Pace(LAN)
    pace.hear(told_ms)
    assert pace.heartbeat_s == STRETCH_MAX * HEARTBEAT_S


@pytest.mark.parametrize("told_ms", [0, 1, 10])
def test_no_leader_makes_a_voter_less_patient_than_configured(told_ms: int) -> None:
    pace = Pace(LAN)
    pace.hear(told_ms)
    assert pace.heartbeat_s == HEARTBEAT_S


def test_one_late_answer_changes_nothing() -> None:
    assert measured(*[(B, 0.01)] * 3, (B, 5.0)).heartbeat_s == HEARTBEAT_S


def test_the_pace_comes_back_when_the_network_does() -> None:
    pace = measured(*[(B, 0.4)] * TIMES_KEPT)
    for _ in range(TIMES_KEPT):
        pace.measure(B, 0.01, voters=VOTERS)
    assert pace.heartbeat_s == HEARTBEAT_S


def test_who_has_no_seat_any_more_does_not_count() -> None:
    pace = measured((B, 0.01), (C, 0.4))
    pace.measure(B, 0.01, voters=(A, B))
    assert pace.heartbeat_s == HEARTBEAT_S


def test_what_is_told_is_never_less_than_what_is_kept() -> None:
    pace = measured((B, 0.20003))
    assert pace.heartbeat_ms == 401


def test_a_leader_measures_and_tells_its_pace() -> None:
    table = Table("abc")
    leader = table.elect("a")
    for _ in range(TIMES_KEPT):
        table.now = leader.next_deadline()
        leader.fire_timers(table.now)
        table.now += 0.4
        table.deliver()
    leader.fire_timers(leader.next_deadline())
    told = {sent.message.heartbeat_ms for sent in table.peers["a"].take() if isinstance(sent.message, Append)}
    assert told == {800}


def test_a_voter_sticks_to_a_slow_leader_for_as_long_as_it_told() -> None:
    for told_ms, granted in ((0, True), (800, False)):
        peer = Peer("b", saved_after([founding("abc")]))
        peer.hear("a", attrs.evolve(append(1), heartbeat_ms=told_ms), LATER)
        peer.take()
        peer.hear("c", vote_request(2, last=(1, 1), pre=True), LATER + 2 * ELECTION_S)
        assert [getattr(reply, "granted", None) for reply in peer.said()] == [granted]


# --- a slow network -------------------------------------------------------------------------------


class SlowTable:
    """Five councils whose messages take their time, or get lost."""

    def __init__(self, *, round_trip_s: float, jitter_s: float, loss: float, seed: int) -> None:
        self.peers = {name: Peer(name, saved_after([founding("abcde")]), seed=seed) for name in "abcde"}
        self.terms_led: set[int] = set()
        self._round_trip_s = round_trip_s
        self._jitter_s = jitter_s
        self._loss = loss
        self._rng = Random(seed)
        self._under_way: list[tuple[float, int, str, Sent]] = []
        self._sent = 0
        self._now = 0.0

    def run(self, until: float) -> None:
        """Let time pass from one deadline or arrival to the next."""
        while self._now < until:
            due = [peer.council.next_deadline() for peer in self.peers.values()]
            self._now = max(self._now, min([*due, *(letter[0] for letter in self._under_way[:1])]))
            while self._under_way and self._under_way[0][0] <= self._now:
                _, _, sender, sent = heapq.heappop(self._under_way)
                self.peers[sent.to].hear(sender, sent.message, self._now)
            for name, peer in self.peers.items():
                if peer.council.next_deadline() <= self._now:
                    peer.council.fire_timers(self._now)
                self._post(name, peer)
                if peer.council.is_leader:
                    self.terms_led.add(peer.council.term)

    def _post(self, name: str, peer: Peer) -> None:
        for sent in peer.take():
            if self._rng.random() >= self._loss:
                self._sent += 1
                arrives_at = self._now + self._round_trip_s / 2 + self._jitter_s * self._rng.random()
                heapq.heappush(self._under_way, (arrives_at, self._sent, name, sent))


def terms_led(*, round_trip_s: float, jitter_s: float = 0.0, loss: float = 0.0, seed: int) -> int:
    """Return how many leaders there are, one after the other, in two minutes."""
    table = SlowTable(round_trip_s=round_trip_s, jitter_s=jitter_s, loss=loss, seed=seed)
    table.run(until=120.0)
    return len(table.terms_led)


SEEDS = range(3)


def test_with_round_trips_of_400_ms_there_is_one_leader() -> None:
    """So there was at a fixed pace, as long as nothing else is wrong: answers are late, but as many as questions."""
    for stretch in (1, STRETCH_MAX):
        with patch.object(pace_module, "STRETCH_MAX", stretch):
            assert {terms_led(round_trip_s=0.4, seed=seed) for seed in SEEDS} == {1}


def test_with_round_trips_of_400_ms_and_much_loss_there_is_one_leader_where_there_were_several() -> None:
    """Of an exchange 64 % are lost here."""
    poor = {"round_trip_s": 0.4, "jitter_s": 0.2, "loss": 0.4}
    with patch.object(pace_module, "STRETCH_MAX", 1):
        assert min(terms_led(**poor, seed=seed) for seed in SEEDS) >= 3
    assert {terms_led(**poor, seed=seed) for seed in SEEDS} == {1}


def test_with_round_trips_as_long_as_the_election_timeout_there_is_one_leader_where_there_were_many() -> None:
    """At a fixed pace every answer comes after the leader has given up."""
    with patch.object(pace_module, "STRETCH_MAX", 1):
        assert min(terms_led(round_trip_s=ELECTION_S, jitter_s=0.1, seed=seed) for seed in SEEDS) >= 10
    assert {terms_led(round_trip_s=ELECTION_S, jitter_s=0.1, seed=seed) for seed in SEEDS} == {1}
