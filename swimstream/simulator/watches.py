"""What the observer reads of a node, and what it remembers of each process."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import attrs

from swimstream.model.identity import Run
from swimstream.model.member import Member, MemberState
from swimstream.model.plan import Plan, PlanMark
from swimstream.simulator.disks import Disk

if TYPE_CHECKING:
    from swimstream.model.status import InstanceStatus


class View(Protocol):
    """What the observer reads of a node."""

    @property
    def run(self) -> Run:
        """Return who it is."""

    @property
    def plan(self) -> Plan:
        """Return the plan as far as it knows it."""

    @property
    def mark(self) -> PlanMark:
        """Return its term, leader and index."""

    @property
    def is_leader(self) -> bool:
        """Return whether it leads `mark.term`."""

    def members(self) -> tuple[Member, ...]:
        """Return everybody it remembers."""

    def statuses(self) -> tuple[InstanceStatus, ...]:
        """Return the newest statuses it knows."""


@attrs.frozen
class Evidence:
    """What a run has shown to hold of a name: the order of the fields is the order in which it may only rise."""

    boot: int
    incarnation: int
    state: MemberState
    gone_at: float
    """Since when it has held that run for gone; infinity while it does not."""

    @property
    def version(self) -> tuple[int, int, MemberState]:
        """Return what must never fall."""
        return self.boot, self.incarnation, self.state


@attrs.define(eq=False)
class Watch:
    """What the observer remembers of one process."""

    view: View
    run: Run
    """Its run of the moment: a process goes on as a later run when its own was evicted."""
    began_at: float
    place: str = ""
    """Host and address."""
    disk: Disk = attrs.field(factory=Disk.blank)
    joined_at: float = math.inf
    """When it became a member."""
    earlier: set[Run] = attrs.field(factory=set)
    plan: Plan = attrs.field(factory=Plan)
    known: dict[str, Evidence] = attrs.field(factory=dict)
    """Name → what this run has shown to hold."""
    ended_at: float | None = None
    excused_until: float = 0.0
    """Until when it may be taken for dead, since it stood still."""
    blind_until: float = 0.0
    """Until when it may itself take others for dead, since its links come and go. Nobody may believe it."""

    def excuse(self, until: float) -> None:
        """Excuse a process whose links come and go: it may die, and may judge wrongly."""
        self.excused_until = max(self.excused_until, until)
        self.blind_until = max(self.blind_until, until)


@attrs.define
class Findings:
    """What the observer counted. Times are virtual seconds."""

    detection_s: list[float] = attrs.field(factory=list)
    """From a crash to the death in one live worker's view; one number for each of the workers."""
    reexecution_s: list[float] = attrs.field(factory=list)
    """From the crash of a worker to each of its instances running elsewhere."""
    false_deaths: int = 0
    """How often a live worker was declared dead, counted in every view."""
