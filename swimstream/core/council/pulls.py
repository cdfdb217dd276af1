"""The plan to everyone: what a peer gives to one whose plan is behind, seat or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.wire.council_messages import PlanEntries, PlanPull, Snapshot

if TYPE_CHECKING:
    from swimstream.core.council.log import Log


def answer_to(pull: PlanPull, log: Log, *, term: int, voter: int) -> PlanEntries | Snapshot | None:
    """Return the committed entries that the asker lacks, or the whole plan if they are compacted away."""
    if pull.index >= log.commit:
        return None
    if pull.index < log.base.index:
        return Snapshot(term=term, voter=voter, round=0, plan=log.plan)
    return PlanEntries(entries=log.entries_from(pull.index + 1, upto=log.commit))
