"""The operator under trial: stamps the time into a file of its own, writes to SQLite with its token, every 10 ms."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import swimstream
from swimstream.fencing import FencedConnection
from swimstream.runtime import clock

if TYPE_CHECKING:
    from collections.abc import Iterator

PERIOD_S = 0.01
LOCK_TIMEOUT_S = 120.0
KIND = "fence.writer"
DATABASE = "rows.sqlite"
SCHEMA = "CREATE TABLE IF NOT EXISTS rows (number INTEGER PRIMARY KEY AUTOINCREMENT, token INTEGER, at REAL)"


@swimstream.operator(KIND, isolation="process")
def write(ctx: swimstream.OperatorContext) -> None:
    """Write until asked to stop. What was attempted is stamped apart from what the database has taken."""
    directory = Path(str(ctx.parameters["directory"]))
    name = directory / f"{ctx.epoch}.{os.getpid()}.{ctx.worker}.stamps"
    stamps = os.open(name, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    with closing(sqlite3.connect(directory / DATABASE, timeout=LOCK_TIMEOUT_S)) as database:
        fence = FencedConnection(database, resource=str(ctx.instance), token=ctx.epoch)
        try:
            for at in _ticks(ctx):
                os.write(stamps, f"{at!r}\n".encode())
                with fence.transaction() as cursor:
                    cursor.execute("INSERT INTO rows (token, at) VALUES (?, ?)", (ctx.epoch, at))
        except swimstream.StaleToken:
            os.write(stamps, b"refused\n")
            raise


def prepare(directory: Path) -> None:
    """Make the database."""
    with closing(sqlite3.connect(directory / DATABASE)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute(SCHEMA)
        database.commit()


def tokens(directory: Path) -> list[int]:
    """Return the tokens of all rows, in the order in which they were committed."""
    with closing(sqlite3.connect(directory / DATABASE)) as database:
        return [token for (token,) in database.execute("SELECT token FROM rows ORDER BY number")]


def _ticks(ctx: swimstream.OperatorContext) -> Iterator[float]:
    while not ctx.wait_cancelled(PERIOD_S):
        yield clock.now()
