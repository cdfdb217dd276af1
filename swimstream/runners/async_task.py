"""Run an async function as a trio task of the operators' loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from swimstream.runners.stacks import coroutines_of

if TYPE_CHECKING:
    from swimstream.runners.context import OperatorContext
    from swimstream.runners.registry import AsyncOperator


async def run_async(function: AsyncOperator, context: OperatorContext, scope: trio.CancelScope) -> None:
    """Return when `function` has ended; `scope` cancels it."""
    task = trio.lowlevel.current_task()
    context.whereabouts.enter(lambda: coroutines_of(task))
    with scope:
        await function(context)
