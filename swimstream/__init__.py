"""swimstream: stream workers that watch each other, elect a leader and re-execute what was lost. No coordinator.

`Worker` is the way in; `examples/` shows it at work. Everything named here is public and stable within a minor
version; everything else may move.

Names are loaded when they are first asked for: an operator in a process of its own needs a few of them, and what it
need not load it does not wait for when it is to run again.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swimstream.config import LAN, LOCAL, WAN, Timing
    from swimstream.core.job_status import InstanceStanding, JobState, JobStatus
    from swimstream.errors import (
        DeliveryFailed,
        FatalError,
        InfrastructureError,
        JobCancelled,
        JobFailed,
        JoinFailed,
        StaleToken,
        StorageError,
        SwimstreamError,
        UsageError,
        WireError,
        WorkerStopped,
    )
    from swimstream.events import (
        BroadcastReceived,
        Decided,
        Event,
        EventsLost,
        ForeignCluster,
        InstanceChanged,
        IsolationChanged,
        LeaderChanged,
        MemberChanged,
        MemberForgotten,
        MessageReceived,
        NameConflict,
        QueryReceived,
        Superseded,
        TagsChanged,
    )
    from swimstream.job_file import load_job
    from swimstream.model.coordinate import Coordinate
    from swimstream.model.council import CouncilReport, CouncilSeat, SeatStanding
    from swimstream.model.history import Decision
    from swimstream.model.identity import Address, InstanceId, Run
    from swimstream.model.job import JobSpec, OperatorSpec
    from swimstream.model.keys import KeysReport
    from swimstream.model.member import Evidence, Member, MemberState, Profile
    from swimstream.model.plan import Assignment, Plan, PlanMark
    from swimstream.model.restart import RestartStrategy
    from swimstream.model.status import InstanceState, InstanceStatus
    from swimstream.model.talk import QueryResult, Question
    from swimstream.runners.command import Command
    from swimstream.runners.context import OperatorContext
    from swimstream.runners.registry import operator
    from swimstream.runtime.subscriptions import Subscription
    from swimstream.worker import Worker
    from swimstream.worker_config import WorkerConfig

__all__ = [
    "LAN",
    "LOCAL",
    "WAN",
    "Address",
    "Assignment",
    "BroadcastReceived",
    "Command",
    "Coordinate",
    "CouncilReport",
    "CouncilSeat",
    "Decided",
    "Decision",
    "DeliveryFailed",
    "Event",
    "EventsLost",
    "Evidence",
    "FatalError",
    "ForeignCluster",
    "InfrastructureError",
    "InstanceChanged",
    "InstanceId",
    "InstanceStanding",
    "InstanceState",
    "InstanceStatus",
    "IsolationChanged",
    "JobCancelled",
    "JobFailed",
    "JobSpec",
    "JobState",
    "JobStatus",
    "JoinFailed",
    "KeysReport",
    "LeaderChanged",
    "Member",
    "MemberChanged",
    "MemberForgotten",
    "MemberState",
    "MessageReceived",
    "NameConflict",
    "OperatorContext",
    "OperatorSpec",
    "Plan",
    "PlanMark",
    "Profile",
    "QueryReceived",
    "QueryResult",
    "Question",
    "RestartStrategy",
    "Run",
    "SeatStanding",
    "StaleToken",
    "StorageError",
    "Subscription",
    "Superseded",
    "SwimstreamError",
    "TagsChanged",
    "Timing",
    "UsageError",
    "WireError",
    "Worker",
    "WorkerConfig",
    "WorkerStopped",
    "load_job",
    "operator",
]

_HOMES = {
    "config": (
        "LAN",
        "LOCAL",
        "WAN",
        "Timing",
    ),
    "core.job_status": (
        "InstanceStanding",
        "JobState",
        "JobStatus",
    ),
    "errors": (
        "DeliveryFailed",
        "FatalError",
        "InfrastructureError",
        "JobCancelled",
        "JobFailed",
        "JoinFailed",
        "StaleToken",
        "StorageError",
        "SwimstreamError",
        "UsageError",
        "WireError",
        "WorkerStopped",
    ),
    "events": (
        "BroadcastReceived",
        "Decided",
        "Event",
        "EventsLost",
        "ForeignCluster",
        "InstanceChanged",
        "IsolationChanged",
        "LeaderChanged",
        "MemberChanged",
        "MemberForgotten",
        "MessageReceived",
        "NameConflict",
        "QueryReceived",
        "Superseded",
        "TagsChanged",
    ),
    "job_file": ("load_job",),
    "model.coordinate": ("Coordinate",),
    "model.council": (
        "CouncilReport",
        "CouncilSeat",
        "SeatStanding",
    ),
    "model.history": ("Decision",),
    "model.identity": (
        "Address",
        "InstanceId",
        "Run",
    ),
    "model.job": (
        "JobSpec",
        "OperatorSpec",
    ),
    "model.keys": ("KeysReport",),
    "model.member": (
        "Evidence",
        "Member",
        "MemberState",
        "Profile",
    ),
    "model.plan": (
        "Assignment",
        "Plan",
        "PlanMark",
    ),
    "model.restart": ("RestartStrategy",),
    "model.status": (
        "InstanceState",
        "InstanceStatus",
    ),
    "model.talk": (
        "QueryResult",
        "Question",
    ),
    "runners.command": ("Command",),
    "runners.context": ("OperatorContext",),
    "runners.registry": ("operator",),
    "runtime.subscriptions": ("Subscription",),
    "worker": ("Worker",),
    "worker_config": ("WorkerConfig",),
}
"""Module → what comes from there, as the imports above have it."""

if not TYPE_CHECKING:  # a checker that saw it would take any name

    def __getattr__(name: str) -> object:
        """Load a public name."""
        for home, names in _HOMES.items():
            if name in names:
                value = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
                return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        """Return what it has, loaded or not."""
        return sorted({*globals(), *__all__})
