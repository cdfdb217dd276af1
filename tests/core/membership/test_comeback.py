"""Who was removed or forgotten, and lives after all, hears of it and comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest

from swimstream.config import LOCAL
from swimstream.core.effects import Answer
from swimstream.model.member import MemberState
from swimstream.wire.messages import Ping
from tests.core.lab import Lab
from tests.core.membership.views import dead, hear, held, view

if TYPE_CHECKING:
    from swimstream.core.node import Node


def paused_until_dead(names: str, who: str) -> Lab:
    lab = Lab()
    lab.start_group(names)
    lab.pause(who)
    lab.run_until(lambda: all(lab.state(name, who) is MemberState.DEAD for name in names if name != who))
    return lab


def test_who_was_removed_while_it_was_stopped_comes_back_as_a_later_run() -> None:
    lab = paused_until_dead("abcd", "d")
    boot = lab.node("d").run.boot
    lab.node("a").remove(9, "d", now=lab.now)
    lab.run_until(lambda: all(lab.state(name, "d") is MemberState.LEFT for name in "abc"))
    lab.run_for(10.0)
    lab.seat("d").mailbox.clear()
    lab.resume("d")
    lab.run_until(lambda: all(lab.live(name) == set("abcd") for name in "abcd"), limit_s=10.0)
    assert lab.node("d").run.boot > boot


def test_who_hears_that_it_was_removed_goes_on_as_a_later_run_at_once() -> None:
    lab = paused_until_dead("abcd", "d")
    boot = lab.node("d").run.boot
    lab.node("a").remove(9, "d", now=lab.now)
    lab.resume("d")
    lab.run_until(lambda: lab.node("d").run.boot > boot, limit_s=10.0)
    assert lab.node("d").run.name == "d"


@pytest.mark.parametrize("away", ["b", "bc"])
def test_a_partition_that_outlasts_the_tombstones_heals_by_the_seeds(away: str) -> None:
    lab = Lab(timing=attrs.evolve(LOCAL, tombstone_s=5.0))
    lab.start_group("abcdef")
    for name in away:
        for other in sorted(set("abcdef") - set(away)):
            lab.cut(name, other)
            lab.cut(other, name)
    lab.run_for(30.0)
    assert "b" not in {member.run.name for member in lab.node("a").members()}
    lab.mend()
    lab.told.clear()
    lab.run_until(lambda: all(lab.live(name) == set("abcdef") for name in "abcdef"))
    lab.run_for(10.0)
    assert [told for name in "abcdef" for told in lab.entered(MemberState.DEAD, name)] == []


def test_a_death_that_nobody_has_signed_is_a_suspicion() -> None:
    membership = view("a", others="bc")
    hear(membership, dead("c", by="c"))
    assert (held(membership, "c").state, held(membership, "c").accusers) == (MemberState.SUSPECT, ())


def left_alone() -> Node:
    """Return a node that has left a group of two."""
    lab = Lab()
    lab.start_group("ab")
    lab.leave("b")
    lab.run_for(2.0)
    return lab.node("b")


def test_who_takes_part_no_more_does_not_say_that_it_has_removed_somebody() -> None:
    node = left_alone()
    node.remove(9, "a", now=100.0)
    (answer,) = node.take_effects()
    assert answer == Answer(9, "name: this worker itself is no member, and nobody listens to it")


def test_who_takes_part_no_more_sends_nothing_when_a_packet_is_refused() -> None:
    lab = Lab()
    lab.start_group("abcd")
    lab.crash("a")
    lab.run_until(lambda: any(lab.messages(Ping, "b")))
    lab.run_until(lambda: lab.node("b")._rooms.detector._probe is not None)
    target = lab.node("b")._rooms.detector._probe
    assert target is not None
    lab.node("b")._stop()
    lab.node("b").take_effects()
    lab.node("b").packet_refused(target.address, now=lab.now)
    assert lab.node("b").take_effects() == []
