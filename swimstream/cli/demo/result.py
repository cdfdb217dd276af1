"""What the sink wrote, compared with what a plain computation expects."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from typing import TYPE_CHECKING

import attrs

from swimstream.cli.demo.data import Row

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@attrs.frozen(kw_only=True)
class Comparison:
    """The verdict. The result is identical if it is the expected rows, each once, and nothing else."""

    rows: tuple[Row, ...]
    """What was written, sorted."""
    lost: int
    """Expected rows that are missing or different."""
    duplicates: int
    """Hours of an airport that were written more than once."""
    unexpected: int
    """Hours of an airport that were written and not expected."""
    stale_writes_refused: int

    @property
    def identical(self) -> bool:
        """Return whether nothing is lost, doubled or made up."""
        return not (self.lost or self.duplicates or self.unexpected)


def compare(database: Path, expected: Sequence[Row], columns: Sequence[str]) -> Comparison:
    """Read the database and compare. A database that is not there or has no rows yet counts as empty."""
    written: list[Row] = []
    refused = 0
    if database.exists():
        with contextlib.closing(sqlite3.connect(database, timeout=5.0)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
            if "rows" in tables:
                written = [tuple(map(str, row)) for row in connection.execute(f"SELECT {', '.join(columns)} FROM rows")]  # noqa: S608  # names of ours
            if "refusals" in tables:
                refused = connection.execute("SELECT count(*) FROM refusals").fetchone()[0]
    written.sort()
    contents = set(written)
    keys = Counter(row[:2] for row in written)
    wanted = {row[:2] for row in expected}
    return Comparison(
        rows=tuple(written),
        lost=sum(row not in contents for row in expected),
        duplicates=sum(count > 1 for count in keys.values()),
        unexpected=sum(key not in wanted for key in keys),
        stale_writes_refused=refused,
    )
