"""Where the result goes: SQLite, with a fence that no stale writer passes.

An operator that was declared dead may still run somewhere. Its epoch is its fencing token: the database remembers the
highest token that has written for an instance and refuses a lower one, in the transaction that would have written
(Kleppmann, Designing Data-Intensive Applications, ch. 8). Rows and position change in one transaction, so a writer
that dies leaves either both or neither.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

import attrs

from flights.columns import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

LOCK_TIMEOUT_S = 5.0

# `rows` has no unique constraint: a row that was written twice must show.
SCHEMA = f"""
CREATE TABLE IF NOT EXISTS rows ({", ".join(f"{column} TEXT NOT NULL" for column in COLUMNS)});
CREATE TABLE IF NOT EXISTS fence (instance TEXT PRIMARY KEY, token INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS refusals (instance TEXT NOT NULL, token INTEGER NOT NULL, highest INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS position (instance TEXT PRIMARY KEY, written INTEGER NOT NULL, ended INTEGER NOT NULL);
"""


class StaleWriter(Exception):
    """A later epoch of this instance has written already; this one must stop."""


@attrs.frozen
class Position:
    """How far the result has come."""

    written: int = 0
    ended: bool = False


class Ledger:
    """One writer's view of the database: an instance in one epoch. Methods block on disk; one thread at a time."""

    def __init__(self, path: Path, *, instance: str, token: int) -> None:
        self._instance = instance
        self._token = token
        self._database = sqlite3.connect(path, timeout=LOCK_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.executescript(SCHEMA)

    def claim(self) -> Position:
        """Raise the fence to this token, so that older writers are refused, and return where to go on."""
        with self._fenced():
            found = self._database.execute(
                "SELECT written, ended FROM position WHERE instance = ?", (self._instance,)
            ).fetchone()
        return Position() if found is None else Position(found[0], bool(found[1]))

    def append(self, rows: Sequence[Sequence[str]], position: Position) -> None:
        """Write rows and the position after them, both or neither. Raise `StaleWriter`."""
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
        highest = self._token
        self._database.execute("BEGIN IMMEDIATE")
        try:
            found = self._database.execute("SELECT token FROM fence WHERE instance = ?", (self._instance,)).fetchone()
            highest = self._token if found is None else found[0]
            if highest > self._token:
                self._database.execute("INSERT INTO refusals VALUES (?, ?, ?)", (self._instance, self._token, highest))
            else:
                self._database.execute("INSERT OR REPLACE INTO fence VALUES (?, ?)", (self._instance, self._token))
                yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")
        if highest > self._token:
            raise StaleWriter(f"{self._instance}: epoch {self._token} is refused, {highest} has written already")
