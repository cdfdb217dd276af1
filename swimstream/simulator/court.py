"""Where a breach is told: the judges of one world share its seed and its clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from swimstream.simulator.promises import PromiseBroken

if TYPE_CHECKING:
    from swimstream.simulator.clock import Clock


class Court:
    """One world, as its judges need it."""

    def __init__(self, *, seed: int, clock: Clock) -> None:
        """Judge the world of `seed`."""
        self.seed = seed
        self._clock = clock

    @property
    def now(self) -> float:
        """Return the virtual time."""
        return self._clock.now

    def broken(self, promise: str, detail: str) -> NoReturn:
        """Raise `PromiseBroken` for this world and this moment."""
        raise PromiseBroken(promise, self.now, self.seed, detail)
