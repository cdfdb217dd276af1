"""A daemon thread with a trio loop of its own, so that nothing the application does can hold it up (but the GIL)."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import trio

from swimstream.runtime.replies import Reply

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class TrioThread:
    """Runs one async function. Start once; every other method may be called from any thread."""

    def __init__(self, name: str, main: Callable[[Callable[[], None]], Awaitable[None]]) -> None:
        """Prepare to run `main(started)`, which calls `started()` once it is ready."""
        self._main = main
        self._token: trio.lowlevel.TrioToken | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._started: Reply[None] = Reply()
        self.ended: Reply[None] = Reply()
        """Settled when the thread ends; with the error, if there was one."""

    def start(self) -> None:
        """Start, and return once `main` is ready; raise what it raised before."""
        self._thread.start()
        ready = threading.Event()
        self._started.on_settled(self, ready.set)
        ready.wait()
        self._started.result()

    def post(self, act: Callable[[], None]) -> bool:
        """Have `act` called on that thread soon; return False if it has ended. `act` must not raise."""
        if self._token is None:
            return False
        try:
            self._token.run_sync_soon(act)
        except trio.RunFinishedError:
            return False
        return True

    def join(self, timeout_s: float) -> bool:
        """Wait for the end; return whether it has come."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            trio.run(self._run_main)
        except BaseException as error:  # noqa: BLE001  # whatever it is, somebody waits for it on another thread
            self._started.fail(error)
            self.ended.fail(error)
        else:
            self._started.succeed(None)
            self.ended.succeed(None)

    async def _run_main(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        await self._main(lambda: self._started.succeed(None))
