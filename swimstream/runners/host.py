"""Runs the instances that the plan gives this worker, on a loop apart from the peer's.

A host carries out and reports; it decides nothing. One copy of an instance runs at a time: a newer epoch waits
until the older copy has really ended, however long that takes.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, cast

import trio

from swimstream.model.status import InstanceState, cut_cause
from swimstream.runners.async_task import run_async
from swimstream.runners.context import OperatorContext
from swimstream.runners.registry import AsyncOperator, ThreadOperator, is_async
from swimstream.runners.thread import run_in_thread
from swimstream.runtime.reports import Report
from swimstream.runtime.trio_thread import TrioThread

if TYPE_CHECKING:
    from collections.abc import Callable

    from swimstream.core.effects import RenewFence, StartInstance, StopInstance
    from swimstream.model.identity import InstanceId
    from swimstream.runners.registry import OperatorFunction, Registry
    from swimstream.runtime.reports import Reports
    from swimstream.runtime.view import Views

log = logging.getLogger(__name__)

JOIN_S = 1.0


class _Copy:
    """One execution under way."""

    def __init__(self, context: OperatorContext) -> None:
        self.context = context
        self.scope = trio.CancelScope()


class InstanceHost:
    """The operators' thread of one worker. Public methods return at once and may be called from any thread."""

    def __init__(self, registry: Registry, *, worker: str, reports: Reports, views: Callable[[], Views]) -> None:
        """Prepare; nothing runs before `launch`. `views` is asked for when an instance starts."""
        self._registry = registry
        self._worker = worker
        self._reports = reports
        self._views = views
        self._thread = TrioThread(f"swimstream-operators-{worker}", self._main)
        self._wanted: dict[InstanceId, StartInstance] = {}
        self._running: dict[InstanceId, _Copy] = {}
        self._supervised: set[InstanceId] = set()
        self._nursery: trio.Nursery | None = None
        self._closing = False
        self._on_idle: list[Callable[[], None]] = []
        self._left_behind = 0
        self.ended = self._thread.ended
        """Settled when the thread has ended; with an error only if our own code was wrong."""

    def launch(self) -> None:
        """Start the thread; blocks shortly."""
        self._thread.start()

    def start(self, effect: StartInstance) -> None:
        """Run an instance, after an older copy of it here has ended."""
        self._thread.post(lambda: self._start(effect))

    def renew(self, effect: RenewFence) -> None:
        """Move the fences of what runs; nothing is fenced by this host."""

    def stop(self, effect: StopInstance) -> None:
        """Cancel the copy that runs under that epoch, or forget it if it has not begun."""
        self._thread.post(lambda: self._stop(effect.instance, effect.epoch))

    def close(self, on_idle: Callable[[], None], *, grace_s: float) -> None:
        """Stop every instance, start no more; call `on_idle` (on some thread) when all have ended or `grace_s` is over.

        `on_idle` must neither block nor raise.
        """
        if not self._thread.post(lambda: self._close(on_idle, grace_s)):
            on_idle()

    def end(self, grace_s: float) -> bool:
        """End the thread; return False if some operator has not stopped within `grace_s`."""
        self.close(self._end_soon, grace_s=grace_s)
        return self._thread.join(grace_s + JOIN_S) and not self._left_behind

    # --- on the operators' thread -----------------------------------------------------------------

    async def _main(self, started: Callable[[], None]) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            started()
            await trio.sleep_forever()

    def _end_soon(self) -> None:
        self._left_behind = len(self._supervised)
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    def _start(self, effect: StartInstance) -> None:
        instance = effect.instance
        running = self._running.get(instance)
        wanted = self._wanted.get(instance)
        newest = max(running.context.epoch if running else 0, wanted.epoch if wanted else 0)
        if self._closing or effect.epoch <= newest:
            return
        self._wanted[instance] = effect
        if running is not None:
            self._cancel(running)
        if instance not in self._supervised:
            assert self._nursery is not None
            self._supervised.add(instance)
            self._nursery.start_soon(self._supervise, instance)

    def _stop(self, instance: InstanceId, epoch: int) -> None:
        wanted = self._wanted.get(instance)
        if wanted is not None and wanted.epoch == epoch:
            del self._wanted[instance]
            self._report(instance, epoch, InstanceState.STOPPED)
        running = self._running.get(instance)
        if running is not None and running.context.epoch == epoch:
            self._cancel(running)

    def _close(self, on_idle: Callable[[], None], grace_s: float) -> None:
        self._closing = True
        self._on_idle.append(on_idle)
        for instance, wanted in list(self._wanted.items()):
            self._stop(instance, wanted.epoch)
        for running in self._running.values():
            self._cancel(running)
        assert self._nursery is not None
        self._nursery.start_soon(self._tell_after, on_idle, grace_s)
        self._tell_if_idle()

    async def _tell_after(self, on_idle: Callable[[], None], grace_s: float) -> None:
        await trio.sleep(grace_s)
        if on_idle in self._on_idle:
            self._on_idle.remove(on_idle)
            on_idle()

    def _tell_if_idle(self) -> None:
        if self._closing and not self._supervised:
            told, self._on_idle = self._on_idle, []
            for on_idle in told:
                on_idle()

    def _cancel(self, copy: _Copy) -> None:
        if not copy.context.cancelled:
            self._report(copy.context.instance, copy.context.epoch, InstanceState.STOPPING)
            copy.context.cancel()
            copy.scope.cancel()

    async def _supervise(self, instance: InstanceId) -> None:
        """Run one epoch of `instance` after the other, until none is wanted."""
        while (effect := self._wanted.pop(instance, None)) is not None:
            await self._run(effect)
        self._supervised.remove(instance)
        self._tell_if_idle()

    async def _run(self, effect: StartInstance) -> None:
        instance, epoch = effect.instance, effect.epoch
        self._report(instance, epoch, InstanceState.STARTING)
        function = self._registry.find(effect.spec.kind)
        if function is None:
            cause = f"UsageError: no function is registered for kind {effect.spec.kind!r}"
            self._report(instance, epoch, InstanceState.FAILED, cause)
            return
        context = OperatorContext(effect, worker=self._worker, reports=self._reports, views=self._views())
        copy = self._running[instance] = _Copy(context)
        failure = ""
        try:
            await self._execute(function, copy)
        except trio.Cancelled:
            raise
        # BaseException: whatever an operator raises is that operator's failure and ends nothing else
        except BaseException as error:
            log.exception("operator failed instance=%s epoch=%d", instance, epoch)
            failure = cause_of(error)
        finally:
            del self._running[instance]
        if context.cancelled:
            self._report(instance, epoch, InstanceState.STOPPED, failure)
        elif failure:
            self._report(instance, epoch, InstanceState.FAILED, failure)
        else:
            self._report(instance, epoch, InstanceState.FINISHED)

    async def _execute(self, function: OperatorFunction, copy: _Copy) -> None:
        self._report(copy.context.instance, copy.context.epoch, InstanceState.RUNNING)
        if is_async(function):
            await run_async(cast("AsyncOperator", function), copy.context, copy.scope)
        else:
            await run_in_thread(cast("ThreadOperator", function), copy.context)

    def _report(self, instance: InstanceId, epoch: int, state: InstanceState, cause: str | None = None) -> None:
        self._reports.put(Report(instance=instance, epoch=epoch, state=state, cause=cause))


def cause_of(error: BaseException) -> str:
    """Return `TypeName: message` on one line, as long as a status may hold it."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    message = " ".join(str(error).split())
    return cut_cause(f"{type(error).__name__}: {message}" if message else type(error).__name__)
