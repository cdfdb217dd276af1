"""What a running worker can be asked about the cluster without changing anything: why, what if, and where to."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING

from swimstream.core import explaining, supposing
from swimstream.core.recovery.situation import Situation
from swimstream.model.identity import InstanceId
from swimstream.model.job_faults import check_job
from swimstream.runtime import clock

if TYPE_CHECKING:
    from collections.abc import Iterable

    from swimstream.core.explaining import Explanation
    from swimstream.core.supposing import Outcome
    from swimstream.model.job import JobSpec
    from swimstream.runtime.view import View


class Questions(abc.ABC):
    """Answered at once from what this worker knows, by any thread; every worker gives the same answer in time."""

    @abc.abstractmethod
    def view(self) -> View:
        """Return everything known, as of one moment."""

    def explain(self, instance: InstanceId | str) -> Explanation:
        """Return where an instance is, since which decision and why, what it waits for, and what others would be.

        `instance` may be written `job/operator[index]`. `UsageError` if no job has it.
        """
        which = InstanceId.parse(instance) if isinstance(instance, str) else instance
        return explaining.explain(which, _situation(self.view()))

    def what_if(self, *, kill: Iterable[str] = (), site: str = "") -> Outcome:
        """Return what would come of the death of the workers `kill` and of all in `site`; nobody is killed.

        `UsageError` for a name or site that no live worker has.
        """
        return supposing.what_if(_situation(self.view()), kill=tuple(kill), site=site)

    def dry_run(self, job: JobSpec) -> Outcome:
        """Return where the instances of `job` would go, and why, if it were submitted now, or updated to this.

        `UsageError` if it is malformed or would be refused.
        """
        return supposing.dry_run(_situation(self.view()), check_job(job))


def _situation(view: View) -> Situation:
    """Return what the leader would decide from, if it knew what this worker does; its waits are not known here."""
    return Situation(
        plan=view.plan,
        members={member.run.name: member for member in view.members},
        statuses=view.status_by_instance,
        stopped_at=lambda _: float("inf"),
        now=clock.now(),
        tags=view.tags,
        coordinates=view.coordinates,
    )
