"""The log against a dumb model, and against the disk that holds its records."""

from __future__ import annotations

from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swimstream.core.council import log as log_module
from swimstream.core.council.log import COMPACT_AFTER, INSTANCES_PER_KEPT, TAIL_KEPT, Log
from swimstream.core.effects import Saved, SnapshotRecord
from swimstream.model.changes import Assign, Change, Entry, SubmitJob
from swimstream.model.identity import Run
from swimstream.model.job import JobSpec, OperatorSpec
from swimstream.model.plan import Plan
from swimstream.wire.plan_codec import encode_entry
from tests.core.council.peers import FakeDisk, entries_of, entry, founding, plan_after, saved_after, seats_of

Terms = list[int]
rising_terms = st.lists(st.integers(1, 4), max_size=6).map(sorted)


def entries_with(terms: Terms, *, first: int = 1) -> list[Entry]:
    """Return the one entry that each index and term has, as in Raft."""
    return [entry(first + position, term) for position, term in enumerate(terms)]


def fresh(terms: Terms) -> Log:
    return Log(saved_after(entries_with(terms), term=0))


def merged(old: list[Entry], given_: list[Entry]) -> list[Entry]:
    """Merge as the paper says it (figure 2, AppendEntries 3 and 4), on plain lists."""
    new = list(old)
    for one in given_:
        place = one.index - 1
        if place < len(new) and new[place].term != one.term:
            del new[place:]
        if place == len(new):
            new.append(one)
    return new


@given(rising_terms, rising_terms, st.integers(0, 6))
def test_merging_does_what_figure_2_of_the_paper_does_on_a_plain_list(old: Terms, new: Terms, start: int) -> None:
    log = fresh(old)
    start = min(start, len(old), len(new))
    given_ = entries_with(new)[start:]
    log.merge(given_)
    assert list(entries_of(log, 1)) == merged(entries_with(old), given_)


@given(rising_terms, rising_terms)
def test_merging_twice_is_merging_once(old: Terms, new: Terms) -> None:
    log = fresh(old)
    log.merge(entries_with(new))
    once = entries_of(log, 1)
    log.records.clear()
    log.merge(entries_with(new))
    assert (entries_of(log, 1), log.records) == (once, [])


@given(rising_terms, st.integers(0, 6))
def test_a_late_append_with_fewer_entries_takes_none_away(terms: Terms, count: int) -> None:
    log = fresh(terms)
    log.merge(entries_with(terms)[:count])
    assert log.last_index == len(terms)


@given(rising_terms, st.integers(0, 8))
def test_the_plan_is_the_committed_entries_applied_in_order(terms: Terms, commit: int) -> None:
    log = fresh(terms)
    log.commit_to(commit)
    assert log.plan == plan_after(entries_with(terms)[:commit])


@pytest.mark.parametrize(("room", "count"), [(1, 1), (2, 2), (2.9, 2), (9, 4)])
def test_a_message_takes_as_many_bytes_of_entries_as_there_is_room_for_and_always_one(room: float, count: int) -> None:
    log = fresh([1, 1, 1, 1])
    size = len(encode_entry(entry(1, 1)))
    with patch.object(log_module, "ENTRIES_BYTES_MAX", room * size):
        assert len(log.entries_from(1, upto=4)) == count
    with patch.object(log_module, "ENTRIES_BYTES_MAX", 0):
        assert len(log.entries_from(1, upto=4)) == 1


def test_what_is_committed_stays_committed_when_told_of_less() -> None:
    log = fresh([1, 1, 1])
    log.commit_to(3)
    log.commit_to(1)
    assert log.commit == 3


def test_what_follows_the_snapshot_on_disk_counts_as_uncommitted() -> None:
    assert fresh([1, 1]).commit == 0


def test_the_council_is_that_of_the_founding_even_before_it_is_committed() -> None:
    log = Log(saved_after([founding("abc")]))
    assert (log.commit, log.council) == (0, seats_of("abc"))


def test_the_council_goes_when_the_founding_is_replaced() -> None:
    log = Log(saved_after([founding("abc")]))
    replacement = Entry(index=1, term=2, change=founding("xyz").change)
    assert log.council == seats_of("abc")
    log.merge([replacement])
    assert log.council == seats_of("xyz")


def test_the_council_survives_compaction() -> None:
    log = grown(COMPACT_AFTER + 10)
    assert (log.base.index > 1, log.council) == (True, seats_of("abc"))


@given(st.tuples(st.integers(0, 3), st.integers(0, 5)), rising_terms)
def test_a_newer_last_term_beats_a_longer_log(candidate: tuple[int, int], terms: Terms) -> None:
    term, index = candidate
    own = (terms[-1] if terms else 0, len(terms))
    assert fresh(terms).is_up_to_date(index, term) == (candidate >= own)


def grown(count: int) -> Log:
    log = Log(saved_after([founding("abc")]))
    log.append(entry(index, 1) for index in range(2, count + 1))
    log.commit_to(count)
    return log


def test_the_tail_of_a_large_plan_is_longer() -> None:
    job = JobSpec(name="job", operators=(OperatorSpec(name="o", kind="k", parallelism=6_000),))
    given_ = [
        Assign(instance=each, run=Run("a", 1), failures=0, resume_from=b"", reason="", evidence=())
        for each in job.instances()
    ]
    changes: list[Change] = [SubmitJob(job=job), *given_]
    entries = [Entry(index=index, term=1, change=change) for index, change in enumerate(changes, start=2)]
    plan = Plan().advance([founding("abc"), *entries])
    log = Log(Saved(voter=1, plan=plan))
    log.append(entry(index, 1) for index in range(plan.index + 1, plan.index + 3_002))
    log.commit_to(plan.index + 3_000)
    assert log.base.index == plan.index
    log.commit_to(plan.index + 3_001)
    assert log.commit - log.base.index == 6_000 // INSTANCES_PER_KEPT


def test_compaction_keeps_a_tail_for_followers_that_are_a_little_behind() -> None:
    log = grown(COMPACT_AFTER + 2)
    assert log.base.index == log.commit - TAIL_KEPT
    assert len(entries_of(log, log.base.index + 1)) == TAIL_KEPT


def test_compaction_touches_nothing_that_is_not_committed() -> None:
    log = Log(saved_after([founding("abc")]))
    log.append(entry(index, 1) for index in range(2, COMPACT_AFTER + 100))
    log.commit_to(COMPACT_AFTER + 50)
    assert (log.last_index, log.commit) == (COMPACT_AFTER + 99, COMPACT_AFTER + 50)


def test_compaction_records_the_plan_as_it_was_at_the_new_beginning() -> None:
    log = grown(COMPACT_AFTER + 2)
    all_entries = [founding("abc"), *(entry(index, 1) for index in range(2, COMPACT_AFTER + 3))]
    assert log.records[-1] == SnapshotRecord(plan_after(all_entries[: log.base.index]), keeps_tail=True)


def test_a_log_is_not_compacted_at_every_commit() -> None:
    log = grown(COMPACT_AFTER + 2)
    log.records.clear()
    log.append([entry(COMPACT_AFTER + 3, 1)])
    log.commit_to(COMPACT_AFTER + 3)
    assert not [record for record in log.records if isinstance(record, SnapshotRecord)]


def test_entries_that_were_compacted_away_have_no_term() -> None:
    log = grown(COMPACT_AFTER + 2)
    assert log.term_at(log.base.index - 1) is None
    assert log.term_at(log.base.index) == 1
    assert log.term_at(log.last_index + 1) is None


def test_merging_skips_what_the_snapshot_holds_already() -> None:
    log = grown(COMPACT_AFTER + 2)
    before = entries_of(log, log.base.index + 1)
    log.merge([founding("abc"), *(entry(index, 1) for index in range(2, COMPACT_AFTER + 4))])
    assert entries_of(log, log.base.index + 1) == (*before, entry(COMPACT_AFTER + 3, 1))


def test_a_snapshot_replaces_a_log_that_conflicts_with_it() -> None:
    log = fresh([1, 1, 1, 1])
    plan = plan_after(entries_with([1, 1, 2]))
    log.install(plan)
    assert (log.commit, log.last_index, log.last_term, log.plan) == (3, 3, 2, plan)


def test_a_snapshot_keeps_the_tail_of_a_log_that_agrees_with_it() -> None:
    """The tail may have been acked to a leader that counts on it (Raft §7)."""
    log = fresh([1, 1, 1, 2])
    log.install(plan_after(entries_with([1, 1, 1])))
    assert (log.commit, entries_of(log, 4)) == (3, (entry(4, 2),))


def test_a_snapshot_may_end_beyond_the_log() -> None:
    log = fresh([1])
    log.install(plan_after(entries_with([1, 1, 2, 2])))
    assert (log.commit, log.last_index, log.last_term) == (4, 4, 2)


# --- the disk -------------------------------------------------------------------------------------

Step = tuple[str, Terms, int]
steps = st.lists(
    st.tuples(st.sampled_from(["merge", "append", "commit", "install"]), rising_terms, st.integers(0, 8)), max_size=12
)


def take_step(log: Log, step: Step) -> None:
    """Do something to the log that Raft could do to it, if it applies at all."""
    what, terms, number = step
    committed = [log.term_at(index) or 0 for index in range(1, log.commit + 1)]
    if what == "append":
        log.append([entry(log.last_index + 1, log.last_term + number % 2)])
    elif what == "commit":
        log.commit_to(number)
    elif what == "merge" and log.base.index == 0:
        new = committed + [term for term in terms if term >= max(committed, default=1)]
        log.merge(entries_with(new))
    elif what == "install" and number > log.commit:
        known = [log.term_at(index) or log.last_term + 1 for index in range(log.commit + 1, number + 1)]
        log.install(log.plan.advance(entries_with(sorted(known), first=log.commit + 1)))


@settings(max_examples=200)
@given(steps)
def test_the_records_always_reproduce_the_log(story: list[Step]) -> None:
    """A restart at any moment between two steps finds the very same log. Compacts early, to see it happen."""
    disk = FakeDisk(Saved(voter=1))
    log = Log(disk.saved())
    for step in story:
        with patch.multiple(log_module, COMPACT_AFTER=3, TAIL_KEPT=1):
            take_step(log, step)
        for record in log.records:
            disk.write(record)
        log.records.clear()
        again = Log(disk.saved())
        assert again.base == log.base
        assert entries_of(again, again.base.index + 1) == entries_of(log, log.base.index + 1)
        assert (again.council, again.last_term) == (log.council, log.last_term)


def test_nothing_that_conflicts_with_a_snapshot_comes_back_from_disk() -> None:
    disk = FakeDisk(saved_after(entries_with([1, 1, 1, 1])))
    log = Log(disk.saved())
    log.install(plan_after(entries_with([1, 1, 2])))
    for record in log.records:
        disk.write(record)
    assert (Log(disk.saved()).last_index, Log(disk.saved()).last_term) == (3, 2)


def test_a_compacted_log_comes_back_from_disk() -> None:
    disk = FakeDisk(saved_after([founding("abc")]))
    log = Log(disk.saved())
    for index in range(2, COMPACT_AFTER + 20):
        log.append([entry(index, 1)])
        log.commit_to(index)
    for record in log.records:
        disk.write(record)
    again = Log(disk.saved())
    assert (again.base, again.last_index, again.council) == (log.base, log.last_index, seats_of("abc"))
    again.commit_to(log.commit)
    assert again.plan == log.plan


def test_equal_entries_make_equal_plans_whatever_the_steps() -> None:
    entries = entries_with([1, 1, 2, 2, 3])
    at_once = Plan().advance(entries)
    one_by_one = Plan()
    for one in entries:
        one_by_one = one_by_one.advance([one])
    assert at_once == one_by_one
