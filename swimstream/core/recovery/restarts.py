"""What to do about a copy that has ended by itself: how long to wait, where to, and when to give up.

The strategies, their names and their meanings are Flink's (docs, "Task Failure Recovery"), for each instance by itself:

- *none*: its first failure is its last;
- *fixed-delay*: after the same delay each time;
- *exponential-delay*: after a delay that grows with each failure, and is longer by a share that differs from one
  instance to the next, so that what failed together does not start together;
- *failure-rate*: as fixed-delay, but what counts are the failures within `interval_s`.

Failures are counted in the plan, so a new leader knows them. *When* they were it does not: it takes them to have been
when it began. A failure after a quiet time (`reset_after_s` of running, as far as this leader has seen it itself) is
the first again. So a change of leaders never forgives, but may postpone the forgiving.

An end that is not the operator's doing (its worker has stopped it, or says that the infrastructure failed) uses nothing
up: it is executed elsewhere, at once. Only what ends so again and again within `HASTE_S` pauses, longer each time
but never longer than `PAUSE_S_MAX`, lest the cluster does nothing but move it around.

Refused: random jitter. Equal situations lead to equal decisions; what differs is drawn from a digest of the name.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING

import attrs

from swimstream.core.recovery.waiting import FOREVER, End
from swimstream.model.changes import EVIDENCE_ITEMS_MAX
from swimstream.model.restart import EXPONENTIAL_DELAY, FAILURE_RATE, NO_RESTART
from swimstream.model.status import ErrorClass, InstanceState
from swimstream.model.words import counted

if TYPE_CHECKING:
    from swimstream.core.recovery.waiting import Waits
    from swimstream.model.assignment import Assignment
    from swimstream.model.identity import InstanceId
    from swimstream.model.restart import RestartStrategy
    from swimstream.model.status import InstanceStatus

FAILURES_MAX = 1_000_000
HASTE_S = 30.0
PAUSE_S_MIN = 0.5
PAUSE_S_MAX = 8.0
ENDS_MAX = 16
OWN, INFRASTRUCTURE = "own", "infrastructure"


@attrs.frozen(kw_only=True)
class Verdict:
    """What follows from the end of a copy."""

    failures: int
    """What the plan is to hold of it from here on."""
    due_at: float
    """Not to be executed again before, on the clock of the review."""
    is_elsewhere: bool
    """Whether another worker is wanted; else the same one is."""
    reason: str
    evidence: tuple[str, ...] = ()
    is_final: bool = False
    """Whether it is not executed again at all."""


def judge_end(held: Assignment, status: InstanceStatus, strategy: RestartStrategy, waits: Waits) -> Verdict:
    """Return what follows from what `status` says: `held` has FAILED, or was STOPPED by its worker unasked."""
    at = waits.since(f"ended {held.epoch} {held.instance}")
    end = End(epoch=held.epoch, at=at, cause=status.cause)
    ran_since = waits.known_since(_running(held))
    if status.state is InstanceState.STOPPED or status.error is ErrorClass.INFRASTRUCTURE:
        return _judge_infrastructure(held, status, end, waits)
    if status.error is ErrorClass.FATAL:
        return Verdict(
            failures=held.failures,
            due_at=FOREVER,
            is_elsewhere=False,
            reason=f"failed, and would again: {status.cause}",
            evidence=(status.cause,) if status.cause else (),
            is_final=True,
        )
    failures = held.failures
    kept = ENDS_MAX
    within_s = FOREVER
    if strategy.strategy == FAILURE_RATE:
        within_s, kept = strategy.interval_s, strategy.attempts + 1
    elif strategy.reset_after_s and ran_since is not None and at - ran_since >= strategy.reset_after_s:
        failures = 0
    ends = waits.note_end(held.instance, end, within_s=within_s, kept=kept, why=OWN, before=held.failures)
    failures = len(ends) if strategy.strategy == FAILURE_RATE else min(failures + 1, FAILURES_MAX)
    return _judge_failure(held.instance, strategy, failures, ends)


def note_running(held: Assignment, waits: Waits) -> None:
    """Take note that a copy which has failed before is RUNNING: once it has been for long enough, that is forgotten."""
    waits.since(_running(held))


def _running(held: Assignment) -> str:
    return f"runs {held.epoch} {held.instance}"


def _judge_infrastructure(held: Assignment, status: InstanceStatus, end: End, waits: Waits) -> Verdict:
    ends = waits.note_end(held.instance, end, within_s=HASTE_S, kept=ENDS_MAX, why=INFRASTRUCTURE)
    pause_s = min(PAUSE_S_MAX, PAUSE_S_MIN * 2 ** (len(ends) - 2)) if len(ends) > 1 else 0.0
    by_worker = f"was stopped by its worker: {status.cause}" if status.cause else "was stopped by its worker"
    return Verdict(
        failures=held.failures,
        due_at=end.at + pause_s,
        is_elsewhere=True,
        reason=by_worker if status.state is InstanceState.STOPPED else f"failed with its worker: {status.cause}",
    )


def _judge_failure(instance: InstanceId, strategy: RestartStrategy, failures: int, ends: tuple[End, ...]) -> Verdict:
    """Return what follows from the failure that is the last of `ends`, number `failures` of those that count."""
    last = ends[-1]
    left_out = strategy.strategy == NO_RESTART or 0 < strategy.attempts < failures
    if left_out:
        return Verdict(
            failures=failures,
            due_at=FOREVER,
            is_elsewhere=False,
            reason=f"its restarts are used up: {_used_up(strategy, failures)}; it failed: {last.cause}",
            evidence=tuple(end.cause for end in ends if end.cause)[-EVIDENCE_ITEMS_MAX:],
            is_final=True,
        )
    delay_s = _delay_s(instance, strategy, failures)
    return Verdict(
        failures=failures,
        due_at=last.at + delay_s,
        is_elsewhere=failures % (strategy.in_place + 1) == 0,
        reason=f"failed: {last.cause}",
        evidence=(
            f"failure {failures}{f' of {strategy.attempts}' if strategy.attempts else ''}, after {delay_s:.1f} s",
        ),
    )


def _used_up(strategy: RestartStrategy, failures: int) -> str:
    if strategy.strategy == NO_RESTART:
        return "it has none"
    within = f" within {strategy.interval_s:g} s" if strategy.strategy == FAILURE_RATE else ""
    return f"{counted(failures, 'failure')}{within}, {counted(strategy.attempts, 'restart')} allowed"


def _delay_s(instance: InstanceId, strategy: RestartStrategy, failures: int) -> float:
    """Return how long to wait after failure number `failures`, 1 being the first."""
    if strategy.strategy != EXPONENTIAL_DELAY:
        return strategy.delay_s
    delay_s, delay_s_max = strategy.delay_s, strategy.delay_max_s
    if delay_s:  # by logarithms, since the power itself may be beyond all floats
        grown = math.log(delay_s) + (failures - 1) * math.log(strategy.multiplier)
        delay_s = math.exp(min(grown, math.log(delay_s_max)))
    return min(delay_s, delay_s_max) * (1 + strategy.jitter * _share(f"{instance} {failures}"))


def _share(what: str) -> float:
    """Return a number from 0 to 1 that is the same for the same words, everywhere and always."""
    return int.from_bytes(hashlib.sha256(what.encode()).digest()[:4], "big") / 0xFFFF_FFFF
