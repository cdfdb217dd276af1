"""Whether a history of calls can have happened one after the other (Herlihy & Wing 1990): a WGL checker.

The search of Wing & Gong (1993): take any call that began before the first end of those still open, try it as the next
one, go back if the object could not have answered so. With Lowe's memory (2017, "Testing for linearizability") of which
sets of calls have led to which state without success, so that no such pair is searched twice.

The object here is the plan as a log to which names are added. `add(name)` answers which names were added before it, in
their order. That is honest for swimstream: a submission is answered once the asker's own plan has the job, and that
plan is a prefix of the one history, so it shows all that was committed before. Plain reads of a plan are *not*
linearizable: who has not been told yet reads an old one. They are not in the history. Nor are second submissions of a
job that the plan has already, which any old plan can answer: the first call and the first answer for a name are one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Sequence

NEVER = float("inf")


@attrs.frozen(kw_only=True)
class Call:
    """One `add`. A call without an answer may have happened at any time after its start, or not at all."""

    name: str
    called_at: float
    answered_at: float = NEVER
    before: tuple[str, ...] = ()
    """The answer: what was added before it, in order."""

    @property
    def is_answered(self) -> bool:
        """Return whether there is an answer."""
        return self.answered_at < NEVER


def is_linearizable(calls: Sequence[Call]) -> bool:
    """Return whether some order of the calls explains every answer, and keeps apart what did not overlap."""
    wanted = frozenset(position for position, call in enumerate(calls) if call.is_answered)
    tried: set[tuple[frozenset[int], tuple[str, ...]]] = set()
    stack: list[tuple[frozenset[int], tuple[str, ...]]] = [(frozenset(), ())]
    while stack:
        done, log = stack.pop()
        if wanted <= done:
            return True
        if (done, log) in tried:
            continue
        tried.add((done, log))
        open_calls = [position for position in range(len(calls)) if position not in done]
        first_end = min(calls[position].answered_at for position in open_calls)
        for position in open_calls:
            call = calls[position]
            if call.called_at <= first_end and (not call.is_answered or call.before == log):
                stack.append((done | {position}, (*log, call.name)))
    return False
