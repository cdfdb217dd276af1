"""P7, in sequences: a node that a stranger without the key plays upon does what its twin does that is left alone."""

from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from chaos.fuzz.bounds import overfull, state_of, tables
from chaos.fuzz.scenes import CLUSTER, KEY, address_of, follower, run_of
from swimstream.wire.codec import encode_message, encode_packet
from swimstream.wire.keyring import key_id
from swimstream.wire.messages import Header, Message
from swimstream.wire.seal import HEAD_BYTES, SEALED, envelopes_for
from tests import strategies

STREAMS = st.sampled_from([None, -1, -2, 1])
FRIENDS = "acd"


class AttackedAndSpared(RuleBasedStateMachine):
    """Friends talk to both nodes alike; the stranger, who hears everything, to one of them."""

    def __init__(self) -> None:
        super().__init__()
        self.attacked, self.spared = follower((KEY,)), follower((KEY,))
        self.recorded = list(self.attacked.heard)
        self.friends = envelopes_for([KEY], rng=Random("friends"), counters=Counter(), here=address_of("a"))
        assert state_of(self.attacked.node) == state_of(self.spared.node)

    def forge(self, data: bytes, stream: int | None) -> None:
        self.attacked.effects.clear()
        self.attacked.hear(data, stream)
        assert self.attacked.effects == []
        self.compare()

    def compare(self) -> None:
        assert state_of(self.attacked.node) == state_of(self.spared.node)
        assert overfull(self.attacked.node) == []

    # --- honest -----------------------------------------------------------------------------------

    @rule(
        messages=st.lists(strategies.messages, min_size=1, max_size=3),
        friend=st.sampled_from(FRIENDS),
        stream=st.sampled_from([None, None, -3]),
    )
    def a_friend_speaks(self, messages: list[Message], friend: str, stream: int | None) -> None:
        packet = encode_packet(Header(CLUSTER, run_of(friend)), [encode_message(each) for each in messages])
        if stream is None:
            data = self.friends.datagram.wrap(packet, cluster_id=CLUSTER, to=address_of("b"))
        else:
            data = self.friends.frame.wrap(packet, cluster_id=CLUSTER)
        for scene in (self.attacked, self.spared):
            scene.effects.clear()
            scene.hear(data, stream)
        assert self.attacked.effects == self.spared.effects
        self.recorded.append((data, stream))
        self.compare()

    @rule(seconds=st.sampled_from([0.0, 0.1, 1.0, 30.0]))
    def time_passes(self, seconds: float) -> None:
        for scene in (self.attacked, self.spared):
            scene.effects.clear()
            scene.pass_time(seconds)
        assert self.attacked.effects == self.spared.effects
        self.compare()

    # --- hostile ----------------------------------------------------------------------------------

    @rule(data=st.binary(max_size=120), stream=STREAMS)
    def the_stranger_sends_anything(self, data: bytes, stream: int | None) -> None:
        self.forge(data, stream)

    @rule(tail=st.binary(min_size=12, max_size=120), stream=STREAMS)
    def the_stranger_sends_a_right_head(self, tail: bytes, stream: int | None) -> None:
        self.forge(bytes([SEALED]) + key_id(KEY) + CLUSTER.to_bytes(8) + tail, stream)

    @precondition(lambda self: self.recorded)
    @rule(data=st.data(), stream=STREAMS)
    def the_stranger_plays_what_was_recorded_another_way(self, data: st.DataObject, stream: int | None) -> None:
        packet, way = data.draw(st.sampled_from(self.recorded))
        self.forge(packet, way)
        self.forge(packet, stream)

    @rule(messages=st.lists(strategies.messages, max_size=2), friend=st.sampled_from(FRIENDS), stream=STREAMS)
    def the_stranger_plays_what_was_said_to_another(
        self, messages: list[Message], friend: str, stream: int | None
    ) -> None:
        packet = encode_packet(Header(CLUSTER, run_of(friend)), [encode_message(each) for each in messages])
        self.forge(self.friends.datagram.wrap(packet, cluster_id=CLUSTER, to=address_of("c")), stream)

    @rule(data=st.data(), stream=STREAMS, change=st.integers(1, 255))
    def the_stranger_changes_a_byte(self, data: st.DataObject, stream: int | None, change: int) -> None:
        packet, _ = data.draw(st.sampled_from(self.recorded))
        place = data.draw(st.integers(0, len(packet) - 1))
        self.forge(packet[:place] + bytes([packet[place] ^ change]) + packet[place + 1 :], stream)

    @rule(data=st.data(), count=st.integers(0, 2**32 - 1))
    def the_stranger_guesses_a_counter(self, data: st.DataObject, count: int) -> None:
        packet, way = data.draw(st.sampled_from(self.recorded))
        self.forge(packet[: HEAD_BYTES - 4] + count.to_bytes(4) + packet[HEAD_BYTES:], way)

    @rule(message=strategies.messages, sender=st.sampled_from(FRIENDS), stream=STREAMS)
    def the_stranger_does_not_seal(self, message: Message, sender: str, stream: int | None) -> None:
        self.forge(encode_packet(Header(CLUSTER, run_of(sender)), [encode_message(message)]), stream)


TestAttackedAndSpared = AttackedAndSpared.TestCase
TestAttackedAndSpared.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)


def test_windows_are_moved_by_friends_only() -> None:
    scene = follower((KEY,))
    before = tables(scene.node)
    for number in range(100):
        scene.hear(bytes([SEALED]) + key_id(KEY) + CLUSTER.to_bytes(8) + Random(number).randbytes(60), None)
    assert {**tables(scene.node), "counters": 0} == {**before, "counters": 0}
    assert scene.node.counters()["packets_forged"] == 100
