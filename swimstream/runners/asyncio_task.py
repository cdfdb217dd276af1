"""Run async functions that were written for asyncio: in the worker on one loop for all, in a process on its own.

In the worker the loop has a thread of its own, apart from the peer's and from that of the trio tasks, so a function
that blocks it holds up the other asyncio functions of this worker and nothing else.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from swimstream.runtime.replies import Reply

if TYPE_CHECKING:
    from swimstream.runners.context import OperatorContext
    from swimstream.runners.registry import AsyncOperator


class AsyncioTask:
    """One execution on an asyncio loop. Any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, function: AsyncOperator, context: OperatorContext) -> None:
        """Have `function(context)` begin on `loop` soon."""
        self._loop = loop
        self._function = function
        self._context = context
        self._task: asyncio.Task[None] | None = None
        self.ended: Reply[None] = Reply()
        """Settled when the function has ended; with what it raised, if that was not for being asked to stop."""
        loop.call_soon_threadsafe(self._begin)

    def cancel(self) -> None:
        """Cancel the task, once more if it was before: `CancelledError` is raised where it waits now."""
        with suppress(RuntimeError):  # the loop is closed: it has ended
            self._loop.call_soon_threadsafe(self._cancel)

    def _begin(self) -> None:
        if self._context.cancelled:
            self.ended.succeed(None)
            return
        self._task = self._loop.create_task(self._run(), name=f"{self._context.instance}#{self._context.epoch}")
        # settled already, unless it was cancelled before its first step
        self._task.add_done_callback(lambda _: self.ended.succeed(None))

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        """Settle `ended` here: asyncio would end the loop of all for the SystemExit of one."""
        task = asyncio.current_task()
        assert task is not None
        self._context.whereabouts.enter(lambda: [task.get_coro()])
        try:
            await self._function(self._context)
        # a cancellation is a failure too, if nobody asked for it
        except BaseException as error:  # noqa: BLE001  # whatever an operator raises is its own failure
            if isinstance(error, asyncio.CancelledError) and self._context.cancelled:
                self.ended.succeed(None)
            else:
                self.ended.fail(error)
        else:
            self.ended.succeed(None)


class AsyncioThread:
    """A daemon thread with an asyncio loop. Started by its first task; for one calling thread, but for the tasks."""

    def __init__(self, name: str) -> None:
        """Prepare; nothing runs before the first `begin`."""
        self._name = name
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self, function: AsyncOperator, context: OperatorContext) -> AsyncioTask:
        """Have `function(context)` run; returns at once."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=_run, args=(self._loop,), name=self._name, daemon=True).start()
        return AsyncioTask(self._loop, function, context)

    def end(self) -> None:
        """End the loop soon; tasks that still run are cancelled."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)


def _run(loop: asyncio.AbstractEventLoop) -> None:
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.get_loop().run_forever()
