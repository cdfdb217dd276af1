"""What the driver needs of its neighbours: the node, the disk, the runner of instances, and who is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swimstream.core.effects import Effect, Record, StartInstance, StopInstance
    from swimstream.events import Event
    from swimstream.model.identity import Address, InstanceId, Run
    from swimstream.model.job import JobSpec
    from swimstream.model.member import Member
    from swimstream.model.plan import Plan, PlanMark
    from swimstream.model.status import InstanceState, InstanceStatus
    from swimstream.runtime.view import View


class Participant(Protocol):
    """What the driver needs of `swimstream.core.node.Node`."""

    def receive_packet(self, data: bytes, *, source: Address, now: float) -> None:
        """Take one datagram."""

    def receive_frame(self, stream: int, data: bytes, *, now: float) -> None:
        """Take one frame."""

    def stream_closed(self, stream: int, *, now: float) -> None:
        """Take the end of a stream."""

    def fire_timers(self, *, now: float) -> None:
        """Act on what is due."""

    def next_deadline(self) -> float:
        """Return when to fire next."""

    def take_effects(self) -> list[Effect]:
        """Return what to do."""

    def join(self, request: int, *, now: float) -> None:
        """Become a member."""

    def submit(self, request: int, job: JobSpec, *, now: float) -> None:
        """Have a job committed."""

    def leave(self, request: int, *, now: float) -> None:
        """Say goodbye."""

    def report(
        self,
        instance: InstanceId,
        epoch: int,
        *,
        now: float,
        state: InstanceState | None = None,
        progress: int | None = None,
        checkpoint: bytes | None = None,
        endpoint: str | None = None,
        cause: str | None = None,
    ) -> None:
        """Say how an instance fares."""

    @property
    def run(self) -> Run:
        """Return who it is."""

    @property
    def plan(self) -> Plan:
        """Return the plan."""

    @property
    def mark(self) -> PlanMark:
        """Return term, leader and index."""

    def members(self) -> tuple[Member, ...]:
        """Return all members."""

    def statuses(self) -> tuple[InstanceStatus, ...]:
        """Return all statuses."""

    def counters(self) -> dict[str, int]:
        """Return all counters."""


class Durable(Protocol):
    """Where the node's records go."""

    def write(self, records: Sequence[Record]) -> None:
        """Store `records`, in order; durable on return. Called from a thread of its own."""


class InstanceRunner(Protocol):
    """Who runs instances; both calls return at once."""

    def start(self, effect: StartInstance) -> None:
        """Run an instance."""

    def stop(self, effect: StopInstance) -> None:
        """Stop an instance."""


class Audience(Protocol):
    """Who is told, on the peer's thread; no call may block."""

    def view_changed(self, view: View) -> None:
        """Take the newest view."""

    def told(self, event: Event) -> None:
        """Take one event."""

    def answered(self, request: int, error: str) -> None:
        """Take the answer to a command."""
