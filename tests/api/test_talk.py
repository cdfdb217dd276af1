"""What applications say to each other, on real workers and sockets: from threads, trio and asyncio alike."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest
import trio

from swimstream.errors import DeliveryFailed, UsageError, WorkerStopped
from swimstream.events import BroadcastReceived, Event, EventsLost, MessageReceived, QueryReceived, TagsChanged
from swimstream.model.talk import QueryResult
from swimstream.runtime.replies import Found
from swimstream.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from swimstream.runtime.subscriptions import Subscription
    from swimstream.runtime.view import View

WAIT_S = 90.0
"""Only what hangs takes so long."""


def build(name: str, *, seeds: tuple[Worker, ...] = (), tags: Mapping[str, str] | None = None) -> Worker:
    addresses = [str(each.address) for each in seeds]
    return Worker(name=name, preset="local", seeds=addresses, tags=tags, join_timeout_s=WAIT_S)


def until_view(worker: Worker, condition: Callable[[View], bool]) -> None:
    worker._running().views.when(lambda view: Found(None) if condition(view) else None).wait(WAIT_S)


def until(events: Subscription, kind: type[Event]) -> Event:
    """Return the next event of a kind."""
    while True:
        event = events.take(WAIT_S)
        assert not isinstance(event, EventsLost)
        if isinstance(event, kind):
            return event


@pytest.fixture
def pair() -> Iterator[tuple[Worker, Worker]]:
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(build("a", tags={"role": "edge"}))
        second = stack.enter_context(build("b", seeds=(first,)))
        until_view(first, lambda view: len(view.members) == 2)
        yield first, second


def test_configured_and_changed_tags_are_seen_by_the_others(pair: tuple[Worker, Worker]) -> None:
    first, second = pair
    until_view(second, lambda view: view.tags.get("a") == {"role": "edge"})
    with second.events() as events:
        first.set_tags({"role": None, "disk": "ssd"}).wait(WAIT_S)
        assert first.tags() == {"disk": "ssd"}, "one's own are seen at once"
        while True:
            event = until(events, TagsChanged)
            assert isinstance(event, TagsChanged)
            if event.tags == {"disk": "ssd"}:
                break
    assert second.tags("a") == {"disk": "ssd"}
    assert second.tags() == second.tags("nobody") == {}


def test_a_restarted_worker_begins_with_its_configured_tags(pair: tuple[Worker, Worker]) -> None:
    first, second = pair
    second.set_tags({"mood": "fine"}).wait(WAIT_S)
    until_view(first, lambda view: view.tags.get("b") == {"mood": "fine"})
    second.stop(leave=False)
    with build("b", seeds=(first,), tags={"role": "core"}):
        until_view(first, lambda view: view.tags.get("b") == {"role": "core"})


def test_tags_that_are_too_many_are_refused(pair: tuple[Worker, Worker]) -> None:
    with pytest.raises(UsageError, match="at most 64"):
        pair[0].set_tags({f"k{number}": "x" for number in range(65)}).wait(WAIT_S)
    assert pair[0].tags() == {"role": "edge"}


def test_a_broadcast_reaches_every_application_and_a_message_one(pair: tuple[Worker, Worker]) -> None:
    first, second = pair
    with first.events() as at_first, second.events() as at_second:
        second.broadcast("hello", b"all").wait(WAIT_S)
        for events in (at_first, at_second):
            event = until(events, BroadcastReceived)
            assert isinstance(event, BroadcastReceived)
            assert (event.origin, event.topic, event.payload) == (second.run, "hello", b"all")
        second.send("a", "hint", bytes(60_000)).wait(WAIT_S)
        assert until(at_first, MessageReceived) == MessageReceived(second.run, "hint", bytes(60_000))


def test_a_message_to_nobody_is_a_failed_delivery(pair: tuple[Worker, Worker]) -> None:
    with pytest.raises(DeliveryFailed, match="no member is named 'x'"):
        pair[0].send("x", "hint").wait(WAIT_S)


def test_who_does_not_answer_is_silent_and_everybody_answers_a_ping(pair: tuple[Worker, Worker]) -> None:
    assert pair[0].query("load", patience_s=0.2).wait(WAIT_S) == QueryResult(answers={}, silent=("a", "b"), away=())
    assert pair[0].ping(patience_s=WAIT_S).wait(WAIT_S).answers == {"a": b"", "b": b""}


@pytest.mark.parametrize(
    ("say", "fault"),
    [
        (lambda worker: worker.set_tags({"a b": "x"}), "changes.a b: expected 1 to 64"),
        (lambda worker: worker.set_tags("red"), "changes: expected a table"),
        (lambda worker: worker.broadcast("_own"), "topic: expected 1 to 64"),
        (lambda worker: worker.broadcast("t", bytes(513)), "payload: expected at most 512 B, got 513 B"),
        (lambda worker: worker.broadcast("t", "text"), "payload: expected bytes, got str"),
        (lambda worker: worker.send("a/b", "t"), "to: expected 1 to 64"),
        (lambda worker: worker.send("a", "t", bytes(65_537)), "payload: expected at most 65536 B"),
        (lambda worker: worker.query("_ping"), "topic: expected 1 to 64"),
        (lambda worker: worker.query("t", names="abc"), "names: expected a list"),
        (lambda worker: worker.query("t", names=[f"n{n}" for n in range(17)]), "names: expected at most 16"),
        (lambda worker: worker.query("t", names=[1]), "names: expected a list of names of workers, got"),
        (lambda worker: worker.query("t", tag="red"), "tag: expected a key and a value"),
        (lambda worker: worker.query("t", patience_s=0), "patience_s: expected 0.001 to 600 s"),
        (lambda worker: worker.answer("q"), "question: expected the question of a QueryReceived"),
    ],
)
def test_what_is_malformed_is_refused_at_once(
    pair: tuple[Worker, Worker], say: Callable[[Worker], object], fault: str
) -> None:
    with pytest.raises(UsageError, match=fault):
        say(pair[0])


def test_a_worker_that_stops_fails_what_waits() -> None:
    worker = build("a")
    worker.start()
    reply = worker.query("load", patience_s=600.0)
    worker.stop(leave=False)
    with pytest.raises(WorkerStopped):
        reply.wait(WAIT_S)


async def converse(first: Worker, second: Worker) -> None:
    """Ask, answer, and tell in one loop, whichever it is."""
    async with second:
        await first.set_tags({"role": "edge"})
        with first.events() as at_first, second.events() as at_second:
            asked = second.query("load", names=["a"], patience_s=WAIT_S)
            async for event in at_first:
                if isinstance(event, QueryReceived):
                    await first.answer(event.question, b"0.7")
                    break
            assert await asked == QueryResult(answers={"a": b"0.7"}, silent=(), away=())
            await second.broadcast("hello", b"all")
            await second.send("a", "hint", b"one")
            async for event in at_first:
                if isinstance(event, MessageReceived):
                    assert event == MessageReceived(second.run, "hint", b"one")
                    break
            async for event in at_second:
                if isinstance(event, BroadcastReceived):
                    assert event.origin == second.run
                    break


async def test_a_conversation_in_trio() -> None:
    first = build("a")
    with trio.fail_after(WAIT_S):
        async with first:
            second = build("b", seeds=(first,))
            await converse(first, second)


def test_a_conversation_in_asyncio() -> None:
    async def main() -> None:
        first = build("a")
        async with first:
            second = build("b", seeds=(first,))
            await asyncio.wait_for(converse(first, second), WAIT_S)

    asyncio.run(main())


def test_a_conversation_in_threads(pair: tuple[Worker, Worker]) -> None:
    first, second = pair
    with first.events() as events:
        asked = second.query("load", tag=("role", "edge"), patience_s=WAIT_S)
        event = until(events, QueryReceived)
        assert isinstance(event, QueryReceived)
        first.answer(event.question, b"0.7").wait(WAIT_S)
        assert asked.wait(WAIT_S).answers == {"a": b"0.7"}
        with pytest.raises(UsageError, match="answered already"):
            first.answer(event.question, b"0.8").wait(WAIT_S)
