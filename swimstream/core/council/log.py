"""The log of plan changes: a snapshot and what follows it (Raft §5.3, §7).

The plan itself is the snapshot. Entries up to `commit` are applied to `plan` and never change again; a tail of
them is kept, so that a follower that is a little behind gets entries and not the whole plan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.core.effects import EntriesRecord, SnapshotRecord
from swimstream.model.changes import COUNCIL_CHANGES
from swimstream.wire.plan_codec import encode_entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from swimstream.core.effects import Record, Saved
    from swimstream.model.changes import Entry, Seat
    from swimstream.model.plan import Plan

COMPACT_AFTER = 1_024
TAIL_KEPT = 256
INSTANCES_PER_KEPT = 8
"""The tail of a large plan is longer, an entry for so many instances: where 1,000 workers hold 20,000 instances and a
tenth of them dies, 2,200 entries are made within seconds; who is so far behind must not be sent 2 MB for that."""
ENTRIES_PER_MESSAGE_MAX = 256
ENTRIES_BYTES_MAX = 512 * 1_024


class Log:
    """Entries `base.index + 1` to `last_index`. `records` lists what must be made durable, in order.

    Invariant: `base.index <= commit <= last_index`, and `plan.index == commit`.
    """

    def __init__(self, saved: Saved) -> None:
        """Build the log that a state directory held. What follows the snapshot counts as uncommitted until told."""
        self.base: Plan = saved.plan
        self.plan: Plan = saved.plan
        self.records: list[Record] = []
        self._entries: list[Entry] = list(saved.entries)
        self._council: tuple[Seat, ...] | None = None
        assert all(entry.index == self.base.index + 1 + i for i, entry in enumerate(self._entries)), "no gaps on disk"

    @property
    def commit(self) -> int:
        """Return the index up to which entries are committed and applied."""
        return self.plan.index

    @property
    def last_index(self) -> int:
        """Return the index of the newest entry, committed or not."""
        return self.base.index + len(self._entries)

    @property
    def last_term(self) -> int:
        """Return the term of the newest entry."""
        return self._entries[-1].term if self._entries else self.base.term

    @property
    def council(self) -> tuple[Seat, ...]:
        """Return the newest council in the log, committed or not (Ongaro's thesis §4.1)."""
        if self._council is None:
            councils = (
                each.change.council for each in reversed(self._entries) if isinstance(each.change, COUNCIL_CHANGES)
            )
            self._council = next(councils, self.base.council)
        return self._council

    @property
    def is_council_settled(self) -> bool:
        """Return whether the newest council is committed, as far as is known here."""
        return not any(
            isinstance(each.change, COUNCIL_CHANGES) for each in self._entries[self.commit - self.base.index :]
        )

    def term_at(self, index: int) -> int | None:
        """Return the term of an entry, or None if it is compacted away or not there yet."""
        if index == self.base.index:
            return self.base.term
        position = index - self.base.index - 1
        return self._entries[position].term if 0 <= position < len(self._entries) else None

    def entries_from(self, first: int, *, upto: int) -> tuple[Entry, ...]:
        """Return entries from `first` to `upto`, as many as one message takes; they must not be compacted away."""
        assert first > self.base.index, "older entries are in the snapshot"
        start = first - self.base.index - 1
        chosen: list[Entry] = []
        size = 0
        for entry in self._entries[start : min(start + ENTRIES_PER_MESSAGE_MAX, upto - self.base.index)]:
            size += len(encode_entry(entry))
            if chosen and size > ENTRIES_BYTES_MAX:
                break
            chosen.append(entry)
        return tuple(chosen)

    def tail(self) -> tuple[Entry, ...]:
        """Return the entries that are not committed."""
        return tuple(self._entries[self.commit - self.base.index :])

    def _holds(self, entry: Entry) -> bool:
        position = entry.index - self.base.index - 1
        return 0 <= position < len(self._entries) and self._entries[position] == entry

    def is_up_to_date(self, last_index: int, last_term: int) -> bool:
        """Return whether a candidate's log is at least as new as this one (Raft §5.4.1)."""
        return (last_term, last_index) >= (self.last_term, self.last_index)

    def is_sound(self, entries: Sequence[Entry], *, after: int, term: int) -> bool:
        """Return whether entries follow on `after` in order, are of no newer term, and change nothing committed."""
        in_order = all(entry.index == after + 1 + i and entry.term <= term for i, entry in enumerate(entries))
        return in_order and all(
            self.term_at(entry.index) in (None, entry.term) for entry in entries if entry.index <= self.commit
        )

    def append(self, entries: Iterable[Entry]) -> None:
        """Add entries that follow on the newest one."""
        added = tuple(entries)
        assert added[0].index == self.last_index + 1, "the log has no gaps"
        self._entries += added
        self._council = None
        self.records.append(EntriesRecord(added[0].index, added))

    def merge(self, entries: Iterable[Entry]) -> None:
        """Take a leader's entries: keep those that agree, drop what conflicts and all after it, add the rest (§5.3).

        Index and term name an entry (§5.3), but not the first one: two foundings may both be entry 1 of term 1. So
        what is not committed agrees only if it is equal.
        """
        for position, entry in enumerate(given := tuple(entries)):
            if entry.index <= self.commit or self._holds(entry):
                continue
            del self._entries[entry.index - self.base.index - 1 :]
            self._council = None
            self.append(given[position:])
            return

    def commit_to(self, index: int) -> None:
        """Apply entries up to `index`, as far as they are here, to the plan."""
        index = min(index, self.last_index)
        if index <= self.commit:
            return
        self.plan = self.plan.advance(self._entries[self.commit - self.base.index : index - self.base.index])
        if self.base.index == 0:
            self._compact(1)  # so that a restarted process knows its cluster before any leader speaks to it
        kept = max(TAIL_KEPT, len(self.plan.assignments) // INSTANCES_PER_KEPT)
        if self.commit - self.base.index > COMPACT_AFTER // TAIL_KEPT * kept:
            self._compact(self.commit - kept)

    def install(self, plan: Plan) -> None:
        """Replace everything up to `plan.index` by a committed snapshot; drop what follows unless it agrees (§7)."""
        assert plan.index > self.commit
        keeps_tail = self.term_at(plan.index) == plan.term
        self._entries = self._entries[plan.index - self.base.index :] if keeps_tail else []
        self.base = self.plan = plan
        self._council = None
        self.records.append(SnapshotRecord(plan, keeps_tail))

    def _compact(self, upto: int) -> None:
        """Fold the entries up to `upto` into the snapshot."""
        count = upto - self.base.index
        self.base = self.base.advance(self._entries[:count])
        del self._entries[:count]
        self.records.append(SnapshotRecord(self.base, keeps_tail=True))
