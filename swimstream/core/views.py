"""What a node shows: immutable values, cheap to take."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swimstream.core.hosting import Hosting
    from swimstream.core.rooms import Rooms
    from swimstream.model.coordinate import Coordinate
    from swimstream.model.identity import Run
    from swimstream.model.member import Member
    from swimstream.model.plan import Plan, PlanMark
    from swimstream.model.status import InstanceStatus


class NodeViews:
    """The side of a node that is only looked at."""

    _rooms: Rooms
    _hosting: Hosting

    @property
    def run(self) -> Run:
        """Return which run this node is; its boot is raised when the old run was evicted."""
        return self._rooms.membership.run

    @property
    def plan(self) -> Plan:
        """Return the committed plan as far as this node knows it."""
        return self._rooms.council.plan

    @property
    def mark(self) -> PlanMark:
        """Return term, leader (empty if unknown) and index of the plan here."""
        return self._rooms.council.mark

    @property
    def is_leader(self) -> bool:
        """Return whether this node leads its term."""
        return self._rooms.council.is_leader

    @property
    def is_isolated(self) -> bool:
        """Return whether this worker has known of no quorum for longer than a proof of one lasts."""
        return self._hosting.is_isolated

    def authority_age_s(self, now: float) -> float:
        """Return how old the newest proof of a quorum is that this run may use, infinity if it has none."""
        return self._hosting.authority_age_s(now)

    @property
    def version(self) -> int:
        """Return a number that rises with every change of the members and statuses: cheaper than comparing them."""
        return self._rooms.membership.table.version + self._rooms.statuses.version

    def members(self) -> tuple[Member, ...]:
        """Return all members that are remembered, itself included, sorted by name."""
        return self._rooms.membership.table.all()

    def coordinates(self) -> Mapping[str, Coordinate]:
        """Return where each member stands in the network, as far as it is known, this node included."""
        return self._rooms.detector.coordinates.by_name(self.run.name)

    def statuses(self) -> tuple[InstanceStatus, ...]:
        """Return the newest status of every instance, sorted by instance."""
        return self._rooms.statuses.all()

    def tags(self) -> Mapping[str, Mapping[str, str]]:
        """Return the tags of every worker that has any, by name and key."""
        return self._rooms.conversation.tagging.table.all()

    def counters(self) -> dict[str, int]:
        """Return what was dropped, sent and received so far, by name."""
        return dict(self._rooms.counters)
