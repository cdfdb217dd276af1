"""Where the result goes: SQLite, with a fence that no stale writer passes.

An operator that was declared dead may still run somewhere. Its epoch is its fencing token: `FencedConnection` refuses
a lower one than has written for the instance, in the transaction that would have written. Rows and position change in
one transaction, so a writer that dies leaves either both or neither.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

import attrs

from flights.columns import COLUMNS
from swimstream import StaleToken
from swimstream.fencing import FencedConnection

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

LOCK_TIMEOUT_S = 5.0

# `rows` has no unique constraint: a row that was written twice must show.
SCHEMA = f"""
CREATE TABLE IF NOT EXISTS rows ({", ".join(f"{column} TEXT NOT NULL" for column in COLUMNS)});
CREATE TABLE IF NOT EXISTS refusals (instance TEXT NOT NULL, token INTEGER NOT NULL, highest INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS position (instance TEXT PRIMARY KEY, written INTEGER NOT NULL, ended INTEGER NOT NULL);
"""


@attrs.frozen
class Position:
    """How far the result has come."""

    written: int = 0
    ended: bool = False


class Ledger:
    """One writer's view of the database: an instance in one epoch. Methods block on disk; one thread at a time."""

    def __init__(self, path: Path, *, instance: str, token: int) -> None:
        self._instance = instance
        self._database = sqlite3.connect(path, timeout=LOCK_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.executescript(SCHEMA)
        self._fence = FencedConnection(self._database, resource=instance, token=token)

    def claim(self) -> Position:
        """Raise the fence to this token, so that older writers are refused, and return where to go on."""
        with self._fenced():
            found = self._database.execute(
                "SELECT written, ended FROM position WHERE instance = ?", (self._instance,)
            ).fetchone()
        return Position() if found is None else Position(found[0], bool(found[1]))

    def append(self, rows: Sequence[Sequence[str]], position: Position) -> None:
        """Write rows and the position after them, both or neither. Raise `StaleToken`."""
        with self._fenced():
            marks = ", ".join("?" * len(COLUMNS))
            self._database.executemany(f"INSERT INTO rows VALUES ({marks})", rows)  # noqa: S608 - marks are "?"
            self._database.execute(
                "INSERT OR REPLACE INTO position VALUES (?, ?, ?)",
                (self._instance, position.written, position.ended),
            )

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    @contextmanager
    def _fenced(self) -> Iterator[None]:
        """Run the block in a transaction that only the newest writer gets. A refusal is counted in the database."""
        try:
            with self._fence.transaction():
                yield
        except StaleToken as stale:
            refusal = (stale.resource, stale.token, stale.newest)
            self._database.execute("INSERT INTO refusals VALUES (?, ?, ?)", refusal)
            raise
