"""What waits for a worker that does not read stays small, and says what it has lost."""

from __future__ import annotations

import copy
import pickle
from types import MappingProxyType
from typing import TYPE_CHECKING

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swimstream.core.effects import KeepWarm, RenewFence, StopInstance
from swimstream.events import LeaderChanged, TagsChanged
from swimstream.model.identity import InstanceId, Run
from swimstream.runtime.peer_link import Frames, News, encode
from swimstream.runtime.peer_news import NewsDesk, Orders
from swimstream.runtime.subscriptions import EVENTS_QUEUED_MAX
from swimstream.runtime.view import View
from tests.runtime.stage import INSTANCE, start

if TYPE_CHECKING:
    from swimstream.runtime.peer_link import Order

OTHER = InstanceId("job", "count", 1)
VIEW = View(run=Run("w1", 1))


def take(desk: NewsDesk) -> News:
    news = desk.take()
    assert news is not None
    return news


def test_of_views_only_the_newest_is_told_and_none_twice() -> None:
    desk = NewsDesk(VIEW)
    for number in range(1, 5):
        desk.view_changed(attrs.evolve(VIEW, counters={"packets_sent": number}))
    changes = take(desk).view
    assert changes is not None
    assert changes.apply(VIEW).counters == {"packets_sent": 4}
    assert desk.take() is None


def test_events_keep_their_order_and_the_oldest_give_way_and_are_counted() -> None:
    desk = NewsDesk(VIEW)
    events = [LeaderChanged("w1", term) for term in range(EVENTS_QUEUED_MAX + 7)]
    for event in events:
        desk.told(event)
    news = take(desk)
    assert (news.lost, list(news.events)) == (7, events[7:])
    desk.told(events[0])
    assert take(desk).lost == 0


def test_the_read_only_tables_of_tags_reach_the_worker_as_what_they_are() -> None:
    tags = MappingProxyType({"disk": "ssd"})
    desk = NewsDesk(VIEW)
    desk.view_changed(attrs.evolve(VIEW, tags={"w1": tags}))
    desk.told(TagsChanged(VIEW.run, tags))
    sent = take(desk)
    (arrived,) = Frames().feed(encode(sent))
    assert arrived == sent
    assert isinstance(arrived, News)
    assert arrived.view is not None
    assert isinstance(arrived.view.apply(VIEW).tags["w1"], MappingProxyType)


@pytest.mark.parametrize("name", [OTHER, Run("w1", 1)])
def test_a_name_is_hashed_anew_in_the_other_process_whose_salt_is_another(name: InstanceId | Run) -> None:
    expected = hash(name)
    copied = copy.copy(name)
    object.__setattr__(copied, "_attrs_cached_hash", expected + 1)  # as another salt would have it
    assert hash(copied) == expected + 1
    assert hash(pickle.loads(pickle.dumps(copied))) == expected


def test_answers_wait_for_as_long_as_it_takes() -> None:
    desk = NewsDesk(VIEW)
    desk.answered(1, "")
    desk.answered(2, "no")
    assert take(desk).answers == ((1, ""), (2, "no"))


def orders_of(*orders: Order) -> tuple[Order, ...]:
    waiting = Orders()
    for order in orders:
        waiting.add(order)
    return waiting.take()


def test_a_start_that_never_left_is_overtaken_by_a_newer_one_together_with_its_stop() -> None:
    other, newer = start(3, instance=OTHER), start(8)
    running, never = StopInstance(INSTANCE, 3), StopInstance(INSTANCE, 5)
    assert orders_of(running, start(5), never, other, newer) == (running, other, newer)


def test_of_fences_the_newest_holds_and_stands_behind_the_stops_before_it() -> None:
    stop = StopInstance(INSTANCE, 3)
    assert orders_of(RenewFence(5.0), stop, RenewFence(6.0)) == (stop, RenewFence(6.0))


def test_of_what_to_keep_warm_the_newest_holds_and_stands_behind_the_starts_that_take_it_over() -> None:
    one, none = KeepWarm(((INSTANCE, "k"),)), KeepWarm(())
    assert orders_of(one, start(3), none) == (start(3), none)
    assert orders_of(start(3), StopInstance(INSTANCE, 3), one, start(4)) == (one, start(4))


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from([INSTANCE, OTHER]), st.booleans()), max_size=60))
def test_orders_of_a_worker_that_never_reads_stay_few(moves: list[tuple[InstanceId, bool]]) -> None:
    waiting = Orders()
    for epoch, (instance, stops) in enumerate(moves, start=1):
        waiting.add(start(epoch, instance=instance))
        if stops:
            waiting.add(StopInstance(instance, epoch))
        waiting.add(RenewFence(float(epoch)))
    assert len(waiting.take()) <= 2 * 2 + 1
