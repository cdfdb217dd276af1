"""What a decision is made from."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import attrs

from swimstream.model.coordinate import Coordinate
from swimstream.model.identity import InstanceId
from swimstream.model.job import AT_MOST_ONE
from swimstream.model.member import SPEAKS_DIRECTIVES, Member, too_old
from swimstream.model.plan import Assignment, Plan
from swimstream.model.status import ErrorClass, InstanceState, InstanceStatus

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

    @functools.cached_property
    def members_sorted(self) -> tuple[Member, ...]:
        """Return all members by name."""
        return tuple(self.members[name] for name in sorted(self.members))

    def spec_of(self, instance: InstanceId) -> OperatorSpec | None:
        """Return the operator that `instance` is one of; None for one that was taken from its job."""
        return self.plan.spec_of(instance)

    def is_at_most_one(self, instance: InstanceId) -> bool:
        """Return whether no second copy of it may run; so of every one that was taken from its job and is left."""
        return self.plan.guarantee_of(instance) == AT_MOST_ONE

    def state_of(self, held: Assignment) -> InstanceState | None:
        """Return what is said of that very copy; None while its epoch is not taken up."""
        status = self.statuses.get(held.instance)
        return status.state if status is not None and status.is_of(held) else None

    def has_finished(self, held: Assignment) -> bool:
        """Return whether that very copy has done all there is to do, in the present version of its job."""
        return held.finished or (self.state_of(held) is InstanceState.FINISHED and not held.superseded)

    def has_ended(self, held: Assignment) -> bool:
        """Return whether that very copy has ended for good (being isolated is no end: it may resume)."""
        state = self.state_of(held)
        return state is not None and state.is_over

    def resume_from(self, instance: InstanceId) -> bytes:
        """Return from where an instance is gone on with best; empty: nothing is known, or its job has begun anew since.

        The newest checkpoint that anybody has heard of: of its newest copy; or of the copy before it, if that was given
        up and had come further.
        """
        status, held = self.statuses.get(instance), self.plan.assignments.get(instance)
        conflict = self.plan.directives.conflicts.get(instance)
        claim = conflict.claim if conflict is not None else None
        if conflict is not None and claim is not None and claim.checkpoint:
            is_known = status is not None and status.epoch > conflict.epoch
            is_further = not is_known or (status is not None and status.progress < claim.progress)
            if is_further and not self.plan.is_of_former_life(instance, conflict.epoch):
                return claim.checkpoint
        if status is not None and status.checkpoint and not self.plan.is_of_former_life(instance, status.epoch):
            return status.checkpoint
        return held.resume_from if held is not None else b""

    def has_failed_for_good(self, held: Assignment) -> bool:
        """Return whether that very copy says that it would fail again, whatever has become of its worker since.

        And nobody wants it executed anew: a copy that is out of date was restarted or updated, one that was taken back
        and is in no quarantine was pardoned.
        """
        if held.stale or held.revoked or self.state_of(held) is not InstanceState.FAILED:
            return False
        return self.statuses[held.instance].error is ErrorClass.FATAL

    def may_hold(self) -> bool:
        """Return whether every live worker understands a plan with holds, revocations and authority."""
        is_anybody_live = any(not member.state.is_gone for member in self.members.values())
        return is_anybody_live and not too_old(self.members.values())

    def may_direct(self) -> bool:
        """Return whether every live worker understands a plan with directives, too."""
        return self.may_hold() and not too_old(self.members.values(), level=SPEAKS_DIRECTIVES)


@attrs.frozen(kw_only=True)
class Patience:
    """How long to wait before the absence of something counts, seconds."""

    accept_s: float
    """For an assignment to be taken up."""
    absence_s: float
    """For a run that the plan names and nobody remembers."""
    doubt_s: float = 0.0
    """For more accusers of one that was declared dead by too few."""
    suspicion_s: float = 4.0
    """The shortest suspicion: what is told from how workers come and go takes a multiple of it."""
