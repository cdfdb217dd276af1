"""Who broke the rule, and whether anything changed.

`UsageError` is the caller's fault and leaves every state as it was. `WireError` is a
peer's or a stranger's fault: the packet is dropped and counted, nothing else happens.
`JoinFailed`, `DeliveryFailed`, `JobFailed`, `JobCancelled`, `StaleToken` and `WorkerStopped` are the world's. Bugs of
our own raise `AssertionError`. `FatalError` and `InfrastructureError` are for operators: swimstream never raises them.
"""

from __future__ import annotations


class SwimstreamError(Exception):
    """Everything that swimstream raises on purpose."""


class UsageError(SwimstreamError, ValueError):
    """The caller asked for something impossible; the message names the field and what was expected."""


class WireError(SwimstreamError):
    """Bytes from the network that are not what they claim to be. Raised only by functions ending in `_untrusted`."""


class JoinFailed(SwimstreamError):
    """The worker could not become a member: its name is taken by a live worker, or it met a foreign cluster."""


class DeliveryFailed(SwimstreamError):
    """A message was not confirmed: nobody of that name lives, or it has not said in time that it got the message."""


class JobCancelled(SwimstreamError):
    """Somebody has cancelled the job, so it does not finish; an update would revive it."""

    def __init__(self, job: str) -> None:
        """Say which job."""
        super().__init__(f"the job {job!r} was cancelled, so it does not finish")
        self.job = job


class JobFailed(SwimstreamError):
    """An instance of the job is in quarantine, so it does not finish unless somebody pardons it or changes the job."""

    def __init__(self, job: str, instance: str, reason: str) -> None:
        """Say which instance, and what is held against it."""
        super().__init__(f"the job {job!r} does not finish: {instance} is in quarantine: {reason}")
        self.job = job
        self.instance = instance
        self.reason = reason


class StorageError(SwimstreamError):
    """The state directory cannot be read or written; the message says which file and what to do."""


class StaleToken(SwimstreamError):
    """A sink has refused a write, and has written nothing: a higher token has written before. This writer must stop."""

    def __init__(self, resource: str, token: int, newest: int) -> None:
        """Say which resource of the sink refused which token, and the highest that has written."""
        super().__init__(f"{resource}: token {token} is refused, {newest} has written already")
        self.resource = resource
        self.token = token
        self.newest = newest


class FatalError(SwimstreamError):
    """Raise it in an operator that would fail again wherever it is executed: it is not tried again, but quarantined.

    Until somebody pardons the instance, or updates its job. `raise FatalError(...) from error` keeps the cause.
    """


class InfrastructureError(SwimstreamError):
    """Raise it in an operator that fails through no fault of its own: a full disk, a device that is gone.

    It is executed on another worker at once, if any can, and none of its restarts is used up.
    """


class WorkerStopped(SwimstreamError):
    """The worker has stopped (or was never started), so the command cannot be carried out."""
