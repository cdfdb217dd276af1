"""The process of one instance: `python -m swimstream.runners.child`, started by `process.py` and by nobody else.

In this order: it ties its life to the worker's, arms its fence, and only then imports and calls the operator. So
whatever is still starting when the deadline comes never runs the operator.

One that is kept warm (`warm.py`) imports first, and waits. Its promotion is the order to start: the fence comes with
it, and is armed before the operator is called. A warm process that has slept through its fence dies as it arms it.

Threads: the operator has the main one. One hears the worker, one sends reports, and one does nothing but move the
fence when the worker has renewed its authority. An operator whose native code holds the GIL keeps that thread from
running, so the kernel kills it at the last deadline that got through: it may die without need, never live too long.
"""

from __future__ import annotations

import asyncio
import ctypes
import io
import logging
import os
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, cast

import trio

from swimstream.core.effects import StartInstance
from swimstream.model.identity import InstanceId
from swimstream.model.job import OperatorSpec
from swimstream.model.status import ErrorClass
from swimstream.runners.asked import AskedNeighbours
from swimstream.runners.async_task import run_async
from swimstream.runners.causes import cause_of, class_of, is_worth_a_stack
from swimstream.runners.context import OperatorContext
from swimstream.runners.fence import arm
from swimstream.runners.frames import CHUNK_BYTES, UNTIL, Frames, encode, waiting_deadlines
from swimstream.runners.fuse import arm_fuse
from swimstream.runners.place import Place
from swimstream.runners.registry import ASYNCIO, is_async
from swimstream.runtime import clock
from swimstream.runtime.reports import REPORT_INTERVAL_S, Reports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from swimstream.model.job import Parameter
    from swimstream.runners.asked import Send
    from swimstream.runners.fence import KernelFence, WatchdogFence
    from swimstream.runners.registry import AsyncOperator, OperatorFunction, ThreadOperator

log = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Run one instance to its end: `child CHANNEL FENCE FUSE BURNING WORKER_PID FENCE_AT`.

    The first four are descriptors; the last is `-` without a fence.
    """
    channel_fd, fence_fd, fuse, burning, worker_pid, fence_at = sys.argv[1:]
    die_with(int(worker_pid))
    arm_fuse(int(fuse), int(burning))
    fencing = _own(int(fence_fd))
    if fence_at != "-":
        _fence(float(fence_at), fencing)
    life = Life(_own(int(channel_fd)), fencing)
    sys.exit(life.live())


def die_with(worker_pid: int) -> None:
    """Have the kernel kill this process when the worker's operators' thread ends (Linux; elsewhere see `Life`)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != worker_pid:  # it ended before that was in force
        os.kill(os.getpid(), signal.SIGKILL)


def _own(descriptor: int) -> socket.socket:
    """Take over an inherited socket, and keep it from whatever the operator starts."""
    taken = socket.socket(fileno=descriptor)
    taken.set_inheritable(False)
    return taken


def _fence(until: float, fencing: socket.socket) -> None:
    """Arm the fence at the newest deadline that the worker has told, and have it move as it says from then on."""
    told = waiting_deadlines(fencing)
    fence = arm(max([until, *told]))
    with suppress(ConnectionError):
        fencing.sendall(b"".join(map(UNTIL.pack, told)))
    threading.Thread(target=_move, args=(fence, fencing), name="swimstream-fence", daemon=True).start()


def _move(fence: KernelFence | WatchdogFence, renewals: socket.socket) -> None:
    """Move the fence as the worker says, and confirm each move. The fence stays when nothing comes any more."""
    with suppress(ConnectionError):  # the worker died before it had read every confirmation
        while data := renewals.recv(UNTIL.size, socket.MSG_WAITALL):
            (until,) = UNTIL.unpack(data)
            fence.renew(until)
            renewals.sendall(data)


class Life:
    """What happens between the first message of the worker and the last one to it."""

    def __init__(self, channel: socket.socket, fencing: socket.socket) -> None:
        """Take over the sockets to the worker."""
        self._channel = channel
        self._fencing = fencing
        self._given: list[int] = []
        """Descriptors that came with a message and are not in use yet."""
        self._function: object = None
        """What is to be called, if it was imported before the order to start."""
        self._writing = threading.Lock()
        self._messages = self._hear()
        self._neighbours = AskedNeighbours(self._send)
        self._reports = Reports()
        self._cancel_task: Callable[[], object] = _nothing

    def live(self) -> int:
        """Run the instance; return the exit status: 0 if its function has returned."""
        match self._wait_to_start():
            case ["start", dict(order)]:
                if order["fence_at"] is not None:
                    _fence(float(order["fence_at"]), self._fencing)
                context = OperatorContext(
                    _start_from(order), worker=str(order["worker"]), reports=self._reports, neighbours=self._neighbours
                )
                threading.Thread(target=self._follow, args=(context,), name="swimstream-worker", daemon=True).start()
                sender = Sender(self._reports, self._send)
                threading.Thread(target=sender.run, name="swimstream-reports", daemon=True).start()
            case other:
                raise AssertionError(f"expected the order to start, got {other!r}")
        cause, kind = None, ErrorClass.RETRYABLE
        try:
            self._import(order)
            if order["is_captured"]:
                _speak_at_once()
            context.whereabouts.enter()
            self._send("running")
            self._call(cast("OperatorFunction", self._function), context, loop=str(order["loop"]))
        # BaseException: whatever an operator raises is its failure, to be told before the process ends
        except BaseException as error:
            kind = class_of(error)
            if is_worth_a_stack(error, was_asked=context.cancelled):
                log.exception("operator failed instance=%s epoch=%d", context.instance, context.epoch)
            cause = cause_of(error, loop=str(order["loop"]))
        sender.flush()
        if cause is None:
            self._send("returned")
        else:
            self._send("failed", cause, *([int(kind)] if kind else []))
        return 0 if cause is None else 1

    def _wait_to_start(self) -> list[object]:
        """Return the order to start; do before what a process does that is kept warm."""
        for message in self._messages:
            match message:
                case ["warm", dict(order)]:
                    self._warm_up(order)
                case ["output"]:
                    _print_to(self._given.pop())
                case order:
                    return order
        sys.exit(1)  # nobody is left who could start it

    def _warm_up(self, order: dict[str, object]) -> None:
        """Import the operator. If that fails this process ends, and what fails then is a start without it."""
        try:
            self._import(order)
        # BaseException: a module may raise anything
        except BaseException:
            log.exception("what is to be kept warm cannot be imported module=%s", order["module"])
            sys.exit(1)

    def _import(self, order: dict[str, object]) -> None:
        """Find the function, unless it was found before: a script would be run again."""
        if self._function is None:
            sys.path[:] = cast("list[str]", order["path"])
            self._function = _place_from(order).find()

    def _call(self, function: OperatorFunction, context: OperatorContext, *, loop: str) -> None:
        if not is_async(function):
            cast("ThreadOperator", function)(context)
        elif loop == ASYNCIO:
            asyncio.run(self._call_asyncio(cast("AsyncOperator", function), context))
        else:
            trio.run(self._call_trio, cast("AsyncOperator", function), context)

    async def _call_trio(self, function: AsyncOperator, context: OperatorContext) -> None:
        token, scope = trio.lowlevel.current_trio_token(), trio.CancelScope()
        self._cancel_task = lambda: token.run_sync_soon(scope.cancel)
        if context.cancelled:
            scope.cancel()
        await run_async(function, context, scope)

    async def _call_asyncio(self, function: AsyncOperator, context: OperatorContext) -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        self._cancel_task = lambda: loop.call_soon_threadsafe(task.cancel)
        context.whereabouts.enter(lambda: [task.get_coro()])
        if context.cancelled:
            return
        try:
            await function(context)
        except asyncio.CancelledError:
            if not context.cancelled:
                raise

    def _follow(self, context: OperatorContext) -> None:
        """Do as the worker says, until it is gone: then nobody could stop this process, so it ends with its group."""
        for message in self._messages:
            match message:
                case ["cancel"]:
                    context.cancel()
                    with suppress(RuntimeError, trio.RunFinishedError):  # the function has just ended, and its loop
                        self._cancel_task()
                case ["dump"]:
                    stack = context.whereabouts.look()
                    if stack is not None:
                        self._send("stack", stack.place, stack.text)
                case ["answer", int(number), str() | None as address]:
                    self._neighbours.answered(number, address)
                case ["refused", int(number), bool(is_usage), str(text)]:
                    self._neighbours.refused(number, text, is_usage=is_usage)
                case other:
                    raise AssertionError(f"expected a message of the worker, got {other!r}")
        os.killpg(0, signal.SIGKILL)

    def _hear(self) -> Iterator[list[object]]:
        frames = Frames()
        while data := self._receive():
            yield from frames.feed(data)

    def _receive(self) -> bytes:
        try:
            data, given, _, _ = socket.recv_fds(self._channel, CHUNK_BYTES, 1)
        except ConnectionError:
            return b""
        self._given += given
        return data

    def _send(self, *message: object) -> None:
        data = encode(*message)
        with self._writing:
            self._channel.sendall(data)


class Sender:
    """Hands reports on, the newest of what came within `REPORT_INTERVAL_S`."""

    def __init__(self, reports: Reports, send: Send) -> None:
        """Send what is put into `reports`, once `run` runs."""
        self._reports = reports
        self._send = send
        self._waiting = threading.Event()
        self._flushing = threading.Lock()
        reports.on_first = self._waiting.set

    def run(self) -> None:
        """Send for ever (a thread of its own)."""
        while self._waiting.wait():
            self._waiting.clear()
            time.sleep(max(0.0, min(self._reports.due_at() - clock.now(), REPORT_INTERVAL_S)))
            self.flush()

    def flush(self) -> None:
        """Send what waits, in order."""
        with self._flushing:
            for report in self._reports.take(now=clock.now()):
                load = (report.watermark_ms, report.backlog, report.busy_until, report.backpressured)
                if any(each is not None for each in load):
                    self._send("load", *load)
                told = (report.progress, report.checkpoint, report.endpoint)
                if any(each is not None for each in told):
                    self._send("report", *told)


def _start_from(order: dict[str, object]) -> StartInstance:
    parameters = cast("dict[str, Parameter]", order["parameters"])
    instance = InstanceId.parse(str(order["instance"]))
    return StartInstance(
        instance=instance,
        epoch=cast("int", order["epoch"]),
        spec=OperatorSpec(name=instance.operator, kind=str(order["kind"]), parameters=parameters),
        inputs=tuple(InstanceId.parse(text) for text in cast("list[str]", order["inputs"])),
        outputs=tuple(InstanceId.parse(text) for text in cast("list[str]", order["outputs"])),
        resume_from=cast("bytes", order["resume_from"]),
    )


def _speak_at_once() -> None:
    """Have what is printed or logged appear in the logs line by line, unless the module has seen to logging itself."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")


def _print_to(descriptor: int) -> None:
    """Have whatever is printed from now on appear there."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(descriptor, stream.fileno())
    os.close(descriptor)


def _nothing() -> None:
    """Do nothing: no task runs."""


def _place_from(order: dict[str, object]) -> Place:
    return Place(module=str(order["module"]), qualname=str(order["qualname"]), script=str(order["script"]))


if __name__ == "__main__":
    main()
