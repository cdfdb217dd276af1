"""Two real nodes of a large cluster that sync by hand, byte by byte: digests beside a full push-pull.

Everything is sealed, and counted as it leaves: header, envelope and a frame's length, but not IP, UDP and TCP. All
members hold some instances and tags. The tables are filled directly: how news came there is gossip's affair.
"""

from __future__ import annotations

import time
from collections import deque
from functools import partial
from random import Random
from typing import TYPE_CHECKING

import attrs

from swimstream.config import LAN, NodeConfig
from swimstream.core.effects import CloseStream, OpenStream, Saved, SendFrame, SendPacket
from swimstream.core.membership.sync import CHECKS_PER_PROGRESS
from swimstream.core.node import Node
from swimstream.model.identity import Address, InstanceId, Run
from swimstream.model.member import SPEAKS, Profile
from swimstream.model.status import InstanceState, InstanceStatus
from swimstream.wire.messages import Alive, TagUpdate

if TYPE_CHECKING:
    from collections.abc import Callable

    from swimstream.core.effects import Effect
    from swimstream.core.rooms import Rooms

BOOT = 1_760_000_000_000
KEY = bytes(range(32))
EXPECT_NEVER = 10_000
FRAME_PREFIX_BYTES = 4
INSTANCES = 3
"""Of each member."""
# in the order in which a worker tells them
TAGS = {"rack": "r-17", "version": "2026.11.3"}


@attrs.frozen(kw_only=True)
class Exchange:
    """What one sync cost, both ways together."""

    sync_bytes: int
    packets: int
    frames: int
    cpu_s: float
    """Of both nodes together, sealing and opening included."""


def name_of(number: int) -> str:
    """Return the name of a member."""
    return f"worker-{number:04}"


def alive_of(number: int, incarnation: int = 0) -> Alive:
    """Return what a member says of itself."""
    profile = Profile(
        address=Address(f"10.0.{number // 250}.{number % 250 + 1}", 7946),
        site=f"site-{number % 3}",
        kinds=("join", "map", "sink"),
        expect=EXPECT_NEVER,
        voter=BOOT,
        speaks=SPEAKS,
    )
    return Alive(run=Run(name_of(number), BOOT), incarnation=incarnation, profile=profile)


def status_of(number: int, slot: int, *, seq: int = 1, epoch: int = 1) -> InstanceStatus:
    """Return what a member says of one of its instances after so many tellings."""
    return InstanceStatus(
        instance=InstanceId(f"job-{slot}", "operator", number),
        epoch=epoch,
        run=Run(name_of(number), BOOT),
        seq=seq,
        state=InstanceState.RUNNING,
        since_ms=BOOT + epoch,
        progress=1_000 * seq,
        checkpoint=b"offset-00001234",
        endpoint=f"10.0.{number // 250}.{number % 250 + 1}:4{slot:04}",
    )


class Pair:
    """Two members of a cluster of `nodes`, at numbers 0 and 1."""

    def __init__(self, *, nodes: int, seed: int) -> None:
        """Build both with equal tables."""
        self.nodes = nodes
        self.rooms: list[Rooms] = []
        self._peers: list[Node] = []
        for number in (0, 1):
            claim = alive_of(number)
            config = NodeConfig(
                name=claim.run.name,
                advertise=claim.profile.address,
                site=claim.profile.site,
                kinds=claim.profile.kinds,
                tags=TAGS,
                expect=EXPECT_NEVER,
                keys=(KEY,),
                timing=LAN,
            )
            node = Node(config, boot=BOOT, saved=Saved(voter=BOOT), rng=Random(f"{seed}/{number}"), now=0.0)
            node.join(1, now=0.0)
            self._peers.append(node)
            self.rooms.append(node._rooms)  # noqa: SLF001  # nodes that join by themselves gossip for an hour
        for number in range(nodes):
            for rooms in self.rooms:
                self._fill(rooms, number)
        self._forget_news()

    def change(self, number: int, side: int, version: int) -> None:
        """Let one side alone hear of something new: a refutation, a moved instance or a tag, in turn."""
        rooms = self.rooms[side]
        if number % 3 == 0:
            rooms.membership.hear_alive(alive_of(number, version), 0.0)
        elif number % 3 == 1:
            rooms.statuses.merge(status_of(number, 0, epoch=1 + version))
        else:
            record = TagUpdate(run=Run(name_of(number), BOOT), version=10 + version, key="rack", value=f"r-{version}")
            rooms.conversation.tagging.table.merge(record)

    def progress(self, seq: int) -> None:
        """Let every instance go on, and each side hear of half of them alone."""
        for number in range(self.nodes):
            for slot in range(INSTANCES):
                self.rooms[number % 2].statuses.merge(status_of(number, slot, seq=seq))

    def compare(self) -> Exchange:
        """Let the first node compare with the second, as it does every sync interval; carry all that follows."""
        self._forget_news()
        began_at = time.process_time()
        second = self.rooms[0].membership.table.get(name_of(1))
        assert second is not None
        self.rooms[0].syncer._compare(second, 0.0)  # noqa: SLF001  # the timer would choose anybody
        packets, frames, sync_bytes = self._carry()
        cpu_s = time.process_time() - began_at
        return Exchange(sync_bytes=sync_bytes, packets=packets, frames=frames, cpu_s=cpu_s)

    def compare_progress(self) -> Exchange:
        """Do the same in the one comparison of several in which progress counts."""
        self.rooms[0].syncer._checks_sent = CHECKS_PER_PROGRESS - 1  # noqa: SLF001  # the others have been measured
        return self.compare()

    def full_bytes(self) -> int:
        """Return what both tables take, in frames of our own: a push-pull without digests."""
        total = 0
        for node, rooms in zip(self._peers, self.rooms, strict=True):
            node.take_effects()
            everything = [part for each in rooms.membership.table for part in rooms.syncer._everything(each)]  # noqa: SLF001  # what an ordinary sync sends to a newcomer
            rooms.syncer._send_updates(1, everything)  # noqa: SLF001  # likewise
            total += sum(_size(effect) for effect in node.take_effects())
        return total

    def agree(self) -> bool:
        """Return whether both hold the same, progress included."""
        one, two = (rooms.syncer.digest() for rooms in self.rooms)
        return one == two

    def hash_ms(self, *, with_progress: bool) -> float:
        """Return the CPU time of one hash of everything, ms: the least of some."""
        spent = []
        for _ in range(10):
            began_at = time.process_time()
            self.rooms[0].syncer.digest(with_progress=with_progress)
            spent.append(time.process_time() - began_at)
        return 1_000 * min(spent)

    def _fill(self, rooms: Rooms, number: int) -> None:
        rooms.membership.hear_alive(alive_of(number), 0.0)
        for slot in range(INSTANCES):
            rooms.statuses.merge(status_of(number, slot))
        run = Run(name_of(number), BOOT)
        for version, (key, value) in enumerate(TAGS.items(), start=1):
            rooms.conversation.tagging.table.merge(TagUpdate(run=run, version=version, key=key, value=value))

    def _forget_news(self) -> None:
        for node, rooms in zip(self._peers, self.rooms, strict=True):
            node.take_effects()
            while rooms.membership.gossip.take(60_000, members=1):
                pass

    def _carry(self) -> tuple[int, int, int]:
        """Hand over what is sent until nobody says anything more; return packets, frames and bytes."""
        packets = frames = sync_bytes = 0
        under_way: deque[Callable[[], None]] = deque()
        streams: dict[tuple[int, int], int] = {}
        while True:
            for side, node in enumerate(self._peers):
                for effect in node.take_effects():
                    sync_bytes += _size(effect)
                    packets += isinstance(effect, SendPacket)
                    frames += isinstance(effect, OpenStream | SendFrame)
                    under_way.extend(self._delivery(effect, side, streams))
            if not under_way:
                return packets, frames, sync_bytes
            under_way.popleft()()

    def _delivery(self, effect: Effect, side: int, streams: dict[tuple[int, int], int]) -> list[Callable[[], None]]:
        to = self._peers[1 - side]
        match effect:
            case SendPacket():
                return [partial(to.receive_packet, effect.payload, source=effect.to, now=0.0)]
            case OpenStream(stream=stream):
                streams[side, stream], streams[1 - side, -1 - stream] = -1 - stream, stream
                return [partial(to.receive_frame, -1 - stream, effect.frame, now=0.0)]
            case SendFrame(stream=stream):
                return [partial(to.receive_frame, streams[side, stream], effect.frame, now=0.0)]
            case CloseStream(stream=stream):
                return [partial(to.stream_closed, streams[side, stream], now=0.0)]
            case _:
                return []


def _size(effect: Effect) -> int:
    match effect:
        case SendPacket():
            return len(effect.payload)
        case OpenStream() | SendFrame():
            return len(effect.frame) + FRAME_PREFIX_BYTES
        case _:
            return 0
