"""Faults as data: how much goes wrong, and the schedule that a seed makes of it. Every fault ends at a known time.

A schedule names its victims by host number, or by a share of the candidates that exist when the fault strikes,
so that dropping one fault from a schedule leaves the others what they were: that is how a failure shrinks.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs

from swimstream.errors import UsageError

if TYPE_CHECKING:
    from random import Random


def _share(_: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not 0 <= value <= 1:
        raise UsageError(f"{attribute.name}: expected a share from 0 to 1, got {value!r}")


def _count(_: object, attribute: attrs.Attribute[int], value: int) -> None:
    if not 0 <= value <= 1_000:
        raise UsageError(f"{attribute.name}: expected 0 to 1000, got {value!r}")


def _range(_: object, attribute: attrs.Attribute[tuple[float, float]], value: tuple[float, float]) -> None:
    if not 0 <= value[0] <= value[1]:
        raise UsageError(f"{attribute.name}: expected a shortest and a longest time in seconds, got {value!r}")


@attrs.frozen(kw_only=True)
class Faults:
    """How much goes wrong in a world. Counts are per world; pairs of seconds are the shortest and the longest."""

    window_s: tuple[float, float] = attrs.field(default=(8.0, 30.0), validator=_range)
    """Every fault begins and ends in between; a process that is to come back has come back by the end."""
    crashes: int = attrs.field(default=0, validator=_count)
    leader_crashes: int = attrs.field(default=0, validator=_count)
    """Crashes that look for the leader of the moment."""
    restarts: float = attrs.field(default=1.0, validator=_share)
    """Share of the crashed that come back."""
    disk_losses: float = attrs.field(default=0.0, validator=_share)
    """Share of the restarts that find an empty disk: another memory, so the old vote is gone."""
    host_crashes: float = attrs.field(default=0.3, validator=_share)
    """Share of the crashes that take the host along, so that no connection is reset."""
    address_changes: float = attrs.field(default=0.0, validator=_share)
    """Share of the restarts that come back elsewhere, under the same name."""
    down_s: tuple[float, float] = attrs.field(default=(0.05, 8.0), validator=_range)
    blackouts: int = attrs.field(default=0, validator=_count)
    """All processes crash at once, and come back with their disks."""
    partitions: int = attrs.field(default=0, validator=_count)
    cuts: int = attrs.field(default=0, validator=_count)
    """One-way: some hosts are not heard by some others, while they hear them."""
    cut_s: tuple[float, float] = attrs.field(default=(0.5, 12.0), validator=_range)
    pauses: int = attrs.field(default=0, validator=_count)
    """A process handles nothing, then all that has arrived, then its timers. Never more than a minority at a time."""
    pause_s: tuple[float, float] = attrs.field(default=(0.2, 8.0), validator=_range)
    loss_phases: int = attrs.field(default=0, validator=_count)
    loss_phase: float = attrs.field(default=0.3, validator=_share)
    """Share that is lost in a phase, on top of the usual."""
    loss_phase_s: tuple[float, float] = attrs.field(default=(1.0, 8.0), validator=_range)
    leaves: int = attrs.field(default=0, validator=_count)
    late_joins: int = attrs.field(default=0, validator=_count)
    """The last so many hosts start inside the window only, and nobody waits for them to found the cluster."""
    operator_failures: int = attrs.field(default=0, validator=_count)
    clock_drift: float = attrs.field(default=0.0, validator=_share)
    """Each node's clock runs up to this share faster or slower than the world's."""

    @property
    def disturbs_network(self) -> bool:
        """Return whether healthy processes may lose sight of each other."""
        return bool(self.partitions or self.cuts or self.loss_phases)

    def stretched(self, pace: float) -> Faults:
        """Return the same with every fault lasting `pace` times longer: the defaults are meant for timing `LOCAL`."""
        return attrs.evolve(
            self,
            down_s=_stretched(self.down_s, pace),
            cut_s=_stretched(self.cut_s, pace),
            pause_s=_stretched(self.pause_s, pace),
            loss_phase_s=_stretched(self.loss_phase_s, pace),
        )


@attrs.frozen(kw_only=True)
class Crash:
    """One process ends without a word; the effects of its last step may be carried out in part only."""

    at: float
    pick: float
    """Which of the candidates: a share from 0 to 1."""
    leader: bool
    silent: bool
    effects_left: int
    """After so many more effects; 0 is between two steps."""
    down_s: float
    """Infinity: for good."""
    keeps_disk: bool
    moves: bool


@attrs.frozen(kw_only=True)
class Blackout:
    """All processes end at once and come back with their disks, each in its own time up to `down_s`."""

    at: float
    down_s: float


@attrs.frozen(kw_only=True)
class Cut:
    """Nothing gets through from the first host to the second of each pair."""

    at: float
    for_s: float
    pairs: tuple[tuple[int, int], ...]


@attrs.frozen(kw_only=True)
class Pause:
    """One process stands still."""

    at: float
    for_s: float
    pick: float


@attrs.frozen(kw_only=True)
class LossPhase:
    """Every link loses more."""

    at: float
    for_s: float
    loss: float


@attrs.frozen(kw_only=True)
class Leave:
    """One worker says goodbye and stops."""

    at: float
    pick: float


@attrs.frozen(kw_only=True)
class LateJoin:
    """A host that was not there at the start starts."""

    at: float
    host: int


@attrs.frozen(kw_only=True)
class OperatorFailure:
    """The code of one running instance fails."""

    at: float
    pick: float


Fault = Crash | Blackout | Cut | Pause | LossPhase | Leave | LateJoin | OperatorFailure


def draw_schedule(faults: Faults, *, nodes: int, rng: Random) -> tuple[Fault, ...]:
    """Return the faults of a world of `nodes` hosts in the order of their times. Equal `rng`, equal schedule."""
    first, last = faults.window_s
    drawn: list[Fault] = []

    def span(bounds: tuple[float, float]) -> tuple[float, float]:
        for_s = min(rng.uniform(*bounds), last - first)
        return rng.uniform(first, last - for_s), for_s

    crashes = range(faults.crashes + faults.leader_crashes)
    drawn += [
        _draw_crash(faults, leader=number >= faults.crashes, span=span(faults.down_s), rng=rng) for number in crashes
    ]
    for _ in range(faults.blackouts):
        at, down_s = span(faults.down_s)
        drawn.append(Blackout(at=at, down_s=down_s))
    for number in range(faults.partitions + faults.cuts):
        at, for_s = span(faults.cut_s)
        pairs = _draw_pairs(nodes, both_ways=number < faults.partitions, rng=rng)
        drawn.append(Cut(at=at, for_s=for_s, pairs=pairs))
    for _ in range(faults.pauses):
        at, for_s = span(faults.pause_s)
        drawn.append(Pause(at=at, for_s=for_s, pick=rng.random()))
    phases = [span(faults.loss_phase_s) for _ in range(faults.loss_phases)]
    drawn.extend(LossPhase(at=at, for_s=for_s, loss=faults.loss_phase) for at, for_s in phases)
    drawn.extend(Leave(at=rng.uniform(first, last), pick=rng.random()) for _ in range(faults.leaves))
    late = range(nodes - faults.late_joins, nodes)
    drawn.extend(LateJoin(at=rng.uniform(first, last), host=host) for host in late)
    failures = range(faults.operator_failures)
    drawn.extend(OperatorFailure(at=rng.uniform(first, last), pick=rng.random()) for _ in failures)
    return tuple(sorted(drawn, key=lambda fault: fault.at))


def calm_at(schedule: tuple[Fault, ...]) -> float:
    """Return when the last fault of any sort has ended."""
    return max((_end(fault) for fault in schedule), default=0.0)


def links_calm_at(schedule: tuple[Fault, ...]) -> float:
    """Return when nothing keeps live processes from talking any more: cuts, phases of loss, pauses."""
    return max((_end(fault) for fault in schedule if isinstance(fault, Cut | LossPhase | Pause)), default=0.0)


def _stretched(span: tuple[float, float], pace: float) -> tuple[float, float]:
    return span[0] * pace, span[1] * pace


def _end(fault: Fault) -> float:
    match fault:
        case Crash(at=at, down_s=length_s) | Blackout(at=at, down_s=length_s):
            return at if math.isinf(length_s) else at + length_s
        case Cut(at=at, for_s=length_s) | Pause(at=at, for_s=length_s) | LossPhase(at=at, for_s=length_s):
            return at + length_s
        case Leave() | LateJoin() | OperatorFailure():
            return fault.at


def _draw_crash(faults: Faults, *, leader: bool, span: tuple[float, float], rng: Random) -> Crash:
    at, down_s = span
    return Crash(
        at=at,
        pick=rng.random(),
        leader=leader,
        silent=rng.random() < faults.host_crashes,
        effects_left=rng.choice((0, 1, 2, 3, 5, 8)),
        down_s=down_s if rng.random() < faults.restarts else math.inf,
        keeps_disk=rng.random() >= faults.disk_losses,
        moves=rng.random() < faults.address_changes,
    )


def _draw_pairs(nodes: int, *, both_ways: bool, rng: Random) -> tuple[tuple[int, int], ...]:
    """Return what a split of the hosts in two blocks; one way, sometimes only between two single hosts."""
    hosts = list(range(nodes))
    rng.shuffle(hosts)
    split = rng.randint(1, max(1, nodes - 1))
    one, two = hosts[:split], hosts[split:]
    if not both_ways and rng.random() < 0.5:
        one, two = one[:1], two[:1]
    pairs = [(source, target) for source in one for target in two]
    if both_ways:
        pairs += [(target, source) for source, target in pairs]
    return tuple(sorted(pairs))
