"""How a task of the user's loop sleeps until the peer's thread wakes it: trio or asyncio, whichever runs here."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, TypeVar

import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")


class TrioSleep:
    """One sleep of the current trio task."""

    def __init__(self) -> None:
        """Bind to the trio loop of the caller."""
        self._token = trio.lowlevel.current_trio_token()
        self._event = trio.Event()

    def wake(self) -> None:
        """End the sleep; any thread, any number of times, also before it has begun."""
        with contextlib.suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._event.set, idempotent=True)

    async def sleep(self) -> None:
        """Sleep until woken."""
        await self._event.wait()


class AsyncioSleep:
    """One sleep of the current asyncio task."""

    def __init__(self) -> None:
        """Bind to the asyncio loop of the caller."""
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    def wake(self) -> None:
        """End the sleep; any thread, any number of times, also before it has begun."""
        with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody sleeps there any more
            self._loop.call_soon_threadsafe(self._event.set)

    async def sleep(self) -> None:
        """Sleep until woken."""
        await self._event.wait()


def sleep_here() -> TrioSleep | AsyncioSleep:
    """Return a sleep for the loop that runs the caller."""
    return TrioSleep() if trio.lowlevel.in_trio_run() else AsyncioSleep()


def in_event_loop() -> bool:
    """Return whether a blocking wait of the caller would freeze a trio or asyncio loop."""
    if trio.lowlevel.in_trio_run():
        return True
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def call_in_thread(act: Callable[[], T]) -> T:
    """Run the blocking `act` to its end in a thread, even if the caller is cancelled, while its loop goes on."""
    if trio.lowlevel.in_trio_run():
        with trio.CancelScope(shield=True):
            return await trio.to_thread.run_sync(act)
    return await asyncio.shield(asyncio.to_thread(act))


async def within(work: Awaitable[T], timeout_s: float) -> T:
    """Await `work`; raise `TimeoutError` after `timeout_s`."""
    if not trio.lowlevel.in_trio_run():
        async with asyncio.timeout(timeout_s):
            return await work
    with trio.move_on_after(timeout_s):
        return await work
    raise TimeoutError(f"not done within {timeout_s} s")
