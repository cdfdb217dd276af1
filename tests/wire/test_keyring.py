"""The ring of keys: one seals, all open, and no step of a change leaves a worker that cannot read another."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from swimstream.errors import UsageError, WireError
from swimstream.wire.keyring import KEY_BYTES, KEYS_MAX, KeyRing, format_key, key_id, parse_key, parse_key_id
from swimstream.wire.seal import Sealed

KEYS = [bytes([number]) * KEY_BYTES for number in range(KEYS_MAX + 2)]


class Ring(RuleBasedStateMachine):
    """Any steps, with a list for a model."""

    def __init__(self) -> None:
        super().__init__()
        self.ring, self.model = KeyRing(KEYS[:1]), KEYS[:1]

    @rule(key=st.sampled_from(KEYS))
    def install(self, key: bytes) -> None:
        if key not in self.model and len(self.model) >= KEYS_MAX:
            with pytest.raises(UsageError, match=r"^key: expected at most"):
                self.ring.install(key)
        else:
            self.ring.install(key)
            self.model += [key] if key not in self.model else []

    @rule(key=st.sampled_from(KEYS))
    def use(self, key: bytes) -> None:
        if key not in self.model:
            with pytest.raises(UsageError, match="is not installed"):
                self.ring.use(key_id(key))
        else:
            self.ring.use(key_id(key))
            self.model = [key, *(each for each in self.model if each != key)]

    @rule(key=st.sampled_from(KEYS))
    def remove(self, key: bytes) -> None:
        if key == self.model[0]:
            with pytest.raises(UsageError, match="is in use"):
                self.ring.remove(key_id(key))
        else:
            self.ring.remove(key_id(key))
            self.model = [each for each in self.model if each != key]

    @invariant()
    def agrees(self) -> None:
        assert list(self.ring.keys) == self.model
        assert list(self.ring.ids) == [key_id(key) for key in self.model]


TestRing = Ring.TestCase


def test_what_is_sealed_follows_every_change_of_the_ring() -> None:
    one, two = KEYS[:2]
    ring, reader = KeyRing([one]), KeyRing([one])
    sender = Sealed(ring, rng=Random(1), counters=Counter())
    envelope = Sealed(reader, rng=Random(2), counters=Counter())
    ring.install(two)
    assert envelope.unwrap_untrusted(sender.wrap(b"still the old one", cluster_id=1)) == b"still the old one"
    ring.use(key_id(two))
    with pytest.raises(WireError, match="expected a key of the ring"):
        envelope.unwrap_untrusted(sender.wrap(b"too early", cluster_id=1))
    reader.install(two)
    assert envelope.unwrap_untrusted(sender.wrap(b"the new one", cluster_id=1)) == b"the new one"
    late = sender.wrap(b"late", cluster_id=1)
    reader.use(key_id(one))
    reader.remove(key_id(two))
    with pytest.raises(WireError, match="expected a key of the ring"):
        envelope.unwrap_untrusted(late)


@given(st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES))
def test_a_key_is_read_as_it_is_written(key: bytes) -> None:
    assert parse_key(format_key(key), field="key") == key
    assert parse_key_id(key_id(key).hex()) == key_id(key)


@pytest.mark.parametrize("text", ["", "0a0b0c", "0a0b0c0d0e", "zz0b0c0d", "key"])
def test_what_is_no_id_of_a_key_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"^key: expected its id, 8 hexadecimal digits"):
        parse_key_id(text)
