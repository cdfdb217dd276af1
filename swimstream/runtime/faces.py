"""What the driver needs of its neighbours: the disk, the runner of instances, and who is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swimstream.core.effects import DumpStack, KeepWarm, Record, RenewFence, StartInstance, StopInstance
    from swimstream.events import Event
    from swimstream.model.talk import QueryResult
    from swimstream.runtime.view import View


class Durable(Protocol):
    """Where the node's records go."""

    def write(self, records: Sequence[Record]) -> None:
        """Store `records`, in order; durable on return. Called from a thread of its own."""


class KeyStore(Protocol):
    """Where changed keys go."""

    def store(self, keys: Sequence[bytes]) -> None:
        """Store all keys, the one that seals first. Called from a thread of its own."""


class InstanceRunner(Protocol):
    """Who runs instances; every call returns at once."""

    def start(self, effect: StartInstance) -> None:
        """Run an instance."""

    def renew(self, effect: RenewFence) -> None:
        """Move the fences of those that were not told to stop."""

    def stop(self, effect: StopInstance) -> None:
        """Stop an instance."""

    def dump(self, effect: DumpStack) -> None:
        """Log where an instance stands that makes no progress, and report it."""

    def keep_warm(self, effect: KeepWarm) -> None:
        """Prepare to start instances, and forget what is not to be prepared any more."""


class Audience(Protocol):
    """Who is told, on the peer's thread; no call may block."""

    def view_changed(self, view: View) -> None:
        """Take the newest view."""

    def told(self, event: Event) -> None:
        """Take one event."""

    def answered(self, request: int, error: str) -> None:
        """Take the answer to a command."""

    def query_answered(self, request: int, result: QueryResult) -> None:
        """Take what came back on a query."""
