"""Councils by hand: an outbox that records, a disk that holds exactly what was persisted, and a wire to deliver by."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import TYPE_CHECKING, assert_never

import attrs

from swimstream.config import LAN
from swimstream.core.council.council import Council
from swimstream.core.council.log import Log
from swimstream.core.council.standing import NOBODY
from swimstream.core.effects import (
    BootRecord,
    EntriesRecord,
    PeersRecord,
    Persist,
    Record,
    Saved,
    SnapshotRecord,
    VoteRecord,
)
from swimstream.core.outbox import Outbox
from swimstream.model.changes import Entry, Evict, Found, Seat
from swimstream.model.identity import Address, Run
from swimstream.model.plan import Plan, PlanMark
from swimstream.wire.council_messages import (
    Append,
    AppendReply,
    PiecePull,
    PlanEntries,
    PlanPull,
    Snapshot,
    SnapshotPiece,
    TimeoutNow,
    VoteReply,
    VoteRequest,
)
from swimstream.wire.messages import Message
from swimstream.wire.seal import PLAIN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from swimstream.model.changes import Change

MEMORY = 1
"""Identity of the memory of every seat."""
HEARTBEAT_S = LAN.heartbeat_interval_s
ELECTION_S = LAN.election_timeout_s_min


@attrs.frozen
class Sent:
    """A message on its way to the worker of that name."""

    to: str
    message: Message


class RecordingOutbox(Outbox):
    """Keeps messages as values, in one list with what must be on disk before them."""

    def __init__(self) -> None:
        super().__init__(packet_bytes_max=1_200, piggyback=lambda _: [], counters=Counter(), envelopes=PLAIN)
        self.done: list[Persist | Sent] = []

    def persist(self, record: Record) -> None:
        self.done.append(Persist(record))

    def send(self, to: Address, message: Message, *, updates: Iterable[bytes] = ()) -> None:
        self.done.append(Sent(to.host, message))


class FakeDisk:
    """What a state directory holds after the records it was given."""

    def __init__(self, saved: Saved) -> None:
        self._voter = saved.voter
        self._vote = saved.vote
        self._plan = saved.plan
        self._entries = {entry.index: entry for entry in saved.entries}
        self._peers = saved.peers
        self._boot = saved.boot

    def write(self, record: Record) -> None:
        match record:
            case VoteRecord():
                assert record.term >= self._vote.term, "a term on disk never falls"
                self._vote = record
            case EntriesRecord(first=first, entries=entries):
                self._entries = {index: entry for index, entry in self._entries.items() if index < first}
                self._entries.update({entry.index: entry for entry in entries})
            case SnapshotRecord(plan=plan, keeps_tail=keeps_tail):
                assert plan.index >= self._plan.index, "a snapshot on disk never gets older"
                self._plan = plan
                kept = {index: entry for index, entry in self._entries.items() if index > plan.index}
                self._entries = kept if keeps_tail else {}
            case PeersRecord(addresses=addresses):
                self._peers = addresses
            case BootRecord(boot=boot):
                assert boot > self._boot, "a boot on disk only rises"
                self._boot = boot
            case _:
                assert_never(record)

    def saved(self) -> Saved:
        entries = tuple(self._entries[index] for index in sorted(self._entries))
        return Saved(
            voter=self._voter, vote=self._vote, plan=self._plan, entries=entries, peers=self._peers, boot=self._boot
        )


def address_of(name: str) -> Address:
    return Address(name, 1)


def run_of(name: str) -> Run:
    return Run(name, 1)


def change(label: int | str) -> Change:
    """Return a change that differs from every other one with another label."""
    return Evict(run=Run("gone", 1), reason=str(label), evidence=())


def entry(index: int, term: int, label: int | str = "") -> Entry:
    return Entry(index=index, term=term, change=change(label or f"{term}/{index}"))


def seats_of(names: Iterable[str]) -> tuple[Seat, ...]:
    return tuple(Seat(name, MEMORY) for name in names)


def founding(names: Iterable[str], *, cluster_id: int = 7) -> Entry:
    return Entry(index=1, term=1, change=Found(cluster_id=cluster_id, council=seats_of(names)))


def saved_after(entries: Sequence[Entry], *, term: int = 1, voted_for: str = "", voter: int = MEMORY) -> Saved:
    return Saved(voter=voter, vote=VoteRecord(term, voted_for, MEMORY if voted_for else 0), entries=tuple(entries))


class Peer:
    """One council with its disk. Effects are carried out in order, as far as they are asked for."""

    def __init__(self, name: str, saved: Saved, *, now: float = 0.0, seed: int = 0) -> None:
        self.name = name
        self.disk = FakeDisk(saved)
        self.counters: Counter[str] = Counter()
        self._lives = seed
        self.start(now)

    def start(self, now: float) -> None:
        """Begin a life from what is on disk, as after a crash."""
        self._lives += 1
        self.outbox = RecordingOutbox()
        self.council = Council(
            self.name,
            self.disk.saved(),
            self.outbox,
            timing=LAN,
            rng=Random(f"{self.name}/{self._lives}"),
            counters=self.counters,
            address_of=address_of,
            now=now,
        )

    def take(self, *, upto: int | None = None) -> list[Sent]:
        """Carry out the first `upto` effects (all by default), forget the rest, and return the messages that left."""
        done, self.outbox.done = self.outbox.done, []
        sent = []
        for effect in done[:upto]:
            match effect:
                case Persist(record=record):
                    self.disk.write(record)
                case Sent():
                    sent.append(effect)
        if upto is None:
            self.check_disk()
        return sent

    def said(self) -> list[Message]:
        """Return the messages of `take` alone."""
        return [sent.message for sent in self.take()]

    def check_disk(self) -> None:
        """Assert that a restart from the disk would find the very log and vote that this life has."""
        saved, log = self.disk.saved(), self.council.log
        again = Log(saved)
        assert (again.base, again.last_index, again.last_term) == (log.base, log.last_index, log.last_term)
        first = log.base.index + 1
        assert entries_of(again, first) == entries_of(log, first)
        assert again.council == log.council
        assert max(saved.vote.term, again.last_term) == self.council.term
        vote = Seat(saved.vote.voted_for, saved.vote.voter)
        assert (vote if saved.vote.term == self.council.term else NOBODY) == self.council.voted_for

    def hear(self, sender: str, message: Message, now: float) -> None:
        """Take a message of the council."""
        run = run_of(sender)
        match message:
            case VoteRequest():
                self.council.receive_vote_request(run, message, now)
            case VoteReply():
                self.council.receive_vote_reply(run, message, now)
            case Append():
                self.council.receive_append(run, message, now)
            case AppendReply():
                self.council.receive_append_reply(run, message, now)
            case Snapshot():
                self.council.receive_snapshot(run, message, now)
            case TimeoutNow():
                self.council.receive_timeout_now(run, message, now)
            case SnapshotPiece():
                self.council.receive_piece(run, message, now)
            case PlanPull() | PiecePull():
                self.council.receive_pull(run, message)
            case PlanEntries():
                self.council.receive_plan_entries(message, now)
            case _:
                raise AssertionError(f"no message of the council: {message}")

    def entries(self) -> tuple[Entry, ...]:
        return entries_of(self.council.log, self.council.log.base.index + 1)


def answers(peer: Peer) -> list[AppendReply]:
    """Return what a follower has replied, without the numbers of its replies."""
    return [attrs.evolve(message, token=0) for message in peer.said() if isinstance(message, AppendReply)]


def entries_of(log: Log, first: int) -> tuple[Entry, ...]:
    """Return all entries from `first` on, which may take several messages."""
    found: tuple[Entry, ...] = ()
    while first + len(found) <= log.last_index:
        found += log.entries_from(first + len(found), upto=log.last_index)
    return found


class Table:
    """Some peers and the messages between them. `cut` names who is cut off from all others."""

    def __init__(self, names: str, *, entries: Sequence[Entry] = (), seatless: str = "") -> None:
        self.now = 0.0
        self.cut: set[str] = set()
        log = entries or [founding(names)]
        self.peers = {name: Peer(name, saved_after(log, term=log[-1].term)) for name in names}
        self.peers |= {name: Peer(name, saved_after((), term=0)) for name in seatless}

    def __getitem__(self, name: str) -> Council:
        return self.peers[name].council

    def deliver(self) -> list[tuple[str, Sent]]:
        """Deliver until all is quiet; return what was delivered, with who sent it."""
        delivered = []
        while letters := [(name, sent) for name, peer in self.peers.items() for sent in peer.take()]:
            for name, sent in letters:
                if not {name, sent.to} & self.cut and sent.to in self.peers:
                    delivered.append((name, sent))
                    self.peers[sent.to].hear(name, sent.message, self.now)
        return delivered

    def elect(self, name: str) -> Council:
        """Let everybody forget the old leader, then let `name` campaign and win."""
        self.now += 10 * ELECTION_S
        self[name].fire_timers(self.now)
        self.deliver()
        assert self[name].is_leader
        self.beat(name)
        return self[name]

    def beat(self, name: str, *, times: int = 1) -> None:
        """Let a leader send heartbeat rounds, and all be delivered."""
        for _ in range(times):
            self.now += HEARTBEAT_S
            self[name].fire_timers(self.now)
            self.deliver()

    def propose(self, name: str, *labels: int | str) -> None:
        self[name].propose([change(label) for label in labels], self.now)

    def tell_marks(self, teller: str, listener: str) -> None:
        """Let `listener` hear a ping of `teller`, and deliver what comes of it."""
        self.now += 2 * HEARTBEAT_S
        self[listener].hear_mark(run_of(teller), self[teller].mark, self.now)
        self.deliver()


def vote_request(term: int, *, last: tuple[int, int], pre: bool = False) -> VoteRequest:
    """Return a request by a candidate whose newest entry is `last`, as (term, index)."""
    return VoteRequest(term=term, voter=MEMORY, last_index=last[1], last_term=last[0], pre=pre)


def append(
    term: int, entries: Sequence[Entry] = (), *, prev: tuple[int, int] = (1, 1), commit: int = 0, beat: int = 1
) -> Append:
    """Return an Append whose entries follow on `prev`, as (term, index)."""
    return Append(
        term=term,
        voter=MEMORY,
        round=beat,
        prev_index=prev[1],
        prev_term=prev[0],
        commit=commit,
        entries=tuple(entries),
    )


def mark(index: int, *, leader: str = "a", term: int = 1) -> PlanMark:
    return PlanMark(term=term, leader=leader, index=index)


def plan_after(entries: Iterable[Entry]) -> Plan:
    return Plan().advance(entries)
