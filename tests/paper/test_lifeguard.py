"""Lifeguard: Local Health Awareness for More Accurate Failure Detection (Dadgar, Phillips, Currey, 2018)."""

from __future__ import annotations

import attrs
import pytest

from swimstream.config import LOCAL, Timing
from swimstream.model.member import MemberState
from swimstream.wire.messages import Accusation, Nack, Ping, PingRequest
from tests.core.lab import DELAY_S, Lab

SETTLED_S = 5.0


def settled(names: str, *, timing: Timing = LOCAL) -> Lab:
    lab = Lab(timing=timing)
    lab.start_group(names)
    lab.run_for(SETTLED_S)
    lab.told.clear()
    lab.sent.clear()
    return lab


def deafen(lab: Lab, name: str) -> None:
    """Lose all that is sent to `name`; what it says still arrives."""
    for other in {seat.name for seat in lab.seats.values()} - {name}:
        lab.cut(other, name)


def silence(_budget: int, *, members: int) -> list[bytes]:
    return []


def score(lab: Lab, name: str) -> int:
    return lab.node(name)._rooms.membership.health.score


def test_a_member_that_hears_nobody_slows_down_its_own_probes() -> None:
    """§IV-A, LHA-Probe: the interval grows with the local health multiplier."""
    lab = settled("abcdef")
    deafen(lab, "a")
    lab.run_for(40 * LOCAL.probe_interval_s)
    assert len(lab.messages(Ping, "b")) > 2 * len(lab.messages(Ping, "a"))
    assert score(lab, "a") == LOCAL.health_max


def test_a_member_that_hears_again_takes_up_its_pace() -> None:
    """§IV-A: each good round takes one from the local health multiplier."""
    lab = settled("abcdef")
    deafen(lab, "a")
    lab.run_for(20 * LOCAL.probe_interval_s)
    lab.mend()
    lab.run_for(60.0)
    assert score(lab, "a") == 0


def test_a_real_death_does_not_make_its_finders_doubt_themselves() -> None:
    """§IV-A: nacks from the relays tell a dead target from one's own deafness."""
    lab = settled("abcdef")
    lab.crash("f")
    lab.run_until(lambda: len(lab.entered(MemberState.DEAD, "f")) == 5)
    assert [score(lab, name) for name in "abcde"] == [0] * 5


def test_a_relay_nacks_before_the_prober_gives_up() -> None:
    """§IV-A: the nack leaves at 80 % of the time-out."""
    lab = settled("abcd")
    lab.crash("d")
    lab.run_until(lambda: any(lab.messages(Nack, name) for name in "abc"))
    asked = next(sent for sent in lab.sent if isinstance(sent.message, PingRequest))
    nack = next(sent for sent in lab.sent if isinstance(sent.message, Nack))
    patience_s = min(LOCAL.probe_timeout_s, LOCAL.probe_interval_s - LOCAL.probe_timeout_s)
    assert nack.at - asked.at == pytest.approx(0.8 * patience_s, abs=0.01)


def test_a_suspicion_of_one_member_alone_lasts_several_times_as_long_as_one_of_many() -> None:
    """§IV-B, LHA-Suspicion: the time-out starts high and falls with independent confirmations ("dogpile").

    Who is cut off from all others accuses them alone: nobody hears it, nobody confirms.
    """
    lab = settled("abcdef")
    lab.crash("f")
    lab.run_until(lambda: len(lab.entered(MemberState.DEAD, "f")) == 5)
    suspected = min(told.at for told in lab.entered(MemberState.SUSPECT, "f"))
    shared_s = min(told.at for told in lab.entered(MemberState.DEAD, "f")) - suspected

    alone = settled("abcdef", timing=attrs.evolve(LOCAL, reconnect_interval_s=3_600.0, sync_interval_s=3_600.0))
    for name in "bcdef":
        alone.cut("a", name)
        alone.cut(name, "a")
    alone.run_until(lambda: any(told.who == "a" for told in alone.entered(MemberState.DEAD, "f")), limit_s=300.0)
    began = next(told.at for told in alone.entered(MemberState.SUSPECT, "f") if told.who == "a")
    ended = next(told.at for told in alone.entered(MemberState.DEAD, "f") if told.who == "a")
    assert shared_s < 0.5 * (ended - began)
    assert ended - began <= LOCAL.suspicion_max_mult * LOCAL.suspicion_mult * LOCAL.probe_interval_s + 1e-6


def test_the_accusers_of_a_real_death_come_together_within_the_shortest_suspicion() -> None:
    """§IV-B: with K confirmations a suspicion lasts no longer than its minimum.

    Here it is the turn of the dead one at once in the list of one member, and last in the lists of all others: if
    they waited for it, the confirmations would come after the shortest suspicion is over.
    """
    lab = settled("abcdefgh")
    lab.crash("h")
    for name in "abcdefg":
        ring = lab.node(name)._rooms.membership.ring
        ring.remove("h")
        ring.add("h")
        ring._names.sort(key=lambda each: (each == "h") is (name != "a"))
        ring._next = 0
    lab.run_until(lambda: len(lab.entered(MemberState.DEAD, "h")) == 7)
    suspected = min(told.at for told in lab.entered(MemberState.SUSPECT, "h"))
    died = max(told.at for told in lab.entered(MemberState.DEAD, "h"))
    assert died - suspected < LOCAL.suspicion_mult * LOCAL.probe_interval_s + LOCAL.gossip_interval_s


def test_a_process_whose_host_refuses_in_its_place_is_suspected_within_some_round_trips() -> None:
    """Beyond the paper: nothing is left to wait for once host, stream and relays have all said no."""
    lab = settled("abcde")
    lab.refuses = True
    lab.crash("e")
    crashed_at = lab.now
    lab.run_until(lambda: bool(lab.entered(MemberState.SUSPECT, "e")))
    to_e = [sent.at for sent in lab.sent if isinstance(sent.message, Ping) and sent.message.target.name == "e"]
    asked_at = min(at for at in to_e if at >= crashed_at)
    assert lab.now - asked_at < 10 * DELAY_S


def test_a_process_that_only_stands_still_is_suspected_at_the_end_of_the_round_as_ever() -> None:
    lab = settled("abcde")
    lab.refuses = True
    lab.pause("e")
    paused_at = lab.now
    lab.run_until(lambda: bool(lab.entered(MemberState.SUSPECT, "e")))
    to_e = [sent.at for sent in lab.sent if isinstance(sent.message, Ping) and sent.message.target.name == "e"]
    asked_at = min(at for at in to_e if at >= paused_at)
    assert lab.now - asked_at >= LOCAL.probe_interval_s - 1e-6


def test_the_accusers_of_a_death_are_independent_and_known() -> None:
    """§IV-B: confirmations count by their author, not by how often they are heard."""
    lab = settled("abcdef")
    lab.crash("f")
    lab.run_until(lambda: len(lab.entered(MemberState.DEAD, "f")) == 5)
    held = lab.member("a", "f")
    assert held is not None
    assert set(held.accusers) <= set("abcde")
    assert len(held.accusers) >= 2


def test_one_deaf_member_kills_nobody() -> None:
    """§V: false deaths at healthy members come from slow members that accuse them; self-awareness prevents them."""
    lab = settled("abcdefgh")
    deafen(lab, "a")
    lab.run_for(60.0)
    for name in "bcdefgh":
        assert [told for told in lab.entered(MemberState.DEAD, name) if told.who != "a"] == []


def test_a_suspect_learns_of_it_with_the_next_ping_from_any_member_that_suspects_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """§IV-C, Buddy System: the ping to a suspect carries the suspicion, so that it can refute at once."""
    lab = settled(
        "abcd",
        timing=attrs.evolve(LOCAL, gossip_interval_s=60.0, sync_interval_s=3_600.0, reconnect_interval_s=3_600.0),
    )
    for name in "abc":  # nobody gossips, so that only the buddy system can tell
        monkeypatch.setattr(lab.node(name)._rooms.membership.gossip, "take", silence)
    lab.pause("d")
    lab.run_until(lambda: bool(lab.entered(MemberState.SUSPECT, "d")))
    lab.run_for(2.0)
    told = [sent for sent in lab.sent if isinstance(sent.message, Accusation) and sent.to == lab.seat("d").address]
    pings = {sent.at for sent in lab.sent if isinstance(sent.message, Ping) and sent.to == lab.seat("d").address}
    assert told
    assert all(sent.at in pings for sent in told)
    lab.resume("d")
    lab.run_for(0.01)
    assert lab.node("d")._rooms.membership.incarnation > 0
