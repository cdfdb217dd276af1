"""Runs instances in a process that has attached to the control port: it orders, and hands on what the process says.

Like `InstanceHost` it decides nothing; a newer epoch is ordered once the process has said that the older has ended.

At-most-one instances. The process counts its fences down by itself. If it has not said by the deadline that such a
copy has ended, it is killed, where the kernel says which process it is; elsewhere that is counted as a missed fence.
When the connection ends, what is not fenced is FAILED at once. The end of a fenced copy is told once the process is
known to be dead; if that cannot be known, nothing is told, and everybody waits until its authority has run out.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, TypeVar, cast

import attrs
import trio

from swimstream.errors import WorkerStopped
from swimstream.model.status import WORKER_CRASHED, ErrorClass, InstanceState
from swimstream.runners.ending import FENCED
from swimstream.runners.neighbours import SeenNeighbours
from swimstream.runtime import clock
from swimstream.runtime.attached_fields import Said, copy_in, instance_in, wait_in
from swimstream.runtime.control_lines import Over
from swimstream.runtime.reports import Report

if TYPE_CHECKING:
    from collections.abc import Callable

    from swimstream.core.effects import DumpStack, KeepWarm, RenewFence, StartInstance, StopInstance
    from swimstream.model.identity import InstanceId
    from swimstream.runtime.attaching import Attachment
    from swimstream.runtime.control_json import Json, JsonTable
    from swimstream.runtime.control_talk import Request
    from swimstream.runtime.replies import Reply
    from swimstream.runtime.reports import Reports
    from swimstream.runtime.ticks import Ticks
    from swimstream.runtime.view import Views

log = logging.getLogger(__name__)

GONE = f"{WORKER_CRASHED}has ended without a goodbye: it has hung up"
"""Nobody knows why, so nothing that ran there is blamed."""
HOW_S = 0.5
"""A process hangs up a moment before it is dead; then the kernel tells how it has ended."""
FENCE_LOOK_S = 0.25
"""How often fences are looked at: the loop's clock may stop while the machine sleeps, the fences' does not."""
KILLED_WITHIN_S = 5.0

T = TypeVar("T")


class _Copy:
    """One execution under way in the process."""

    def __init__(self, effect: StartInstance, neighbours: SeenNeighbours) -> None:
        self.effect = effect
        self.neighbours = neighbours
        self.fence_at = effect.fence_at
        self.is_running = False
        self.is_stopping = False
        self.has_missed = False
        self._waits: dict[object, Callable[[BaseException], None]] = {}

    async def wait_for(self, reply: Reply[T]) -> T:
        """Return what `reply` holds; raise `Over` when this copy is to stop, or has ended, before."""
        self._waits[reply] = reply.fail
        try:
            if self.is_stopping:
                self.end_waits()
            return await reply
        except WorkerStopped as error:
            raise Over(f"epoch: {self.effect.epoch} of {self.effect.instance} ends: {error}") from None
        finally:
            del self._waits[reply]

    def end_waits(self) -> None:
        """Have every wait fail, now and later."""
        self.is_stopping = True
        for fail in list(self._waits.values()):
            fail(WorkerStopped("it is to stop, or has ended"))

    def names(self) -> JsonTable:
        return {"instance": str(self.effect.instance), "epoch": self.effect.epoch}

    def fence_s(self) -> float | None:
        """Return how long it may go on, rounded down."""
        if self.fence_at is None:
            return None
        return math.floor(max(0.0, self.fence_at - clock.now()) * 1_000) / 1_000


class AttachedRunner:
    """The runner of one attached process. Orders may come from any thread; the rest is for the control port's loop."""

    def __init__(
        self,
        attachment: Attachment,
        *,
        reports: Reports,
        views: Callable[[], Views],
        stop_timeout_s: float,
        ticks: Ticks,
    ) -> None:
        """Run on `attachment`; `views` is asked for when an instance starts. The process's ticks are counted."""
        self._attachment = attachment
        self._reports = reports
        self._views = views
        self._stop_timeout_s = stop_timeout_s
        self._ticks = ticks
        self._copies: dict[InstanceId, _Copy] = {}
        self._wanted: dict[InstanceId, StartInstance] = {}
        self._closing = False
        self._on_idle: list[Callable[[], None]] = []
        self._renewed = False

    # --- what the node orders ---------------------------------------------------------------------

    def start(self, effect: StartInstance) -> None:
        """Have the process run an instance, after an older copy of it there has ended."""
        if not self._attachment.post(lambda: self._start(effect)):
            self._report(effect.instance, effect.epoch, InstanceState.STOPPED)

    def renew(self, effect: RenewFence) -> None:
        """Let fenced copies run on until then."""
        self._attachment.post(lambda: self._renew(effect.until))

    def stop(self, effect: StopInstance) -> None:
        """Have the process stop the copy of that epoch, or forget it if it has not begun."""
        self._attachment.post(lambda: self._stop(effect.instance, effect.epoch))

    def dump(self, effect: DumpStack) -> None:
        """Do nothing: only the process itself could tell where a copy stands, and it is no part of the protocol."""

    def keep_warm(self, effect: KeepWarm) -> None:
        """Do nothing: the process is there already, and how it prepares is its own affair."""

    def close(self, on_idle: Callable[[], None], *, grace_s: float) -> None:
        """Stop every copy, start no more; call `on_idle` (on some thread) when all have ended or `grace_s` is over."""
        if not self._attachment.post(lambda: self._close(on_idle, grace_s)):
            on_idle()

    def _start(self, effect: StartInstance) -> None:
        instance = effect.instance
        running, wanted = self._copies.get(instance), self._wanted.get(instance)
        newest = max(running.effect.epoch if running else 0, wanted.epoch if wanted else 0)
        if effect.epoch <= newest:
            return
        if self._closing:  # said, so that nobody waits for what never begins
            self._report(instance, effect.epoch, InstanceState.STOPPED)
            return
        if running is None:
            self._begin(effect)
            return
        self._wanted[instance] = effect
        self._cancel(running)

    def _begin(self, effect: StartInstance) -> None:
        self._report(effect.instance, effect.epoch, InstanceState.STARTING)
        if effect.fence_at is not None and effect.fence_at <= clock.now():
            self._report(effect.instance, effect.epoch, InstanceState.STOPPED, FENCED)
            return
        copy = self._copies[effect.instance] = _Copy(effect, SeenNeighbours(self._views()))
        self._attachment.put(lambda: _start_order(copy))

    def _stop(self, instance: InstanceId, epoch: int) -> None:
        wanted, running = self._wanted.get(instance), self._copies.get(instance)
        if wanted is not None and wanted.epoch == epoch:
            del self._wanted[instance]
            self._report(instance, epoch, InstanceState.STOPPED)
        if running is not None and running.effect.epoch == epoch:
            self._cancel(running)

    def _cancel(self, copy: _Copy) -> None:
        if copy.is_stopping:
            return
        self._report(copy.effect.instance, copy.effect.epoch, InstanceState.STOPPING)
        copy.end_waits()
        self._attachment.put(lambda: {"order": "stop", **copy.names(), "within_s": self._stop_timeout_s})

    def _renew(self, until: float) -> None:
        now = clock.now()
        for instance, wanted in self._wanted.items():
            if wanted.fence_at is not None:
                self._wanted[instance] = attrs.evolve(wanted, fence_at=max(until, wanted.fence_at))
        for copy in self._copies.values():
            # a fence that is past stays past, and what was asked to stop is no longer covered
            if copy.fence_at is not None and now < copy.fence_at < until and not copy.is_stopping:
                copy.fence_at = until
                if not self._renewed:
                    self._renewed = True
                    self._attachment.put(self._renew_order)

    def _renew_order(self) -> JsonTable | None:
        self._renewed = False
        fences: list[Json] = [
            copy.names() | {"fence_s": copy.fence_s()}
            for copy in self._copies.values()
            if copy.fence_at is not None and not copy.is_stopping
        ]
        return {"order": "renew", "fences": fences} if fences else None

    def _close(self, on_idle: Callable[[], None], grace_s: float) -> None:
        self._closing = True
        self._on_idle.append(on_idle)
        for instance, wanted in list(self._wanted.items()):
            self._stop(instance, wanted.epoch)
        for copy in list(self._copies.values()):
            self._cancel(copy)
        trio.lowlevel.spawn_system_task(self._tell_after, on_idle, grace_s)
        self._tell_if_idle()

    async def _tell_after(self, on_idle: Callable[[], None], grace_s: float) -> None:
        await trio.sleep(grace_s)
        if on_idle in self._on_idle:
            self._on_idle.remove(on_idle)
            on_idle()

    def _tell_if_idle(self) -> None:
        if self._closing and not self._copies:
            told, self._on_idle = self._on_idle, []
            for on_idle in told:
                on_idle()

    # --- what the process says --------------------------------------------------------------------

    def tick(self) -> None:
        """Note that the process goes on: its loop turns."""
        self._ticks.tick()

    def report(self, request: Request) -> None:
        """Take a report; raise `UsageError` that names the field, and `Over` for a copy that is not under way."""
        copy = self._copy_of(request)
        said = Said.read(request)
        instance, epoch, state = copy.effect.instance, copy.effect.epoch, said.state
        if state is InstanceState.RUNNING:
            # it may not have read yet that it is to stop
            state = None if copy.is_running or copy.is_stopping else state
            copy.is_running = True
        self._reports.put(
            Report(
                instance=instance,
                epoch=epoch,
                state=state,
                progress=said.progress,
                checkpoint=said.checkpoint,
                endpoint=said.endpoint,
                cause=said.cause,
                error=said.error,
                watermark_ms=said.watermark_ms,
                backlog=said.backlog,
                busy_until=None if said.busy_s is None else clock.now() + said.busy_s,
                backpressured=said.backpressured,
            )
        )
        if state is not None and state.is_over:
            self._over(copy)

    async def locate(self, request: Request) -> JsonTable:
        """Return where a neighbour is, null while that is not known; with `wait`, once it is."""
        copy = self._copy_of(request)
        neighbour = instance_in(request, "neighbour")
        wait, other_than = wait_in(request)
        if not wait:
            address = copy.neighbours.locate_now(neighbour)
            return {"endpoint": None if address is None else str(address)}
        found = await copy.wait_for(copy.neighbours.located(neighbour, other_than=other_than))
        return {"endpoint": str(found)}

    async def finished(self, request: Request) -> JsonTable:
        """Return once a neighbour has finished for good."""
        copy = self._copy_of(request)
        await copy.wait_for(copy.neighbours.finished(instance_in(request, "neighbour")))
        return {}

    def _copy_of(self, request: Request) -> _Copy:
        instance, epoch = copy_in(request)
        copy = self._copies.get(instance)
        if copy is None:
            raise Over(f"instance: {instance} does not run in this process")
        if copy.effect.epoch != epoch:
            raise Over(f"epoch: expected {copy.effect.epoch}, under which {instance} runs here, got {epoch}")
        return copy

    def _over(self, copy: _Copy) -> None:
        instance = copy.effect.instance
        copy.end_waits()
        del self._copies[instance]
        wanted = self._wanted.pop(instance, None)
        if wanted is not None:
            self._begin(wanted)
        self._tell_if_idle()

    # --- fences, and the end of the process -------------------------------------------------------

    async def guard(self) -> None:
        """Kill the process when it holds a copy past its fence, or count that; until cancelled."""
        while True:
            now = clock.now()
            for copy in list(self._copies.values()):
                if copy.fence_at is not None and copy.fence_at <= now and not copy.has_missed:
                    copy.has_missed = True
                    self._end_at_fence(copy)
            left_s = min((at - now for at in self._fences_ahead()), default=FENCE_LOOK_S)
            await trio.sleep(min(max(left_s, 0.0), FENCE_LOOK_S))

    def _fences_ahead(self) -> list[float]:
        copies = [copy for copy in self._copies.values() if not copy.has_missed]
        return [copy.fence_at for copy in copies if copy.fence_at is not None]

    def _end_at_fence(self, copy: _Copy) -> None:
        process = self._attachment.process
        if process.is_provable:
            log.critical(
                "the attached process is killed: an at-most-one copy goes on past its deadline instance=%s epoch=%d",
                copy.effect.instance,
                copy.effect.epoch,
            )
            process.kill()
            return
        self._reports.fences_missed += 1
        log.critical(
            "an at-most-one instance may go on past its deadline, since the attached process is not known and cannot "
            "be killed instance=%s epoch=%d",
            copy.effect.instance,
            copy.effect.epoch,
        )
        self._cancel(copy)

    async def lost(self) -> None:
        """Say what has ended with the process; of fenced copies only once it is dead for certain, or not at all."""
        self._closing = True
        process = self._attachment.process
        for effect in self._wanted.values():
            self._report(effect.instance, effect.epoch, InstanceState.STOPPED)
        self._wanted.clear()
        fences = [copy.fence_at for copy in self._copies.values() if copy.fence_at is not None]
        try:
            if self._copies and process.is_provable:
                with trio.move_on_after(HOW_S):
                    await process.wait_dead()
            for copy in [each for each in self._copies.values() if each.fence_at is None]:
                self._fail(copy)
            if fences and process.is_provable:
                await self._wait_dead(until=max(fences))
        finally:
            if fences:
                process.kill()  # of what must not run twice nothing is left to a process that nobody fences any more
        if fences:
            with trio.move_on_after(KILLED_WITHIN_S if process.is_provable else 0):
                await process.wait_dead()
        for copy in list(self._copies.values()):
            if process.is_dead:
                self._fail(copy)
            else:
                copy.end_waits()
        self._copies.clear()
        self._tell_if_idle()

    async def _wait_dead(self, *, until: float) -> None:
        process = self._attachment.process
        while not process.is_dead and (left_s := until - clock.now()) > 0:
            with trio.move_on_after(min(left_s, FENCE_LOOK_S)):
                await process.wait_dead()

    def _fail(self, copy: _Copy) -> None:
        """Say in the words of a worker's crash that the copy has ended with the process."""
        process, effect = self._attachment.process, copy.effect
        cause = f"{WORKER_CRASHED}{process.how_it_ended()}" if process.is_dead else GONE
        self._report(effect.instance, effect.epoch, InstanceState.FAILED, cause, ErrorClass.INFRASTRUCTURE)
        self._over(copy)

    def _report(
        self, instance: InstanceId, epoch: int, state: InstanceState, cause: str = "", error: ErrorClass | None = None
    ) -> None:
        self._reports.put(Report(instance=instance, epoch=epoch, state=state, cause=cause or None, error=error))


def _start_order(copy: _Copy) -> JsonTable:
    effect = copy.effect
    return {
        "order": "start",
        **copy.names(),
        "job": effect.instance.job,
        "operator": effect.instance.operator,
        "index": effect.instance.index,
        "kind": effect.spec.kind,
        "parameters": cast("Json", effect.spec.parameters),  # JSON-like values, tuples for lists
        "inputs": [str(each) for each in effect.inputs],
        "outputs": [str(each) for each in effect.outputs],
        "resume_from": effect.resume_from.hex(),
        "guarantee": effect.spec.instances,
        "fence_s": copy.fence_s(),
    }
