"""What an operator holds while it runs: who it is, where its neighbours are, and how to say how far it has come."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, TypeVar

from swimstream.errors import UsageError, WorkerStopped
from swimstream.model.job import STALL_AFTER_S_MAX
from swimstream.model.status import CHECKPOINT_BYTES_MAX, ENDPOINT_CHARS_MAX, PROGRESS_MAX, InstanceState
from swimstream.runners.stacks import Whereabouts
from swimstream.runtime import clock
from swimstream.runtime.reports import Report

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from swimstream.core.effects import StartInstance
    from swimstream.model.identity import Address, InstanceId
    from swimstream.model.job import Parameter
    from swimstream.runners.neighbours import Neighbours
    from swimstream.runners.stacks import Stack
    from swimstream.runtime.replies import Reply
    from swimstream.runtime.reports import Reports

log = logging.getLogger(__name__)

WAITS_PER_INSTANCE_MAX = 2_048

T = TypeVar("T")


class OperatorContext:
    """One execution of one instance. Every method may be called from any thread and returns at once."""

    def __init__(self, start: StartInstance, *, worker: str, reports: Reports, neighbours: Neighbours) -> None:
        """Build for one epoch. Operators are given one; they do not build it."""
        self.instance: InstanceId = start.instance
        self.epoch: int = start.epoch
        """Rises with each decision about this instance: the fencing token to show to a sink."""
        self.worker: str = worker
        self.parameters: Mapping[str, Parameter] = start.spec.parameters
        self.inputs: tuple[InstanceId, ...] = start.inputs
        """Every instance of the operators that this one reads from, in order."""
        self.outputs: tuple[InstanceId, ...] = start.outputs
        """Every instance of the operators that read from this one, in order."""
        self.resume_from: bytes = start.resume_from
        """The newest checkpoint that any earlier execution has made known; empty at first."""
        self._reports = reports
        self._neighbours = neighbours
        self.whereabouts = Whereabouts()
        """Where this execution stands; the host looks there when it makes no progress."""
        self._cancelled = threading.Event()
        self._lock = threading.Lock()
        self._progress = 0
        self._watermark_ms = -1
        self._load: tuple[int | None, bool] = (None, False)
        """Backlog, and whether it waits for its outputs, as it said last."""
        self._waits: dict[object, Callable[[BaseException], None]] = {}
        # A wait that nobody awaits any more stays until it is settled. The same question has one: whoever gives up and
        # asks again, as those do who read from an upstream that is out of reach, does not add to them.
        self._locating: dict[tuple[InstanceId, Address | None], Reply[Address]] = {}
        self._finishing: dict[InstanceId, Reply[None]] = {}

    @property
    def cancelled(self) -> bool:
        """Return whether this execution has been asked to stop; a function in a thread must look now and then."""
        return self._cancelled.is_set()

    def wait_cancelled(self, timeout_s: float) -> bool:
        """Sleep in this thread for `timeout_s`, less when asked to stop; return whether it has been."""
        return self._cancelled.wait(timeout_s)

    def progress(self, count: int) -> None:
        """Say how far it has come, in any unit of its own; a count below an earlier one is ignored."""
        _check_count("count", count)
        with self._lock:
            if count <= self._progress:
                return
            self._progress = count
            self._say(Report(instance=self.instance, epoch=self.epoch, progress=count))

    def watermark(self, time_ms: int) -> None:
        """Say up to which event time it has seen everything, in ms of any calendar; an earlier one is ignored."""
        _check_count("time_ms", time_ms)
        with self._lock:
            if time_ms > self._watermark_ms:
                self._watermark_ms = time_ms
                self._say(Report(instance=self.instance, epoch=self.epoch, watermark_ms=time_ms))

    def backlog(self, count: int) -> None:
        """Say how much input waits for it, in any unit of its own; 0: none, so that no progress is no stall.

        An operator that never says so is never STALLED, whatever `stall_after_s` its job sets.
        """
        _check_count("count", count)
        with self._lock:
            if count != self._load[0]:
                self._load = (count, self._load[1])
                self._say(Report(instance=self.instance, epoch=self.epoch, backlog=count))

    def busy(self, seconds: float) -> None:
        """Declare a step that may take so long without progress, 0 to 604,800 s from now; 0 ends it early."""
        given: object = seconds
        if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given <= STALL_AFTER_S_MAX:
            raise UsageError(f"seconds: expected a number from 0 to {STALL_AFTER_S_MAX:.0f}, got {given!r}")
        with self._lock:
            self._say(Report(instance=self.instance, epoch=self.epoch, busy_until=clock.now() + given))

    def backpressured(self, is_waiting: bool) -> None:  # noqa: FBT001  # the one thing that is said
        """Say that it waits for its outputs to take on, or no longer does; until then no progress is no stall."""
        given: object = is_waiting
        if not isinstance(given, bool):
            raise UsageError(f"is_waiting: expected True or False, got {given!r}")
        with self._lock:
            if is_waiting is not self._load[1]:
                self._load = (self._load[0], is_waiting)
                self._say(Report(instance=self.instance, epoch=self.epoch, backpressured=is_waiting))

    def relay(self, said: Report) -> None:
        """Pass on what this execution has said in a process of its own; the host calls it."""
        self._reports.put(said)

    def stalled(self, stack: Stack) -> None:
        """Log where this execution stands, and make the place its cause; the host calls it."""
        log.warning("operator makes no progress instance=%s epoch=%d\n%s", self.instance, self.epoch, stack.text)
        cause = f"no progress: stands at {stack.place}"
        self._reports.put(Report(instance=self.instance, epoch=self.epoch, state=InstanceState.STALLED, cause=cause))

    def checkpoint(self, handle: bytes) -> None:
        """Make `handle` the `resume_from` of the next execution, wherever that will be."""
        given: object = handle
        if not isinstance(given, bytes):
            raise UsageError(f"handle: expected bytes, got {type(given).__name__}")
        if len(given) > CHECKPOINT_BYTES_MAX:
            raise UsageError(
                f"handle: expected at most {CHECKPOINT_BYTES_MAX} bytes (a name or an offset, not the data), "
                f"got {len(given)}"
            )
        self._reports.put(Report(instance=self.instance, epoch=self.epoch, checkpoint=handle))

    def publish(self, endpoint: Address) -> None:
        """Tell everybody where this execution serves its neighbours."""
        text = str(endpoint)
        if not endpoint.port or len(text) > ENDPOINT_CHARS_MAX:
            raise UsageError(f"endpoint: expected host:port with a real port, {ENDPOINT_CHARS_MAX} characters at most")
        self._reports.put(Report(instance=self.instance, epoch=self.epoch, endpoint=text))

    def locate_now(self, instance: InstanceId) -> Address | None:
        """Return where the newest execution of `instance` serves its neighbours, or None while that is not known.

        In a process of its own this asks the worker, and blocks for the fraction of a millisecond that takes.
        """
        return self._neighbours.locate_now(instance)

    def locate(self, instance: InstanceId) -> Reply[Address]:
        """Return a reply that is settled once `locate_now` knows; it fails when this execution is to stop."""
        return self._located(instance, other_than=None)

    def finished(self, instance: InstanceId) -> Reply[None]:
        """Return a reply that is settled once the plan says that `instance` of this job has finished for good."""
        asked = self._finishing.get(instance)
        if asked is None or asked.is_settled:
            asked = self._finishing[instance] = self._wait_for(self._neighbours.finished(instance))
        return asked

    async def watch(self, instance: InstanceId) -> AsyncIterator[Address]:
        """Yield where `instance` is, and again whenever that is another address. For tasks of trio or asyncio.

        A next copy at the very same address is not told apart: serve at a port that the system picks.
        """
        last: Address | None = None
        while True:
            last = await self._located(instance, other_than=last)
            yield last

    def cancel(self) -> None:
        """Ask this execution to stop; the host calls it."""
        self._cancelled.set()
        with self._lock:
            waits = list(self._waits.values())
            self._waits.clear()
        for fail in waits:
            fail(WorkerStopped(f"{self.instance} has been asked to stop"))

    def _located(self, instance: InstanceId, *, other_than: Address | None) -> Reply[Address]:
        asked = self._locating.get((instance, other_than))
        if asked is None or asked.is_settled:
            asked = self._wait_for(self._neighbours.located(instance, other_than=other_than))
            self._locating[instance, other_than] = asked
            asked.on_settled("located", lambda: self._is_located(instance, other_than, asked))
        return asked

    def _is_located(self, instance: InstanceId, other_than: Address | None, reply: Reply[Address]) -> None:
        if self._locating.get((instance, other_than)) is reply:
            del self._locating[instance, other_than]

    def _wait_for(self, reply: Reply[T]) -> Reply[T]:
        if reply.is_settled:
            return reply
        with self._lock:
            if len(self._waits) >= WAITS_PER_INSTANCE_MAX:
                raise UsageError(f"locate: expected at most {WAITS_PER_INSTANCE_MAX} waits at a time")
            self._waits[reply] = reply.fail
        reply.on_settled(self, lambda: self._forget(reply))
        if self.cancelled:
            reply.fail(WorkerStopped(f"{self.instance} has been asked to stop"))
        return reply

    def _say(self, report: Report) -> None:
        """Report under the lock: of two threads that speak, whoever is the later must be heard later."""
        assert self._lock.locked()
        self._reports.put(report)

    def _forget(self, reply: object) -> None:
        with self._lock:
            self._waits.pop(reply, None)


def _check_count(field: str, count: int) -> None:
    given: object = count  # operators are seldom type-checked
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given <= PROGRESS_MAX:
        raise UsageError(f"{field}: expected an integer from 0 to {PROGRESS_MAX}, got {given!r}")
