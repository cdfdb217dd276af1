"""Everybody's view of every instance merges like a member record."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swimstream.core.status.table import StatusTable
from swimstream.model.identity import InstanceId, Run
from swimstream.model.plan import Assignment
from swimstream.model.status import InstanceState, InstanceStatus
from swimstream.wire.codec import decode_packet_untrusted, encode_packet
from swimstream.wire.messages import Header, StatusUpdate

if TYPE_CHECKING:
    from random import Random


def status(index: int, epoch: int, seq: int) -> InstanceStatus:
    """Return the one status of that version: its writer follows from the epoch, its content from the version."""
    return InstanceStatus(
        instance=InstanceId("j", "o", index),
        epoch=epoch,
        run=Run("abc"[epoch % 3], 1),
        seq=seq,
        state=InstanceState.RUNNING,
        since_ms=0,
        progress=seq,
    )


STATUSES = st.lists(st.builds(status, st.integers(0, 3), st.integers(1, 4), st.integers(1, 4)), max_size=12)
OWNERS = "abc"


def table_of(statuses: list[InstanceStatus]) -> StatusTable:
    table = StatusTable(Counter())
    for each in statuses:
        table.merge(each)
    return table


@given(STATUSES, st.randoms(use_true_random=False))
def test_the_order_does_not_matter(statuses: list[InstanceStatus], rng: Random) -> None:
    shuffled = sorted(statuses, key=lambda _: rng.random())
    assert table_of(statuses).all() == table_of(shuffled).all()


@given(STATUSES)
def test_repetition_does_not_matter(statuses: list[InstanceStatus]) -> None:
    table = table_of(statuses)
    before = table.all()
    assert [table.merge(each) for each in statuses] == [None] * len(statuses)
    assert table.all() == before


@given(STATUSES)
def test_the_version_rises_with_news_and_with_nothing_else(statuses: list[InstanceStatus]) -> None:
    table = StatusTable(Counter())
    for each in statuses:
        before = table.version
        assert (table.merge(each) is not None) == (table.version > before)


@given(STATUSES)
def test_the_highest_epoch_and_then_the_highest_seq_is_held(statuses: list[InstanceStatus]) -> None:
    table = table_of(statuses)
    for instance in {each.instance for each in statuses}:
        newest = max((each for each in statuses if each.instance == instance), key=lambda each: each.version)
        assert table.get(instance) == newest


@given(STATUSES, st.randoms(use_true_random=False))
def test_equal_sets_have_equal_hashes_whatever_the_way(statuses: list[InstanceStatus], rng: Random) -> None:
    one = table_of(statuses)
    two = table_of(sorted(one.all(), key=lambda _: rng.random()))
    assert [one.hash_of(owner) for owner in OWNERS] == [two.hash_of(owner) for owner in OWNERS]


@given(STATUSES, STATUSES)
def test_different_sets_have_different_hashes(ours: list[InstanceStatus], theirs: list[InstanceStatus]) -> None:
    one, two = table_of(ours), table_of(theirs)
    if one.all() != two.all():
        assert [one.hash_of(owner) for owner in OWNERS] != [two.hash_of(owner) for owner in OWNERS]


@given(STATUSES)
def test_the_fragments_of_all_owners_are_all_the_records(statuses: list[InstanceStatus]) -> None:
    table = table_of(statuses)
    fragments = [fragment for owner in OWNERS for fragment in table.fragments_of(owner)]
    packet = decode_packet_untrusted(encode_packet(Header(0, Run("z", 1)), fragments))
    told = [message.status for message in packet.messages if isinstance(message, StatusUpdate)]
    assert sorted(told, key=lambda each: each.instance) == list(table.all())


def test_an_owner_that_lost_its_last_instance_hashes_as_if_it_never_had_one() -> None:
    table = table_of([status(0, 1, 1), status(0, 2, 1)])
    assert table.hash_of("b") == 0
    assert table.fragments_of("b") == []


def test_records_beyond_the_bound_are_refused_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swimstream.core.status.table.STATUSES_MAX", 2)
    counters: Counter[str] = Counter()
    table = StatusTable(counters)
    for index in range(3):
        table.merge(status(index, 1, 1))
    table.merge(status(0, 2, 1))
    assert [each.version for each in table.all()] == [(2, 1), (1, 1)]
    assert counters["statuses_refused"] == 1


@pytest.mark.parametrize("state", list(InstanceState))
def test_a_copy_has_ended_for_good_only_by_a_final_state_of_that_very_epoch(state: InstanceState) -> None:
    """What is isolated may resume."""
    table = table_of([attrs.evolve(status(0, 5, 1), state=state)])
    told = status(0, 5, 1)
    held = Assignment(instance=told.instance, run=told.run, epoch=5)
    is_final = state in (InstanceState.STOPPED, InstanceState.FINISHED, InstanceState.FAILED)
    assert table.has_ended(held) == is_final
    assert not table.has_ended(attrs.evolve(held, epoch=4))
    assert not table.has_ended(attrs.evolve(held, epoch=6))
    assert not table.has_ended(attrs.evolve(held, instance=status(1, 5, 1).instance))


@given(STATUSES, st.integers(0, 3))
def test_what_is_forgotten_leaves_no_trace_in_hashes_and_fragments(statuses: list[InstanceStatus], index: int) -> None:
    gone = InstanceId("j", "o", index)
    table = table_of(statuses)
    table.forget(gone)
    never = table_of([each for each in statuses if each.instance != gone])
    assert table.all() == never.all()
    for owner in OWNERS:
        assert table.hash_of(owner) == never.hash_of(owner)
        assert table.lasting_hash_of(owner) == never.lasting_hash_of(owner)
        assert table.fragments_of(owner) == never.fragments_of(owner)
    assert table.owners() == never.owners()
