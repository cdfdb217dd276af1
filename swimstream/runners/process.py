"""Run an instance in a process of its own: start it (`spawned.py`), speak with it, stop it, and say how it ended."""

from __future__ import annotations

import logging
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, cast

import trio

from swimstream.errors import SwimstreamError, UsageError
from swimstream.model.identity import Address, InstanceId
from swimstream.model.status import ErrorClass, InstanceState
from swimstream.runners.asked import QUESTIONS_MAX
from swimstream.runners.command import Command
from swimstream.runners.ending import Ending, exited, fenced
from swimstream.runners.frames import CHUNK_BYTES, UNTIL, Frames, encode
from swimstream.runners.spawned import COMMAND_MODULE, MODULE, Spawned
from swimstream.runners.stacks import Stack
from swimstream.runtime import clock
from swimstream.runtime.reports import Report

if TYPE_CHECKING:
    from collections.abc import Callable

    from swimstream.core.effects import StartInstance
    from swimstream.runners.context import OperatorContext
    from swimstream.runners.neighbours import Neighbours
    from swimstream.runners.registry import InProcess
    from swimstream.runtime.replies import Reply

log = logging.getLogger(__name__)

DRAIN_S = 1.0
KILL_AFTER_MULT = 0.25
"""SIGKILL comes so many times the grace after SIGTERM."""
EARLY_S = 0.6
"""So long before its deadline a command's supervisor kills the whole group, and half as long before the kernel it."""


class Child:
    """The process of one execution. For the operators' loop only."""

    def __init__(
        self,
        start: StartInstance,
        what: InProcess | Command,
        context: OperatorContext,
        neighbours: Neighbours,
        *,
        grace_s: float,
        output: int | None = None,
        warm: Spawned | None = None,
    ) -> None:
        """Start the process, as `Spawned` does and on the thread that it says, or take over one that is `warm`.

        Raise `UsageError` for a command that cannot be filled in.
        """
        self._context = context
        self._neighbours = neighbours
        self._grace_s = grace_s
        self._fence_at = start.fence_at
        self._armed_until = start.fence_at
        """The last deadline that the process has confirmed."""
        self._ended_by: signal.Signals | None = None
        self._said: Ending | None = None
        self._has_begun = False
        """Whether its function, or command, was called."""
        self._waits: set[Reply[Address] | Reply[None]] = set()
        self._drained = trio.Event()
        self._is_command = isinstance(what, Command)
        self._early_s = EARLY_S if self._is_command else 0.0
        order = _order(start, what, worker=context.worker, is_captured=output is not None, is_warm=warm is not None)
        self._to_child, self._outbox = trio.open_memory_channel[bytes](QUESTIONS_MAX + 16)
        self._process = warm if warm is not None else _begin(start, is_command=self._is_command, output=output)
        self._channel = trio.SocketStream(trio.socket.from_stdlib_socket(self._process.channel))
        self._fence = self._process.fence
        self._to_child.send_nowait(order)

    @property
    def pid(self) -> int:
        """Return the process id, which is its session's and its group's as well."""
        return self._process.pid

    def renew(self, until: float) -> None:
        """Let it run until then; it moves its own fence as soon as it can."""
        self._fence_at = until
        # a full pipe means that it has moved nothing for a very long time: then its fence ends it, rightly
        with suppress(OSError):
            self._fence.send(UNTIL.pack(until))
        self._hear_of_fence()

    def dump(self) -> None:
        """Ask where it stands; it answers as soon as its code lets go of the GIL. A command stands nowhere."""
        if not self._is_command:
            self._tell("dump")

    def pass_fence(self) -> None:
        """Its deadline is over: kill what the kernel has not killed, namely what it has started itself."""
        self._process.signal(signal.SIGKILL)

    async def run(self, scope: trio.CancelScope, *, on_running: Callable[[], None]) -> Ending:
        """Return how it has ended; `scope` asks it to stop. Cancelled from outside, it kills the process and waits."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read, on_running)
                nursery.start_soon(self._write)
                nursery.start_soon(self._stop, scope)
                try:
                    await self._process.wait_for_end()
                finally:
                    self._process.reap()
                with trio.move_on_after(DRAIN_S):
                    await self._drained.wait()
                nursery.cancel_scope.cancel()
            self._hear_of_fence()
        finally:
            self._channel.socket.close()
            self._process.close()
            for reply in list(self._waits):
                reply.forget(self)
                reply.fail(UsageError("the process that asked has ended"))
        return self._ending()

    # --- its life ---------------------------------------------------------------------------------

    async def _stop(self, scope: trio.CancelScope) -> None:
        with scope:
            await trio.sleep_forever()
        self._tell("cancel")
        await trio.sleep(self._grace_s)
        self._end_by(signal.SIGTERM)
        await trio.sleep(self._grace_s * KILL_AFTER_MULT)
        self._end_by(signal.SIGKILL)

    def _end_by(self, number: signal.Signals) -> None:
        log.warning("operator does not stop, sending %s instance=%s", number.name, self._context.instance)
        self._ended_by = number
        self._process.signal(number)

    def _hear_of_fence(self) -> None:
        """Note the last deadline that it has confirmed."""
        with suppress(OSError):
            while data := self._fence.recv(UNTIL.size):
                (self._armed_until,) = UNTIL.unpack(data)

    def _ending(self) -> Ending:
        status = self._process.status
        if status == -signal.SIGKILL and self._fence_at is not None and self._ended_by is None:
            assert self._armed_until is not None
            by_fence = fenced(
                clock.now() + self._early_s, self._fence_at, armed_until=self._armed_until, has_begun=self._has_begun
            )
            if by_fence is not None:
                return by_fence
        if self._said is not None:
            return self._said
        if self._ended_by is not None:
            # the one that it died of: the harder one may have been sent to it while it was dying of the other
            by = signal.Signals(-status) if status is not None and status < 0 else self._ended_by
            return Ending(InstanceState.STOPPED, f"ended by {by.name}: it did not stop when asked")
        if status is not None and status < 0:
            return Ending(InstanceState.FAILED, f"its process was ended by {signal.Signals(-status).name}")
        return Ending(InstanceState.FAILED, f"its process ended with exit status {status}")

    # --- what is said -----------------------------------------------------------------------------

    def _tell(self, *message: object) -> None:
        # cannot be full: the process has at most so many questions under way, and is asked for little else
        self._to_child.send_nowait(encode(*message))

    async def _write(self) -> None:
        with suppress(trio.BrokenResourceError):
            async for frame in self._outbox:
                await self._channel.send_all(frame)

    async def _read(self, on_running: Callable[[], None]) -> None:
        frames = Frames()
        with suppress(trio.BrokenResourceError):
            while data := await self._channel.receive_some(CHUNK_BYTES):
                for message in frames.feed(data):
                    self._hear(message, on_running)
        self._drained.set()

    def _hear(self, message: list[object], on_running: Callable[[], None]) -> None:
        match message:
            case ["running"]:
                self._has_begun = True
                on_running()
            case ["report", int() | None as progress, bytes() | None as checkpoint, str() | None as endpoint]:
                self._report(progress, checkpoint, endpoint)
            case ["load", int() | None, int() | None, float() | None, bool() | None]:
                self._context.relay(_load(self._context, message))
            case ["stack", str(place), str(text)]:
                self._context.stalled(Stack(place, text))
            case ["ask", int(number), str(what), str(instance), str() | None as other_than]:
                self._ask(number, what, InstanceId.parse(instance), _address(other_than))
            case ["returned"]:
                self._said = Ending(InstanceState.FINISHED)
            case ["failed", str(cause)]:
                self._said = Ending(InstanceState.FAILED, cause)
            case ["exited", int(status)]:
                self._said = exited(status, was_asked=self._context.cancelled)
            case ["failed", str(cause), int(kind)]:
                self._said = Ending(InstanceState.FAILED, cause, ErrorClass(kind))
            case other:
                raise AssertionError(f"expected a message of an operator's process, got {other!r}")

    def _report(self, progress: int | None, checkpoint: bytes | None, endpoint: str | None) -> None:
        if progress is not None:
            self._context.progress(progress)
        if checkpoint is not None:
            self._context.checkpoint(checkpoint)
        if endpoint is not None:
            self._context.publish(Address.parse(endpoint, field="endpoint"))

    def _ask(self, number: int, what: str, instance: InstanceId, other_than: Address | None) -> None:
        try:
            match what:
                case "now":
                    self._answer(number, self._neighbours.locate_now(instance))
                case "located":
                    self._answer_later(number, self._neighbours.located(instance, other_than=other_than))
                case "finished":
                    self._answer_later(number, self._neighbours.finished(instance))
                case _:
                    raise AssertionError(f"expected a question, got {what!r}")
        except UsageError as error:
            self._tell("refused", number, True, str(error))

    def _answer(self, number: int, address: Address | None) -> None:
        self._tell("answer", number, None if address is None else str(address))

    def _answer_later(self, number: int, reply: Reply[Address] | Reply[None]) -> None:
        """Answer once `reply` is settled, which happens on the peer's thread."""
        token = trio.lowlevel.current_trio_token()
        self._waits.add(reply)

        def answer() -> None:
            self._waits.discard(reply)
            try:
                self._answer(number, reply.result())
            except SwimstreamError as error:
                self._tell("refused", number, isinstance(error, UsageError), str(error))

        def post() -> None:
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(answer)

        reply.on_settled(self, post)


def _address(text: str | None) -> Address | None:
    return None if text is None else Address.parse(text, field="address")


def _begin(start: StartInstance, *, is_command: bool, output: int | None) -> Spawned:
    if is_command:
        return Spawned(COMMAND_MODULE, fence_at=start.fence_at, more=(repr(EARLY_S),), output=output)
    return Spawned(MODULE, fence_at=start.fence_at, output=output)


def _load(context: OperatorContext, message: list[object]) -> Report:
    _, watermark_ms, backlog, busy_until, backpressured = message
    return Report(
        instance=context.instance,
        epoch=context.epoch,
        watermark_ms=cast("int | None", watermark_ms),
        backlog=cast("int | None", backlog),
        busy_until=cast("float | None", busy_until),
        backpressured=cast("bool | None", backpressured),
    )


def place_fields(what: InProcess) -> dict[str, object]:
    """Return what a process needs to find the function."""
    place = what.place
    return {"path": sys.path, "module": place.module, "qualname": place.qualname, "script": place.script}


def _order(start: StartInstance, what: InProcess | Command, *, worker: str, is_captured: bool, is_warm: bool) -> bytes:
    """Return the first message to the process."""
    if isinstance(what, Command):
        ready = what.rendered(start, worker=worker)
        return encode("run", {"argv": ready.argv, "env": ready.env, "cwd": ready.cwd})
    table = {
        **place_fields(what),
        "fence_at": start.fence_at if is_warm else None,  # one that starts cold has armed it before it reads this
        "loop": what.loop,
        "is_captured": is_captured,
        "worker": worker,
        "instance": str(start.instance),
        "epoch": start.epoch,
        "kind": start.spec.kind,
        "parameters": start.spec.parameters,
        "inputs": [str(each) for each in start.inputs],
        "outputs": [str(each) for each in start.outputs],
        "resume_from": start.resume_from,
    }
    return encode("start", table)
