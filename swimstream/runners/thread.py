"""Run a plain function in a thread of its own. It is asked to stop, never forced: it has to look at `cancelled`."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from swimstream.runtime.replies import Reply

if TYPE_CHECKING:
    from swimstream.runners.context import OperatorContext
    from swimstream.runners.registry import ThreadOperator


async def run_in_thread(function: ThreadOperator, context: OperatorContext) -> None:
    """Return when `function` has returned, or raise what it raised."""
    ended: Reply[None] = Reply()

    def run() -> None:
        context.whereabouts.enter()
        try:
            function(context)
        except BaseException as error:  # noqa: BLE001  # even SystemExit is a failure of that operator only
            ended.fail(error)
        else:
            ended.succeed(None)

    threading.Thread(target=run, name=f"{context.instance}#{context.epoch}", daemon=True).start()
    await ended
