"""The table of places for one decision, from its situation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.core.recovery.blame import crashed_runs, suspects
from swimstream.core.recovery.placement import Places

if TYPE_CHECKING:
    from collections.abc import Collection

    from swimstream.core.recovery.situation import Situation
    from swimstream.model.identity import Run


def places_in(situation: Situation, *, gone: Collection[Run] = ()) -> Places:
    """Return the table for one decision; those who are to blame for some crash, as it may be, are placed apart.

    A worker whose own process has crashed gets nothing, though its peer still speaks: it says goodbye next.
    """
    plan = situation.plan
    crashed = crashed_runs(situation.statuses.values())
    quarantined = ((each, plan.assignments.get(each)) for each in plan.directives.quarantined)
    return Places(
        plan,
        [member for member in situation.members.values() if member.run not in crashed],
        tags=situation.tags,
        coordinates=situation.coordinates,
        gone=gone,
        suspects=suspects(plan),
        at_rest={each for each, held in quarantined if held is not None and situation.has_ended(held)},
    )
