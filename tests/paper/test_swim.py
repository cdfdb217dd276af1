"""SWIM: Scalable Weakly-consistent Infection-style Process Group Membership Protocol (Das et al., DSN 2002)."""

from __future__ import annotations

import math

import attrs
import pytest

from swimstream.config import LOCAL
from swimstream.model.member import MemberState
from swimstream.wire.messages import Accusation, Alive, Ping, PingRequest
from tests.core.lab import Lab

SETTLED_S = 5.0
"""By then everybody has probed everybody in a small group, and all rumours have died down."""


def settled(names: str) -> Lab:
    lab = Lab()
    lab.start_group(names)
    lab.run_for(SETTLED_S)
    lab.told.clear()
    lab.sent.clear()
    return lab


def test_each_member_sends_one_probe_a_period_whatever_the_size_of_the_group() -> None:
    """§3.1, §5: the load of failure detection on a member is constant."""
    for names in ("abcd", "abcdefghijkl"):
        lab = settled(names)
        lab.run_for(20 * LOCAL.probe_interval_s)
        assert all(19 <= len(lab.messages(Ping, name)) <= 21 for name in names)


def test_a_member_that_one_link_alone_cannot_reach_is_not_suspected() -> None:
    """§3.1: probes through k other members get around the path between two."""
    lab = settled("abcde")
    lab.cut("a", "b")
    lab.run_for(30.0)
    assert lab.entered(MemberState.SUSPECT, "b") == []
    assert {request.target.name for request in lab.messages(PingRequest, "a")} == {"b"}


def test_at_most_k_members_are_asked_to_probe_for_another() -> None:
    """§3.1: k is a parameter of the protocol."""
    lab = settled("abcdefgh")
    lab.cut("a", "b")
    lab.run_until(lambda: bool(lab.messages(PingRequest, "a")))
    lab.run_for(0.01)
    assert len(lab.messages(PingRequest, "a")) == LOCAL.indirect_probes


@pytest.mark.parametrize("crashed", ["a", "c", "f"])
def test_every_crash_is_found_by_every_other_member(crashed: str) -> None:
    """§2: strong completeness."""
    lab = settled("abcdef")
    lab.crash(crashed)
    others = set("abcdef") - {crashed}
    lab.run_until(lambda: {told.who for told in lab.entered(MemberState.DEAD, crashed)} == others)


def silence(_budget: int, *, members: int) -> list[bytes]:
    return []


def test_a_crash_is_suspected_by_every_member_within_two_walks_through_the_list(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """§4.3: with round-robin probing the time to detection at a member is bounded by 2n - 1 periods.

    Each member is cut off from the others' news here, so that it must find out by itself.
    """
    names = "abcdef"
    lab = settled(names)
    lab.crash("c")
    for name in set(names) - {"c"}:
        monkeypatch.setattr(lab.node(name)._rooms.membership.gossip, "take", silence)
    periods = 2 * (len(names) - 1) - 1
    lab.run_for((periods + 1) * LOCAL.probe_interval_s)
    assert {told.who for told in lab.entered(MemberState.SUSPECT, "c")} == set(names) - {"c"}


def test_news_of_a_death_travels_on_the_messages_of_the_detector_alone() -> None:
    """§4.1: infection-style dissemination needs no packets of its own."""
    lab = Lab(timing=attrs.evolve(LOCAL, gossip_interval_s=60.0, sync_interval_s=3_600.0, reconnect_interval_s=3_600.0))
    lab.start_group("abcdef")
    lab.crash("f")
    lab.run_until(lambda: len(lab.entered(MemberState.DEAD, "f")) == 5)


def test_an_update_is_told_by_a_member_lambda_log_n_times() -> None:
    """§4.1: each update is piggybacked at most lambda log n times, then forgotten."""
    lab = settled("abcdef")
    lab.node("c").leave(2, now=lab.now)
    lab._settle(lab.seat("c"))
    lab.run_for(SETTLED_S)
    limit = LOCAL.retransmit_mult * math.ceil(math.log10(5 + 1))
    for name in "abdef":
        goodbyes = [told for told in lab.messages(Accusation, name) if told.state is MemberState.LEFT]
        assert len(goodbyes) == limit


def test_a_member_that_is_wrongly_suspected_proves_that_it_lives() -> None:
    """§4.2: the suspect spreads an alive message with a higher incarnation, and all believe it."""
    lab = settled("abcd")
    lab.pause("d")
    lab.run_until(lambda: len(lab.entered(MemberState.SUSPECT, "d")) == 3)
    lab.resume("d")
    lab.run_for(SETTLED_S)
    assert all(lab.state(name, "d") is MemberState.ALIVE for name in "abcd")
    assert {held.incarnation for name in "abcd" if (held := lab.member(name, "d")) is not None} != {0}
    assert lab.entered(MemberState.DEAD, "d") == []


def test_only_the_member_itself_ever_raises_its_incarnation() -> None:
    """§4.2: every alive message above the first comes from its owner before anybody else repeats it."""
    lab = settled("abcd")
    lab.pause("d")
    lab.run_until(lambda: len(lab.entered(MemberState.SUSPECT, "d")) == 3)
    lab.resume("d")
    lab.run_for(SETTLED_S)
    first: dict[int, str] = {}
    for sent in lab.sent:
        if isinstance(sent.message, Alive) and sent.message.run.name == "d" and sent.message.incarnation > 0:
            first.setdefault(sent.message.incarnation, sent.who)
    assert first
    assert set(first.values()) == {"d"}


def test_a_suspect_that_stays_silent_is_declared_dead_only_after_a_time_out() -> None:
    """§4.2: the suspicion subprotocol trades a delay for fewer false deaths."""
    lab = settled("abcd")
    lab.crash("d")
    lab.run_until(lambda: len(lab.entered(MemberState.DEAD, "d")) == 3)
    suspected = min(told.at for told in lab.entered(MemberState.SUSPECT, "d"))
    died = min(told.at for told in lab.entered(MemberState.DEAD, "d"))
    assert died - suspected >= LOCAL.suspicion_mult * LOCAL.probe_interval_s - 1e-6


def test_a_member_that_leaves_is_never_suspected() -> None:
    """§3: a voluntary departure is told as such."""
    lab = settled("abcd")
    lab.leave("d")
    lab.run_for(10.0)
    assert lab.entered(MemberState.SUSPECT, "d") == []
    assert all(lab.state(name, "d") is MemberState.LEFT for name in "abc")
