"""Which updates ride on the next packet (SWIM §4.1)."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from swimstream.core.membership.gossip import MISSES_MAX, ROUTINE, SPOKEN, URGENT, GossipQueue

SUBJECTS = "abcdef"


def queue(*, mult: int = 4) -> GossipQueue:
    return GossipQueue(retransmit_mult=mult, fragment_bytes_max=600, counters=Counter())


@given(mult=st.integers(1, 16), members=st.integers(1, 20_000))
def test_an_update_is_sent_mult_times_the_rounded_up_logarithm_and_never_again(mult: int, members: int) -> None:
    news = queue(mult=mult)
    news.push("m/a", b"x")
    sends = 0
    while news.take(100, members=members):
        sends += 1
    assert sends == mult * math.ceil(math.log10(members + 1))
    assert len(news) == 0


@pytest.mark.parametrize(("members", "sends"), [(1, 4), (9, 4), (10, 8), (99, 8), (100, 12), (999, 12)])
def test_the_limit_grows_with_each_power_of_ten(members: int, sends: int) -> None:
    news = queue(mult=4)
    news.push("m/a", b"x")
    assert [bool(news.take(100, members=members)) for _ in range(sends + 1)] == [True] * sends + [False]


def test_newer_news_of_a_subject_replaces_the_older_and_begins_anew() -> None:
    news = queue(mult=2)
    news.push("m/a", b"old")
    news.take(100, members=9)
    news.push("m/a", b"new")
    assert [news.take(100, members=9) for _ in range(3)] == [[b"new"], [b"new"], []]


def test_what_was_sent_least_goes_first() -> None:
    news = queue()
    news.push("m/a", b"a")
    news.take(1, members=9)
    news.push("m/b", b"b")
    assert news.take(1, members=9) == [b"b"]


def test_the_newest_goes_first_among_equals() -> None:
    news = queue()
    news.push("m/a", b"a")
    news.push("m/b", b"b")
    assert news.take(100, members=9) == [b"b", b"a"]


def test_an_update_that_does_not_fit_lets_a_smaller_one_pass() -> None:
    news = queue()
    news.push("m/a", b"small")
    news.push("m/b", b"x" * 50)
    assert news.take(10, members=9) == [b"small"]


def test_a_packet_is_full_after_so_many_that_do_not_fit_and_the_small_one_behind_them_waits() -> None:
    news = queue()
    news.push("m/a", b"small")
    for number in range(MISSES_MAX):
        news.push(f"m/b{number}", b"x" * 50)
    assert news.take(49, members=9) == []
    news.discard("m/b0")
    assert news.take(49, members=9) == [b"small"]


def test_urgent_news_goes_ahead_of_routine_however_often_it_was_sent() -> None:
    news = queue()
    news.push("m/a", b"u")
    news.take(1, members=9)
    news.push("s/b", b"r", lane=ROUTINE)
    assert news.take(100, members=9) == [b"u", b"r"]


def test_what_applications_say_waits_for_no_probe_but_for_news_of_members_however_often_that_was_sent() -> None:
    news = queue()
    news.push("b/1", b"s", lane=SPOKEN)
    assert news.has_urgent
    news.push("m/a", b"u", lane=URGENT)
    assert news.take(1, members=9) == news.take(1, members=9) == [b"u"]
    news.push("s/b", b"r", lane=ROUTINE)
    assert news.take(100, members=9) == [b"u", b"s", b"r"]


def test_urgent_news_that_nobody_has_heard_stays_urgent_when_it_is_updated() -> None:
    news = queue()
    news.push("s/a", b"a", lane=URGENT)
    news.push("s/a", b"A", lane=ROUTINE)
    news.push("s/b", b"b", lane=ROUTINE)
    assert news.take(1, members=9) == [b"A"]


def test_a_discarded_subject_is_told_no_more() -> None:
    news = queue()
    news.push("m/a", b"a")
    news.discard("m/a")
    assert news.take(100, members=9) == []


def test_routine_news_is_sent_half_as_often() -> None:
    news = queue(mult=3)
    news.push("a", b"progress", lane=ROUTINE)
    assert [bool(news.take(100, members=9)) for _ in range(4)] == [True, True, False, False]


def test_routine_news_alone_makes_nothing_urgent() -> None:
    news = queue(mult=3)
    news.push("a", b"progress", lane=ROUTINE)
    assert not news.has_urgent
    news.push("b", b"state", lane=URGENT)
    assert news.has_urgent


def test_a_full_queue_drops_one_of_those_sent_most_and_counts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swimstream.core.membership.gossip.SUBJECTS_MAX", 2)
    counters: Counter[str] = Counter()
    news = GossipQueue(retransmit_mult=4, fragment_bytes_max=600, counters=counters)
    news.push("m/a", b"a")
    news.take(1, members=9)
    news.push("m/b", b"b")
    news.push("m/c", b"c")
    assert news.take(100, members=9) == [b"c", b"b"]
    assert counters["gossip_dropped"] == 1


def test_news_of_a_subject_that_is_queued_already_drops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swimstream.core.membership.gossip.SUBJECTS_MAX", 2)
    counters: Counter[str] = Counter()
    news = GossipQueue(retransmit_mult=4, fragment_bytes_max=600, counters=counters)
    for subject in ("m/a", "m/b", "m/a"):
        news.push(subject, b"x")
    assert (len(news), counters["gossip_dropped"]) == (2, 0)


class QueueAgainstModel(RuleBasedStateMachine):
    """The queue beside a list: (lane, sent, newest first) decides, first fit fills the rest."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = queue(mult=3)
        self.model: dict[str, tuple[int, int, bytes]] = {}
        """Subject → lane, times sent, fragment."""
        self.serial = 0

    @rule(subject=st.sampled_from(SUBJECTS), size=st.integers(4, 40), lane=st.sampled_from([URGENT, SPOKEN, ROUTINE]))
    def push(self, subject: str, size: int, lane: int) -> None:
        self.serial += 1
        fragment = self.serial.to_bytes(4) + b"." * (size - 4)
        self.queue.push(subject, fragment, lane=lane)
        older = self.model.pop(subject, None)
        if older is not None and older[1] == 0:
            lane = min(lane, older[0])
        self.model[subject] = (lane, 0, fragment)

    @rule(subject=st.sampled_from(SUBJECTS))
    def discard(self, subject: str) -> None:
        self.queue.discard(subject)
        self.model.pop(subject, None)

    @rule(budget=st.integers(-5, 150), members=st.integers(1, 120))
    def take(self, budget: int, members: int) -> None:
        taken = self.queue.take(budget, members=members)
        assert sum(map(len, taken)) <= max(0, budget)
        subjects = [name for part in taken for name, entry in self.model.items() if entry[2] == part]
        assert len(set(subjects)) == len(taken), "each subject goes at most once a packet, and nothing is made up"
        ranks = [self.model[subject][:2] for subject in subjects]
        assert ranks == sorted(ranks), "urgent before routine, then fewest sends first"
        left_over = max(0, budget) - sum(map(len, taken))
        for subject, (_, _, fragment) in self.model.items():
            assert subject in subjects or len(fragment) > left_over, "what still fits is sent"
        limit = 3 * math.ceil(math.log10(members + 1))
        for subject in subjects:
            lane, sent, fragment = self.model.pop(subject)
            if sent + 1 < (math.ceil(limit / 2) if lane == ROUTINE else limit):
                self.model[subject] = (lane, sent + 1, fragment)

    @invariant()
    def holds_the_same_subjects(self) -> None:
        assert set(self.queue._rumours) == set(self.model)
        assert len(self.queue) == len(self.model)


TestQueueAgainstModel = QueueAgainstModel.TestCase
TestQueueAgainstModel.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
