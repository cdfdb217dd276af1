"""The result of a command that another thread carries out: awaited by tasks, waited for by threads."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs

from swimstream.errors import SwimstreamError, UsageError
from swimstream.runtime.waking import in_event_loop, sleep_here

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

T = TypeVar("T")
U = TypeVar("U")


@attrs.frozen
class Found(Generic[T]):
    """A value that is there, even when the value is None."""

    value: T


class Reply(Generic[T]):
    """One result, now or later. Settled once; any thread; every waiter gets the same value or error."""

    def __init__(self) -> None:
        """Build a reply that is still open."""
        self._lock = threading.Lock()
        self._outcome: Found[T] | BaseException | None = None
        self._listeners: dict[object, Callable[[], None]] = {}

    @property
    def is_settled(self) -> bool:
        """Return whether there is a value or an error."""
        return self._outcome is not None

    def succeed(self, value: T) -> None:
        """Settle with a value, unless settled already."""
        self._settle(Found(value))

    def fail(self, error: BaseException) -> None:
        """Settle with an error, unless settled already."""
        self._settle(error)

    def result(self) -> T:
        """Return the value or raise the error of a settled reply."""
        outcome = self._outcome
        assert outcome is not None, "ask for the result of a settled reply only"
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome.value

    def wait(self, timeout_s: float | None = None) -> T:
        """Block this thread until settled; raise the command's error, or `TimeoutError` after `timeout_s`."""
        if not self.is_settled and in_event_loop():
            raise UsageError("wait: would block the event loop that runs here; use 'await reply' instead")
        settled = threading.Event()
        self.on_settled(settled, settled.set)
        if not settled.wait(timeout_s):
            self.forget(settled)
            raise TimeoutError(f"no reply within {timeout_s} s")
        return self.result()

    def __await__(self) -> Generator[Any, Any, T]:
        """Wait in a trio or asyncio task; cancelling the wait does not cancel the command."""
        return self._wait_here().__await__()

    async def _wait_here(self) -> T:
        sleep = sleep_here()
        self.on_settled(sleep, sleep.wake)
        try:
            await sleep.sleep()
        finally:
            self.forget(sleep)
        return self.result()

    def then(self, go_on: Callable[[T], Reply[U]]) -> Reply[U]:
        """Return a reply that is settled as that of `go_on(value)`, which is called where this one is settled."""
        later: Reply[U] = Reply()

        def act() -> None:
            try:
                later.take_over(go_on(self.result()))
            except SwimstreamError as error:
                later.fail(error)

        self.on_settled(later, act)
        return later

    def take_over(self, source: Reply[T]) -> None:
        """Be settled as `source` is."""
        source.on_settled(self, lambda: self._settle(source.outcome))

    @property
    def outcome(self) -> Found[T] | BaseException:
        """Return how a settled reply has come out, as it is."""
        assert self._outcome is not None, "ask for the outcome of a settled reply only"
        return self._outcome

    def on_settled(self, key: object, act: Callable[[], None]) -> None:
        """Call `act` once, on the thread that settles, or at once if settled already. It must not block."""
        with self._lock:
            if self._outcome is None:
                self._listeners[key] = act
                return
        act()

    def forget(self, key: object) -> None:
        """Take back an `on_settled`."""
        with self._lock:
            self._listeners.pop(key, None)

    def _settle(self, outcome: Found[T] | BaseException) -> None:
        with self._lock:
            if self._outcome is not None:
                return
            self._outcome = outcome
            listeners = list(self._listeners.values())
            self._listeners.clear()
        for act in listeners:
            act()
