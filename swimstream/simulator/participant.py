"""The face of a node, and the clock that it reads: what a simulated process needs to drive one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import attrs

from swimstream.simulator.observer import View

if TYPE_CHECKING:
    from random import Random

    from swimstream.config import NodeConfig
    from swimstream.core.effects import Effect, Saved
    from swimstream.model.identity import Address, InstanceId
    from swimstream.model.job import JobSpec
    from swimstream.model.status import InstanceState


class Participant(View, Protocol):
    """The face of `swimstream.core.node.Node`, so that a test can put another in its place."""

    def receive_packet(self, data: bytes, *, source: Address, now: float) -> None:
        """Take one datagram."""

    def receive_frame(self, stream: int, data: bytes, *, now: float) -> None:
        """Take one frame."""

    def stream_closed(self, stream: int, *, now: float) -> None:
        """Learn that a stream has ended."""

    def fire_timers(self, *, now: float) -> None:
        """Act on every timer due by `now`."""

    def next_deadline(self) -> float:
        """Return when `fire_timers` wants to be called next."""

    def take_effects(self) -> list[Effect]:
        """Return, and forget, the effects since the last call."""

    def join(self, request: int, *, now: float) -> None:
        """Become a member."""

    def submit(self, request: int, job: JobSpec, *, now: float) -> None:
        """Have a job committed."""

    def leave(self, request: int, *, now: float) -> None:
        """Say goodbye."""

    def report(
        self,
        instance: InstanceId,
        epoch: int,
        *,
        now: float,
        state: InstanceState | None = None,
        progress: int | None = None,
        checkpoint: bytes | None = None,
        endpoint: str | None = None,
        cause: str | None = None,
    ) -> None:
        """Say how an instance fares; what is None stays."""


class Maker(Protocol):
    """Builds a node, as `swimstream.core.node.Node` does."""

    def __call__(self, config: NodeConfig, *, boot: int, saved: Saved, rng: Random, now: float) -> Participant:
        """Return a node that is not yet a member."""


@attrs.frozen(kw_only=True)
class LocalClock:
    """A process's own monotonic clock: it tells nothing of another's."""

    offset_s: float
    rate: float

    def read(self, world: float) -> float:
        """Return what it shows at the world's time."""
        return self.offset_s + world * self.rate

    def when(self, local: float) -> float:
        """Return the world's time at which it shows `local`."""
        return (local - self.offset_s) / self.rate
