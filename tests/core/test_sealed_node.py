"""P7: nothing that a stranger without the key sends changes any state."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from swimstream.config import LOCAL, NodeConfig
from swimstream.core.effects import OpenStream, Saved, SendFrame, SendPacket
from swimstream.core.node import Node
from swimstream.model.identity import Address
from swimstream.wire.codec import encode_message, encode_packet
from swimstream.wire.keyring import KeyRing
from swimstream.wire.messages import Header
from swimstream.wire.seal import SEALED, Sealed
from tests import strategies

if TYPE_CHECKING:
    from swimstream.core.effects import Effect
    from swimstream.wire.messages import Message

KEY, OTHER = bytes(range(32)), bytes(32)


def node(name: str, *, seeds: tuple[str, ...] = (), key: bytes = KEY) -> Node:
    config = NodeConfig(
        name=name,
        advertise=address_of(name),
        seeds=tuple(map(address_of, seeds)),
        expect=2,
        timing=LOCAL,
        keys=(key,),
    )
    made = Node(config, boot=1, saved=Saved(voter=1), rng=Random(name), now=0.0)
    made.join(1, now=0.0)
    return made


def address_of(name: str) -> Address:
    return Address(f"10.0.0.{ord(name)}", 7_946)


def exchange(one: Node, other: Node, *, steps: int = 400) -> list[Effect]:
    """Let two nodes talk without delay; return everything that left them."""
    nodes = {address_of("a"): one, address_of("b"): other}
    left: list[Effect] = []
    numbers: dict[tuple[int, int], tuple[Node, int]] = {}
    now = 0.0
    for step in range(steps):
        for me in (one, other):
            you = other if me is one else one
            if me.next_deadline() <= now:
                me.fire_timers(now=now)
            for effect in me.take_effects():
                left.append(effect)
                match effect:
                    case SendPacket(to, payload):
                        nodes[to].receive_packet(payload, source=to, now=now)
                    case OpenStream(stream, _, frame):
                        numbers[id(you), -1 - step] = (me, stream)
                        you.receive_frame(-1 - step, frame, now=now)
                    case SendFrame(stream, frame):
                        peer, number = numbers.get((id(me), stream), (you, -1 - step))
                        peer.receive_frame(number, frame, now=now)
                    case _:
                        pass
        now += 0.02
    return left


def test_two_nodes_with_one_key_meet_and_nothing_leaves_them_unsealed() -> None:
    one, other = node("a"), node("b", seeds=("a",))
    left = exchange(one, other)
    assert len(one.members()) == len(other.members()) == 2
    assert one.plan.cluster_id == other.plan.cluster_id != 0
    bytes_left = [effect.payload for effect in left if isinstance(effect, SendPacket)]
    bytes_left += [effect.frame for effect in left if isinstance(effect, OpenStream | SendFrame)]
    assert {data[0] for data in bytes_left} == {SEALED}
    assert max(map(len, bytes_left)) <= LOCAL.packet_bytes_max


def test_two_nodes_with_different_keys_never_meet() -> None:
    one, other = node("a"), node("b", seeds=("a",), key=OTHER)
    exchange(one, other)
    assert len(one.members()) == 1
    assert one.counters()["packets_of_unknown_key"] > 0


@settings(deadline=None, max_examples=300)
@given(st.lists(strategies.messages, min_size=1, max_size=4), strategies.runs, st.booleans())
def test_whatever_a_stranger_sends_changes_nothing(messages: list[Message], sender: object, forged: bool) -> None:  # noqa: FBT001  # drawn
    target = node("a")
    target.take_effects()
    before = (target.members(), target.statuses(), target.plan, target.mark, target.next_deadline())
    packet = encode_packet(Header(0, sender), [encode_message(message) for message in messages])  # type: ignore[arg-type]  # drawn
    data = Sealed(KeyRing([OTHER]), rng=Random(1), counters=Counter()).wrap(packet, cluster_id=0) if forged else packet
    target.receive_packet(data, source=address_of("z"), now=0.0)
    target.receive_frame(-1, data, now=0.0)
    assert (target.members(), target.statuses(), target.plan, target.mark, target.next_deadline()) == before
    assert target.take_effects() == []
