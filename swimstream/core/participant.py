"""The face of a node: what a driver calls, under trio or in the simulator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swimstream.core.effects import Effect
    from swimstream.model.changes import Command
    from swimstream.model.coordinate import Coordinate
    from swimstream.model.identity import Address, Run
    from swimstream.model.job import JobSpec
    from swimstream.model.member import Member
    from swimstream.model.plan import Plan, PlanMark
    from swimstream.model.report import Report
    from swimstream.model.status import InstanceStatus
    from swimstream.model.talk import Utterance


class Participant(Protocol):
    """The face of `swimstream.core.node.Node`, for whoever drives one and for tests that put another in its place."""

    def receive_packet(self, data: bytes, *, source: Address, now: float) -> None:
        """Take one datagram."""

    def packet_refused(self, to: Address, *, now: float) -> None:
        """Take evidence that no process listens at `to`.

        Whoever can send ICMP can forge it, so it may only bring forward what authenticated peers then confirm.
        """

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

    def change(self, request: int, change: Command, *, now: float) -> None:
        """Have a change of the plan committed."""

    def remove(self, request: int, name: str, *, now: float) -> None:
        """Have everybody take a dead member for one that has left."""

    def resize_council(self, request: int, seats: int, *, now: float) -> None:
        """Have the council brought to so many seats."""

    def transfer_leadership(self, request: int, to: str, *, now: float) -> None:
        """Have another lead."""

    def recover_council(self, request: int, cluster_id: int, *, now: float) -> None:
        """Put this worker alone in the place of a council whose majority is lost for good."""

    def say(self, request: int, said: Utterance, *, now: float) -> None:
        """Say something for the application."""

    def withdraw(self, request: int, *, within_s: float, now: float) -> None:
        """Have others take over what runs here."""

    def leave(self, request: int, *, now: float) -> None:
        """Say goodbye."""

    def report(self, said: Report, *, now: float) -> None:
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

    @property
    def is_isolated(self) -> bool:
        """Return whether it has known of no quorum for too long."""

    def authority_age_s(self, now: float) -> float:
        """Return how old its newest usable proof of a quorum is, infinity if it has none."""

    @property
    def version(self) -> int:
        """Return a number that rises with every change of the members and statuses."""

    def members(self) -> tuple[Member, ...]:
        """Return all members."""

    def coordinates(self) -> Mapping[str, Coordinate]:
        """Return where the members stand in the network."""

    def statuses(self) -> tuple[InstanceStatus, ...]:
        """Return all statuses."""

    def tags(self) -> Mapping[str, Mapping[str, str]]:
        """Return all tags."""

    def counters(self) -> dict[str, int]:
        """Return all counters."""
