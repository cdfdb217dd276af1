"""Sinks that refuse a stale token, in the very transaction of the write.

A writer that was replaced may not know it yet, and no clock and no kill reaches a write that is under way. So the sink
itself must say no: it remembers the highest token that has written and refuses a lower one (fencing, Kleppmann,
Designing Data-Intensive Applications, ch. 8). An operator's token is `ctx.epoch`, which rises with each decision
about its instance. The check and the write are one transaction: a check before the write is none, since the writer
may stand still between the two.

`FencedConnection` is for any DB-API 2.0 connection (PEP 249), `FencedFile` for a file. Other sinks: docs/fencing.md.
"""

from __future__ import annotations

import fcntl
import os
import sys
import zlib
from collections.abc import Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, cast

import attrs

from swimstream.errors import StaleToken, StorageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

RESOURCE_CHARS_MAX = 255
TOKEN_MAX = 2**63 - 1
MARKS = {"qmark": "?", "format": "%s", "named": ":{}", "pyformat": "%({})s"}
"""How a statement names its parameters, by the styles of PEP 249."""

# `writes` makes every claim change its row: MySQL counts, and so tells, only rows that a statement has changed
CREATE = """CREATE TABLE IF NOT EXISTS swimstream_fences
(resource VARCHAR(255) PRIMARY KEY, token BIGINT NOT NULL, writes BIGINT NOT NULL)"""
CLAIM = """UPDATE swimstream_fences SET token = {token}, writes = writes + 1
WHERE resource = {resource} AND token <= {token}"""
NEWEST = "SELECT token FROM swimstream_fences WHERE resource = {resource}"
FIRST = "INSERT INTO swimstream_fences (resource, token, writes) VALUES ({resource}, 0, 0)"

Parameters = tuple[str | int, ...] | dict[str, str | int]


class Cursor(Protocol):
    """What is needed of a cursor of PEP 249."""

    @property
    def rowcount(self) -> int:
        """Return how many rows the last statement has changed, -1 if the driver cannot tell."""

    def execute(self, operation: str, parameters: Parameters = ..., /) -> object:
        """Carry out a statement."""

    def fetchone(self) -> object:
        """Return the next row, or None."""

    def close(self) -> object:
        """Close the cursor."""


C = TypeVar("C", bound=Cursor)
C_co = TypeVar("C_co", bound=Cursor, covariant=True)


class Connection(Protocol[C_co]):
    """What is needed of a connection of PEP 249."""

    def cursor(self) -> C_co:
        """Return a new cursor."""

    def commit(self) -> object:
        """Commit."""

    def rollback(self) -> object:
        """Roll back."""


class FencedConnection(Generic[C]):
    """One writer's way into a database, one thread at a time.

    Every write of an operator goes like this::

        orders = FencedConnection(connection, resource="orders", token=ctx.epoch)
        with orders.transaction() as cursor:
            cursor.execute("INSERT INTO orders VALUES (?, ?)", row)

    All writers of `resource` in this database must go through one of these. Keeps the tokens in a table
    `swimstream_fences`, which is created if it is missing.
    """

    def __init__(
        self, connection: Connection[C], *, resource: str, token: int, paramstyle: str = "", begin: str = ""
    ) -> None:
        """Take over `connection`, outside of any transaction; creates table and row in a transaction of its own.

        `paramstyle` (of PEP 249) and `begin` are found out if not given. `begin` is the statement that opens a
        transaction where the driver does not do so by itself: in autocommit mode. Raise `UsageError` for a bad field.
        """
        _check_claim(resource, token)
        self._connection = connection
        self._resource = resource
        self._token = token
        self._style = paramstyle or _paramstyle_of(connection)
        if self._style not in MARKS:
            raise UsageError(f"paramstyle: expected one of {', '.join(MARKS)}, got {self._style!r}")
        self._begin = begin or _begin_of(connection)
        self._prepare()

    @contextmanager
    def transaction(self) -> Iterator[C]:
        """Run the block in a transaction that only the newest token gets; the block ends in a commit, or nothing.

        Waits for the transaction of another writer of the same resource. Raise `StaleToken` if a higher token has
        written; the block then does not begin. The block must neither commit nor roll back. An error of the driver
        (a deadlock, a serialization failure, a lock that was not had in time) has written nothing.
        """
        with self._atomic() as cursor:
            self._claim(cursor)
            yield cursor

    def _claim(self, cursor: C) -> None:
        """Raise the token in the table, which locks its row until the end of the transaction."""
        self._execute(cursor, CLAIM)
        if cursor.rowcount > 0:
            return
        is_told = cursor.rowcount == 0
        self._execute(cursor, NEWEST)
        newest = _first(cursor.fetchone())
        if newest is None:
            raise UsageError(f"resource: {self._resource!r} was removed from swimstream_fences while it was in use")
        if is_told or newest != self._token:  # if not told: our own change shows as our own token
            raise StaleToken(self._resource, self._token, newest)

    def _execute(self, cursor: C, statement: str) -> None:
        values: dict[str, str | int] = {"token": self._token, "resource": self._resource}
        fields = [name for _, name, _, _ in Formatter().parse(statement) if name]
        mark = MARKS[self._style]
        sql = statement.format(**{name: mark.format(name) for name in fields})
        if "{}" in mark:
            cursor.execute(sql, {name: values[name] for name in fields})
        else:
            cursor.execute(sql, tuple(values[name] for name in fields))

    def _prepare(self) -> None:
        """See to it that the table and the row are there, so that a claim is one statement that locks the row."""
        try:
            self._create()
        except Exception:  # noqa: BLE001  # each driver has its own: two have created it at once, so now it is there
            self._create()

    def _create(self) -> None:
        with self._atomic() as cursor:
            cursor.execute(CREATE)
            self._execute(cursor, NEWEST)
            if cursor.fetchone() is None:
                self._execute(cursor, FIRST)

    @contextmanager
    def _atomic(self) -> Iterator[C]:
        with closing(self._connection.cursor()) as cursor:
            if self._begin:
                cursor.execute(self._begin)
            try:
                yield cursor
            except BaseException:
                self._end(cursor, "ROLLBACK")
                raise
            self._end(cursor, "COMMIT")

    def _end(self, cursor: C, how: str) -> None:
        """End as it was begun: in autocommit mode some drivers' own `commit` and `rollback` do nothing."""
        if self._begin:
            cursor.execute(how)
        elif how == "COMMIT":
            self._connection.commit()
        else:
            self._connection.rollback()


@attrs.frozen
class _Mark:
    """What a fenced file's side file says."""

    token: int
    size: int
    """How much of the file was written in full; `ANY_SIZE`: all of it."""


ANY_SIZE = -1
UNMARKED = _Mark(0, ANY_SIZE)
MARK_WORDS = 4
MARK_HEAD = "swimstream-fence"


class FencedFile:
    """One writer's way into a file. Blocks on the disk; one thread at a time.

    All writers must go through one of these. Beside `path` it keeps `path.lock`, held by `flock` during each write, and
    `path.fence`: the highest token, and how much of the file was written in full. Whatever lies behind that is the torn
    end of a write during which somebody died; the next write removes it. A process that dies lets go of the lock; one
    that stands still during a write holds up the others, and cannot be overtaken.

    Across machines it is as good as `flock` of the file system that they share.
    """

    def __init__(self, path: str | os.PathLike[str], *, token: int) -> None:
        """Prepare; raise `UsageError` for a bad token."""
        self._path = Path(path)
        _check_claim(str(path), token)
        self._token = token
        self._fence = self._path.with_name(self._path.name + ".fence")
        self._lock = self._path.with_name(self._path.name + ".lock")

    def claim(self) -> None:
        """Refuse older tokens from here on, and remove the torn end of an unfinished write. Raise as `append` does."""
        with self._claimed():
            pass

    def append(self, data: bytes) -> None:
        """Add `data`; on disk when this returns, and after a crash either all of it or nothing is there.

        Raise `StaleToken` if a higher token has written, `StorageError` if the side file is damaged.
        """
        with self._claimed() as size, self._path.open("ab") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            self._mark(_Mark(self._token, size + len(data)))

    def replace(self, data: bytes) -> None:
        """Make `data` the whole content: on disk when this returns, after a crash the old or the new.

        Raises as `append` does.
        """
        with self._claimed():
            # any size is right from here to the end, since the file is whole before and after it is replaced
            self._mark(_Mark(self._token, ANY_SIZE))
            _replace(self._path, data)
            self._mark(_Mark(self._token, len(data)))

    @contextmanager
    def _claimed(self) -> Iterator[int]:
        """Hold the lock with the token raised and the file whole; give the file's size."""
        with self._lock.open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # until it is closed
            mark = self._read_mark()
            if mark.token > self._token:
                raise StaleToken(str(self._path), self._token, mark.token)
            size = self._path.stat().st_size if self._path.exists() else 0
            if mark.size != ANY_SIZE:
                if size < mark.size:
                    raise StorageError(
                        f"{self._path}: expected {mark.size} B as {self._fence.name} says, found {size}; somebody has "
                        f"changed it without the fence. Remove {self._fence.name} to go on with what is there"
                    )
                if size > mark.size:
                    os.truncate(self._path, mark.size)
                    size = mark.size
            if mark.token < self._token or mark.size == ANY_SIZE:
                self._mark(_Mark(self._token, size))
            yield size

    def _read_mark(self) -> _Mark:
        try:
            text = self._fence.read_text(encoding="ascii", errors="replace")
        except FileNotFoundError:
            return UNMARKED
        words = text.split()
        with suppress(ValueError):
            if len(words) == MARK_WORDS and _mark_text(int(words[1]), int(words[2])) == text:
                return _Mark(int(words[1]), int(words[2]))
        raise StorageError(
            f"{self._fence}: damaged, so the highest token is unknown and nothing is written. When no older writer can "
            f"be alive any more, remove it"
        )

    def _mark(self, mark: _Mark) -> None:
        _replace(self._fence, _mark_text(mark.token, mark.size).encode("ascii"))


def _mark_text(token: int, size: int) -> str:
    said = f"{MARK_HEAD} {token} {size}"
    return f"{said} {zlib.crc32(said.encode('ascii')):08x}\n"


def _replace(path: Path, data: bytes) -> None:
    """Put `data` in the place of `path`, durably. For who holds the lock."""
    temporary = path.with_name(path.name + ".new")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _check_claim(resource: str, token: object) -> None:
    if not 1 <= len(resource) <= RESOURCE_CHARS_MAX:
        raise UsageError(f"resource: expected 1 to {RESOURCE_CHARS_MAX} characters, got {len(resource)}")
    if isinstance(token, bool) or not isinstance(token, int) or not 0 < token <= TOKEN_MAX:
        raise UsageError(f"token: expected an integer from 1 to {TOKEN_MAX}, such as ctx.epoch, got {token!r}")


def _first(row: object) -> int | None:
    """Return the first column of a row, in whatever shape the connection gives rows; None without a row."""
    if row is None:
        return None
    return next(iter(row.values())) if isinstance(row, Mapping) else cast("Sequence[int]", row)[0]


def _modules_of(connection: object) -> Iterator[str]:
    """Yield the names of the packages that the connection's class comes from, the class itself first."""
    for each in type(connection).__mro__:
        yield each.__module__.partition(".")[0].removeprefix("_")


def _paramstyle_of(connection: object) -> str:
    for name in _modules_of(connection):
        style = getattr(sys.modules.get(name), "paramstyle", None)
        if isinstance(style, str):
            return style
    raise UsageError(f"paramstyle: expected one of {', '.join(MARKS)}, since {type(connection)} does not tell")


def _begin_of(connection: object) -> str:
    """Return what opens a transaction, empty if the driver does it before the first statement."""
    modules = tuple(_modules_of(connection))
    if "sqlite3" in modules:
        is_plain = getattr(connection, "isolation_level", "") is None or getattr(connection, "autocommit", -1) is True
        return "BEGIN IMMEDIATE" if is_plain else ""
    if "duckdb" in modules:
        return "BEGIN"
    told = getattr(connection, "autocommit", False)
    if callable(told):  # PyMySQL and mysqlclient: a method that sets it
        ask = getattr(connection, "get_autocommit", None)
        told = ask() if callable(ask) else False
    return "BEGIN" if told is True else ""
