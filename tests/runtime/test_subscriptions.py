"""Readers of events: bounded, told what they lost, in threads and in loops."""

from __future__ import annotations

import asyncio
import threading

import pytest
import trio

from swimstream.errors import UsageError, WorkerStopped
from swimstream.events import Event, EventsLost, LeaderChanged
from swimstream.runtime.subscriptions import Subscriptions


def news(term: int) -> Event:
    return LeaderChanged("a", term)


def test_a_reader_gets_events_in_order_from_the_moment_it_subscribed() -> None:
    hub = Subscriptions()
    hub.publish(news(1))
    with hub.subscribe() as reader:
        hub.publish(news(2))
        hub.publish(news(3))
        assert [reader.take(60), reader.take(60)] == [news(2), news(3)]


def test_a_slow_reader_loses_the_oldest_and_is_told_how_many() -> None:
    hub = Subscriptions()
    with hub.subscribe(queued_max=3) as reader:
        for term in range(10):
            hub.publish(news(term))
        assert reader.take(60) == EventsLost(7)
        assert [reader.take(60) for _ in range(3)] == [news(7), news(8), news(9)]
    assert hub.events_dropped == 7


def test_a_slow_reader_costs_a_fast_one_nothing() -> None:
    hub = Subscriptions()
    with hub.subscribe(queued_max=1), hub.subscribe() as fast:
        for term in range(5):
            hub.publish(news(term))
        assert fast.drain() == [news(term) for term in range(5)]


def test_iteration_ends_with_the_worker_after_what_was_queued() -> None:
    hub = Subscriptions()
    reader = hub.subscribe()
    hub.publish(news(1))
    hub.end()
    assert list(reader) == [news(1)]
    with pytest.raises(WorkerStopped):
        hub.subscribe()


def test_a_thread_that_waits_is_woken_by_an_event() -> None:
    hub = Subscriptions()
    heard: list[object] = []
    reader = hub.subscribe()
    thread = threading.Thread(target=lambda: heard.extend(reader))
    thread.start()
    hub.publish(news(1))
    hub.end()
    thread.join(60)
    assert heard == [news(1)]


def test_a_thread_that_waits_is_woken_by_a_close() -> None:
    hub = Subscriptions()
    reader = hub.subscribe()
    thread = threading.Thread(target=lambda: list(reader))
    thread.start()
    reader.close()
    thread.join(60)
    assert not thread.is_alive()


async def test_a_trio_task_that_waits_is_woken_from_another_thread() -> None:
    hub = Subscriptions()
    with hub.subscribe() as reader, trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, hub.publish, news(1))
            async for event in reader:
                assert event == news(1)
                break


async def test_a_cancelled_wait_loses_no_event() -> None:
    hub = Subscriptions()
    with hub.subscribe() as reader:
        with trio.move_on_after(0):
            await anext(reader)
        hub.publish(news(1))
        assert await anext(reader) == news(1)


def test_an_asyncio_task_that_waits_is_woken_from_another_thread() -> None:
    hub = Subscriptions()

    async def main() -> object:
        with hub.subscribe() as reader:
            waiting = asyncio.create_task(anext(reader))
            await asyncio.to_thread(hub.publish, news(1))
            return await asyncio.wait_for(waiting, 60)

    assert asyncio.run(main()) == news(1)


async def test_a_blocking_read_inside_a_loop_is_refused() -> None:
    with Subscriptions().subscribe() as reader, pytest.raises(UsageError, match="async for"):
        next(reader)


def test_the_number_of_readers_is_bounded() -> None:
    hub = Subscriptions()
    held = [hub.subscribe() for _ in range(256)]
    with pytest.raises(UsageError, match="at most 256"):
        hub.subscribe()
    held[0].close()
    hub.subscribe()
