"""What is attacked, and what must hold meanwhile. A target takes a script of any bytes; what it raises is a finding."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import TYPE_CHECKING

import attrs

from chaos.fuzz.bounds import is_punctual, overfull, state_of
from chaos.fuzz.corpus import golden_packets, lore_of, packet
from chaos.fuzz.draw import Draw
from chaos.fuzz.scenes import BOOT, CLUSTER, KEY, SCENES, Scene, address_of, follower, run_of
from swimstream.config import FRAME_BYTES_MAX
from swimstream.core.effects import CloseStream, Effect, OpenStream, SendFrame, SendPacket, StartInstance
from swimstream.errors import WireError
from swimstream.model.report import Report
from swimstream.model.status import InstanceState
from swimstream.wire.codec import decode_packet_untrusted, encode_message, encode_packet
from swimstream.wire.council_messages import Append
from swimstream.wire.keyring import KeyRing, key_id
from swimstream.wire.messages import Header
from swimstream.wire.plan_reader import decode_entry_untrusted, decode_plan_untrusted
from swimstream.wire.seal import SEALED, Sealed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ACTS_MAX = 48
PAUSES_S = (0.1, 0.5, 1.0, 10.0, 100.0, 86_400.0)
OTHER_KEY = bytes(32)
ELSEWHERE = address_of("c")


def decoder(script: bytes) -> None:
    """Bytes → a packet, an entry or a plan; or `WireError`."""
    for decode in (decode_packet_untrusted, decode_entry_untrusted, decode_plan_untrusted):
        try:
            decode(script)
        except WireError as error:
            assert len(str(error)) < 2_000, "an error must not repeat a large input"


def seal(script: bytes) -> None:
    """Bytes → `WireError`, unless they are one of two packets that were sealed; then once."""
    friend = Sealed(KeyRing([KEY]), rng=Random(1), counters=Counter())
    real = [friend.wrap(each, cluster_id=CLUSTER) for each in (b"one", b"two")]
    envelope = Sealed(KeyRing([KEY, OTHER_KEY]), rng=Random(2), counters=Counter())
    envelope.unwrap_untrusted(real[0])
    draw = Draw(script)
    while not draw.is_spent:
        data = _forged(draw, real)
        try:
            envelope.unwrap_untrusted(data)
        except WireError:
            continue
        assert data == real.pop(1), "only what was sealed by a friend is opened, and only once"
        real.append(b"")


@attrs.define
class Insider:
    """Somebody who holds the key, or plays on a node that has none: says anything, at any time."""

    scene: Scene
    draw: Draw
    lore: tuple[object, ...]
    streams: int = 0
    opened: list[int] = attrs.field(factory=list)
    """Streams that the node has opened, and not closed."""

    def act(self) -> None:
        """Do one thing to the node, as the script says."""
        node, draw = self.scene.node, self.draw
        match draw.below(8):
            case 0 | 1 | 2:
                self.scene.hear(packet(draw, self.scene, self.lore), None)
            case 3 | 4:
                self.scene.hear(packet(draw, self.scene, self.lore), self._stream())
            case 5:
                self.scene.hear(draw.take(draw.below(64)), None if draw.below(2) else self._stream())
            case 6:
                node.stream_closed(self._stream(), now=self.scene.now)
            case _:
                self._wait()
        self.check()

    def check(self) -> None:
        """Look at what the node has ordered, and at how much it holds."""
        scene = self.scene
        effects, scene.effects = scene.effects + scene.node.take_effects(), []
        for effect in effects:
            self._witness(effect)
        assert not overfull(scene.node), overfull(scene.node)
        assert is_punctual(scene.node), "the deadline must be looked for again after whatever moves it"
        scene.heard.clear()

    def _witness(self, effect: Effect) -> None:
        """Hold an order against what honest peers can read; carry out what can be carried out here."""
        match effect:
            case SendPacket(payload=data):
                assert len(data) <= 1_200, "a datagram fits any path"
                decode_packet_untrusted(data)
            case OpenStream(stream=stream, frame=data):
                self.opened = [*self.opened[-7:], stream]
                assert len(data) <= FRAME_BYTES_MAX, "a frame can be received"
                decode_packet_untrusted(data)
            case SendFrame(frame=data):
                assert len(data) <= FRAME_BYTES_MAX, "a frame can be received"
                decode_packet_untrusted(data)
            case CloseStream(stream=stream):
                self.opened = [each for each in self.opened if each != stream]
            case StartInstance(instance=instance, epoch=epoch):
                state = self.draw.pick((InstanceState.RUNNING, InstanceState.FAILED, InstanceState.FINISHED))
                self.scene.node.report(Report(instance=instance, epoch=epoch, state=state), now=self.scene.now)
            case _:
                pass

    def _wait(self) -> None:
        """Fire timers: what is due next, or late."""
        scene = self.scene
        due_at = scene.node.next_deadline()
        pause_s = self.draw.pick((0.0, *PAUSES_S))
        scene.now = max(scene.now + pause_s, min(due_at, scene.now + 10.0) if not pause_s else 0.0)
        scene.node.fire_timers(now=scene.now)

    def _stream(self) -> int:
        """Return one of the streams that the node opened, one that is known from before, or a new one."""
        choice = self.draw.below(3)
        if choice == 0 and self.opened:
            return self.draw.pick(self.opened)
        if choice == 1:
            return -1 - self.draw.below(max(1, self.streams))
        self.streams += 1
        return -self.streams


def insider(script: bytes) -> None:
    """A whole node in any state hears anything from its members: it raises nothing and outgrows nothing."""
    draw = Draw(script)
    scene = SCENES[draw.pick(sorted(SCENES))]()
    plan_index = scene.node.plan.index
    attack = Insider(scene, draw, lore_of(scene))
    for _ in range(ACTS_MAX):
        if draw.is_spent:
            break
        attack.act()
        assert scene.node.plan.index >= plan_index, "what is committed is never taken back"
        plan_index = scene.node.plan.index
    for _ in range(4):
        scene.now = max(scene.now, min(scene.node.next_deadline(), scene.now + 10.0))
        scene.node.fire_timers(now=scene.now)
        attack.check()


def stranger(script: bytes) -> None:
    """A whole node with a key hears anything from somebody without it: nothing changes but counters."""
    draw = Draw(script)
    scene = follower((KEY,))
    before = state_of(scene.node)
    recorded = [data for data, _ in scene.heard]
    ways = [stream for _, stream in scene.heard]
    # an honest packet too, which was for somebody else
    recorded.append(
        Sealed(KeyRing([KEY]), rng=Random(3), counters=Counter()).wrap(_heartbeat(), cluster_id=CLUSTER, to=ELSEWHERE)
    )
    ways.append(None)
    scene.effects.clear()
    for _ in range(ACTS_MAX):
        if draw.is_spent:
            break
        way = draw.pick((None, -1, -2))
        if draw.below(4) == 0:
            place = draw.below(len(recorded))
            scene.hear(recorded[place], ways[place] if draw.below(2) else way)
        else:
            scene.hear(_forged(draw, recorded), way)
        assert not scene.effects, scene.effects
        assert state_of(scene.node) == before, "a stranger has changed something"


def _heartbeat() -> bytes:
    """Return what the leader says to its followers, in clear."""
    append = Append(term=1, voter=BOOT, round=2, prev_index=4, prev_term=1, commit=4, entries=())
    return encode_packet(Header(CLUSTER, run_of("a")), [encode_message(append)])


def _forged(draw: Draw, real: list[bytes]) -> bytes:
    """Return what somebody can make who has recorded `real` and does not hold the key."""
    source = draw.pick(real)
    match draw.below(7):
        case 0:
            return draw.take(draw.below(256))
        case 1:
            return bytes([SEALED]) + key_id(KEY) + draw.take(20 + draw.below(64))
        case 2:
            return source[:21] + draw.take(4) + source[25:]
        case 3:
            place = draw.below(len(source) or 1)
            return source[:place] + draw.take(1) + source[place + 1 :]
        case 4:
            return source[: draw.below(len(source) + 1)] + draw.take(draw.below(8))
        case 5:
            return draw.pick(golden_packets())
        case _:
            return source


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    "decoder": decoder,
    "seal": seal,
    "insider": insider,
    "stranger": stranger,
}


def seeds_of(target: str) -> tuple[bytes, ...]:
    """Return scripts to begin with."""
    rng = Random(target)
    scripts = tuple(rng.randbytes(40 * count) for count in range(1, 12))
    return golden_packets() if target == "decoder" else scripts
