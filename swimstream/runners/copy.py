"""One execution under way, as its host knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

    from swimstream.runners.context import OperatorContext
    from swimstream.runners.process import Child


class Copy:
    """One execution: its context, how it is asked to stop, and who watches over it."""

    def __init__(self, context: OperatorContext, *, fence_at: float | None) -> None:
        """Begin; it runs nothing itself. `fence_at` is its deadline, None if it has none."""
        self.context = context
        self.scope = trio.CancelScope()
        self.fence_at = fence_at
        self.child: Child | None = None
        self.is_unending = False
        """Whether it was asked to stop, did not, and nothing can end it."""
        self.ask: Callable[[], None] = self.scope.cancel
        """Asks it to stop; again when it has been asked already."""
        self.watched = trio.CancelScope()
        """Of who watches its fence, and `pressed` of who sees to it that it stops; both are cancelled at its end."""
        self.pressed = trio.CancelScope()
