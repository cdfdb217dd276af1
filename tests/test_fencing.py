"""Sinks that refuse a stale token: databases by any driver, and files. By threads, by processes, across crashes."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from swimstream.errors import StaleToken, StorageError, UsageError
from swimstream.fencing import FencedConnection, FencedFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from swimstream.fencing import Parameters

ROOT = Path(__file__).parent.parent
LOCK_TIMEOUT_S = 60.0
TOKENS = range(1, 6)
WRITES = 20

WRITER = """
import sqlite3, sys
from contextlib import closing
from swimstream.errors import StaleToken
from swimstream.fencing import FencedConnection
path, token, writes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with closing(sqlite3.connect(path, timeout=60)) as database:
    fence = FencedConnection(database, resource="rows", token=token)
    try:
        for _ in range(writes):
            with fence.transaction() as cursor:
                cursor.execute("INSERT INTO rows VALUES (?)", (token,))
    except StaleToken:
        pass
"""

FILE_WRITER = """
import sys
from swimstream.errors import StaleToken
from swimstream.fencing import FencedFile
path, token, writes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
try:
    for _ in range(writes):
        FencedFile(path, token=token).append(b"%d\\n" % token)
except StaleToken:
    pass
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "db"
    with closing(sqlite3.connect(made)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE rows (token INTEGER)")
        database.commit()
    return made


@pytest.fixture
def database(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, timeout=LOCK_TIMEOUT_S)) as made:
        yield made


def tokens(path: Path) -> list[int]:
    """Return the tokens of all rows in the order in which they were committed."""
    with closing(sqlite3.connect(path)) as database:
        return [token for (token,) in database.execute("SELECT token FROM rows ORDER BY rowid")]


def write(connection: sqlite3.Connection, token: int, *, begin: str = "") -> None:
    fence = FencedConnection(connection, resource="rows", token=token, begin=begin)
    with fence.transaction() as cursor:
        cursor.execute("INSERT INTO rows VALUES (?)", (token,))


# --- databases --------------------------------------------------------------------------------------------------------


def test_a_lower_token_is_refused_and_has_written_nothing(database: sqlite3.Connection, path: Path) -> None:
    write(database, 7)
    with pytest.raises(StaleToken, match="rows: token 6 is refused, 7 has written already") as caught:
        write(database, 6)
    assert (caught.value.resource, caught.value.token, caught.value.newest) == ("rows", 6, 7)
    assert tokens(path) == [7]


def test_an_equal_token_and_a_higher_one_write(database: sqlite3.Connection, path: Path) -> None:
    for token in (7, 7, 9):
        write(database, token)
    assert tokens(path) == [7, 7, 9]


def test_a_claim_alone_refuses_the_older(database: sqlite3.Connection) -> None:
    with FencedConnection(database, resource="rows", token=7).transaction():
        pass
    with pytest.raises(StaleToken):
        write(database, 6)


def test_resources_have_tokens_of_their_own(database: sqlite3.Connection, path: Path) -> None:
    write(database, 7)
    with FencedConnection(database, resource="others", token=6).transaction() as cursor:
        cursor.execute("INSERT INTO rows VALUES (6)")
    assert tokens(path) == [7, 6]


def test_a_block_that_fails_leaves_neither_rows_nor_token(database: sqlite3.Connection, path: Path) -> None:
    fence = FencedConnection(database, resource="rows", token=9)

    def write_half() -> None:
        with fence.transaction() as cursor:
            for table in ("rows", "nowhere"):
                cursor.execute(f"INSERT INTO {table} VALUES (9)")

    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        write_half()
    write(database, 8)
    assert tokens(path) == [8]


def test_the_check_and_the_write_cannot_be_parted(path: Path) -> None:
    """A newer writer that comes between the check and the write of an older one waits for it."""
    inside, go_on = threading.Event(), threading.Event()

    def older() -> None:
        with closing(sqlite3.connect(path, timeout=LOCK_TIMEOUT_S)) as connection:
            fence = FencedConnection(connection, resource="rows", token=6)
            with fence.transaction() as cursor:
                inside.set()
                assert go_on.wait(LOCK_TIMEOUT_S)
                cursor.execute("INSERT INTO rows VALUES (6)")

    with closing(sqlite3.connect(path, timeout=0.0)) as connection:
        fence = FencedConnection(connection, resource="rows", token=7)
        thread = threading.Thread(target=older)
        thread.start()
        assert inside.wait(LOCK_TIMEOUT_S)
        with pytest.raises(sqlite3.OperationalError, match="locked"), fence.transaction():
            pass
        go_on.set()
        thread.join()
        write(connection, 7)
    assert tokens(path) == [6, 7]


def in_autocommit_mode(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=LOCK_TIMEOUT_S, isolation_level=None)


def in_default_mode(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=LOCK_TIMEOUT_S)


@pytest.mark.parametrize("connect", [in_autocommit_mode, in_default_mode])
def test_of_threads_none_writes_after_a_newer_one(path: Path, connect: Callable[[Path], sqlite3.Connection]) -> None:
    together = threading.Barrier(len(TOKENS))

    def run(token: int) -> None:
        with closing(connect(path)) as connection:
            fence = FencedConnection(connection, resource="rows", token=token)
            together.wait()
            try:
                for _ in range(WRITES):
                    with fence.transaction() as cursor:
                        cursor.execute("INSERT INTO rows VALUES (?)", (token,))
            except StaleToken:
                return

    threads = [threading.Thread(target=run, args=(token,)) for token in TOKENS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tokens(path) == sorted(tokens(path))
    assert tokens(path).count(max(TOKENS)) == WRITES


def test_of_processes_none_writes_after_a_newer_one(path: Path) -> None:
    run_all(WRITER, path)
    assert tokens(path) == sorted(tokens(path))
    assert tokens(path).count(max(TOKENS)) == WRITES


def run_all(script: str, path: Path) -> None:
    """Run one writer for each token, all at once."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    writers = [
        subprocess.Popen([sys.executable, "-c", script, str(path), str(token), str(WRITES)], env=environment)
        for token in TOKENS
    ]
    assert [writer.wait() for writer in writers] == [0] * len(writers)


class Driver:
    """SQLite behind the face of another driver: its style of parameters, and whether it counts rows."""

    def __init__(self, path: Path, *, paramstyle: str, counts: bool = True) -> None:
        self._connection = sqlite3.connect(path)
        self._style = paramstyle
        self._counts = counts

    def cursor(self) -> DriverCursor:
        return DriverCursor(self._connection.cursor(), self._style, counts=self._counts)

    def commit(self) -> None:
        self._connection.commit()

    def rollback(self) -> None:
        self._connection.rollback()

    def close(self) -> None:
        self._connection.close()


class DriverCursor:
    def __init__(self, cursor: sqlite3.Cursor, style: str, *, counts: bool) -> None:
        self._cursor = cursor
        self._style = style
        self._counts = counts

    @property
    def rowcount(self) -> int:
        return self._cursor.rowcount if self._counts else -1

    def execute(self, operation: str, parameters: Parameters = (), /) -> None:
        assert isinstance(parameters, dict) == (self._style in ("named", "pyformat")) or not parameters
        if self._style == "format":
            operation = operation.replace("%s", "?")
        if self._style == "pyformat":
            for name in parameters:
                operation = operation.replace(f"%({name})s", f":{name}")
        self._cursor.execute(operation, parameters)

    def fetchone(self) -> object:
        return self._cursor.fetchone()

    def close(self) -> None:
        self._cursor.close()


@pytest.mark.parametrize("counts", [True, False], ids=["counts", "does not count"])
@pytest.mark.parametrize("style", ["qmark", "format", "named", "pyformat"])
def test_every_style_of_parameters_will_do(path: Path, style: str, counts: bool) -> None:  # noqa: FBT001  # a parameter
    with closing(Driver(path, paramstyle=style, counts=counts)) as driver:
        for token in (6, 7, 7):
            with FencedConnection(driver, resource="rows", token=token, paramstyle=style).transaction():
                pass
        with (
            pytest.raises(StaleToken),
            FencedConnection(driver, resource="rows", token=6, paramstyle=style).transaction(),
        ):
            pass


def test_rows_of_sqlite_will_do(database: sqlite3.Connection) -> None:
    database.row_factory = sqlite3.Row
    write(database, 7)
    with pytest.raises(StaleToken):
        write(database, 6)


def test_another_database_will_do(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    with closing(duckdb.connect(str(tmp_path / "duck"))) as connection:
        connection.execute("CREATE TABLE rows (token BIGINT)")
        for token in (6, 7, 7):
            write(connection, token)
        with pytest.raises(StaleToken, match="token 6 is refused, 7"):
            write(connection, 6)
        assert connection.execute("SELECT token FROM rows").fetchall() == [(6,), (7,), (7,)]


def test_in_another_database_a_writer_of_the_same_moment_writes_nothing(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    with closing(duckdb.connect(str(tmp_path / "duck"))) as connection, closing(connection.cursor()) as other:
        connection.execute("CREATE TABLE rows (token BIGINT)")
        write(connection, 5)
        newer = FencedConnection(other, resource="rows", token=7)
        with newer.transaction() as cursor:
            cursor.execute("INSERT INTO rows VALUES (7)")
            with pytest.raises(duckdb.TransactionException):
                write(connection, 6)
        assert connection.execute("SELECT token FROM rows").fetchall() == [(5,), (7,)]


@pytest.mark.parametrize(
    ("resource", "token", "paramstyle", "complaint"),
    [
        ("", 1, "", "resource: expected 1 to 255 characters, got 0"),
        ("r", 0, "", "token: expected an integer from 1 to"),
        ("r", True, "", "token: expected an integer from 1 to"),
        ("r", 1, "numeric", "paramstyle: expected one of qmark, format, named, pyformat, got 'numeric'"),
    ],
)
def test_what_cannot_be_is_refused(
    database: sqlite3.Connection, resource: str, token: int, paramstyle: str, complaint: str
) -> None:
    with pytest.raises(UsageError, match=complaint):
        FencedConnection(database, resource=resource, token=token, paramstyle=paramstyle)


def test_a_driver_that_does_not_tell_its_style_is_refused(path: Path) -> None:
    with closing(Driver(path, paramstyle="format")) as driver, pytest.raises(UsageError, match="does not tell"):
        FencedConnection(driver, resource="rows", token=1)


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "log"


def test_a_file_refuses_a_lower_token(file: Path) -> None:
    FencedFile(file, token=7).append(b"seven\n")
    for refused in (FencedFile(file, token=6).append, FencedFile(file, token=6).replace):
        with pytest.raises(StaleToken, match="token 6 is refused, 7 has written"):
            refused(b"six\n")
    assert file.read_bytes() == b"seven\n"


def test_a_file_takes_equal_and_higher_tokens(file: Path) -> None:
    FencedFile(file, token=6).append(b"a")
    FencedFile(file, token=6).append(b"b")
    FencedFile(file, token=7).append(b"c")
    assert file.read_bytes() == b"abc"
    FencedFile(file, token=7).replace(b"new")
    FencedFile(file, token=8).append(b"er")
    assert file.read_bytes() == b"newer"


def test_a_claim_of_a_file_refuses_the_older(file: Path) -> None:
    FencedFile(file, token=7).claim()
    with pytest.raises(StaleToken):
        FencedFile(file, token=6).append(b"six")


def test_what_was_in_a_file_before_its_first_fence_stays(file: Path) -> None:
    file.write_bytes(b"old ")
    FencedFile(file, token=1).append(b"new")
    assert file.read_bytes() == b"old new"


def test_of_processes_none_writes_to_a_file_after_a_newer_one(file: Path) -> None:
    run_all(FILE_WRITER, file)
    written = [int(line) for line in file.read_bytes().split()]
    assert written == sorted(written)
    assert written.count(max(TOKENS)) == WRITES


def test_the_torn_end_of_an_unfinished_append_is_removed(file: Path) -> None:
    FencedFile(file, token=6).append(b"whole\n")
    with file.open("ab") as torn:
        torn.write(b"hal")
    FencedFile(file, token=7).append(b"next\n")
    assert file.read_bytes() == b"whole\nnext\n"


@pytest.mark.parametrize("step", range(6))
@pytest.mark.parametrize("how", ["append", "replace"])
def test_a_crash_at_any_step_leaves_all_or_nothing_and_the_token_holds(
    file: Path, monkeypatch: pytest.MonkeyPatch, how: str, step: int
) -> None:
    """Every write and every sync ends with `os.fsync`: the process dies instead of the n-th."""
    FencedFile(file, token=6).append(b"old\n")
    syncs = 0

    def die(_: int) -> None:
        nonlocal syncs
        if syncs == step:
            raise KeyboardInterrupt
        syncs += 1

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", die)
        try:
            getattr(FencedFile(file, token=7), how)(b"new\n")
        except KeyboardInterrupt:
            is_done = False
        else:
            is_done = True
    FencedFile(file, token=8).claim()
    old, new = b"old\n", b"old\nnew\n" if how == "append" else b"new\n"
    assert file.read_bytes() in ((new,) if is_done else (old, new))
    with pytest.raises(StaleToken):
        FencedFile(file, token=7).append(b"late\n")


@pytest.mark.parametrize("damage", [b"", b"swimstream-fence 9", b"swimstream-fence 9 4 00000000\n", b"\xff\x00"])
def test_a_damaged_token_is_detected_and_nothing_is_written(file: Path, damage: bytes) -> None:
    FencedFile(file, token=7).append(b"data")
    file.with_name("log.fence").write_bytes(damage)
    with pytest.raises(StorageError, match=r"log\.fence: damaged, so the highest token is unknown"):
        FencedFile(file, token=8).append(b"more")
    assert file.read_bytes() == b"data"


def test_a_file_that_was_cut_by_somebody_else_is_detected(file: Path) -> None:
    FencedFile(file, token=7).append(b"data")
    file.write_bytes(b"da")
    with pytest.raises(StorageError, match=r"expected 4 B as log\.fence says, found 2"):
        FencedFile(file, token=7).append(b"more")
