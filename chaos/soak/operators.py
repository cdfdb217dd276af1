"""What the workers run: the operators of the flights example, and one that must never run twice at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flights.operators import merge, replay, sink, window

from chaos.recovery.operators import beat
from chaos.soak.nemesis import ONCE_KIND
from swimstream import operator

if TYPE_CHECKING:
    from swimstream import OperatorContext

__all__ = ["merge", "once", "replay", "sink", "window"]


@operator(ONCE_KIND, isolation="process")
def once(ctx: OperatorContext) -> None:
    """Beat, in a process of its own."""
    beat(ctx)
