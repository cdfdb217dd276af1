"""Broadcasts: once to each application, whatever the network does, and in the order of cause and effect."""

from __future__ import annotations

from collections import Counter
from unittest.mock import patch

import attrs
import pytest

from swimstream.config import LAN
from swimstream.core.talk.broadcasts import BROADCAST_KEEP_S, Broadcasts
from swimstream.events import BroadcastReceived
from swimstream.model.identity import Run
from swimstream.model.talk import Say
from swimstream.wire.codec import encode_message, encode_packet
from swimstream.wire.messages import Broadcast, Header
from swimstream.wire.talk_codec import BROADCASTS_MAX
from tests.core.talk.rough import RoughTown
from tests.core.town import address_of

A = Run("a", 1)


def said(number: int, *, origin: Run = A, time: int | None = None) -> Broadcast:
    return Broadcast(origin=origin, number=number, time=number if time is None else time, topic="t", payload=b"")


def topics(town: RoughTown, name: str) -> list[str]:
    return [event.topic for event in town.heard(name, BroadcastReceived)]


# --- the memory -----------------------------------------------------------------------------------


def test_what_was_heard_before_comes_first_in_lamport_time() -> None:
    one, other = Broadcasts(Counter()), Broadcasts(Counter())
    first = one.say(Run("a", 1), "x", b"", bytes_max=600)
    assert first is not None
    one.hear(first, 0.0)
    other.hear(attrs.evolve(first, time=70), 0.0)
    reply = other.say(Run("b", 1), "y", b"", bytes_max=600)
    assert reply is not None
    assert reply.time == 71


def test_a_time_from_the_far_future_is_not_followed() -> None:
    counters: Counter[str] = Counter()
    heard = Broadcasts(counters)
    assert heard.hear(said(1, time=2**63 - 1), 0.0) is not None
    own = heard.say(Run("b", 1), "y", b"", bytes_max=600)
    assert own is not None
    assert own.time == 1
    assert counters["broadcast_times_refused"] == 1


def test_so_many_are_remembered_and_the_rest_is_counted() -> None:
    counters: Counter[str] = Counter()
    heard = Broadcasts(counters)
    for number in range(1, BROADCASTS_MAX + 11):
        assert heard.hear(said(number), 0.0) is not None
    assert len(heard.keys()) == BROADCASTS_MAX
    assert counters["broadcasts_dropped"] == 10
    assert heard.hear(said(3), 0.0) is None


def test_they_are_forgotten_after_some_minutes() -> None:
    heard = Broadcasts(Counter())
    heard.hear(said(1), 0.0)
    heard.forget_old(BROADCAST_KEEP_S - 1)
    assert heard.keys() == ((A, 1),)
    heard.forget_old(BROADCAST_KEEP_S)
    assert heard.keys() == ()
    assert heard.lacking([(A, 1), (A, 2)]) == [(A, 2)]


# --- in a town ------------------------------------------------------------------------------------


def test_everybody_is_told_once_the_speaker_included() -> None:
    town = RoughTown("abc")
    assert town.answer("a", town.say("a", Say("hello", b"there"))) == ""
    town.run_for(60.0)
    for name in "abc":
        (event,) = town.heard(name, BroadcastReceived)
        assert (event.origin, event.topic, event.payload) == (town.node("a").run, "hello", b"there")


@pytest.mark.parametrize("seed", range(8))
def test_everybody_is_told_once_however_rough_the_network_is(seed: int) -> None:
    town = RoughTown("abcd", seed=seed)
    town.rough = True
    wanted = []
    for number in range(5):
        for name in "abcd":
            wanted.append(f"{name}{number}")
            town.say(name, Say(wanted[-1], b""))
        town.run_for(0.7)
    town.run_until(lambda: all(len(topics(town, name)) >= len(wanted) for name in "abcd"))
    town.rough = False
    town.run_for(60.0)
    for name in "abcd":
        assert sorted(topics(town, name)) == sorted(wanted)


def test_what_is_heard_is_passed_on_at_once() -> None:
    town = RoughTown("abcd")
    town.run_for(60.0)
    town.cut = {"a"}
    packet = encode_packet(Header(0, town.node("a").run), [encode_message(said(1, origin=town.node("a").run))])
    town.node("b").receive_packet(packet, source=address_of("a"), now=town.now)
    town.run_for(LAN.gossip_interval_s)
    assert [topics(town, name) for name in "bcd"] == [["t"]] * 3


def test_who_was_cut_off_is_told_by_sync_and_tells_what_it_said() -> None:
    town = RoughTown("abc")
    town.cut = {"c"}
    town.say("a", Say("from-a", b""))
    town.say("c", Say("from-c", b""))
    town.run_for(80.0)
    assert topics(town, "c") == ["from-c"]
    town.cut = set()
    town.run_until(lambda: all(len(topics(town, name)) == 2 for name in "abc"), limit_s=4 * LAN.sync_interval_s)
    town.run_for(60.0)
    assert all(sorted(topics(town, name)) == ["from-a", "from-c"] for name in "abc")


def test_a_newcomer_is_not_told_what_was_said_before_it_came() -> None:
    town = RoughTown("ab")
    town.say("a", Say("before", b""))
    town.run_for(20.0)
    town.settle_in("c")
    town.run_for(5.0)
    town.say("a", Say("after", b""))
    town.run_for(60.0)
    assert topics(town, "c") == ["after"]


def test_what_a_worker_said_before_it_died_is_still_passed_on() -> None:
    town = RoughTown("abc")
    town.cut = {"c"}
    town.say("a", Say("last-words", b""))
    town.run_until(lambda: bool(topics(town, "b")))
    town.crash("a")
    town.settle_in("a", disk=town["a"].disk)
    town.run_for(40.0)
    town.cut = set()
    town.run_until(lambda: topics(town, "c") == ["last-words"])


def test_a_stranger_is_not_listened_to() -> None:
    town = RoughTown("ab")
    for origin in (Run("x", 1), attrs.evolve(town.node("b").run, boot=10**9)):
        packet = encode_packet(Header(0, town.node("b").run), [encode_message(said(1, origin=origin))])
        town.node("a").receive_packet(packet, source=address_of("b"), now=town.now)
    assert topics(town, "a") == []
    assert town.node("a").counters()["talk_of_strangers"] == 2


def test_words_put_into_ones_own_mouth_do_not_silence_it() -> None:
    town = RoughTown("ab")
    own = town.node("a").run
    packet = encode_packet(Header(0, town.node("b").run), [encode_message(said(1, origin=own, time=5))])
    town.node("a").receive_packet(packet, source=address_of("b"), now=town.now)
    assert town.node("a").counters()["broadcasts_forged"] == 1
    town.say("a", Say("mine", b""))
    town.run_for(1.0)
    assert topics(town, "a") == ["mine"]


def test_what_no_datagram_has_room_for_is_refused() -> None:
    town = RoughTown("ab")
    with patch.object(town.node("a")._rooms.conversation, "_fragment_bytes_max", 500):
        request = town.say("a", Say("too-long", bytes(512)))
        assert "at most 500 B encoded" in town.answer("a", request)
    assert topics(town, "a") == []
