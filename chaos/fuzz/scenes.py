"""Nodes in the middle of their lives, to be attacked. Built by hand in a millisecond, and always the same."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import TYPE_CHECKING

import attrs

from swimstream.config import LAN, NodeConfig
from swimstream.core.effects import Effect, Saved, StartInstance
from swimstream.core.node import Node
from swimstream.model.changes import Assign, Change, Entry, Found, Noop, Seat, SubmitJob
from swimstream.model.identity import Address, InstanceId, Run
from swimstream.model.job import JobSpec, OperatorSpec
from swimstream.model.member import Profile
from swimstream.model.plan import PlanMark
from swimstream.model.report import Report
from swimstream.model.status import InstanceState
from swimstream.wire.codec import encode_message, encode_packet
from swimstream.wire.council_messages import Append
from swimstream.wire.messages import Alive, Header, Message, Ping, SyncDigest
from swimstream.wire.seal import envelopes_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

BOOT = 1_000
CLUSTER = 77
KEY = bytes(range(32))
JOB = JobSpec(name="job", operators=(OperatorSpec(name="op", kind="map", parallelism=3),))


def address_of(name: str) -> Address:
    """Return where the worker of that name lives, for names of one letter."""
    return Address(f"10.0.0.{ord(name) - 96}", 7_000)


def run_of(name: str) -> Run:
    """Return the run under that name."""
    return Run(name, BOOT)


def claim_of(name: str, *, incarnation: int = 0, address: Address | None = None) -> Alive:
    """Return what the worker of that name says of itself."""
    profile = Profile(address=address or address_of(name), kinds=("map",), expect=3, voter=BOOT)
    return Alive(run=run_of(name), incarnation=incarnation, profile=profile)


@attrs.define(kw_only=True)
class Scene:
    """A node and the world as far as it knows it. `name` is its name, `friend` that of a member."""

    node: Node
    name: str
    friend: str
    now: float = 0.0
    heard: list[tuple[bytes, int | None]] = attrs.field(factory=list)
    """What came to it so far, with the stream: what somebody on the path could have recorded."""
    effects: list[Effect] = attrs.field(factory=list)
    """What it has ordered so far, and nobody has carried out."""

    def say(
        self, messages: Iterable[Message], *, sealed_by: Callable[[bytes], bytes], stream: int | None = None
    ) -> None:
        """Have `friend` send a packet, or a frame."""
        header = Header(self.node.plan.cluster_id, run_of(self.friend))
        self.hear(sealed_by(encode_packet(header, [encode_message(message) for message in messages])), stream)

    def hear(self, data: bytes, stream: int | None) -> None:
        """Hand over what arrived."""
        self.heard.append((data, stream))
        if stream is None:
            self.node.receive_packet(data, source=address_of("z"), now=self.now)
        else:
            self.node.receive_frame(stream, data, now=self.now)
        self.effects += self.node.take_effects()

    def pass_time(self, seconds: float) -> None:
        """Fire whatever is due until then."""
        end_at = self.now + seconds
        while self.node.next_deadline() <= end_at:
            self.now = max(self.now, self.node.next_deadline())
            self.node.fire_timers(now=self.now)
            self.effects += self.node.take_effects()
        self.now = end_at

    def run_instances(self) -> None:
        """Report that whatever was to be started runs."""
        for effect in self.effects:
            if isinstance(effect, StartInstance):
                self.node.report(
                    Report(instance=effect.instance, epoch=effect.epoch, state=InstanceState.RUNNING), now=self.now
                )
        self.effects = self.node.take_effects()


def begin(name: str, *, expect: int, seeds: tuple[str, ...] = (), keys: tuple[bytes, ...] = ()) -> Scene:
    """Return a node that has just asked to join, and whose friend is another."""
    config = NodeConfig(
        name=name,
        advertise=address_of(name),
        kinds=("map",),
        expect=expect,
        keys=keys,
        seeds=tuple(map(address_of, seeds)),
        timing=LAN,
    )
    node = Node(config, boot=BOOT, saved=Saved(voter=BOOT), rng=Random(name), now=0.0)
    node.join(1, now=0.0)
    return Scene(node=node, name=name, friend="b" if name == "a" else "a", effects=node.take_effects())


def follower(keys: tuple[bytes, ...] = ()) -> Scene:
    """Return a voter that follows, with a job of which it runs a part."""
    scene = begin("b", expect=3, keys=keys)
    envelopes = envelopes_for(keys, rng=Random("friend"), counters=Counter(), here=address_of("a"))

    def sealed(packet: bytes) -> bytes:
        return envelopes.datagram.wrap(packet, cluster_id=CLUSTER, to=address_of("b"))

    scene.say([claim_of("a"), claim_of("c"), claim_of("d")], sealed_by=sealed)
    place = InstanceId("job", "op", 0)
    assign = Assign(instance=place, run=run_of("b"), failures=0, resume_from=b"", reason="new", evidence=())
    changes: tuple[Change, ...] = (
        Found(cluster_id=CLUSTER, council=tuple(Seat(each, BOOT) for each in "abc")),
        Noop(),
        SubmitJob(job=JOB),
        assign,
    )
    entries = tuple(Entry(index=place, term=1, change=change) for place, change in enumerate(changes, start=1))
    append = Append(term=1, voter=BOOT, round=1, prev_index=0, prev_term=0, commit=len(entries), entries=entries)
    scene.say([append], sealed_by=sealed)
    scene.run_instances()
    scene.pass_time(1.5)
    scene.say([Ping(seq=9, target=run_of("b"), mark=PlanMark(term=1, leader="a", index=4))], sealed_by=sealed)

    def sealed_frame(packet: bytes) -> bytes:
        return envelopes.frame.wrap(packet, cluster_id=CLUSTER)

    scene.say([SyncDigest(entries=())], sealed_by=sealed_frame, stream=-1)
    return scene


def leader() -> Scene:
    """Return a leader with members and a job."""
    scene = begin("a", expect=1)
    scene.pass_time(0.1)
    scene.say([claim_of("b"), claim_of("c"), claim_of("d")], sealed_by=_plain)
    scene.node.submit(2, JOB, now=scene.now)
    scene.effects += scene.node.take_effects()
    scene.pass_time(1.5)
    scene.run_instances()
    return scene


def unfounded() -> Scene:
    """Return a member of what is no cluster yet."""
    scene = begin("b", expect=3)
    scene.say([claim_of("a")], sealed_by=_plain)
    return scene


def joining() -> Scene:
    """Return one that is asking its seed, and has not been answered."""
    return begin("b", expect=3, seeds=("a",))


def abandoned() -> Scene:
    """Return a voter that hears nobody, suspects all and campaigns in vain."""
    scene = follower()
    scene.pass_time(20.0)
    return scene


def leaving() -> Scene:
    """Return one that is saying goodbye."""
    scene = follower()
    scene.node.leave(3, now=scene.now)
    scene.effects += scene.node.take_effects()
    return scene


def _plain(packet: bytes) -> bytes:
    return packet


SCENES: Mapping[str, Callable[[], Scene]] = {
    "follower": follower,
    "leader": leader,
    "unfounded": unfounded,
    "joining": joining,
    "abandoned": abandoned,
    "leaving": leaving,
}
