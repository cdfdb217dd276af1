"""How much goes wrong in a world. What a seed makes of it, fault by fault, is drawn in `schedule.py`."""

from __future__ import annotations

import attrs

from swimstream.errors import UsageError


def _share(_: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not 0 <= value <= 1:
        raise UsageError(f"{attribute.name}: expected a share from 0 to 1, got {value!r}")


def _count(_: object, attribute: attrs.Attribute[int], value: int) -> None:
    if not 0 <= value <= 1_000:
        raise UsageError(f"{attribute.name}: expected 0 to 1000, got {value!r}")


def _range(_: object, attribute: attrs.Attribute[tuple[float, float]], value: tuple[float, float]) -> None:
    if not 0 <= value[0] <= value[1]:
        raise UsageError(f"{attribute.name}: expected a shortest and a longest time in seconds, got {value!r}")


def _seconds(_: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not 0 <= value <= 10 * 365 * 86_400:
        raise UsageError(f"{attribute.name}: expected 0 s to ten years, got {value!r}")


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
    clock_steps: float = attrs.field(default=0.0, validator=_share)
    """Share of the restarts before which the host's calendar was set forward or back, so that boots are odd."""
    clock_step_s: float = attrs.field(default=86_400.0, validator=_seconds)
    """A calendar is set forward or back by up to so much."""
    clock_leaps: int = attrs.field(default=0, validator=_count)
    """How often a running process finds its monotonic clock seconds further, as after a suspend that counts."""
    leap_s: tuple[float, float] = attrs.field(default=(0.5, 10.0), validator=_range)
    flip_flops: int = attrs.field(default=0, validator=_count)
    """One-way cuts that come and go: of a single link, or of all links to or from a single host."""
    flip_s: tuple[float, float] = attrs.field(default=(0.2, 3.0), validator=_range)
    """How long such a link is cut, or whole, at a stretch."""
    starved: int = attrs.field(default=0, validator=_count)
    """Processes that get no CPU again and again, a minority at a time."""
    starve_s: tuple[float, float] = attrs.field(default=(0.5, 2.5), validator=_range)
    """How long a starved process stands still at a stretch. The same at every pace: schedulers know no protocol."""
    starve_gap_s: tuple[float, float] = attrs.field(default=(0.1, 1.5), validator=_range)
    """How long it runs in between."""
    mass_restarts: int = attrs.field(default=0, validator=_count)
    """Waves in which most or all processes crash within `wave_s` and come back, as in a rollout that went wrong."""
    mass_leaves: int = attrs.field(default=0, validator=_count)
    """Waves in which most workers leave within `wave_s`; those stay who are needed."""
    wave_s: tuple[float, float] = attrs.field(default=(0.2, 2.0), validator=_range)
    wave_share: tuple[float, float] = attrs.field(default=(0.6, 1.0), validator=_range)
    namesakes: int = attrs.field(default=0, validator=_count)
    """So many hosts more start inside the window, each configured with the name of another one."""

    decision_crashes: int = attrs.field(default=0, validator=_count)
    """Crashes of a leader in the very step in which it is elected, proposes or commits, after any of its effects."""
    unsynced: float = attrs.field(default=0.0, validator=_share)
    """Share of the crashes in the midst of a step that lose what was written and not yet synced."""
    resizes: int = attrs.field(default=0, validator=_count)
    """So often somebody asks for a council of another size; mostly twice within one isolation time-out."""
    transfers: int = attrs.field(default=0, validator=_count)
    """So often somebody asks for the leadership to be handed over."""
    fatal_failures: int = attrs.field(default=0, validator=_count)
    """Failures of which the operator says that they would come again."""
    stalls: int = attrs.field(default=0, validator=_count)
    """How often a copy that is watched comes no further: for a while, or for good."""
    stall_s: tuple[float, float] = attrs.field(default=(0.5, 12.0), validator=_range)
    wishes: int = attrs.field(default=0, validator=_count)
    """So often somebody wants a job or a worker changed; half of the workers that leave are emptied first."""
    extreme_clocks: float = attrs.field(default=0.0, validator=_share)
    """Share of the clocks that are wrong by all of `clock_drift`."""

    @property
    def disturbs_network(self) -> bool:
        """Return whether healthy processes may lose sight of each other.

        A link that flip-flops is a fault of one host, which has an excuse; the others have none.
        """
        return bool(self.partitions or self.cuts or self.loss_phases)

    def stretched(self, pace: float) -> Faults:
        """Return the same with every fault lasting `pace` times longer: the defaults are meant for timing `LOCAL`."""
        return attrs.evolve(
            self,
            down_s=_stretched(self.down_s, pace),
            cut_s=_stretched(self.cut_s, pace),
            pause_s=_stretched(self.pause_s, pace),
            loss_phase_s=_stretched(self.loss_phase_s, pace),
            flip_s=_stretched(self.flip_s, pace),
            stall_s=_stretched(self.stall_s, pace),
        )


def _stretched(span: tuple[float, float], pace: float) -> tuple[float, float]:
    return span[0] * pace, span[1] * pace
