"""What readers see: one immutable value, published by the peer's thread, read by anybody without waiting."""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

import attrs

from swimstream.core.job_status import JobStatus, job_statuses
from swimstream.errors import UsageError, WorkerStopped
from swimstream.model.coordinate import Coordinate, distance_s
from swimstream.model.identity import Address, InstanceId, Run
from swimstream.model.member import Member
from swimstream.model.plan import Plan, PlanMark
from swimstream.model.status import InstanceState, InstanceStatus
from swimstream.runtime.replies import Found, Reply

if TYPE_CHECKING:
    from swimstream.model.assignment import Assignment

WAITS_MAX = 4_096
NO_MARK = PlanMark(term=0, leader="", index=0)

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class View:
    """A peer's whole knowledge at the end of one turn."""

    run: Run
    members: tuple[Member, ...] = ()
    statuses: tuple[InstanceStatus, ...] = ()
    plan: Plan = attrs.field(factory=Plan)
    mark: PlanMark = NO_MARK
    tags: Mapping[str, Mapping[str, str]] = attrs.field(factory=dict)
    """Of every worker that has any, by name and key."""
    counters: Mapping[str, int] = attrs.field(factory=dict)
    coordinates: Mapping[str, Coordinate] = attrs.field(factory=dict)
    """Where the members stand in the network, by name, as far as it is known."""
    is_isolated: bool = False
    """Whether this worker has known of no quorum for longer than a proof of one lasts."""
    authority_issued_at: float = float("-inf")
    """When the newest proof of a quorum that it may use was issued, on the driver's clock; -inf if it has none."""

    def authority_age_s(self, now: float) -> float | None:
        """Return how old that proof is at `now` of the driver's clock; None if there is none."""
        return None if math.isinf(self.authority_issued_at) else now - self.authority_issued_at

    @functools.cached_property
    def status_by_instance(self) -> Mapping[InstanceId, InstanceStatus]:
        """Map every instance to its newest status; built when first asked for."""
        return {status.instance: status for status in self.statuses}

    def assigned_to(self, name: str) -> tuple[InstanceId, ...]:
        """Return the unfinished instances that the worker of that name has, or runs until another has taken over.

        One in quarantine that has ended there is none of them: nothing moves it, and nothing of it runs.
        """
        unfinished = (held for held in self.plan.assignments.values() if not held.finished and not self._rests(held))
        return tuple(
            sorted(held.instance for held in unfinished if held.run.name == name or self._hands_over(held, name))
        )

    def _rests(self, held: Assignment) -> bool:
        if held.instance not in self.plan.directives.quarantined:
            return False
        status = self.status_by_instance.get(held.instance)
        return self.plan.is_evicted(held.run) or (status is not None and status.is_of(held) and status.state.is_over)

    def _hands_over(self, held: Assignment, name: str) -> bool:
        if held.former_run is None or held.former_run.name != name:
            return False
        successor = self.status_by_instance.get(held.instance)
        return successor is None or not successor.is_of(held) or successor.state is InstanceState.STARTING

    @functools.cached_property
    def jobs(self) -> Mapping[str, JobStatus]:
        """Map the name of every job to how it stands, sorted; worked out when first asked for."""
        return job_statuses(self.plan, self.status_by_instance, self.members, tags=self.tags)

    def rtt_s(self, name: str, *, to: str | None = None) -> float | None:
        """Return the estimated round trip between two workers in seconds, None while one of them is not placed yet.

        `to` is this worker if not given. Nothing is measured for it: it is the distance of their coordinates.
        """
        one, other = self.coordinates.get(name), self.coordinates.get(self.run.name if to is None else to)
        return distance_s(one, other) if one is not None and other is not None else None

    def locate(self, instance: InstanceId) -> Address | None:
        """Return where the newest epoch of `instance` serves its neighbours, or None while that is not known."""
        assignment = self.plan.assignments.get(instance)
        status = self.status_by_instance.get(instance)
        if assignment is None or status is None or assignment.finished:
            return None
        if status.epoch != assignment.epoch or not status.state.is_up or not status.endpoint:
            return None
        try:
            return Address.parse(status.endpoint, field="endpoint")
        except UsageError:  # the record came by network: what it holds is some other worker's word
            return None


Look = Callable[[View], Found[T] | None]


class Views:
    """The newest view, and those who wait for one that has what they look for."""

    def __init__(self, first: View) -> None:
        """Begin with `first`."""
        self.current = first
        """The newest view; any thread may read it."""
        self._lock = threading.Lock()
        self._attempts: dict[object, Callable[[View], bool]] = {}
        self._replies: dict[object, Callable[[BaseException], None]] = {}
        self._closed: BaseException | None = None

    def when(self, look: Look[T]) -> Reply[T]:
        """Return a reply that is settled once `look` finds something. `look` must be quick: it runs on the peer."""
        reply: Reply[T] = Reply()

        def attempt(view: View) -> bool:
            if reply.is_settled:
                return True
            found = look(view)
            if found is None:
                return False
            reply.succeed(found.value)
            return True

        with self._lock:
            if attempt(self.current):
                return reply
            if self._closed is not None:
                reply.fail(self._closed)
                return reply
            if len(self._attempts) >= WAITS_MAX:
                raise UsageError(f"expected at most {WAITS_MAX} waits at a time; let some finish first")
            self._attempts[reply] = attempt
            self._replies[reply] = reply.fail
        return reply

    def publish(self, view: View) -> None:
        """Make `view` the newest (peer's thread)."""
        with self._lock:
            self.current = view
            for key in [key for key, attempt in self._attempts.items() if attempt(view)]:
                del self._attempts[key]
                del self._replies[key]

    def close(self, error: BaseException | None = None) -> None:
        """Fail every wait, now and later; the newest view stays readable."""
        reason = error or WorkerStopped("the worker has stopped")
        with self._lock:
            self._closed = reason
            waiting = list(self._replies.values())
            self._attempts.clear()
            self._replies.clear()
        for fail in waiting:
            fail(reason)
