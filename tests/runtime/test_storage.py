"""What was written is there after every kind of end, and what cannot be trusted is refused, never reset."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swimstream.core.effects import BootRecord, EntriesRecord, PeersRecord, Record, Saved, SnapshotRecord, VoteRecord
from swimstream.errors import StorageError, UsageError
from swimstream.model.changes import Assign, Entry, Found, Noop, Seat, SubmitJob
from swimstream.model.identity import Address, InstanceId, Run
from swimstream.model.job import JobSpec, OperatorSpec
from swimstream.model.plan import Plan
from swimstream.runtime.state_lock import LOCK_NAME
from swimstream.runtime.storage import FILE_NAME, MemoryStorage, Storage, _read_vote
from swimstream.wire.cbor import encode_item
from tests import strategies

if TYPE_CHECKING:
    from collections.abc import Iterator

BOOT = 1_700_000_000_000
FOUNDED = Entry(index=1, term=1, change=Found(cluster_id=9, council=(Seat("a", 1),)))
JOB = JobSpec(name="flights", operators=(OperatorSpec(name="read", kind="source", parameters={"rates": (1, 2.5)}),))
SUBMITTED = Entry(index=2, term=1, change=SubmitJob(job=JOB))
ASSIGNED = Entry(
    index=3,
    term=2,
    change=Assign(
        instance=InstanceId("flights", "read", 0),
        run=Run("a", 1),
        failures=0,
        resume_from=b"\x00at",
        reason="job accepted",
        evidence=("a: 1",),
    ),
)
LOG = (FOUNDED, SUBMITTED, ASSIGNED)


def saved_after(state_dir: Path, records: list[Record]) -> Saved:
    storage = Storage.open(state_dir, boot=BOOT)
    storage.write(records)
    storage.close()
    return reopened(state_dir)


def reopened(state_dir: Path) -> Saved:
    storage = Storage.open(state_dir, boot=BOOT + 1)
    try:
        return storage.load()
    finally:
        storage.close()


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    opened = Storage.open(tmp_path / "state", boot=BOOT)
    yield opened
    opened.close()


def test_a_new_directory_is_created_and_empty(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path / "not" / "yet", boot=BOOT)
    assert storage.load() == Saved(voter=BOOT)
    storage.close()


def test_the_newest_addresses_of_members_are_there_after_a_close(tmp_path: Path) -> None:
    first, second = PeersRecord((Address("10.0.0.1", 7_946),)), PeersRecord((Address("::1", 1), Address("10.0.0.2", 2)))
    assert saved_after(tmp_path, [first, second]).peers == second.addresses


def test_the_newest_boot_is_there_after_a_close(tmp_path: Path) -> None:
    assert saved_after(tmp_path, [BootRecord(7), BootRecord(9)]).boot == 9


def test_the_voter_is_the_boot_that_created_the_memory(tmp_path: Path) -> None:
    assert saved_after(tmp_path, []).voter == BOOT


def test_everything_written_is_there_after_a_close(tmp_path: Path) -> None:
    saved = saved_after(tmp_path, [VoteRecord(7, "b", 9), EntriesRecord(1, LOG)])
    assert saved == Saved(voter=BOOT, vote=VoteRecord(7, "b", 9), entries=LOG)


def test_a_vote_that_an_older_version_wrote_names_nobodys_memory() -> None:
    assert _read_vote(encode_item([7, "b"])) == VoteRecord(7, "b", 0)


def test_the_last_vote_counts(storage: Storage) -> None:
    storage.write([VoteRecord(7, "b")])
    storage.write([VoteRecord(8, ""), VoteRecord(8, "c")])
    assert storage.load().vote == VoteRecord(8, "c")


def test_entries_from_first_on_are_replaced(storage: Storage) -> None:
    other = Entry(index=2, term=3, change=Noop())
    storage.write([EntriesRecord(1, LOG), EntriesRecord(2, (other,))])
    assert storage.load().entries == (FOUNDED, other)


def test_entries_can_be_dropped_without_a_successor(storage: Storage) -> None:
    storage.write([EntriesRecord(1, LOG)])
    storage.write([EntriesRecord(3, ())])
    assert storage.load().entries == LOG[:2]


def test_a_snapshot_replaces_what_it_covers(storage: Storage) -> None:
    plan = Plan().advance(LOG[:2])
    storage.write([EntriesRecord(1, LOG), SnapshotRecord(plan, keeps_tail=True)])
    saved = storage.load()
    assert (saved.plan, saved.entries) == (plan, (ASSIGNED,))


def test_a_snapshot_far_ahead_leaves_no_entry(storage: Storage) -> None:
    storage.write([EntriesRecord(1, LOG[:1]), SnapshotRecord(Plan().advance(LOG), keeps_tail=True)])
    assert storage.load().entries == ()


def test_entries_follow_on_a_snapshot(tmp_path: Path) -> None:
    plan = Plan().advance(LOG[:2])
    assert saved_after(tmp_path, [SnapshotRecord(plan, keeps_tail=True), EntriesRecord(3, (ASSIGNED,))]).entries == (
        ASSIGNED,
    )


def test_files_copied_from_under_a_running_worker_hold_every_write_that_returned(
    storage: Storage, tmp_path: Path
) -> None:
    for number in range(1, 30):
        storage.write([VoteRecord(number, "b"), EntriesRecord(number, (Entry(index=number, term=1, change=Noop()),))])
    shutil.copytree(tmp_path / "state", tmp_path / "copy")
    saved = reopened(tmp_path / "copy")
    assert saved == storage.load()
    assert (saved.vote.term, len(saved.entries)) == (29, 29)


def test_a_killed_process_leaves_every_write_that_returned(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from swimstream.core.effects import VoteRecord\n"
        "from swimstream.runtime.storage import Storage\n"
        "storage = Storage.open(Path(sys.argv[1]), boot=5)\n"
        "storage.write([VoteRecord(3, 'c')])\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False, timeout=60).returncode == -9
    assert reopened(tmp_path) == Saved(voter=5, vote=VoteRecord(3, "c"))


def cut_short(state_dir: Path) -> None:
    """Cut the end off the write-ahead log."""
    log = state_dir / (FILE_NAME + "-wal")
    log.write_bytes(log.read_bytes()[:-100])


def test_a_torn_tail_of_the_log_costs_the_last_write_only(storage: Storage, tmp_path: Path) -> None:
    """Which was never acknowledged: the process died in the midst of it."""
    storage.write([VoteRecord(1, "b")])
    mark = (tmp_path / "state" / LOCK_NAME).read_bytes()
    storage.write([VoteRecord(2, "b")])
    shutil.copytree(tmp_path / "state", tmp_path / "copy")
    cut_short(tmp_path / "copy")
    (tmp_path / "copy" / LOCK_NAME).write_bytes(mark)
    assert reopened(tmp_path / "copy").vote == VoteRecord(1, "b")


def test_a_torn_tail_of_an_acknowledged_write_is_refused(storage: Storage, tmp_path: Path) -> None:
    for term in (1, 2):
        storage.write([VoteRecord(term, "b")])
    shutil.copytree(tmp_path / "state", tmp_path / "copy")
    cut_short(tmp_path / "copy")
    with pytest.raises(StorageError, match="has write 1, but 2 was acknowledged"):
        reopened(tmp_path / "copy")


def test_a_log_that_was_left_behind_when_the_rest_was_copied_is_missed(storage: Storage, tmp_path: Path) -> None:
    storage.write([VoteRecord(1, "b")])
    shutil.copytree(tmp_path / "state", tmp_path / "copy", ignore=shutil.ignore_patterns("*-wal"))
    with pytest.raises(StorageError, match=r"was acknowledged\); restore the whole state directory"):
        reopened(tmp_path / "copy")


def test_an_older_file_beside_a_newer_mark_is_refused(tmp_path: Path) -> None:
    saved_after(tmp_path, [VoteRecord(1, "b")])
    older = (tmp_path / FILE_NAME).read_bytes()
    saved_after(tmp_path, [VoteRecord(2, "b")])
    (tmp_path / FILE_NAME).write_bytes(older)
    with pytest.raises(StorageError, match="acknowledged"):
        reopened(tmp_path)


@pytest.mark.parametrize("mark", [b"", b"half", bytes(16), b"\xff" * 16, b"\0" * 4_096])
def test_a_mark_that_a_power_failure_took_accuses_nobody(tmp_path: Path, mark: bytes) -> None:
    saved = saved_after(tmp_path, [VoteRecord(1, "b"), EntriesRecord(1, LOG)])
    (tmp_path / LOCK_NAME).write_bytes(mark)
    assert reopened(tmp_path) == saved


def test_a_file_from_before_writes_were_numbered_is_read_and_goes_on(tmp_path: Path) -> None:
    saved = saved_after(tmp_path, [VoteRecord(1, "b"), EntriesRecord(1, LOG)])
    tamper(tmp_path, "DELETE FROM state WHERE name = 'writes'")
    (tmp_path / LOCK_NAME).write_bytes(b"")
    assert reopened(tmp_path) == saved
    assert saved_after(tmp_path, [VoteRecord(2, "c")]).vote == VoteRecord(2, "c")
    assert (tmp_path / LOCK_NAME).stat().st_size > 0


def test_a_write_that_fails_halfway_leaves_nothing_of_itself(storage: Storage, tmp_path: Path) -> None:
    gap = EntriesRecord(5, (FOUNDED,))
    with pytest.raises(AssertionError):
        storage.write([VoteRecord(9, "z"), gap])
    storage.close()
    assert reopened(tmp_path / "state").vote == VoteRecord(0, "")


def test_after_a_failed_write_nothing_is_written_any_more(storage: Storage) -> None:
    with pytest.raises(AssertionError):
        storage.write([EntriesRecord(5, (FOUNDED,))])
    with pytest.raises(StorageError, match="restart the worker"):
        storage.write([VoteRecord(1, "a")])


def test_a_second_opener_is_refused_and_told_why(storage: Storage, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"state_dir: .* running worker holds"):
        Storage.open(tmp_path / "state", boot=BOOT)
    storage.write([VoteRecord(1, "a")])


def test_a_second_process_is_refused(storage: Storage, tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from swimstream.runtime.storage import Storage\n"
        "Storage.open(Path(sys.argv[1]), boot=5)\n"
    )
    assert storage.load().voter == BOOT
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "state")], check=False, capture_output=True, text=True, timeout=60
    )
    assert "UsageError: state_dir" in done.stderr


def test_a_closed_directory_is_free_again(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path, boot=BOOT)
    storage.close()
    storage.close()
    with pytest.raises(StorageError, match="closed"):
        storage.write([])
    with pytest.raises(StorageError, match="closed"):
        storage.load()
    assert reopened(tmp_path).voter == BOOT


def test_a_refused_file_leaves_the_directory_free(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"")
    for _ in range(2):
        with pytest.raises(StorageError):
            Storage.open(tmp_path, boot=BOOT)


@pytest.mark.parametrize("content", [b"", b"x" * 50, b"not a database" * 100], ids=["empty", "short", "text"])
def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(StorageError, match=f"{FILE_NAME}: damaged .*move it away"):
        Storage.open(tmp_path, boot=BOOT)
    assert (tmp_path / FILE_NAME).read_bytes() == content


def test_a_file_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE_NAME) as foreign:
        foreign.execute("CREATE TABLE theirs (x)")
    foreign.close()
    before = (tmp_path / FILE_NAME).read_bytes()
    with pytest.raises(StorageError, match="choose another state_dir"):
        Storage.open(tmp_path, boot=BOOT)
    assert (tmp_path / FILE_NAME).read_bytes() == before


def test_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    saved_after(tmp_path, [])
    tamper(tmp_path, "PRAGMA user_version = 2")
    with pytest.raises(StorageError, match="expected format 1, got 2"):
        Storage.open(tmp_path, boot=BOOT)


def tamper(state_dir: Path, *statements: str) -> None:
    connection = sqlite3.connect(state_dir / FILE_NAME)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE state SET body = x'8201616e' WHERE name = 'vote'",
        "UPDATE state SET body = 7 WHERE name = 'plan'",
        "UPDATE entries SET body = x'8301018102' WHERE position = 2",
        "UPDATE entries SET position = 4 WHERE position = 3",
        "DELETE FROM state WHERE name = 'vote'",
        "DELETE FROM state WHERE name = 'voter'",
        "DELETE FROM entries WHERE position = 2",
        "DROP TABLE entries",
    ],
)
def test_rows_that_we_did_not_write_are_refused(tmp_path: Path, statement: str) -> None:
    saved_after(tmp_path, [EntriesRecord(1, LOG)])
    tamper(tmp_path, statement)
    storage = Storage.open(tmp_path, boot=BOOT)
    with pytest.raises(StorageError, match=FILE_NAME):
        storage.load()
    storage.close()


def test_a_flipped_bit_anywhere_never_changes_what_is_loaded(tmp_path: Path) -> None:
    saved = saved_after(
        tmp_path, [VoteRecord(7, "b"), EntriesRecord(1, LOG), SnapshotRecord(Plan().advance(LOG[:2]), keeps_tail=True)]
    )
    whole = (tmp_path / FILE_NAME).read_bytes()
    outcomes = set()
    for position in range(0, len(whole), 61):
        broken = bytearray(whole)
        broken[position] ^= 0x10
        (tmp_path / FILE_NAME).write_bytes(broken)
        try:
            assert reopened(tmp_path) == saved
            outcomes.add("same")
        except StorageError:
            outcomes.add("refused")
    assert outcomes == {"same", "refused"}


def test_a_schema_whose_words_are_no_text_any_more_is_refused_or_does_no_harm(tmp_path: Path) -> None:
    saved = saved_after(tmp_path, [VoteRecord(7, "b")])
    whole = (tmp_path / FILE_NAME).read_bytes()
    begin, end = whole.index(b"CREATE TABLE"), whole.rindex(b"CREATE TABLE")
    for position in range(begin, end):
        broken = bytearray(whole)
        broken[position] |= 0x80
        (tmp_path / FILE_NAME).write_bytes(broken)
        try:
            assert reopened(tmp_path) == saved
        except StorageError as error:
            assert "damaged" in str(error) or "cannot be read" in str(error), position


FILES = [FILE_NAME, FILE_NAME + "-wal", LOCK_NAME]


@cache
def killed() -> tuple[dict[str, bytes], Saved]:
    """Return the files that a killed process has left behind, and what they hold: part of it is in the log only."""
    with TemporaryDirectory() as name:
        state_dir = Path(name)
        saved_after(state_dir, [EntriesRecord(1, LOG), VoteRecord(2, "a")])
        storage = Storage.open(state_dir, boot=BOOT)
        for term in (3, 4, 5):
            storage.write([VoteRecord(term, "b")])
        storage.write([SnapshotRecord(Plan().advance(LOG[:2]), keeps_tail=True)])
        storage.write([VoteRecord(6, "c"), EntriesRecord(4, (Entry(index=4, term=6, change=Noop()),))])
        files = {name: (state_dir / name).read_bytes() for name in FILES}
        saved = storage.load()
        storage.close()
    return files, saved


@st.composite
def damages(draw: st.DrawFn) -> dict[str, bytes]:
    """Draw what is left of those files after some bytes of one were flipped, or its end was lost, or all of it."""
    files = dict(killed()[0])
    name = draw(st.sampled_from(FILES))
    whole = bytearray(files[name])
    for position, flip in draw(st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(1, 255)), max_size=4)):
        whole[position] ^= flip
    files[name] = bytes(whole[: draw(st.one_of(st.just(len(whole)), st.integers(0, len(whole))))])
    if draw(st.integers(0, 9)) == 0:
        del files[name]
    return files


@settings(deadline=None, max_examples=200)
@given(damages())
def test_damaged_files_are_refused_with_what_to_do_or_hold_what_they_held(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]
) -> None:
    state_dir = tmp_path_factory.mktemp("state")
    for name, content in files.items():
        (state_dir / name).write_bytes(content)
    try:
        assert reopened(state_dir) == killed()[1]
    except StorageError as error:
        words = ("move it away", "choose another state_dir", "the version of swimstream", "check the disk")
        assert any(word in str(error) for word in words), error


@pytest.mark.parametrize("call", ["os.open", "pathlib.Path.open"])
def test_what_may_not_be_opened_is_refused(tmp_path: Path, call: str) -> None:
    """Mocked, since the superuser, as whom tests may run, may open everything."""
    saved_after(tmp_path, [])
    with (
        patch(call, side_effect=PermissionError(13, "Permission denied")),
        pytest.raises(StorageError, match="Permission denied"),
    ):
        Storage.open(tmp_path, boot=BOOT)


def test_the_advice_tells_what_is_given_up(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"")
    with pytest.raises(StorageError, match=r"never an older copy.*new voter.*old seat will be replaced.*gives up"):
        Storage.open(tmp_path, boot=BOOT)


def test_damage_is_told_in_one_line(tmp_path: Path) -> None:
    saved_after(tmp_path, [EntriesRecord(1, LOG)])
    content = bytearray((tmp_path / FILE_NAME).read_bytes())
    content[4_096 + 7] ^= 0x5A  # the count of fragmented bytes in the header of the second page
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(StorageError) as told:
        Storage.open(tmp_path, boot=BOOT)
    assert "damaged (" in str(told.value)
    assert "\n" not in str(told.value)


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    saved_after(tmp_path, [EntriesRecord(1, LOG)])
    whole = (tmp_path / FILE_NAME).read_bytes()
    for length in (99, 100, 4_096, len(whole) // 2, len(whole) - 1):
        (tmp_path / FILE_NAME).write_bytes(whole[:length])
        with pytest.raises(StorageError):
            reopened(tmp_path)


def test_a_file_gone_missing_beside_its_log_is_not_replaced(storage: Storage, tmp_path: Path) -> None:
    storage.write([VoteRecord(1, "a")])
    shutil.copytree(tmp_path / "state", tmp_path / "copy")
    (tmp_path / "copy" / FILE_NAME).unlink()
    with pytest.raises(StorageError, match="missing"):
        Storage.open(tmp_path / "copy", boot=BOOT)


def test_a_file_that_is_gone_is_not_replaced_where_one_was_written(tmp_path: Path) -> None:
    saved_after(tmp_path, [VoteRecord(1, "a")])
    (tmp_path / FILE_NAME).unlink()
    with pytest.raises(StorageError, match=f"missing, though {LOCK_NAME} tells of writes"):
        Storage.open(tmp_path, boot=BOOT)


def test_a_creation_that_was_cut_short_is_begun_again(tmp_path: Path) -> None:
    (tmp_path / (FILE_NAME + ".new")).write_bytes(b"half")
    assert saved_after(tmp_path, []).voter == BOOT


def test_a_state_dir_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="state_dir"):
        Storage.open(tmp_path / "file", boot=BOOT)


def test_other_threads_may_write_and_read(storage: Storage) -> None:
    errors: list[BaseException] = []

    def work(first: int) -> None:
        try:
            for number in range(first, first + 10):
                storage.write([VoteRecord(number, "a")])
                storage.load()
        except BaseException as error:  # noqa: BLE001 - told by the test's thread
            errors.append(error)

    threads = [threading.Thread(target=work, args=(first,)) for first in (0, 100, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


@st.composite
def histories(draw: st.DrawFn) -> list[Record]:
    """Draw records as a follower makes them: appends, rewrites of the tail, snapshots of a prefix, votes."""
    records: list[Record] = []
    plan = Plan()
    log: list[Entry] = []
    for _ in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from(["vote", "append", "append", "rewrite", "snapshot"]))
        if kind == "vote":
            records.append(VoteRecord(draw(strategies.counters), draw(st.sampled_from(["", "a", "b"]))))
        elif kind == "snapshot":
            keep = draw(st.integers(0, len(log)))
            keeps_tail = draw(st.booleans())
            plan, log = plan.advance(log[:keep]), log[keep:] if keeps_tail else []
            records.append(SnapshotRecord(plan, keeps_tail))
        else:
            keep = draw(st.integers(0, len(log))) if kind == "rewrite" else len(log)
            log = log[:keep]
            after = (log[-1].index, log[-1].term) if log else (plan.index, plan.term)
            new = draw(strategies.entry_lists(after=after, size_max=3))
            log = [*log, *new]
            records.append(EntriesRecord(after[0] + 1, new))
    return records


@settings(deadline=None, max_examples=40)
@given(histories())
def test_disk_and_memory_remember_the_same(tmp_path_factory: pytest.TempPathFactory, records: list[Record]) -> None:
    memory = MemoryStorage(BOOT)
    memory.write(records)
    assert saved_after(tmp_path_factory.mktemp("state"), records) == memory.load()
    memory.close()
