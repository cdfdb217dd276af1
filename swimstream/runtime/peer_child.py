"""The process of a peer: `peer_child CHANNEL_FD PROCESSES_FD TICKS_FD WORKER_PID`, started by `PeerProcess`.

It runs what `PeerThread` runs, and none of the worker's code, so nothing that an operator does with the interpreter
can hold it up. The worker says what it wants through one pair of sockets and is told everything through it; the peer
never waits for the worker to read (`peer_news.py`).

It outlives its worker by its last words (`last_words.py`) and no longer. It ignores the signals by which a terminal
or a supervisor ends a whole group: its worker gets them too, and says goodbye through it.
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

from swimstream.errors import SwimstreamError, UsageError
from swimstream.runtime import clock, last_words
from swimstream.runtime.peer_link import (
    CHUNK_BYTES,
    Begin,
    Call,
    Ended,
    Frames,
    Halt,
    Logged,
    Order,
    Refused,
    Reported,
    Started,
    encode,
)
from swimstream.runtime.peer_news import NewsDesk
from swimstream.runtime.processes import how_it_ended, open_pidfd, wait_parent_gone
from swimstream.runtime.reports import Reports
from swimstream.runtime.storage import MemoryStorage, Storage, open_storage
from swimstream.runtime.thread import PeerSettings, PeerThread, innermost, with_memory
from swimstream.runtime.ticks import FreezeWatch, Ticks

if TYPE_CHECKING:
    from collections.abc import Callable

    from swimstream.core.effects import DumpStack, KeepWarm, RenewFence, StartInstance, StopInstance
    from swimstream.events import Event
    from swimstream.model.talk import QueryResult
    from swimstream.runtime.view import View

log = logging.getLogger(__name__)

IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PREDECESSOR_S = 5.0
"""A peer that still has its last words holds the port and the state directory: its successor tries again so long."""
AGAIN_S = 0.05
FLUSH_S = 1.0
"""A peer that ends waits so long for a worker that does not read."""
GONE_S = 5.0
"""A process whose descriptors are closed has ended within this, or was not the one that held them."""
DRAIN_S = 0.2


class RemoteRunner:
    """Hands orders to the worker, which runs instances. Once the worker is gone it turns them down."""

    def __init__(self, peer: HostedPeer) -> None:
        """Speak through `peer`."""
        self._peer = peer

    def start(self, effect: StartInstance) -> None:
        """Run an instance."""
        self._peer.order(effect)

    def renew(self, effect: RenewFence) -> None:
        """Move the fences."""
        self._peer.order(effect)

    def stop(self, effect: StopInstance) -> None:
        """Stop an instance."""
        self._peer.order(effect)

    def dump(self, effect: DumpStack) -> None:
        """Have the worker say where an instance stands."""
        self._peer.order(effect)

    def keep_warm(self, effect: KeepWarm) -> None:
        """Have the worker prepare instances."""
        self._peer.order(effect)


class HostedPeer(PeerThread):
    """A peer that tells a worker in another process what it would tell the application in its own."""

    def __init__(
        self, begin: Begin, settings: PeerSettings, *, storage: Storage | MemoryStorage, ticks: Ticks, worker: WorkerEnd
    ) -> None:
        """Prepare; nothing runs before `start`."""
        reports = Reports()
        freezes = FreezeWatch(
            ticks,
            reports,
            frozen_after_s=begin.frozen_after_s,
            shares_fate=False,
            kinds_apart=begin.kinds_apart,
        )
        super().__init__(settings, storage=storage, runner=RemoteRunner(self), reports=reports, freezes=freezes)
        self._begin = begin
        self._worker = worker
        self._news = NewsDesk(self.views.current)
        self._has_news = trio.Event()
        self._has_begun = trio.Event()
        self._worker_read_end = trio.Event()
        self._has_told_all = trio.Event()
        self._has_stopped = False
        self._is_halted = False
        self._is_orphan = False

    # --- what the driver says: peer's thread only -------------------------------------------------

    def order(self, order: Order) -> None:
        """Have the worker do something. Without a worker nothing starts, and what ran has been told of."""
        if not self._is_orphan:
            self._news.orders.add(order)
            self._has_news.set()

    def view_changed(self, view: View) -> None:
        """Show the worker `view`."""
        self._news.view_changed(view)
        self._has_news.set()

    def told(self, event: Event) -> None:
        """Tell the worker."""
        self._news.told(event)
        self._has_news.set()

    def answered(self, request: int, error: str) -> None:
        """Tell the worker, unless the peer itself has asked."""
        if request == last_words.REQUEST:
            self._stop()
        else:
            self._news.answered(request, error)
            self._has_news.set()

    def query_answered(self, request: int, result: QueryResult) -> None:
        """Tell the worker."""
        self._news.query_answered(request, result)
        self._has_news.set()

    def log_record(self, logged: Logged) -> None:
        """Have the worker log something; any thread."""

        def add() -> None:
            self._news.logged.append(logged)
            self._has_news.set()

        self._thread.post(add)

    # --- within -----------------------------------------------------------------------------------

    async def _main(self, started: Callable[[], None]) -> None:
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(self._worker.channel))
        processes = last_words.OperatorProcesses(self._worker.processes)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._hear, stream)
            nursery.start_soon(self._tell, stream)
            nursery.start_soon(processes.watch)
            nursery.start_soon(self._survive, processes)
            await super()._main(lambda: self._begin_talk(started))
            self._has_stopped = True
            self._has_news.set()
            with trio.move_on_after(FLUSH_S):
                await self._has_told_all.wait()
            nursery.cancel_scope.cancel()

    def _begin_talk(self, started: Callable[[], None]) -> None:
        self._has_begun.set()
        started()

    async def _hear(self, stream: trio.SocketStream) -> None:
        frames = self._worker.frames
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while data := await stream.receive_some(CHUNK_BYTES):
                for message in frames.feed(data):
                    self._obey(message)
        self._worker_read_end.set()

    def _obey(self, message: object) -> None:
        match message:
            case Call(method=method, arguments=arguments, keywords=keywords):
                self._post(lambda node, now: getattr(node, method)(*arguments, now=now, **keywords))
            case Reported():
                self._reports.coalesced = message.coalesced
                self._reports.fences_missed = message.fences_missed
                for report in message.reports:
                    self._reports.put(report)
            case Halt():
                self._is_halted = True
                self._stop()
            case other:
                raise AssertionError(f"expected a message of the worker, got {other!r}")

    async def _tell(self, stream: trio.SocketStream) -> None:
        """Tell the worker everything, until this peer has ended or the worker does not listen."""
        await self._has_begun.wait()
        assert self._node is not None
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await stream.send_all(encode(Started(self._node.run, self.address)))
            while not (self._has_stopped and not self._has_news.is_set()):
                await self._has_news.wait()
                self._has_news = trio.Event()
                if (news := self._news.take()) is not None:
                    # apart from the loop: the plan of a large cluster is thousands of values, at the join all of them
                    await stream.send_all(await trio.to_thread.run_sync(encode, news))
        self._has_told_all.set()

    async def _survive(self, processes: last_words.OperatorProcesses) -> None:
        """When the worker ends without having said so, tell the others in its place."""
        worker = self._worker
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_first, self._worker_read_end, nursery.cancel_scope)
            await wait_parent_gone(worker.pid, worker.pidfd)
            nursery.cancel_scope.cancel()
        with trio.move_on_after(DRAIN_S):  # nobody closes the channel while something that the worker forked holds it
            await self._worker_read_end.wait()
        if self._is_halted:
            return
        with trio.move_on_after(GONE_S) as patience:
            await wait_parent_gone(worker.pid, worker.pidfd)
        if patience.cancelled_caught:
            log.error("the worker lives but has hung up; nothing can be said of its instances")
            self._stop()
            return
        self._is_orphan = True
        worker.unlink()
        cause = f"worker process {how_it_ended(worker.pid, worker.pidfd)}"
        log.warning("%s worker=%s", cause, self._settings.node.name)
        assert self._driver is not None
        assert self._node is not None
        await last_words.speak(self._node, self._driver, processes, cause=cause, kinds_apart=self._begin.kinds_apart)


async def _first(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


class WorkerEnd:
    """The worker, as its peer's process sees it."""

    def __init__(self, channel: socket.socket, processes: socket.socket | None, pid: int) -> None:
        """Take over the inherited sockets."""
        self.channel = channel
        self.processes = processes
        self.pid = pid
        self.pidfd = open_pidfd(pid)
        self.frames = Frames()
        self._forward: logging.Handler | None = None
        if os.getppid() != pid:  # it ended before it could be watched
            sys.exit(1)

    def first_message(self) -> Begin:
        """Wait for the order to begin."""
        while data := self.channel.recv(CHUNK_BYTES):
            for message in self.frames.feed(data):
                assert isinstance(message, Begin)
                return message
        sys.exit(1)  # it has ended

    def say(self, message: Started | Refused | Ended) -> None:
        """Say something while no loop runs; in vain if the worker does not read."""
        with suppress(OSError):
            self.channel.settimeout(FLUSH_S)
            self.channel.sendall(encode(message))

    def forward_log(self, level: int, emit: Callable[[Logged], None]) -> None:
        """Have the worker log what this process logs, from now on."""
        if self._forward is not None:
            logging.getLogger("swimstream").removeHandler(self._forward)
        self._forward = _Forward(emit)
        logger = logging.getLogger("swimstream")
        logger.setLevel(level)
        logger.addHandler(self._forward)
        logger.propagate = False

    def unlink(self) -> None:
        """Log to standard error: nobody else is left."""
        logger = logging.getLogger("swimstream")
        if self._forward is not None:
            logger.removeHandler(self._forward)
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
        logger.addHandler(handler)


class _Forward(logging.Handler):
    def __init__(self, emit: Callable[[Logged], None]) -> None:
        super().__init__()
        self._emit = emit

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a record on as text: what it holds may not be fit to travel."""
        self._emit(Logged(record.name, record.levelno, self.format(record)))


def main() -> None:
    """Run the peer to its end; the worker is told of it."""
    channel_fd, processes_fd, ticks_fd, worker_pid = sys.argv[1:]
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    processes = None if processes_fd == "-" else _own(int(processes_fd))
    worker = WorkerEnd(_own(int(channel_fd)), processes, int(worker_pid))
    ticks = Ticks(int(ticks_fd))
    ticks.close_descriptor()
    begin = worker.first_message()
    try:
        peer, storage = _start(begin, ticks, worker)
    except Exception as error:  # noqa: BLE001  # whatever it is, `Worker.start` raises it
        worker.say(Refused(error if isinstance(error, SwimstreamError | OSError) else RuntimeError(repr(error))))
        sys.exit(1)
    try:
        peer.ended.wait()
        cause = ""
    except SwimstreamError as error:
        cause = str(error)
    worker.say(Ended(cause))
    storage.close()


def _own(descriptor: int) -> socket.socket:
    """Take over an inherited socket."""
    taken = socket.socket(fileno=descriptor)
    taken.set_inheritable(False)
    return taken


def _start(begin: Begin, ticks: Ticks, worker: WorkerEnd) -> tuple[HostedPeer, Storage | MemoryStorage]:
    """Start the peer, when its predecessor has ended if there is one that has its last words."""
    until = clock.now() + PREDECESSOR_S
    while True:
        try:
            return _try_start(begin, ticks, worker)
        except UsageError as error:
            cause = error.__cause__
            is_held = isinstance(cause, OSError) and cause.errno in (errno.EADDRINUSE, errno.EWOULDBLOCK)
            if not is_held or clock.now() >= until:
                raise
        time.sleep(AGAIN_S)


def _try_start(begin: Begin, ticks: Ticks, worker: WorkerEnd) -> tuple[HostedPeer, Storage | MemoryStorage]:
    storage = open_storage(begin.state_dir, now_ms=begin.settings.boot)
    try:
        peer = HostedPeer(begin, with_memory(begin.settings, storage), storage=storage, ticks=ticks, worker=worker)
        worker.forward_log(begin.log_level, peer.log_record)
        peer.start()
    except Exception as error:  # noqa: BLE001  # it goes on, without its wrapping
        storage.close()
        only = innermost(error)
        raise only from only.__cause__
    return peer, storage


if __name__ == "__main__":
    main()
