"""Runs the instances that the plan gives this worker, on a loop apart from the peer's.

A host carries out and reports; it decides nothing. A newer copy of an instance waits until the older one has ended.

An at-most-one instance comes with a deadline, its fence. One in a process of its own is killed by the kernel then
(`fence.py`). One in the worker is asked to stop before, by the node; nothing can kill a task or a thread, so if it
goes on all the same, that is counted as a missed fence and logged. What must never run twice needs a process.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, assert_never

import attrs
import trio

from swimstream.model.status import ErrorClass, InstanceState
from swimstream.runners.asyncio_task import AsyncioThread
from swimstream.runners.causes import cause_of, class_of, is_worth_a_stack
from swimstream.runners.command import Command
from swimstream.runners.context import OperatorContext
from swimstream.runners.copy import Copy
from swimstream.runners.ending import FENCED, Ending
from swimstream.runners.in_worker import execute_here
from swimstream.runners.logs import Output
from swimstream.runners.neighbours import SeenNeighbours
from swimstream.runners.process import KILL_AFTER_MULT, Child
from swimstream.runners.registry import InProcess, InWorker, is_async
from swimstream.runners.warm import WarmProcesses
from swimstream.runtime import clock
from swimstream.runtime.reports import Report
from swimstream.runtime.trio_thread import TrioThread

if TYPE_CHECKING:
    from collections.abc import Callable

    from swimstream.core.effects import DumpStack, KeepWarm, RenewFence, StartInstance, StopInstance
    from swimstream.model.identity import InstanceId
    from swimstream.runners.logs import Logs
    from swimstream.runners.neighbours import Neighbours
    from swimstream.runners.registry import Registered, Registry
    from swimstream.runtime.reports import Reports
    from swimstream.runtime.ticks import Ticks
    from swimstream.runtime.view import Views

log = logging.getLogger(__name__)

JOIN_S = 1.0
FENCE_LOOK_S = 0.25
"""How often a fence is looked at: the loop's own clock may stop while the machine sleeps, the fence's does not."""
UNENDED = "did not stop when asked, and nothing can end it in the worker"
CLOSE_MULT = 1 + 2 * KILL_AFTER_MULT
"""So many times the grace until every process has been killed and its end was seen."""


def _nobody(_start: StartInstance, _pid: int) -> None:
    """Do nothing: nobody wants to know."""


class InstanceHost:
    """The operators' thread of one worker. Public methods return at once and may be called from any thread."""

    def __init__(
        self,
        registry: Registry,
        *,
        worker: str,
        reports: Reports,
        views: Callable[[], Views],
        stop_timeout_s: float = 5.0,
        logs: Logs | None = None,
        ticks: Ticks | None = None,
        tick_s: float = 0.25,
        on_process: Callable[[StartInstance, int], None] = _nobody,
    ) -> None:
        """Prepare; nothing runs before `launch`. `views` is asked for when an instance starts.

        What processes print is kept in `logs`; None: it goes where the worker's own output goes.
        An instance in a process of its own gets SIGTERM `stop_timeout_s` after it was asked to stop, SIGKILL a quarter
        of that later. The loop counts a tick each `tick_s`, so that others see whether it turns. `on_process` is told
        the number of each process of an instance, on the host's thread, before anybody could have reaped it.
        """
        self._registry = registry
        self._worker = worker
        self._reports = reports
        self._views = views
        self._stop_timeout_s = stop_timeout_s
        self._logs = logs
        self._ticks = ticks
        self._tick_s = tick_s
        self._on_process = on_process
        self._thread = TrioThread(f"swimstream-operators-{worker}", self._main)
        self._wanted: dict[InstanceId, StartInstance] = {}
        self._running: dict[InstanceId, Copy] = {}
        self._supervised: set[InstanceId] = set()
        self._warm = WarmProcesses(registry)
        self._nursery: trio.Nursery | None = None
        self._asyncio = AsyncioThread(f"swimstream-asyncio-{worker}")
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

    def stop(self, effect: StopInstance) -> None:
        """Cancel the copy that runs under that epoch, or forget it if it has not begun."""
        self._thread.post(lambda: self._stop(effect.instance, effect.epoch))

    def renew(self, effect: RenewFence) -> None:
        """Let fenced instances run on until then."""
        self._thread.post(lambda: self._renew(effect.until))

    def dump(self, effect: DumpStack) -> None:
        """Log where a copy stands that makes no progress, and report it.

        Looked up on the calling thread: it may be the operators' loop itself that a copy holds up.
        """
        copy = self._running.get(effect.instance)
        if copy is None or copy.context.epoch != effect.epoch:
            return
        if copy.child is not None:
            self._thread.post(copy.child.dump)
            return
        stack = copy.context.whereabouts.look()
        if stack is not None:
            copy.context.stalled(stack)

    def keep_warm(self, effect: KeepWarm) -> None:
        """Have processes ready for these instances, as far as their kinds run in processes of their own."""
        self._thread.post(lambda: self._keep_warm(effect.copies))

    def close(self, on_idle: Callable[[], None], *, grace_s: float) -> None:
        """Stop every instance, start no more; call `on_idle` (on some thread) when all have ended or `grace_s` is over.

        Processes are waited for until they have been killed, half of `stop_timeout_s` longer. `on_idle` must neither
        block nor raise.
        """
        if not self._thread.post(lambda: self._close(on_idle, grace_s)):
            on_idle()

    def end(self, grace_s: float) -> bool:
        """End the thread; return False if some operator has not stopped within `grace_s`."""
        self.close(self._end_soon, grace_s=grace_s)
        return self._thread.join(CLOSE_MULT * max(grace_s, self._stop_timeout_s) + JOIN_S) and not self._left_behind

    # --- on the operators' thread -----------------------------------------------------------------

    async def _main(self, started: Callable[[], None]) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            started()
            try:
                await self._turn()
            finally:
                self._asyncio.end()

    async def _turn(self) -> None:
        """Show that the loop turns, for as long as it does."""
        if self._ticks is None:
            await trio.sleep_forever()
        while True:
            self._ticks.tick()
            await trio.sleep(self._tick_s)

    def _end_soon(self) -> None:
        self._left_behind = sum(1 for copy in self._running.values() if copy.child is None)
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    def _start(self, effect: StartInstance) -> None:
        instance = effect.instance
        running = self._running.get(instance)
        wanted = self._wanted.get(instance)
        newest = max(running.context.epoch if running else 0, wanted.epoch if wanted else 0)
        if effect.epoch <= newest:
            return
        if self._closing:  # said, so that nobody waits for what never begins
            self._report(instance, effect.epoch, InstanceState.STOPPED)
            return
        self._wanted[instance] = effect
        if running is not None:
            self._cancel(running)
            if running.is_unending:
                self._turn_down(instance)
                return
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

    def _keep_warm(self, copies: tuple[tuple[InstanceId, str], ...]) -> None:
        if not self._closing and self._nursery is not None:
            self._warm.keep(copies, self._nursery, starting=self._wanted)

    def _close(self, on_idle: Callable[[], None], grace_s: float) -> None:
        self._closing = True
        self._warm.give_up()
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
        if any(copy.child is not None for copy in self._running.values()):
            await trio.sleep(max(0.0, CLOSE_MULT * self._stop_timeout_s - grace_s))
        if on_idle in self._on_idle:
            self._on_idle.remove(on_idle)
            on_idle()

    def _tell_if_idle(self) -> None:
        while self._closing and not self._supervised and self._on_idle:
            self._on_idle.pop(0)()

    def _cancel(self, copy: Copy) -> None:
        if not copy.context.cancelled:
            self._report(copy.context.instance, copy.context.epoch, InstanceState.STOPPING)
            copy.context.cancel()
            copy.ask()
            if copy.child is None:
                assert self._nursery is not None
                self._nursery.start_soon(self._press, copy)

    async def _press(self, copy: Copy) -> None:
        """Ask once more what runs in the worker when its time is up; then say that nothing can end it."""
        instance, epoch = copy.context.instance, copy.context.epoch
        with copy.pressed:
            await trio.sleep(self._stop_timeout_s)
            log.warning("operator does not stop, asking again instance=%s epoch=%d", instance, epoch)
            copy.ask()
            await trio.sleep(self._stop_timeout_s * KILL_AFTER_MULT)
            self._reports.stops_missed += 1
            log.error("operator goes on; nothing can end it in the worker instance=%s epoch=%d", instance, epoch)
            self._report(instance, epoch, InstanceState.STOPPING, UNENDED)
            copy.is_unending = True
            self._turn_down(instance)

    def _turn_down(self, instance: InstanceId) -> None:
        """Say that a newer epoch cannot begin here, since an older copy goes on; so it is executed elsewhere.

        Not of an at-most-one instance: somebody might take the end of that epoch for the end of the older copy.
        """
        wanted = self._wanted.get(instance)
        if wanted is None or wanted.fence_at is not None:
            return
        del self._wanted[instance]
        self._reports.put(
            Report(
                instance=instance,
                epoch=wanted.epoch,
                state=InstanceState.FAILED,
                cause=f"an older copy {UNENDED}",
                error=ErrorClass.INFRASTRUCTURE,
            )
        )

    async def _supervise(self, instance: InstanceId) -> None:
        """Run one epoch of `instance` after the other, until none is wanted."""
        while (effect := self._wanted.pop(instance, None)) is not None:
            await self._run(effect)
        self._supervised.remove(instance)
        self._warm.settle(instance)
        self._tell_if_idle()

    async def _run(self, effect: StartInstance) -> None:
        instance, epoch = effect.instance, effect.epoch
        self._report(instance, epoch, InstanceState.STARTING)
        registered = self._registry.find(effect.spec.kind)
        if registered is None:
            cause = f"UsageError: no function is registered for kind {effect.spec.kind!r}"
            self._report(instance, epoch, InstanceState.FAILED, cause)
            return
        if effect.fence_at is not None and effect.fence_at <= clock.now():
            self._report(instance, epoch, InstanceState.STOPPED, FENCED)
            return
        neighbours = SeenNeighbours(self._views())
        context = OperatorContext(effect, worker=self._worker, reports=self._reports, neighbours=neighbours)
        copy = self._running[instance] = Copy(context, fence_at=effect.fence_at)
        if copy.fence_at is not None:
            assert self._nursery is not None
            self._nursery.start_soon(self._watch_fence, copy, copy.fence_at)
        try:
            ending = await self._execute(effect, registered, copy, neighbours)
        except trio.Cancelled:
            raise
        # BaseException: whatever an operator raises is that operator's failure and ends nothing else
        except BaseException as error:
            if is_worth_a_stack(error, was_asked=context.cancelled):
                log.exception("operator failed instance=%s epoch=%d", instance, epoch)
            loop = registered.loop if isinstance(registered, InWorker) and is_async(registered.function) else ""
            ending = Ending(InstanceState.FAILED, cause_of(error, loop=loop), class_of(error))
        finally:
            copy.watched.cancel()
            copy.pressed.cancel()
            del self._running[instance]
        state = InstanceState.STOPPED if context.cancelled else ending.state
        self._report(instance, epoch, state, ending.cause, error=ending.error)

    async def _execute(
        self, effect: StartInstance, registered: Registered, copy: Copy, neighbours: Neighbours
    ) -> Ending:
        def report_running() -> None:
            self._report(effect.instance, effect.epoch, InstanceState.RUNNING)

        match registered:
            case InWorker():
                report_running()
                await execute_here(registered, copy, self._asyncio)
                return Ending(InstanceState.FINISHED)
            case InProcess() | Command():
                return await self._execute_apart(effect, registered, copy, neighbours, report_running)
            case _:
                assert_never(registered)

    async def _execute_apart(
        self,
        effect: StartInstance,
        registered: InProcess | Command,
        copy: Copy,
        neighbours: Neighbours,
        report_running: Callable[[], None],
    ) -> Ending:
        """Return how the process has ended."""
        with Output(self._logs, effect.instance, effect.epoch) as output:
            writing, grace_s = output.writing, self._stop_timeout_s
            warm = self._warm.take(effect, writing)
            copy.child = Child(effect, registered, copy.context, neighbours, grace_s=grace_s, output=writing, warm=warm)
            self._on_process(effect, copy.child.pid)
            output.given()
            ending = await copy.child.run(copy.scope, on_running=report_running)
            output.how = ending.cause or ("stopped" if copy.context.cancelled else ending.state.name.lower())
        return ending

    # --- fences -----------------------------------------------------------------------------------

    def _renew(self, until: float) -> None:
        now = clock.now()
        for instance, wanted in self._wanted.items():
            if wanted.fence_at is not None:
                self._wanted[instance] = attrs.evolve(wanted, fence_at=max(until, wanted.fence_at))
        for copy in self._running.values():
            # A fence that is past stays past: what it was to end may not go on, whatever is known now. And what was
            # asked to stop is no longer covered: the newer authority may be that of a later run, or of another epoch.
            if copy.fence_at is not None and now < copy.fence_at < until and not copy.context.cancelled:
                copy.fence_at = until
                if copy.child is not None:
                    copy.child.renew(until)

    async def _watch_fence(self, copy: Copy, until: float) -> None:
        """Wait for the fence of `copy`, until the copy has ended."""
        with copy.watched:
            while (left_s := until - clock.now()) > 0:
                await trio.sleep(min(left_s, FENCE_LOOK_S))
                assert copy.fence_at is not None
                until = copy.fence_at
            if copy.child is not None:
                copy.child.pass_fence()
                return
            self._reports.fences_missed += 1
            log.critical(
                "an at-most-one instance goes on past its deadline, since nothing can kill it in the worker; "
                'register its kind with isolation="process" instance=%s epoch=%d',
                copy.context.instance,
                copy.context.epoch,
            )
            self._cancel(copy)

    def _report(
        self,
        instance: InstanceId,
        epoch: int,
        state: InstanceState,
        cause: str | None = None,
        *,
        error: ErrorClass | None = None,
    ) -> None:
        self._reports.put(Report(instance=instance, epoch=epoch, state=state, cause=cause, error=error))
