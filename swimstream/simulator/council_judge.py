"""Judges the council by what is on its disks: one leader a term, a majority for what is committed, one seat at a time.

A disk counts also after a fault has taken it: what its voter had said stands.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from swimstream.core.effects import EntriesRecord, VoteRecord
from swimstream.model.changes import ChangeCouncil, Seat
from swimstream.simulator import promises

if TYPE_CHECKING:
    from swimstream.core.effects import Record
    from swimstream.model.identity import Run
    from swimstream.model.plan import Plan
    from swimstream.simulator.court import Court
    from swimstream.simulator.disks import Disk
    from swimstream.simulator.watches import Watch


Committed = tuple[int, int, int]
"""The newest committed entry: index, term, and the term of whoever showed it first."""


class CouncilJudge:
    """Knows every disk that there ever was."""

    def __init__(self, court: Court) -> None:
        """Begin with no disk."""
        self.leaders: dict[int, Run] = {}
        """Term → who led it."""
        self.elected_at: dict[int, float] = {}
        """Term → when its leader was first seen to lead."""
        self._court = court
        self._disks: dict[Seat, Disk] = {}
        self._votes: dict[Seat, VoteRecord] = {}
        self._committed: Committed = (0, 0, 0)
        self._councils: dict[Watch, tuple[Seat, ...]] = {}
        """The newest council in the log of a process, when it was last looked at."""

    def register(self, seat: Seat, disk: Disk) -> None:
        """Keep the disk behind a vote in sight, whatever becomes of it."""
        self._disks[seat] = disk

    # --- leaders ----------------------------------------------------------------------------------

    @property
    def newest_term(self) -> int:
        """Return the highest term that has had a leader: what an older one appends from now on never commits."""
        return max(self.elected_at, default=0)

    def look_at_leader(self, watch: Watch) -> None:
        """Check somebody who says that it leads."""
        mark = watch.view.mark
        term = mark.term
        if mark.leader != watch.run.name:
            named = mark.leader or "nobody"
            self._court.broken(
                promises.ONE_LEADER, f"{watch.run} leads, but names {named} as the leader of term {term}"
            )
        first = self.leaders.setdefault(term, watch.run)
        self.elected_at.setdefault(term, self._court.now)
        if first != watch.run and first not in watch.earlier:
            self._court.broken(promises.ONE_LEADER, f"both {first} and {watch.run} lead term {term}")
        index, entry_term, commit_term = self._committed
        lacks = watch.view.plan.index < index and not watch.disk.holds(index, entry_term)
        if term > commit_term and lacks:
            self._court.broken(
                promises.COMMITTED,
                f"{watch.run} leads term {term} without entry {index} of term {entry_term}, committed in {commit_term}",
            )

    # --- the log ----------------------------------------------------------------------------------

    def write(self, watch: Watch, seat: Seat, record: Record) -> None:
        """Check what has become durable on a disk."""
        if isinstance(record, VoteRecord):
            before = self._votes.get(seat)
            if before is not None and before.term == record.term and before.voted_for and before != record:
                self._court.broken(
                    promises.ONE_LEADER,
                    f"{seat.name} votes for {record.voted_for or 'nobody'} in term {record.term}, "
                    f"after its vote for {before.voted_for}",
                )
            self._votes[seat] = record
        elif isinstance(record, EntriesRecord) and watch.view.is_leader:
            self._check_changes(watch, record)

    def _check_changes(self, watch: Watch, record: EntriesRecord) -> None:
        """A change of the council waits for the one before it, and for an entry of its leader's own term."""
        plan, term = watch.view.plan, watch.view.mark.term
        if not any(isinstance(entry.change, ChangeCouncil) and entry.term == term for entry in record.entries):
            return
        councils = watch.disk.councils()
        for (old, _, _), (new, index, _) in itertools.pairwise(councils):
            if len(set(old) ^ set(new)) != 1:
                self._court.broken(promises.COUNCIL, f"entry {index} makes {_names(new)} out of {_names(old)}")
        waiting = [index for _, index, _ in councils if index > plan.index]
        if len(waiting) > 1:
            self._court.broken(
                promises.COUNCIL, f"{watch.run} changes the council at {waiting}, nothing after {plan.index} committed"
            )
        if waiting and plan.term != term:
            self._court.broken(
                promises.COUNCIL, f"{watch.run} changes the council in term {term}, but has committed none of its own"
            )

    def look_at_commit(self, watch: Watch, plan: Plan) -> None:
        """Check that a majority of some council that its leader may have had holds what is new in `plan`."""
        index, _, _ = self._committed
        if plan.index > index:
            councils = {watch.disk.council() or plan.council, self._councils.get(watch, plan.council)}
            if not watch.view.is_leader:  # its leader ended in the step in which it told of the commit
                councils |= {plan.council, *(disk.council() for disk in self._disks.values())}
            if not any(self._is_held(council, plan) for council in councils):
                self._court.broken(
                    promises.MINORITY,
                    f"{watch.run} has entry {plan.index} of term {plan.term} committed, which no majority of "
                    f"{' nor of '.join(sorted(_names(council) for council in councils))} holds",
                )
            self._committed = (plan.index, plan.term, watch.view.mark.term)

    def remember(self, watch: Watch) -> None:
        """Keep the council that counts for the process until its next step."""
        if watch.view.is_leader:
            self._councils[watch] = watch.disk.council() or watch.view.plan.council

    def _is_held(self, council: tuple[Seat, ...], plan: Plan) -> bool:
        """Return whether a majority holds the newest entry; who has no disk in this world is believed."""
        disks = [self._disks.get(seat) for seat in council]
        holders = sum(disk is None or disk.holds(plan.index, plan.term) for disk in disks)
        return bool(council) and holders > len(council) // 2


def _names(council: tuple[Seat, ...]) -> str:
    return "(" + ", ".join(f"{seat.name}/{seat.voter}" for seat in council) + ")"
