"""When a change of the council may enter the log: the rules of Ongaro's thesis §4.1, checked at the very append.

One seat at a time, so that any majority before and any majority after have a voter in common. Only while no other
change of the council waits to be committed, and only after the leader has committed an entry of its own term:
without that, two leaders could each have changed the council of their own log by one seat, and the two councils
need have no majority in common (Ongaro, "bug in single-server membership changes", raft-dev 2015).

Whoever proposes is not trusted with this: what is decided on an older log is looked at again here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.model.changes import COUNCIL_CHANGES, SEATS_MAX, ChangeCouncil

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

    from swimstream.core.council.log import Log
    from swimstream.model.changes import Change


def refusal(change: Change, log: Log, *, term: int) -> str:
    """Return why a leader of `term` must not append `change` now; empty if it may."""
    if not isinstance(change, COUNCIL_CHANGES):
        return ""
    if not isinstance(change, ChangeCouncil):
        return "council: only seats are proposed; a founding or a recovery is the first entry of its leader"
    if log.plan.term != term:
        return "council: this leader has committed nothing in its term yet"
    if not log.is_council_settled:
        return "council: another change of it waits to be committed"
    before, after = set(log.council), set(change.council)
    if len(before ^ after) != 1 or len(after) != len(change.council):
        return "council: expected one seat more or one seat less"
    if not 1 <= len(after) <= SEATS_MAX:
        return f"council: expected 1 to {SEATS_MAX} seats, got {len(after)}"
    return ""


def admitted(changes: Sequence[Change], log: Log, *, term: int, counters: Counter[str]) -> list[Change]:
    """Return the changes that may be appended together, and count the rest as `council_changes_refused`."""
    chosen: list[Change] = []
    has_council = False
    for change in changes:
        is_councils = isinstance(change, COUNCIL_CHANGES)
        if refusal(change, log, term=term) or (is_councils and has_council):
            counters["council_changes_refused"] += 1
            continue
        has_council = has_council or is_councils
        chosen.append(change)
    return chosen
