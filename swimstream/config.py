"""Every knob: meaning, unit, bounds, how to choose, source. Validated when built.

`Timing` is the protocol's pace, with the presets `LOCAL`, `LAN` and `WAN`. `NodeConfig` is what a node
knows about itself and is all that the core reads. What a user writes is `WorkerConfig` in `worker.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from swimstream.errors import UsageError
from swimstream.model.identity import Address, check_name
from swimstream.model.member import CAPACITY_MAX, EXPECT_MAX, KINDS_MAX
from swimstream.model.talk import check_tags

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

FRAME_BYTES_MAX = 4 * 1024 * 1024
PEERS_MAX = 256
"""Addresses of members that a state directory keeps."""
MEMBERS_MAX = 8_192
ISOLATION_MS_MAX = 3_600_000
DRIFT_PPM_MAX = 100_000


def _between(low: float, high: float, unit: str = "") -> Callable[[object, attrs.Attribute[Any], Any], None]:
    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise UsageError(f"{attribute.name}: expected {low} to {high}{unit}, got {value!r}")

    return check


@attrs.frozen(kw_only=True)
class Timing:
    """The pace of the protocol. Seconds end in `_s`. Defaults are those of a data centre (`LAN`)."""

    probe_interval_s: float = attrs.field(default=1.0, validator=_between(0.01, 60, " s"))
    """One member is probed every interval, 0.01 to 60 s (SWIM §4.1). Shorter finds a death sooner and costs more
    packets and CPU, in proportion. Several times the usual round trip; memberlist takes 1 s and, for the WAN, 5."""
    probe_timeout_s: float = attrs.field(default=0.5, validator=_between(0.005, 60, " s"))
    """A direct ack is awaited at most so long before relays are asked, 0.005 to 60 s and less than the interval; sooner
    when the target's measured round trips allow it (RFC 6298). Above the 99th percentile of the slowest link."""
    indirect_probes: int = attrs.field(default=3, validator=_between(0, 16))
    """How many relays are asked to probe for us, 0 to 16 (SWIM §4.1, k). More where links lose much: a live target
    goes unheard with the power of it. 0 trusts the direct probe and the stream alone."""
    health_max: int = attrs.field(default=8, validator=_between(0, 16))
    """Ceiling of the local health score, 0 to 16; intervals stretch up to 1 + this (Lifeguard, LHA-Probe, S = 8).
    Higher for machines that are starved for longer; detection by a sick peer slows down with it. 0 switches it off."""
    suspicion_mult: float = attrs.field(default=4.0, validator=_between(1, 64))
    """Shortest suspicion = mult * max(1, log10 n) * probe interval; 1 to 64 (Lifeguard, alpha). The knob between speed
    and errors: 2 finds a death in about half the time of 5, and is wrong more often."""
    suspicion_max_mult: float = attrs.field(default=6.0, validator=_between(1, 64))
    """A suspicion that nobody confirms lasts this many times longer, 1 to 64 (Lifeguard, LHA-Suspicion, beta = 6). 1
    gives every suspicion the same time, as plain SWIM does."""
    suspicion_confirmations: int = attrs.field(default=3, validator=_between(0, 16))
    """Independent accusers, beyond the first, that bring a suspicion to its shortest, 0 to 16 (Lifeguard, K = 3). Fewer
    where there are few members; never more are awaited than there are."""
    gossip_interval_s: float = attrs.field(default=0.2, validator=_between(0.01, 60, " s"))
    """Queued updates leave at this pace even when no probe carries them, 0.01 to 60 s (memberlist: 0.2 s, WAN 0.5).
    About the one-way delay or more; a tick without news sends nothing."""
    gossip_fanout: int = attrs.field(default=3, validator=_between(1, 16))
    """To how many random members a gossip tick goes, 1 to 16 (memberlist: 3, WAN 4). News reaches all in about
    log(n) / log(1 + fanout) ticks."""
    retransmit_mult: int = attrs.field(default=4, validator=_between(1, 16))
    """An update is sent mult * ceil(log10(n + 1)) times, 1 to 16 (SWIM §4.1, lambda log n; memberlist: 4). More where
    much is lost; what is missed all the same, a sync repairs."""
    sync_interval_s: float = attrs.field(default=15.0, validator=_between(0.1, 3600, " s"))
    """Hashes are compared with one random member every interval, 0.1 to 3,600 s; repairs whatever gossip lost. Bounds
    how long views may differ; costs one small datagram while they agree (memberlist exchanges tables every 30 s)."""
    reconnect_interval_s: float = attrs.field(default=10.0, validator=_between(0.1, 3600, " s"))
    """A random dead member or lost seed is tried again every interval, 0.1 to 3,600 s, by few of the members, so that
    partitions heal by themselves (Serf: 30 s). Bounds how long that takes."""
    tombstone_s: float = attrs.field(default=86_400.0, validator=_between(1, 604_800, " s"))
    """How long a dead or left member is remembered, 1 to 604,800 s (Serf: 24 h). Longer than any partition that should
    heal by itself."""
    heartbeat_interval_s: float = attrs.field(default=0.25, validator=_between(0.01, 60, " s"))
    """The leader's heartbeat to the council, 0.01 to 60 s. At least twice the 99th percentile of the round trip between
    its members (Raft §5.6: the broadcast time is to be well below the election time-out)."""
    election_heartbeats: float = attrs.field(default=6.0, validator=_between(3, 100))
    """A voter waits for this many to twice this many heartbeat intervals before it campaigns, 3 to 100 (Raft §5.2).
    Fewer bring a new leader sooner, and needless elections where heartbeats are lost."""
    status_interval_s: float = attrs.field(default=1.0, validator=_between(0.01, 60, " s"))
    """Progress of an instance is told at most once per interval, 0.01 to 60 s, on probes that go out anyway; changes of
    state are told at once. As fresh as people and checkpoints need it."""
    accept_timeout_s: float = attrs.field(default=20.0, validator=_between(0.1, 3600, " s"))
    """An assignment that its worker has not taken up after so long is decided again, 0.1 to 3,600 s. Above the sync
    interval, so that a status that gossip lost has been repaired by then."""
    isolation_timeout_s: float = attrs.field(default=6.0, validator=_between(0.1, 3600, " s"))
    """A proof that a quorum stands lasts so long, 0.1 to 3,600 s: who has had none for longer stops what runs at most
    once. The founders' value stands for the whole cluster, for ever. At least twice the shortest election time-out, so
    that a leader's crash stops nobody; an at-most-one instance moves no sooner than this after its worker's silence."""
    clock_drift: float = attrs.field(default=0.01, validator=_between(0, 0.1))
    """By how much the rates of two workers' clocks may differ from the true one, 0 to 0.1; the founders' value stands
    for the whole cluster. Quartz keeps within 0.0002; virtual machines under load have been seen at 0.001."""
    packet_bytes_max: int = attrs.field(default=1_200, validator=_between(512, 65_000, " B"))
    """Largest datagram, 512 to 65,000 B; 1,200 fits any path (RFC 9000 §14). Larger messages go by stream."""

    def __attrs_post_init__(self) -> None:
        if self.probe_timeout_s >= self.probe_interval_s:
            raise UsageError(
                f"probe_timeout_s: expected less than probe_interval_s ({self.probe_interval_s} s), "
                f"got {self.probe_timeout_s} s"
            )
        if self.isolation_timeout_s < 2 * self.election_timeout_s_min:
            raise UsageError(
                f"isolation_timeout_s: expected at least twice heartbeat_interval_s * election_heartbeats "
                f"({self.election_timeout_s_min} s), got {self.isolation_timeout_s} s"
            )

    @property
    def election_timeout_s_min(self) -> float:
        """Return the shortest silence of a leader after which a voter may campaign."""
        return self.election_heartbeats * self.heartbeat_interval_s


LAN = Timing()
LOCAL = Timing(
    probe_interval_s=0.25,
    probe_timeout_s=0.12,
    gossip_interval_s=0.1,
    sync_interval_s=5.0,
    reconnect_interval_s=2.0,
    heartbeat_interval_s=0.2,
    status_interval_s=0.25,
    accept_timeout_s=8.0,
    isolation_timeout_s=4.0,
)
WAN = Timing(
    probe_interval_s=2.0,
    probe_timeout_s=1.0,
    suspicion_mult=5.0,
    gossip_interval_s=0.5,
    gossip_fanout=4,
    sync_interval_s=60.0,
    reconnect_interval_s=30.0,
    heartbeat_interval_s=0.6,
    status_interval_s=2.0,
    accept_timeout_s=90.0,
    isolation_timeout_s=15.0,
)
PRESETS = {"local": LOCAL, "lan": LAN, "wan": WAN}


def _check_kinds(_: object, attribute: attrs.Attribute[Any], value: tuple[str, ...]) -> None:
    if len(value) > KINDS_MAX:
        raise UsageError(f"{attribute.name}: expected at most {KINDS_MAX}, got {len(value)}")
    for kind in value:
        check_name(attribute.name, kind)


def _check_name(_: object, attribute: attrs.Attribute[Any], value: str) -> None:
    check_name(attribute.name, value)


def _sorted_names(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))


def _tags(value: object) -> Mapping[str, str]:
    return check_tags("tags", value)


@attrs.frozen(kw_only=True)
class NodeConfig:
    """What a node knows about itself; all that the core reads of the configuration."""

    name: str = attrs.field(validator=_check_name)
    """Unique among the live workers of the cluster."""
    advertise: Address
    """Where others reach this worker: an IP literal and the real port."""
    site: str = attrs.field(default="default", validator=_check_name)
    """Label for a place whose workers fail and are near together."""
    kinds: tuple[str, ...] = attrs.field(default=(), converter=_sorted_names, validator=_check_kinds)
    """Kinds of operators that this worker can run."""
    capacity: int = attrs.field(default=64, validator=_between(0, CAPACITY_MAX))
    """How many instances it takes at a time; 0 for a worker that only watches and votes."""
    expect: int = attrs.field(default=1, validator=_between(1, EXPECT_MAX))
    """The cluster is founded once so many workers that say the same number see each other (Consul's habit)."""
    keys: tuple[bytes, ...] = attrs.field(default=(), repr=False)
    """Secret keys of 32 bytes: the first seals every packet and frame, all of them open. None: plain packets."""
    tags: Mapping[str, str] = attrs.field(factory=dict, converter=_tags)
    """What this worker says of itself when it starts; it may change them later. At most 4,096 B."""
    seeds: tuple[Address, ...] = ()
    """Peers to ask at the start; one that answers is enough. Empty: this worker waits to be found."""
    timing: Timing = LAN
