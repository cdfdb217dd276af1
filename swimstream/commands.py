"""What a running worker can be asked and told; `worker.py` adds how it starts and ends.

Views are immutable values of the newest moment and are never waited for. Commands return a `Reply`.
"""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING

from swimstream.model.job import check_job
from swimstream.runtime.replies import Found, Reply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swimstream.model.identity import Address, Run
    from swimstream.model.job import JobSpec
    from swimstream.model.member import Member
    from swimstream.model.plan import Plan, PlanMark
    from swimstream.model.status import InstanceStatus
    from swimstream.runtime.subscriptions import Subscription
    from swimstream.runtime.thread import PeerThread
    from swimstream.runtime.view import View


class Commands(abc.ABC):
    """The views and commands of a worker. Every method may be called from any thread, once the worker has started."""

    @abc.abstractmethod
    def _running(self) -> PeerThread:
        """Return the peer; raise `WorkerStopped` if there is none."""

    # --- what it knows: immutable values, never waited for ----------------------------------------

    @property
    def run(self) -> Run:
        """This life of the worker: its name and its boot."""
        return self._running().views.current.run

    @property
    def address(self) -> Address:
        """Where others reach it."""
        return self._running().address

    def view(self) -> View:
        """Return everything known, as of one moment."""
        return self._running().views.current

    def members(self) -> tuple[Member, ...]:
        """Return all members that are remembered, itself included, sorted by name."""
        return self.view().members

    def statuses(self) -> tuple[InstanceStatus, ...]:
        """Return the newest status of every instance of the cluster, sorted by instance."""
        return self.view().statuses

    def plan(self) -> Plan:
        """Return the committed plan as far as it is known here."""
        return self.view().plan

    def mark(self) -> PlanMark:
        """Return term, leader and index of the plan here."""
        return self.view().mark

    def leader(self) -> str:
        """Return the name of the leader, or an empty text while none is known."""
        return self.view().mark.leader

    def counters(self) -> Mapping[str, int]:
        """Return what was sent, received and dropped so far, by name."""
        return self.view().counters

    def events(self, *, queued_max: int = 1_024) -> Subscription:
        """Return a subscription to everything from now on; what came before is in the views already."""
        return self._running().subscriptions.subscribe(queued_max=queued_max)

    # --- commands ---------------------------------------------------------------------------------

    def submit(self, job: JobSpec) -> Reply[None]:
        """Have `job` executed; settled once it is in the plan. `UsageError` if it is malformed or refused."""
        return self._running().submit(check_job(job))

    def finished(self, job: str) -> Reply[None]:
        """Return a reply that is settled once every instance of the job of that name has finished."""

        def look(view: View) -> Found[None] | None:
            return Found(None) if job in view.plan.jobs and view.plan.is_finished(job) else None

        return self._running().views.when(look)
