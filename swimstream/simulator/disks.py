"""What a state directory holds, record by record, as the next run of that name will read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from swimstream.core.effects import (
    BootRecord,
    EntriesRecord,
    PeersRecord,
    Record,
    Saved,
    SnapshotRecord,
    VoteRecord,
)
from swimstream.errors import StorageError
from swimstream.model.changes import COUNCIL_CHANGES
from swimstream.model.plan import Plan

if TYPE_CHECKING:
    from swimstream.model.changes import Entry, Seat
    from swimstream.model.identity import Address


class Disk:
    """One state directory. What is applied is durable; what was not synced before a crash is never applied."""

    def __init__(self, *, voter: int) -> None:
        """Create an empty directory for the vote's memory `voter`."""
        self._voter = voter
        self._vote = VoteRecord(0, "")
        self._plan = Plan()
        self._entries: list[Entry] = []
        self._peers: tuple[Address, ...] = ()
        self._boot = 0

    @property
    def voter(self) -> int:
        """Return the identity of this memory."""
        return self._voter

    @classmethod
    def blank(cls) -> Disk:
        """Return a directory that no process has used yet."""
        return cls(voter=0)

    def holds(self, index: int, term: int) -> bool:
        """Return whether the entry `index` of `term` is here, be it within the snapshot."""
        if index <= self._plan.index:
            return index < self._plan.index or term == self._plan.term
        position = index - self._plan.index - 1
        return position < len(self._entries) and self._entries[position].term == term

    def councils(self) -> list[tuple[tuple[Seat, ...], int, int]]:
        """Return every council that the log here tells of, the oldest first, each with its index and term.

        The first one is that of the snapshot, if there is a snapshot.
        """
        first = [(self._plan.council, self._plan.index, self._plan.term)] if self._plan.council else []
        changes = ((entry.change, entry.index, entry.term) for entry in self._entries)
        later = [
            (change.council, index, term) for change, index, term in changes if isinstance(change, COUNCIL_CHANGES)
        ]
        return [*first, *later]

    def council(self) -> tuple[Seat, ...]:
        """Return the newest council here, committed or not."""
        councils = self.councils()
        return councils[-1][0] if councils else ()

    def write(self, record: Record) -> None:
        """Apply `record`; raise `StorageError` when it would leave a gap, since no run could start from that."""
        match record:
            case VoteRecord():
                if record.term < self._vote.term:
                    raise StorageError(f"vote.term: expected at least {self._vote.term}, got {record.term}")
                self._vote = record
            case EntriesRecord():
                self._replace_entries(record)
            case SnapshotRecord(plan=plan, keeps_tail=keeps_tail):
                if plan.index < self._plan.index:
                    raise StorageError(f"snapshot.index: expected at least {self._plan.index}, got {plan.index}")
                self._plan = plan
                self._entries = [entry for entry in self._entries if keeps_tail and entry.index > plan.index]
                if self._entries and self._entries[0].index != plan.index + 1:
                    raise StorageError(f"snapshot.index: {plan.index} leaves a gap before {self._entries[0].index}")
            case PeersRecord(addresses=addresses):
                self._peers = addresses
            case BootRecord(boot=boot):
                if boot <= self._boot:
                    raise StorageError(f"boot: expected more than {self._boot}, got {boot}")
                self._boot = boot
            case _:
                assert_never(record)

    def load(self) -> Saved:
        """Return what a process that starts now finds here."""
        return Saved(
            voter=self._voter,
            vote=self._vote,
            plan=self._plan,
            entries=tuple(self._entries),
            peers=self._peers,
            boot=self._boot,
        )

    def _replace_entries(self, record: EntriesRecord) -> None:
        kept = [entry for entry in self._entries if entry.index < record.first]
        wanted = kept[-1].index + 1 if kept else self._plan.index + 1
        for entry in (*record.entries, None):
            if entry is None:
                break
            if entry.index != wanted:
                raise StorageError(f"entries: expected index {wanted}, got {entry.index}")
            wanted += 1
        if not record.entries and kept and record.first > wanted:
            raise StorageError(f"entries.first: expected at most {wanted}, got {record.first}")
        self._entries = [*kept, *record.entries]
