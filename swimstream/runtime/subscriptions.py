"""Events to readers in any thread or loop. A slow reader loses its oldest events and is told how many."""

from __future__ import annotations

import collections
import threading
from typing import TYPE_CHECKING

from swimstream.errors import UsageError, WorkerStopped
from swimstream.events import Event, EventsLost
from swimstream.runtime.waking import in_event_loop, sleep_here

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

EVENTS_QUEUED_MAX = 1_024
SUBSCRIPTIONS_MAX = 256

News = Event | EventsLost


class Subscription:
    """Events since it was opened, for one reader: `for event in ...`, or `async for` in trio or asyncio.

    Ends when it is closed or when the worker stops; what was queued by then is still delivered.
    """

    def __init__(self, *, queued_max: int = EVENTS_QUEUED_MAX, on_close: Callable[[Subscription], None]) -> None:
        """Build an empty subscription; `on_close` is told once when the reader has closed it."""
        self._lock = threading.Lock()
        self._queue: collections.deque[Event] = collections.deque()
        self._queued_max = queued_max
        self._lost = 0
        self._ended = False
        self._on_close = on_close
        self._sleepers: dict[object, Callable[[], None]] = {}

    def offer(self, event: Event) -> int:
        """Queue one event; return how many had to be dropped for it (peer's thread; never blocks)."""
        with self._lock:
            if self._ended:
                return 0
            dropped = 0
            if len(self._queue) >= self._queued_max:
                self._queue.popleft()
                self._lost += 1
                dropped = 1
            self._queue.append(event)
            wake = list(self._sleepers.values())
        for each in wake:
            each()
        return dropped

    def lose(self, count: int) -> None:
        """Take note of `count` events that got lost on their way here, and with them of what is queued before them."""
        with self._lock:
            if self._ended:
                return
            self._lost += count + len(self._queue)
            self._queue.clear()
            wake = list(self._sleepers.values())
        for each in wake:
            each()

    def end(self) -> None:
        """Let the reader finish what is queued and then stop."""
        with self._lock:
            self._ended = True
            wake = list(self._sleepers.values())
        for each in wake:
            each()

    def close(self) -> None:
        """Stop reading; any thread."""
        self._on_close(self)
        with self._lock:
            self._queue.clear()
            self._lost = 0
        self.end()

    def drain(self) -> list[News]:
        """Return what is queued now, without waiting."""
        with self._lock:
            news: list[News] = [EventsLost(self._lost)] if self._lost else []
            news.extend(self._queue)
            self._queue.clear()
            self._lost = 0
        return news

    def __iter__(self) -> Self:
        """Iterate in a plain thread; blocks between events."""
        return self

    def __next__(self) -> News:
        """Return the next event, waiting for it in this thread."""
        return self.take()

    def take(self, timeout_s: float | None = None) -> News:
        """Return the next event; raise `TimeoutError` after `timeout_s`, `StopIteration` at the end."""
        if in_event_loop():
            raise UsageError("events: would block the event loop that runs here; use 'async for' instead")
        while True:
            woken = threading.Event()
            try:
                if (news := self._pop_or_sleep(woken, woken.set)) is not None:
                    return news
                if not woken.wait(timeout_s):
                    raise TimeoutError(f"no event within {timeout_s} s")
            except _EndOfEvents:
                raise StopIteration from None
            finally:
                self._forget(woken)

    def __aiter__(self) -> Self:
        """Iterate in a task of trio or asyncio."""
        return self

    async def __anext__(self) -> News:
        """Return the next event, waiting for it in this task."""
        while True:
            sleep = sleep_here()
            try:
                if (news := self._pop_or_sleep(sleep, sleep.wake)) is not None:
                    return news
                await sleep.sleep()
            except _EndOfEvents:
                raise StopAsyncIteration from None
            finally:
                self._forget(sleep)

    def __enter__(self) -> Self:
        """Return itself; closed at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def _pop_or_sleep(self, key: object, wake: Callable[[], None]) -> News | None:
        with self._lock:
            if self._lost:
                lost, self._lost = self._lost, 0
                return EventsLost(lost)
            if self._queue:
                return self._queue.popleft()
            if self._ended:
                raise _EndOfEvents
            self._sleepers[key] = wake
            return None

    def _forget(self, key: object) -> None:
        with self._lock:
            self._sleepers.pop(key, None)


class _EndOfEvents(Exception):
    """Nothing is queued and nothing will be."""


class Subscriptions:
    """All readers of one worker."""

    def __init__(self) -> None:
        """Build without readers."""
        self._lock = threading.Lock()
        self._open: tuple[Subscription, ...] = ()
        self._ended = False
        self.events_dropped = 0
        """How many events slow readers have lost (written on the peer's thread)."""

    def subscribe(self, *, queued_max: int = EVENTS_QUEUED_MAX) -> Subscription:
        """Return a subscription that misses nothing from now on; any thread."""
        subscription = Subscription(queued_max=queued_max, on_close=self._remove)
        with self._lock:
            if self._ended:
                raise WorkerStopped("events: the worker has stopped")
            if len(self._open) >= SUBSCRIPTIONS_MAX:
                raise UsageError(f"events: expected at most {SUBSCRIPTIONS_MAX} open subscriptions; close some")
            self._open = (*self._open, subscription)
        return subscription

    def publish(self, event: Event) -> None:
        """Offer `event` to every reader (peer's thread)."""
        for subscription in self._open:
            self.events_dropped += subscription.offer(event)

    def lose(self, count: int) -> None:
        """Tell every reader that `count` events are lost, and all that it has not read yet (peer's thread)."""
        self.events_dropped += count
        for subscription in self._open:
            subscription.lose(count)

    def end(self) -> None:
        """End every subscription and admit no more."""
        with self._lock:
            self._ended = True
            ended, self._open = self._open, ()
        for subscription in ended:
            subscription.end()

    def _remove(self, subscription: Subscription) -> None:
        with self._lock:
            self._open = tuple(each for each in self._open if each is not subscription)
