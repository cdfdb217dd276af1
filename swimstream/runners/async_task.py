"""Run an async function as a trio task of the operators' loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import trio

    from swimstream.runners.context import OperatorContext
    from swimstream.runners.registry import AsyncOperator


async def run_async(function: AsyncOperator, context: OperatorContext, scope: trio.CancelScope) -> None:
    """Return when `function` has ended; `scope` cancels it."""
    with scope:
        await function(context)
