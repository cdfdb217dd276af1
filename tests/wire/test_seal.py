"""The seal: who does not hold the key can neither read, nor write, nor change, nor repeat a packet."""

from __future__ import annotations

import base64
import itertools
from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swimstream.errors import UsageError, WireError
from swimstream.model.identity import Address
from swimstream.wire import seal
from swimstream.wire.keyring import KeyRing, key_id, parse_key
from swimstream.wire.seal import HEAD_BYTES, PREFIXES_MAX, WINDOW, Sealed, envelopes_for

ONE, TWO = bytes(range(32)), bytes(range(32, 64))
HERE, THERE = Address("10.0.0.1", 7_000), Address("10.0.0.2", 7_000)


def sealed(*keys: bytes, seed: int = 1) -> Sealed:
    return Sealed(KeyRing(keys), rng=Random(seed), counters=Counter())


@settings(deadline=None)
@given(st.binary(max_size=1_200), st.integers(0, 2**62))
def test_who_holds_the_key_reads_what_was_sealed(packet: bytes, cluster_id: int) -> None:
    data = sealed(ONE).wrap(packet, cluster_id=cluster_id)
    assert len(data) == len(packet) + Sealed.overhead
    assert sealed(ONE).unwrap_untrusted(data) == packet


def test_what_is_sealed_shows_nothing_of_itself() -> None:
    data = sealed(ONE).wrap(b"secret" * 9, cluster_id=7)
    assert b"secret" not in data


@settings(deadline=None)
@given(st.data())
def test_no_byte_can_be_changed_the_clear_head_included(data: st.DataObject) -> None:
    whole = bytearray(sealed(ONE).wrap(b"packet", cluster_id=7))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(WireError):
        sealed(ONE).unwrap_untrusted(bytes(whole))


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_bytes_of_a_stranger_are_refused_and_leave_no_window(data: bytes) -> None:
    envelope = sealed(ONE)
    with pytest.raises(WireError):
        envelope.unwrap_untrusted(data)
    assert not envelope._windows


def test_another_key_is_counted_as_unknown() -> None:
    counters: Counter[str] = Counter()
    with pytest.raises(WireError):
        Sealed(KeyRing([ONE]), rng=Random(1), counters=counters).unwrap_untrusted(sealed(TWO).wrap(b"x", cluster_id=1))
    assert counters == {"packets_of_unknown_key": 1}


def test_a_forged_packet_that_names_a_known_key_is_counted_as_forged() -> None:
    counters: Counter[str] = Counter()
    head = bytes([2]) + key_id(ONE) + bytes(HEAD_BYTES - 5)
    with pytest.raises(WireError):
        Sealed(KeyRing([ONE]), rng=Random(1), counters=counters).unwrap_untrusted(head + bytes(40))
    assert counters == {"packets_forged": 1}


def test_a_repeated_packet_is_refused() -> None:
    envelope = sealed(ONE)
    data = sealed(ONE, seed=2).wrap(b"x", cluster_id=1)
    assert envelope.unwrap_untrusted(data) == b"x"
    with pytest.raises(WireError, match="not seen before"):
        envelope.unwrap_untrusted(data)


def test_a_datagram_on_record_cannot_be_played_as_a_frame_nor_a_frame_as_a_datagram() -> None:
    """Both are read where they belong; each has windows of its own, so the other's would not know it."""
    sender = envelopes_for([ONE], rng=Random(2), counters=Counter(), here=THERE)
    datagram, frame = sender.datagram.wrap(b"x", cluster_id=1, to=HERE), sender.frame.wrap(b"y", cluster_id=1)
    reader = envelopes_for([ONE], rng=Random(3), counters=Counter(), here=HERE)
    for envelope, data in ((reader.frame, datagram), (reader.datagram, frame)):
        with pytest.raises(WireError, match="authentic"):
            envelope.unwrap_untrusted(data)
    assert (reader.datagram.unwrap_untrusted(datagram), reader.frame.unwrap_untrusted(frame)) == (b"x", b"y")


def test_a_datagram_on_record_cannot_be_played_to_another_reader() -> None:
    """Else a dead leader's heartbeats to one follower could keep another from electing."""
    sender = envelopes_for([ONE], rng=Random(2), counters=Counter(), here=THERE)
    reader = envelopes_for([ONE], rng=Random(3), counters=Counter(), here=HERE)
    reader.datagram.unwrap_untrusted(sender.datagram.wrap(b"x", cluster_id=1, to=HERE))
    with pytest.raises(WireError, match="authentic"):
        reader.datagram.unwrap_untrusted(sender.datagram.wrap(b"x", cluster_id=1, to=THERE))


@settings(deadline=None, max_examples=30)
@given(st.randoms(use_true_random=False))
def test_packets_out_of_order_are_each_read_once(rng: Random) -> None:
    sender, envelope = sealed(ONE, seed=2), sealed(ONE)
    packets = [sender.wrap(bytes([number]), cluster_id=1) for number in range(40)]
    rng.shuffle(packets)
    assert sorted(envelope.unwrap_untrusted(data) for data in packets) == [bytes([number]) for number in range(40)]
    for data in packets:
        with pytest.raises(WireError):
            envelope.unwrap_untrusted(data)


def test_a_packet_older_than_the_window_is_refused_though_nobody_saw_it() -> None:
    sender, envelope = sealed(ONE, seed=2), sealed(ONE)
    packets = [sender.wrap(b"x", cluster_id=1) for _ in range(WINDOW + 1)]
    envelope.unwrap_untrusted(packets[-1])
    with pytest.raises(WireError):
        envelope.unwrap_untrusted(packets[0])
    assert envelope.unwrap_untrusted(packets[1]) == b"x"


def test_no_nonce_is_used_twice_not_even_when_the_counter_is_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seal, "COUNTERS_PER_PREFIX", 3)
    sender = sealed(ONE)
    nonces = [sender.wrap(b"x", cluster_id=1)[13:25] for _ in range(10)]
    assert len(set(nonces)) == 10


def test_the_windows_are_bounded_and_the_one_longest_silent_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seal, "PREFIXES_MAX", 3)
    assert PREFIXES_MAX > 8_192
    counters: Counter[str] = Counter()
    envelope = Sealed(KeyRing([ONE]), rng=Random(1), counters=counters)
    for seed in range(10, 15):
        envelope.unwrap_untrusted(sealed(ONE, seed=seed).wrap(b"x", cluster_id=1))
    assert (len(envelope._windows), counters["seal_windows_dropped"]) == (3, 2)


def test_a_key_is_changed_without_a_moment_in_which_peers_cannot_read_each_other() -> None:
    """Add the new key everywhere, put it first, remove the old one; peers may be one step apart."""
    steps = [(ONE,), (ONE, TWO), (TWO, ONE), (TWO,)]
    for before, after in itertools.pairwise(steps):
        for sender, receiver in ((before, after), (after, before)):
            data = sealed(*sender).wrap(b"x", cluster_id=1)
            assert sealed(*receiver).unwrap_untrusted(data) == b"x"


@pytest.mark.parametrize("text", ["", "short", base64.b64encode(bytes(31)).decode(), "ü" * 44, "!" * 44])
def test_a_bad_key_is_refused_with_the_name_of_the_field(text: str) -> None:
    with pytest.raises(UsageError, match="key_file: key 1: expected 32 bytes in base64"):
        parse_key(text, field="key_file: key 1")
