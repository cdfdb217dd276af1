"""When a stall counts as a failure: the second rung of the ladder.

First the worker reports STALLED, with where the operator stands. Only if that lasts for `STALL_MULT` times the
operator's own `stall_after_s`, as the leader itself has seen, is the copy given up, as if it had failed: it is executed
again by its restart strategy. A worker that cannot end the old copy says so, and then it is executed elsewhere.
An at-most-one copy is taken back first, like any other of which somebody has to see the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.model.status import InstanceState

if TYPE_CHECKING:
    from swimstream.core.recovery.situation import Situation
    from swimstream.core.recovery.waiting import Waits
    from swimstream.model.assignment import Assignment

STALL_MULT = 2.0


def is_given_up(situation: Situation, held: Assignment, waits: Waits) -> bool:
    """Return whether that very copy has been STALLED for so long, without a break, that it counts as failed."""
    spec = situation.spec_of(held.instance)
    if spec is None or not spec.stall_after_s or situation.state_of(held) is not InstanceState.STALLED:
        return False
    return waits.has_waited(f"stalled {held.epoch} {held.instance}", STALL_MULT * spec.stall_after_s)
