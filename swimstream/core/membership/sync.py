"""Anti-entropy: two peers compare digests and send each other only what is missing.

Demers et al. 1987 (push-pull) with digests per owner, as in Scuttlebutt (van Renesse et al. 2008). Repairs
whatever gossip lost, heals partitions, and is how a newcomer learns everything at once. Peers that agree, which is
nearly always, exchange one small datagram: a hash of everything. Who holds something else opens a stream:

    asker → digest → answerer → what the asker lacks, then names it wants → asker → those names → end

Where Scuttlebutt compares version numbers we compare a hash of the owner's status records: gossip delivers
out of order, so a highest version seen says nothing about the ones below it.

Progress of instances is the exception: it is always under way, so by it no two peers would ever agree. Most comparisons
go by what lasts, and only every `CHECKS_PER_PROGRESS`th by everything: what is told for the last time arrives as well.
An entry of a digest may hold either hash of an owner: who compares knows both, and one that equals neither differs.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from swimstream.core.membership.claims import claims_of
from swimstream.model.member import MemberState
from swimstream.wire.codec import encode_message
from swimstream.wire.messages import DigestEntry, SyncCheck, SyncDigest, SyncWant

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterable
    from random import Random

    from swimstream.config import Timing
    from swimstream.core.membership.membership import Membership
    from swimstream.core.outbox import Outbox
    from swimstream.model.identity import Address, Run
    from swimstream.model.member import Member

SYNCS_MAX = 64
FRAME_UPDATES_BYTES_MAX = 64 * 1_024
"""A larger sync goes in several frames, so that none of them holds up the receiver for long."""
SYNC_DEADLINE_S = 10.0
CHECKS_PER_PROGRESS = 4
"""Every so many checks compare progress too. What is still making progress is told anew by gossip anyway."""
RECONNECT_PER_DEAD = 3
"""So many members in all try each dead one again per interval (Serf: 1), however many live ones there are."""
CHECKS_SINCE_LEVEL = 2
"""Peers that speak less do not know `SyncCheck`, and are sent the digest at once."""


class Syncer:
    """The syncs of one node: at most `SYNCS_MAX` open at once (`syncs_refused` counts the rest).

    `status_hash(owner)`, `lasting_hash(owner)`, `status_fragments(owner)` and `status_owners()` (sorted) speak for
    what workers say of their instances and themselves; `heard_broadcasts()`, `broadcast_fragments(ids)` and
    `broadcasts_lacking(ids)` for what was said to everybody.
    """

    def __init__(
        self,
        membership: Membership,
        outbox: Outbox,
        *,
        timing: Timing,
        rng: Random,
        counters: Counter[str],
        status_hash: Callable[[str], int],
        lasting_hash: Callable[[str], int],
        status_fragments: Callable[[str], list[bytes]],
        status_owners: Callable[[], Iterable[str]],
        heard_broadcasts: Callable[[], tuple[tuple[Run, int], ...]],
        broadcast_fragments: Callable[[Iterable[tuple[Run, int]]], list[bytes]],
        broadcasts_lacking: Callable[[Iterable[tuple[Run, int]]], tuple[tuple[Run, int], ...]],
    ) -> None:
        """Build a syncer that starts nothing by itself until `start`."""
        self._membership = membership
        self._outbox = outbox
        self._timing = timing
        self._rng = rng
        self._counters = counters
        self._status_hash = status_hash
        self._lasting_hash = lasting_hash
        self._status_fragments = status_fragments
        self._status_owners = status_owners
        self._heard_broadcasts = heard_broadcasts
        self._broadcast_fragments = broadcast_fragments
        self._broadcasts_lacking = broadcasts_lacking
        self._open: dict[int, float] = {}
        """Streams that this node opened, and when to give them up."""
        self._asked: dict[int, Address] = {}
        """To whom they lead."""
        self._checks_sent = 0
        self._sync_at = float("inf")
        self._reconnect_at = float("inf")

    def start(self, now: float) -> None:
        """Begin to sync regularly."""
        self._sync_at = now + self._rng.random() * self._timing.sync_interval_s
        self._reconnect_at = now + self._rng.random() * self._timing.reconnect_interval_s

    def ask(self, address: Address, now: float, *, joining: bool = False, with_progress: bool = True) -> int | None:
        """Open a sync with whoever is at `address`; return its stream, or None when too many are open."""
        if len(self._open) >= SYNCS_MAX:
            self._counters["syncs_refused"] += 1
            return None
        hash_of = self._hash(with_progress=with_progress)
        entries = () if joining else tuple(self._entry(member, hash_of) for member in self._membership.table)
        digest = SyncDigest(entries=entries, broadcasts=self._heard_broadcasts())
        stream = self._outbox.open_stream(address, [encode_message(digest)])
        self._open[stream] = now + SYNC_DEADLINE_S
        self._asked[stream] = address
        self._counters["syncs_opened"] += 1
        return stream

    def receive_check(self, sender: Run, check: SyncCheck, now: float) -> None:
        """Compare hashes with a member; open a sync with it, at the address it gave itself, if they differ."""
        member = self._membership.table.get_run(sender)
        if member is None or member.state.is_gone:
            self._counters["syncs_by_strangers"] += 1
        elif check.digest == self.digest(with_progress=check.with_progress):
            self._counters["syncs_in_agreement"] += 1
        elif member.profile.address not in self._asked.values():
            self.ask(member.profile.address, now, with_progress=check.with_progress)

    def digest(self, *, with_progress: bool = True) -> int:
        """Return a hash of all that must agree between peers: live members, every status and tag, what was said to all.

        The gone are left out, since a newcomer is not told of them, and so is who is suspected, since that passes;
        but not what they said of their instances, whether they are remembered or not: that stays, and all are told.
        """
        hash_of = self._hash(with_progress=with_progress)
        live = self._membership.table.live()
        entries: list[tuple[str, int, int, int]] = [
            (member.run.name, member.run.boot, member.incarnation, hash_of(member.run.name)) for member in live
        ]
        names = {member.run.name for member in live}
        entries += [(name, 0, 0, hash_of(name)) for name in self._status_owners() if name not in names]
        entries += [(run.name, run.boot, number, -1) for run, number in self._heard_broadcasts()]
        return int.from_bytes(hashlib.blake2b(repr(entries).encode(), digest_size=8).digest())

    def receive_digest(self, stream: int, asker: str, digest: SyncDigest) -> None:
        """Answer a peer that opened a sync: what it lacks, then of whom this node lacks something."""
        theirs = {entry.run.name: entry for entry in digest.entries}
        fragments: list[bytes] = []
        wanted = []
        for member in self._membership.table:
            entry = theirs.pop(member.run.name, None)
            fragments += self._missing(member, entry, asker)
            if entry is not None and self._is_behind(member, entry):
                wanted.append(member.run.name)
        for name in self._status_owners():
            if name not in self._membership.table and (name not in theirs or self._statuses_differ(theirs[name])):
                fragments += self._status_fragments(name)
        unknown = [theirs[name] for name in sorted(theirs) if not theirs[name].state.is_gone]
        # who was forgotten here while it was cut off hears of it at once: nobody would gossip with it
        fragments += self._membership.past.deaths_among((entry.run, entry.incarnation) for entry in unknown)
        wanted += sorted(
            name for name, entry in theirs.items() if not entry.state.is_gone or self._statuses_differ(entry)
        )
        known = set(digest.broadcasts)
        fragments += self._broadcast_fragments(each for each in self._heard_broadcasts() if each not in known)
        self._send_updates(stream, fragments)
        want = SyncWant(names=tuple(wanted), broadcasts=self._broadcasts_lacking(digest.broadcasts))
        self._outbox.send_frame(stream, [encode_message(want)])

    def receive_want(self, stream: int, want: SyncWant) -> None:
        """Finish a sync that this node opened: tell what the other side asked for."""
        if not self._forget(stream):
            return
        fragments: list[bytes] = []
        for name in want.names:
            member = self._membership.table.get(name)
            if member is not None:
                fragments += self._everything(member)
        fragments += self._broadcast_fragments(want.broadcasts)
        fragments += self._membership.past.take_refused()
        self._send_updates(stream, fragments)
        self._outbox.close_stream(stream)

    def stream_closed(self, stream: int) -> None:
        """Forget a sync that broke."""
        if self._forget(stream):
            self._counters["syncs_failed"] += 1

    def _forget(self, stream: int) -> bool:
        """Forget a sync that this node opened; return whether it was one."""
        self._asked.pop(stream, None)
        return self._open.pop(stream, None) is not None

    def fire_timers(self, now: float, *, seeds: Iterable[Address]) -> None:
        """Sync with a random live member; try again one that is dead, or a seed that is not a live member."""
        for stream in sorted(stream for stream, ends_at in self._open.items() if ends_at <= now):
            self.stream_closed(stream)
            self._outbox.close_stream(stream)
        if self._sync_at <= now:
            self._sync_at = now + self._timing.sync_interval_s * (0.75 + self._rng.random() / 2)
            alive = [member for member in self._others() if member.state is MemberState.ALIVE]
            if alive:
                self._compare(self._rng.choice(alive), now)
        if self._reconnect_at <= now:
            self._reconnect_at = now + self._timing.reconnect_interval_s * (0.75 + self._rng.random() / 2)
            self._reconnect(seeds, now)

    def next_deadline(self) -> float:
        """Return when `fire_timers` wants to be called next."""
        return min(self._sync_at, self._reconnect_at, min(self._open.values(), default=float("inf")))

    def _compare(self, member: Member, now: float) -> None:
        if member.profile.speaks >= CHECKS_SINCE_LEVEL:
            self._checks_sent += 1
            with_progress = self._checks_sent % CHECKS_PER_PROGRESS == 0
            check = SyncCheck(digest=self.digest(with_progress=with_progress), with_progress=with_progress)
            self._outbox.send(member.profile.address, check)
        else:
            self.ask(member.profile.address, now)

    def _reconnect(self, seeds: Iterable[Address], now: float) -> None:
        """Try one that is lost: a seed that is no live member, or, so that all together do not storm it, a dead one."""
        others = self._others()
        live = {member.profile.address for member in others if not member.state.is_gone}
        own = {self._membership.profile.address}
        dead = {member.profile.address for member in others if member.state is MemberState.DEAD} - live - own
        share = RECONNECT_PER_DEAD * len(dead) / max(1, len(live))
        lost = (set(seeds) - live - own) | (dead if self._rng.random() < share else set())
        if lost:
            self.ask(self._rng.choice(sorted(lost)), now)

    def _others(self) -> list[Member]:
        return [member for member in self._membership.table if member.run != self._membership.run]

    # --- comparing --------------------------------------------------------------------------------

    def _hash(self, *, with_progress: bool) -> Callable[[str], int]:
        return self._status_hash if with_progress else self._lasting_hash

    def _entry(self, member: Member, hash_of: Callable[[str], int]) -> DigestEntry:
        return DigestEntry(
            run=member.run, incarnation=member.incarnation, state=member.state, statuses=hash_of(member.run.name)
        )

    def _send_updates(self, stream: int, fragments: Iterable[bytes]) -> None:
        """Send updates in as many frames as they need."""
        frame: list[bytes] = []
        size = 0
        for fragment in fragments:
            if size + len(fragment) > FRAME_UPDATES_BYTES_MAX:
                self._outbox.send_frame(stream, frame)
                frame, size = [], 0
            frame.append(fragment)
            size += len(fragment)
        if frame:
            self._outbox.send_frame(stream, frame)

    def _missing(self, member: Member, entry: DigestEntry | None, asker: str) -> list[bytes]:
        """Return what the holder of `entry` lacks about `member`.

        Who never heard of a member need not hear that it is gone, unless it is about to take that very name.
        """
        if entry is None and member.state.is_gone and member.run.name != asker:
            return self._status_fragments(member.run.name)
        if entry is None:
            return self._everything(member)
        fragments = []
        if _version(member) > _version(entry):
            fragments += claims_of(member)
        if self._statuses_differ(entry):
            fragments += self._status_fragments(member.run.name)
        return fragments

    def _is_behind(self, member: Member, entry: DigestEntry) -> bool:
        return _version(entry) > _version(member) or self._statuses_differ(entry)

    def _statuses_differ(self, entry: DigestEntry) -> bool:
        name = entry.run.name
        return entry.statuses not in (self._status_hash(name), self._lasting_hash(name))

    def _everything(self, member: Member) -> list[bytes]:
        return claims_of(member) + self._status_fragments(member.run.name)


def _version(held: Member | DigestEntry) -> tuple[int, int, int]:
    return (held.run.boot, held.incarnation, held.state)
