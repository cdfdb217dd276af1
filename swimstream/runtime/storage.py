"""The memory behind a vote: term, vote, log and snapshot in a state directory, durable before `write` returns.

Intuition: Raft (§5, figure 2) is safe only if a voter never forgets what it has answered, so a write that returned
must outlive a power cut, and a memory that cannot be trusted must never be taken for an empty one.

SQLite with `journal_mode=WAL` and `synchronous=FULL`: a commit is one append and one fsync of the write-ahead log,
and its frames carry checksums, so that a torn tail is recognised. Refused: the default rollback journal, where
FULL does not sync the directory after the journal is deleted, so that a power cut may bring the journal back
and undo a commit that was already answered; and NORMAL, which loses the newest commits of the write-ahead log.

The file is created under another name and renamed once it is whole, so an empty or partial file under the real
name is damage, never a fresh start. Each row carries a hash, because SQLite itself does not notice a flipped bit.
A write-ahead log that somebody removed or damaged looks to SQLite like a write that was torn, so writes are numbered:
see `state_lock.py`. What is not noticed: an older copy of the whole directory. Restore the newest, and as a whole.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, assert_never

from swimstream.config import PEERS_MAX
from swimstream.core.effects import BootRecord, EntriesRecord, PeersRecord, Record, Saved, SnapshotRecord, VoteRecord
from swimstream.errors import StorageError, WireError
from swimstream.model.plan import Plan
from swimstream.runtime.state_lock import LOCK_NAME, StateLock
from swimstream.wire import checks
from swimstream.wire.cbor import decode_item_untrusted, encode_item
from swimstream.wire.plan_codec import encode_entry, encode_plan
from swimstream.wire.plan_reader import decode_entry_untrusted, decode_plan_untrusted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from swimstream.model.changes import Entry
    from swimstream.model.identity import Address

FILE_NAME = "swimstream.sqlite"
FORMAT = 1
"""Kept in SQLite's `user_version`. A changed table takes a new number."""
APPLICATION_ID = 0x5357_494D
"""Kept in SQLite's header; tells our files from everybody else's."""
HASH_BYTES = 16

_TABLES = (
    "CREATE TABLE state (name TEXT PRIMARY KEY, body BLOB NOT NULL, hash BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE entries (position INTEGER PRIMARY KEY, body BLOB NOT NULL, hash BLOB NOT NULL)",
)


class Storage:
    """One state directory, held alone. Safe to call from any thread; calls wait for each other.

    After a failed write every further one raises `StorageError`: what the disk holds then is not known
    (a failed fsync may have dropped the pages), and the process must start again to read it.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: StateLock, *, writes: int) -> None:
        self._path = path
        self._connection = connection
        self._lock = lock
        self._writes = writes
        """How many there were in this memory's whole life."""
        self._is_closed = False
        self._calls = threading.Lock()
        self._broken = ""

    @classmethod
    def open(cls, state_dir: Path, *, boot: int) -> Storage:
        """Open the memory in `state_dir`; create it, under the identity `boot`, if there is none.

        Raise `UsageError` if another process holds the directory, `StorageError` if it cannot be used.
        """
        path = state_dir / FILE_NAME
        lock = StateLock(state_dir)
        try:
            with _explained(path):
                if not path.exists():
                    _create(path, boot, lock)
                _check_header(path)
                connection = _connect(path)
                try:
                    _configure(connection, path)
                    writes = _count_writes(connection, lock, path)
                except BaseException:
                    connection.close()
                    raise
        except BaseException:
            lock.close()
            raise
        return cls(path, connection, lock, writes=writes)

    def load(self) -> Saved:
        """Return everything stored; raise `StorageError` if any of it is not what was written."""
        with self._calls, _explained(self._path):
            self._check_usable()
            state = {
                name: _verified(f"state {name}", name, body, digest)
                for name, body, digest in self._connection.execute("SELECT name, body, hash FROM state")
            }
            entries = tuple(
                decode_entry_untrusted(_verified(f"entry {position}", position, body, digest))
                for position, body, digest in self._connection.execute(
                    "SELECT position, body, hash FROM entries ORDER BY position"
                )
            )
            for name in ("voter", "vote", "plan"):
                if name not in state:
                    raise WireError(f"state {name}: expected one, found none")
            plan = decode_plan_untrusted(state["plan"])
            _check_sequence(plan, entries)
            return Saved(
                voter=checks.integer(decode_item_untrusted(state["voter"]), "voter"),
                vote=_read_vote(state["vote"]),
                plan=plan,
                entries=entries,
                peers=_read_peers(state["peers"]) if "peers" in state else (),
                boot=checks.integer(decode_item_untrusted(state["boot"]), "boot") if "boot" in state else 0,
            )

    def write(self, records: Sequence[Record]) -> None:
        """Make `records` durable, all of them or none; raise `StorageError` if that is not certain."""
        with self._calls:
            self._check_usable()
            try:
                with _explained(self._path):
                    with self._connection:
                        self._connection.execute("BEGIN IMMEDIATE")
                        for record in records:
                            _write_record(self._connection, record)
                        _put_state(self._connection, "writes", encode_item(self._writes + 1))
                    self._writes += 1
                    self._lock.write_mark(self._writes)
            except BaseException as error:
                self._broken = f"{self._path}: an earlier write failed ({error}); restart the worker"
                raise

    def close(self) -> None:
        """Give the directory free. Closing twice is harmless."""
        with self._calls:
            if self._is_closed:
                return
            self._is_closed = True
            self._broken = f"{self._path}: closed"
            with _explained(self._path):
                try:
                    self._connection.close()
                finally:
                    self._lock.close()

    def _check_usable(self) -> None:
        if self._broken:
            raise StorageError(self._broken)


def open_storage(state_dir: Path | None, *, now_ms: int) -> Storage | MemoryStorage:
    """Return the memory of a worker that starts at `now_ms`: in its state directory, if it has one."""
    return MemoryStorage(now_ms) if state_dir is None else Storage.open(state_dir, boot=now_ms)


class MemoryStorage:
    """The same face for a worker without a state directory: it forgets with its process. Any thread, serialised."""

    def __init__(self, boot: int) -> None:
        self._calls = threading.Lock()
        self._voter = boot
        self._vote = VoteRecord(0, "")
        self._plan = Plan()
        self._entries: list[Entry] = []
        self._peers: tuple[Address, ...] = ()
        self._boot = 0

    def load(self) -> Saved:
        """Return what was written so far."""
        with self._calls:
            return Saved(
                voter=self._voter,
                vote=self._vote,
                plan=self._plan,
                entries=tuple(self._entries),
                peers=self._peers,
                boot=self._boot,
            )

    def write(self, records: Sequence[Record]) -> None:
        """Remember `records`."""
        with self._calls:
            for record in records:
                match record:
                    case VoteRecord():
                        self._vote = record
                    case EntriesRecord():
                        _check_entries(record)
                        while self._entries and self._entries[-1].index >= record.first:
                            self._entries.pop()
                        self._entries.extend(record.entries)
                    case SnapshotRecord(plan=plan, keeps_tail=keeps_tail):
                        self._plan = plan
                        self._entries = [entry for entry in self._entries if keeps_tail and entry.index > plan.index]
                    case PeersRecord(addresses=addresses):
                        self._peers = addresses
                    case BootRecord(boot=boot):
                        self._boot = boot
                    case _:
                        assert_never(record)

    def close(self) -> None:
        """Do nothing."""


# --- the file -------------------------------------------------------------------------------------


def _create(path: Path, boot: int, lock: StateLock) -> None:
    if lock.read_mark():
        raise StorageError(f"{path}: missing, though {LOCK_NAME} tells of writes; {_ADVICE}")
    for suffix in ("-wal", "-journal"):
        left = path.with_name(path.name + suffix)
        if left.exists():
            raise StorageError(f"{path}: missing, though {left.name} is there; {_ADVICE}")
    unfinished = path.with_name(path.name + ".new")
    for stale in (unfinished, unfinished.with_name(unfinished.name + "-journal")):
        stale.unlink(missing_ok=True)
    with closing(_connect(unfinished)) as connection:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {FORMAT}")
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            for table in _TABLES:
                connection.execute(table)
            _put_state(connection, "voter", encode_item(boot))
            _put_state(connection, "plan", encode_plan(Plan()))
            _write_record(connection, VoteRecord(0, ""))
    _sync(unfinished)
    unfinished.rename(path)
    _sync(path.parent)
    with suppress(PermissionError):  # one that may not be read was there before us
        _sync(path.parent.parent)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    # Alone, SQLite needs no shared memory, and its own lock keeps other programs from writing.
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA fullfsync = ON")  # macOS, where a plain fsync may stay in the drive
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection


def _check_header(path: Path) -> None:
    """Check whose file it is without SQLite, which might write to it; the numbers are where SQLite documents them."""
    with path.open("rb") as file:
        header = file.read(100)
    if len(header) < 100 or not header.startswith(b"SQLite format 3\0"):
        raise StorageError(f"{path}: damaged (no header of SQLite); {_ADVICE}")
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise StorageError(f"{path}: expected a file written by swimstream; choose another state_dir")
    version = int.from_bytes(header[60:64], "big")
    if version != FORMAT:
        raise StorageError(
            f"{path}: expected format {FORMAT}, got {version}; run the version of swimstream that wrote it"
        )


def _configure(connection: sqlite3.Connection, path: Path) -> None:
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StorageError(f"{path}: expected a file system that SQLite can keep a write-ahead log on")
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise StorageError(f"{path}: damaged ({' '.join(verdict.split())}); {_ADVICE}")


_ADVICE = (
    "restore the whole state directory as it was at the end, never an older copy, which might vote twice; or move it "
    "away: the worker then comes back with an empty memory as a new voter, and its old seat will be replaced. That "
    "gives up its vote until then, and whatever no other voter has on disk"
)


def _count_writes(connection: sqlite3.Connection, lock: StateLock, path: Path) -> int:
    """Return the number of the newest write, 0 in a file from before they had one; refuse to have lost any."""
    row = connection.execute("SELECT body, hash FROM state WHERE name = 'writes'").fetchone()
    writes = checks.integer(decode_item_untrusted(_verified("state writes", "writes", *row)), "writes") if row else 0
    mark = lock.read_mark()
    if writes < mark:
        raise StorageError(f"{path}: damaged (has write {writes}, but {mark} was acknowledged); {_ADVICE}")
    return writes


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what SQLite, the system and the decoders raise into `StorageError` with the file and what to do."""
    try:
        yield
    except (sqlite3.OperationalError, OSError) as error:
        raise StorageError(
            f"{path}: cannot be read or written ({error}); check the disk and who else uses it"
        ) from error
    except (sqlite3.Error, WireError, UnicodeDecodeError) as error:  # SQLite complains in the words of a damaged schema
        raise StorageError(f"{path}: damaged ({error}); {_ADVICE}") from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# --- rows -----------------------------------------------------------------------------------------


def _write_record(connection: sqlite3.Connection, record: Record) -> None:
    match record:
        case VoteRecord():
            _put_state(connection, "vote", encode_item([record.term, record.voted_for, record.voter]))
        case EntriesRecord():
            _check_entries(record)
            connection.execute("DELETE FROM entries WHERE position >= ?", (record.first,))
            for entry in record.entries:
                body = encode_entry(entry)
                connection.execute(
                    "INSERT INTO entries VALUES (?, ?, ?)", (entry.index, body, _hash(entry.index, body))
                )
        case SnapshotRecord(plan=plan, keeps_tail=keeps_tail):
            _put_state(connection, "plan", encode_plan(plan))
            connection.execute("DELETE FROM entries WHERE position <= ? OR NOT ?", (plan.index, keeps_tail))
        case PeersRecord(addresses=addresses):
            _put_state(connection, "peers", encode_item([[each.host, each.port] for each in addresses]))
        case BootRecord(boot=boot):
            _put_state(connection, "boot", encode_item(boot))
        case _:
            assert_never(record)


def _put_state(connection: sqlite3.Connection, name: str, body: bytes) -> None:
    connection.execute("INSERT OR REPLACE INTO state VALUES (?, ?, ?)", (name, body, _hash(name, body)))


def _check_entries(record: EntriesRecord) -> None:
    places = [entry.index for entry in record.entries]
    assert places == list(range(record.first, record.first + len(places))), "entries start at first, without a gap"


def _check_sequence(plan: Plan, entries: tuple[Entry, ...]) -> None:
    index, term = plan.index, plan.term
    for entry in entries:
        if entry.index != index + 1 or entry.term < term:
            raise WireError(f"entry {entry.index}: expected index {index + 1} and a term of at least {term}")
        index, term = entry.index, entry.term


def _read_vote(body: bytes) -> VoteRecord:
    term, voted_for, *more = checks.items(decode_item_untrusted(body), "vote", low=2, high=3)
    return VoteRecord(
        checks.integer(term, "vote.term"),
        checks.name_or_empty(voted_for, "vote.voted_for"),
        checks.integer(more[0], "vote.voter") if more else 0,  # older versions wrote the name alone
    )


def _read_peers(body: bytes) -> tuple[Address, ...]:
    items = checks.items(decode_item_untrusted(body), "peers", high=PEERS_MAX)
    return tuple(
        checks.address(host, port, "peers")
        for host, port in (checks.items(each, "peers", low=2, high=2) for each in items)
    )


def _hash(place: str | int, body: bytes) -> bytes:
    """Return the hash of a row: of its place, too, so that no row can stand for another."""
    return hashlib.blake2b(body, key=str(place).encode(), digest_size=HASH_BYTES).digest()


def _verified(what: str, place: str | int, body: object, digest: object) -> bytes:
    if not isinstance(body, bytes) or digest != _hash(place, body):
        raise WireError(f"{what}: its hash does not match")
    return body
