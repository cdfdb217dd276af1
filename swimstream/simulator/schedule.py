"""The faults of one world, drawn from its seed. Every fault ends at a known time.

A schedule names its victims by host number, or by a share of the candidates that exist when the fault strikes,
so that dropping one fault from a schedule leaves the others what they were: that is how a failure shrinks.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs

from swimstream.model.changes import COUNCIL_SIZES
from swimstream.simulator.ailments import OperatorFailure, Stall, draw_ailments
from swimstream.simulator.ambushes import Moment
from swimstream.simulator.wishes import Wish, draw_wishes

if TYPE_CHECKING:
    from random import Random

    from swimstream.simulator.faults import Faults

AMBUSH_S_MAX = 4.0
"""So long a crash waits for its moment; then it strikes anyway."""
RESIZE_GAP_S = 3.0
"""Less than any isolation time-out: two changes of the council within one."""
SHARE_OF_WINDOW_MAX = 0.5
"""A link flip-flops, and a process starves, for up to this share of the window."""


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
    clock_step_s: float
    """By how much its host's calendar is set forward, or back, before it comes back."""


@attrs.frozen(kw_only=True)
class MassRestart:
    """Many processes crash within `over_s`, and each comes back in its own time up to `down_s`.

    Whether one finds its disk, its address and the right time again is drawn when it strikes, unless `is_clean`.
    """

    at: float
    over_s: float
    share: float
    down_s: float
    is_clean: bool


@attrs.frozen(kw_only=True)
class Cut:
    """Nothing gets through from the first host to the second of each pair."""

    at: float
    for_s: float
    pairs: tuple[tuple[int, int], ...]


@attrs.frozen(kw_only=True)
class FlipFlop:
    """Nothing gets through from the first host to the second of each pair, now and again."""

    at: float
    for_s: float
    pairs: tuple[tuple[int, int], ...]
    cut_s: float
    whole_s: float
    host: int | None
    """The host of which all links come and go; None when it is a single link, which must harm nobody."""


@attrs.frozen(kw_only=True)
class Starve:
    """One process stands still again and again: `stops` are offsets from `at` and lengths, in seconds."""

    at: float
    for_s: float
    pick: float
    stops: tuple[tuple[float, float], ...]


@attrs.frozen(kw_only=True)
class ClockLeap:
    """The monotonic clock of one running process leaps ahead."""

    at: float
    pick: float
    leap_s: float


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
class MassLeave:
    """Many workers say goodbye within `over_s`."""

    at: float
    over_s: float
    share: float


@attrs.frozen(kw_only=True)
class LateJoin:
    """A host that was not there at the start starts; perhaps with the name of another."""

    at: float
    host: int


@attrs.frozen(kw_only=True)
class DecisionCrash:
    """From `at` on the next leader that comes to `moment` crashes in that step; if none does in time, just a leader."""

    at: float
    moment: Moment
    share: float
    """Of the step's effects are carried out."""
    pick: float
    silent: bool
    down_s: float
    keeps_disk: bool


@attrs.frozen(kw_only=True)
class Resize:
    """Somebody asks for a council of so many seats."""

    at: float
    pick: float
    seats: int


@attrs.frozen(kw_only=True)
class Transfer:
    """Somebody asks that the leadership be handed over."""

    at: float
    pick: float
    to: float
    """To which of the live workers."""


Fault = (
    Crash
    | DecisionCrash
    | Resize
    | Transfer
    | MassRestart
    | Cut
    | FlipFlop
    | Pause
    | Starve
    | ClockLeap
    | LossPhase
    | Leave
    | MassLeave
    | LateJoin
    | OperatorFailure
    | Stall
    | Wish
)


def draw_schedule(faults: Faults, *, nodes: int, rng: Random) -> tuple[Fault, ...]:
    """Return the faults of a world of `nodes` workers in the order of their times. Equal `rng`, equal schedule."""
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
        drawn.append(MassRestart(at=at, over_s=0.0, share=1.0, down_s=down_s, is_clean=True))
    for number in range(faults.partitions + faults.cuts):
        at, for_s = span(faults.cut_s)
        pairs = _draw_pairs(nodes + faults.namesakes, both_ways=number < faults.partitions, rng=rng)
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
    namesakes = range(nodes, nodes + faults.namesakes)
    drawn.extend(LateJoin(at=rng.uniform(first, last), host=host) for host in namesakes)
    drawn += [_draw_flip_flop(faults, nodes=nodes, rng=rng) for _ in range(faults.flip_flops)]
    drawn += [_draw_starve(faults, rng=rng) for _ in range(faults.starved)]
    leaps = range(faults.clock_leaps)
    drawn.extend(
        ClockLeap(at=rng.uniform(first, last), pick=rng.random(), leap_s=rng.uniform(*faults.leap_s)) for _ in leaps
    )
    drawn += [_draw_mass_restart(faults, rng=rng) for _ in range(faults.mass_restarts)]
    for _ in range(faults.mass_leaves):
        over_s, share = rng.uniform(*faults.wave_s), rng.uniform(*faults.wave_share)
        drawn.append(MassLeave(at=rng.uniform(first, last - over_s), over_s=over_s, share=share))
    drawn += [_draw_decision_crash(faults, rng=rng) for _ in range(faults.decision_crashes)]
    drawn += _draw_council_commands(faults, nodes=nodes, rng=rng)
    drawn += draw_wishes(faults, rng=rng)
    drawn += draw_ailments(faults, rng=rng)
    return tuple(sorted(drawn, key=lambda fault: fault.at))


def calm_at(schedule: tuple[Fault, ...]) -> float:
    """Return when the last fault of any sort has ended."""
    return max((_end(fault) for fault in schedule), default=0.0)


def cuts_calm_at(schedule: tuple[Fault, ...]) -> float:
    """Return when nothing keeps packets from arriving any more: cuts, phases of loss."""
    return max((_end(fault) for fault in schedule if isinstance(fault, Cut | LossPhase | FlipFlop)), default=0.0)


def links_calm_at(schedule: tuple[Fault, ...]) -> float:
    """Return when nothing keeps live processes from talking any more: neither the network nor themselves."""
    stops = max((_end(fault) for fault in schedule if isinstance(fault, Pause | Starve)), default=0.0)
    return max(stops, cuts_calm_at(schedule))


def _end(fault: Fault) -> float:
    match fault:
        case Crash(at=at, down_s=length_s) | Stall(at=at, for_s=length_s):
            return at if math.isinf(length_s) else at + length_s
        case DecisionCrash(at=at, down_s=length_s):
            return at + AMBUSH_S_MAX + (0.0 if math.isinf(length_s) else length_s)
        case MassRestart(at=at, over_s=over_s, down_s=length_s):
            return at + over_s + length_s
        case Cut() | FlipFlop() | Pause() | Starve() | LossPhase() | Wish():
            return fault.at + fault.for_s
        case MassLeave(at=at, over_s=over_s):
            return at + over_s
        case Leave() | LateJoin() | OperatorFailure() | ClockLeap() | Resize() | Transfer():
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
        clock_step_s=draw_clock_step(faults, rng=rng),
    )


def draw_clock_step(faults: Faults, *, rng: Random) -> float:
    """Return by how many seconds a calendar is set forward, or back, before a restart; mostly by none."""
    if not faults.clock_steps or rng.random() >= faults.clock_steps:
        return 0.0
    size_s = faults.clock_step_s * 10 ** rng.uniform(-4, 0)
    return size_s if rng.random() < 0.5 else -size_s


def _draw_flip_flop(faults: Faults, *, nodes: int, rng: Random) -> FlipFlop:
    """Return a link that comes and goes: a single one, or all of one host, which is then mute or deaf at times."""
    first, last = faults.window_s
    for_s = rng.uniform(faults.flip_s[1], SHARE_OF_WINDOW_MAX * (last - first))
    host = rng.randrange(nodes)
    others = [other for other in range(nodes) if other != host]
    sort = rng.choice(("link", "mute", "deaf"))
    pairs = [(other, host) if sort == "deaf" else (host, other) for other in others]
    if sort == "link":
        pairs = [rng.choice(pairs)]
    return FlipFlop(
        at=rng.uniform(first, last - for_s),
        for_s=for_s,
        pairs=tuple(pairs),
        cut_s=rng.uniform(*faults.flip_s),
        whole_s=rng.uniform(*faults.flip_s),
        host=None if sort == "link" else host,
    )


def _draw_starve(faults: Faults, *, rng: Random) -> Starve:
    first, last = faults.window_s
    until_s = rng.uniform(faults.starve_s[1], max(faults.starve_s[1], SHARE_OF_WINDOW_MAX * (last - first)))
    stops: list[tuple[float, float]] = []
    offset_s = 0.0
    while True:
        stop_s = rng.uniform(*faults.starve_s)
        if offset_s + stop_s > until_s and stops:
            break
        stops.append((offset_s, stop_s))
        offset_s += stop_s + rng.uniform(*faults.starve_gap_s)
    for_s = sum(stops[-1])
    return Starve(at=rng.uniform(first, max(first, last - for_s)), for_s=for_s, pick=rng.random(), stops=tuple(stops))


def _draw_mass_restart(faults: Faults, *, rng: Random) -> MassRestart:
    first, last = faults.window_s
    over_s, down_s = rng.uniform(*faults.wave_s), rng.uniform(*faults.down_s)
    return MassRestart(
        at=rng.uniform(first, max(first, last - over_s - down_s)),
        over_s=over_s,
        share=rng.uniform(*faults.wave_share),
        down_s=down_s,
        is_clean=False,
    )


def _draw_decision_crash(faults: Faults, *, rng: Random) -> DecisionCrash:
    first, last = faults.window_s
    down_s = min(rng.uniform(*faults.down_s), last - first)
    return DecisionCrash(
        at=rng.uniform(first, max(first, last - AMBUSH_S_MAX - down_s)),
        moment=rng.choice(list(Moment)),
        share=rng.random(),
        pick=rng.random(),
        silent=rng.random() < faults.host_crashes,
        down_s=down_s if rng.random() < faults.restarts else math.inf,
        keeps_disk=rng.random() >= faults.disk_losses,
    )


def _draw_council_commands(faults: Faults, *, nodes: int, rng: Random) -> list[Fault]:
    """Return commands at random times; but a resize often follows on the one before it within moments."""
    first, last = faults.window_s
    drawn: list[Fault] = []
    at = first
    for number in range(faults.resizes):
        is_soon = number > 0 and rng.random() < 0.7
        at = min(last, at + rng.uniform(0, RESIZE_GAP_S)) if is_soon else rng.uniform(first, last)
        seats = rng.choice([size for size in COUNCIL_SIZES if 1 < size <= max(3, nodes)])
        drawn.append(Resize(at=at, pick=rng.random(), seats=seats))
    times = [rng.uniform(first, last) for _ in range(faults.transfers)]
    return [*drawn, *(Transfer(at=at, pick=rng.random(), to=rng.random()) for at in times)]


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
