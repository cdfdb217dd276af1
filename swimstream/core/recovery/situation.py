"""What a decision is made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import attrs

from swimstream.model.coordinate import Coordinate
from swimstream.model.identity import InstanceId
from swimstream.model.member import Member, too_old
from swimstream.model.plan import Assignment, Plan
from swimstream.model.status import InstanceState, InstanceStatus

if TYPE_CHECKING:
    from swimstream.model.job import OperatorSpec


@attrs.frozen(kw_only=True)
class Situation:
    """All that a decision may depend on."""

    plan: Plan
    members: Mapping[str, Member]
    statuses: Mapping[InstanceId, InstanceStatus]
    stopped_at: Callable[[Assignment], float]
    """When the wait for a stopped assignment is over, on the clock of `now`; infinity while nothing stops it."""
    now: float
    tags: Mapping[str, Mapping[str, str]] = attrs.field(factory=dict)
    """What each worker says of itself, by name."""
    coordinates: Mapping[str, Coordinate] = attrs.field(factory=dict)
    """Where each worker stands in the network, by name, as far as it is known."""

    def spec_of(self, instance: InstanceId) -> OperatorSpec:
        """Return the operator that `instance` is one of."""
        return self.plan.jobs[instance.job].operator(instance.operator)

    def state_of(self, held: Assignment) -> InstanceState | None:
        """Return what is said of that very copy; None while its epoch is not taken up."""
        status = self.statuses.get(held.instance)
        return status.state if status is not None and status.is_of(held) else None

    def has_ended(self, held: Assignment) -> bool:
        """Return whether that very copy has ended for good (being isolated is no end: it may resume)."""
        state = self.state_of(held)
        return state is not None and state.is_over

    def may_hold(self) -> bool:
        """Return whether every live worker understands a plan with holds, revocations and authority."""
        is_anybody_live = any(not member.state.is_gone for member in self.members.values())
        return is_anybody_live and not too_old(self.members.values())


@attrs.frozen(kw_only=True)
class Patience:
    """How long to wait before the absence of something counts, seconds."""

    accept_s: float
    absence_s: float
