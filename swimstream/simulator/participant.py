"""The face of a node, and the clock that it reads: what a simulated process needs to drive one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import attrs

from swimstream.core.participant import Participant
from swimstream.simulator.watches import View

if TYPE_CHECKING:
    from random import Random

    from swimstream.config import NodeConfig
    from swimstream.core.effects import Saved
    from swimstream.model.changes import Command


class Simulated(Participant, View, Protocol):
    """A node as the simulator needs it: driven like any other, and seen through by the observer."""


@runtime_checkable
class Governed(Protocol):
    """A node that takes commands for its council, and for jobs."""

    def resize_council(self, request: int, seats: int, *, now: float) -> None:
        """Have the council grow or shrink to so many seats."""

    def transfer_leadership(self, request: int, to: str, *, now: float) -> None:
        """Have the leadership handed over to that worker."""

    def change(self, request: int, change: Command, *, now: float) -> None:
        """Have a change of the plan committed."""


class Maker(Protocol):
    """Builds a node, as `swimstream.core.node.Node` does."""

    def __call__(self, config: NodeConfig, *, boot: int, saved: Saved, rng: Random, now: float) -> Simulated:
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
