"""Run a function in the worker: as a task of the operators' loop, on the loop of asyncio, or in a thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from swimstream.runners.async_task import run_async
from swimstream.runners.registry import ASYNCIO, AsyncOperator, InWorker, ThreadOperator, is_async
from swimstream.runners.thread import run_in_thread

if TYPE_CHECKING:
    from swimstream.runners.asyncio_task import AsyncioThread
    from swimstream.runners.copy import Copy


async def execute_here(registered: InWorker, copy: Copy, loop: AsyncioThread) -> None:
    """Return when the function has ended, and have `copy` ask it as it can be asked. On the operators' loop."""
    if not is_async(registered.function):
        await run_in_thread(cast("ThreadOperator", registered.function), copy.context)
    elif registered.loop == ASYNCIO:
        task = loop.begin(cast("AsyncOperator", registered.function), copy.context)
        copy.ask = task.cancel
        await task.ended
    else:
        await run_async(cast("AsyncOperator", registered.function), copy.context, copy.scope)
