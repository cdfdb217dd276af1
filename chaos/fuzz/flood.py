"""A stranger sends a million packets: what they change (nothing), hold (nothing) and cost (less than 10 us each)."""

from __future__ import annotations

import gc
import statistics
import time
import tracemalloc
from collections import Counter
from random import Random
from typing import TYPE_CHECKING

import attrs

from chaos.fuzz.bounds import overfull, state_of
from chaos.fuzz.scenes import BOOT, CLUSTER, KEY, Scene, address_of, follower
from swimstream.model.identity import Address, Run
from swimstream.model.member import Profile
from swimstream.wire.codec import WIRE_VERSION, encode_header, encode_message, encode_packet
from swimstream.wire.keyring import KeyRing, key_id
from swimstream.wire.messages import Alive, Header
from swimstream.wire.seal import HEAD_BYTES, SEALED, Sealed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

US_MAX = 10.0
DIFFERENT = 4_000
"""So many packets of a kind are made, and sent again and again: to who keeps nothing of them all are new."""
GROWTH_BYTES_MAX = 16 * DIFFERENT
"""What counters may take up while each of those is received for the first time: 16 bytes of each would be too much."""
MEMBERS = 64


@attrs.frozen(kw_only=True)
class Flooded:
    """What came of packets of one kind. `ok` is the verdict."""

    node: str
    kind: str
    packets: int
    us_each: float
    """CPU time of this process for one packet: the mean of the median round of `DIFFERENT`."""
    changed: bool
    effects: int
    grown_bytes: int
    overfull: tuple[str, ...]
    ok: bool


def flood(scene: Scene, node: str, kind: str, packets: Sequence[bytes], *, count: int) -> Flooded:
    """Send `count` packets to a node, and look at it before and after."""
    before = state_of(scene.node)
    source = address_of("z")
    effects = 0
    tracemalloc.start()
    for data in packets:
        scene.node.receive_packet(data, source=source, now=scene.now)
    gc.collect()
    grown_bytes = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    spent_s: list[float] = []
    rounds = -(-count // len(packets))
    for _ in range(rounds):
        begun_s = time.process_time()
        for data in packets:
            scene.node.receive_packet(data, source=source, now=scene.now)
        spent_s.append(time.process_time() - begun_s)
        effects += len(scene.node.take_effects())
    us_each = statistics.median(spent_s) / len(packets) * 1e6
    changed = state_of(scene.node) != before
    too_many = tuple(overfull(scene.node))
    is_ok = not changed and not effects and not too_many and us_each < US_MAX and grown_bytes < GROWTH_BYTES_MAX
    return Flooded(
        node=node,
        kind=kind,
        packets=rounds * len(packets),
        us_each=round(us_each, 2),
        changed=changed,
        effects=effects,
        grown_bytes=grown_bytes,
        overfull=too_many,
        ok=is_ok,
    )


def run_floods(count: int, *, seed: int) -> list[Flooded]:
    """Send `count` packets in all to nodes with and without a key, in equal parts of every kind."""
    rng = Random(seed)
    sealed, plain = follower((KEY,)), follower()
    wrap = Sealed(KeyRing([KEY]), rng=Random("more"), counters=Counter()).wrap
    for scene, is_sealed in ((sealed, True), (plain, False)):
        for number in range(MEMBERS - 4):
            data = member_claim(number)
            scene.hear(wrap(data, cluster_id=CLUSTER, to=address_of("b")) if is_sealed else data, None)
        scene.effects.clear()
    recorded = [data for data, stream in sealed.heard if stream is None]
    kinds = [("sealed", kind, packets) for kind, packets in to_sealed(recorded, rng).items()]
    kinds += [("plain", kind, packets) for kind, packets in to_plain(rng).items()]
    each = -(-count // len(kinds))
    return [
        flood(sealed if node == "sealed" else plain, node, kind, packets, count=each) for node, kind, packets in kinds
    ]


def to_sealed(recorded: Sequence[bytes], rng: Random) -> Mapping[str, list[bytes]]:
    """Return what somebody without the key can send, by kind. `recorded` are real packets that have been received."""
    head = bytes([SEALED]) + key_id(KEY) + CLUSTER.to_bytes(8)
    last = recorded[-1]
    return {
        "random bytes": [rng.randbytes(rng.randrange(200)) for _ in range(DIFFERENT)],
        "right heads, wrong tags, 100 B": [head + rng.randbytes(12 + 75) for _ in range(DIFFERENT)],
        "right heads, wrong tags, 1,200 B": [head + rng.randbytes(12 + 1_175) for _ in range(DIFFERENT)],
        "counters of a friend to come": [
            last[: HEAD_BYTES - 4] + (1_000 + number).to_bytes(4) + last[HEAD_BYTES:] for number in range(DIFFERENT)
        ],
        "replays": [recorded[number % len(recorded)] for number in range(DIFFERENT)],
        "replays with a bit flipped": [_flipped(recorded[number % len(recorded)], rng) for number in range(DIFFERENT)],
        "unsealed": [member_claim(number) for number in range(DIFFERENT)],
    }


def to_plain(rng: Random) -> Mapping[str, list[bytes]]:
    """Return garbage for a node without a key. What is no garbage it must believe: that is what keys are for."""
    start = encode_header(Header(CLUSTER, Run("a", BOOT)))
    return {
        "random bytes": [rng.randbytes(rng.randrange(200)) for _ in range(DIFFERENT)],
        "right version, random bytes": [bytes([WIRE_VERSION]) + rng.randbytes(100) for _ in range(DIFFERENT)],
        "right header, broken message": [start + b"\x87\x01" + rng.randbytes(5) for _ in range(DIFFERENT)],
        "right header, message cut short": [start + _claim(number)[:-1] for number in range(DIFFERENT)],
    }


def _flipped(data: bytes, rng: Random) -> bytes:
    place = rng.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :]


def member_claim(number: int) -> bytes:
    """Return a packet of a member that says that the worker of that number lives."""
    return encode_packet(Header(CLUSTER, Run("a", BOOT)), [_claim(number)])


def _claim(number: int) -> bytes:
    profile = Profile(address=Address(f"10.1.{number >> 8}.{number & 255}", 7_000))
    return encode_message(Alive(run=Run(f"w{number}", BOOT), incarnation=0, profile=profile))
