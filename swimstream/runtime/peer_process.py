"""A peer in a small process of its own, with the face of one on a thread.

What the worker's interpreter does, the peer does not feel: a C call that keeps the GIL for seconds, a hundred busy
threads, or the end of it all by SIGKILL. Others hear from such a worker all the while, at last that it is gone and
that its instances have failed; see `last_words.py`.

The thread that would drive the node carries frames to the process and back instead. The process is spawned, not
forked (a fork of a process with threads inherits locks that nobody will release), without the package's public face,
which would load what a peer does not need, and in a session of its own.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

import trio

from swimstream.core.effects import DumpStack, KeepWarm, RenewFence, StartInstance, StopInstance
from swimstream.errors import WorkerStopped
from swimstream.runtime import clock
from swimstream.runtime.peer_link import (
    CHUNK_BYTES,
    Begin,
    Call,
    Ended,
    Frames,
    Halt,
    News,
    OperatorProcess,
    Refused,
    Reported,
    Started,
    encode,
    pack_process,
)
from swimstream.runtime.processes import open_pidfd
from swimstream.runtime.storage import MemoryStorage
from swimstream.runtime.thread import PeerSettings, PeerThread
from swimstream.runtime.view import View

if TYPE_CHECKING:
    from collections.abc import Callable

    from swimstream.core.participant import Participant
    from swimstream.runtime.faces import InstanceRunner
    from swimstream.runtime.peer_link import ToPeer
    from swimstream.runtime.reports import Reports
    from swimstream.runtime.ticks import Ticks

log = logging.getLogger(__name__)

PACKAGE = Path(__file__).parents[1]
START = """
import sys, types
package = types.ModuleType("swimstream")
package.__path__ = [sys.argv.pop(1)]
sys.modules["swimstream"] = package
from swimstream.runtime.peer_child import main
main()
"""
HALT_S = 3.0
"""A peer that was told to end and has not after so long is killed."""


class _Recorder:
    """Stands in for the node while a command is called, and keeps what is called."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def __getattr__(self, method: str) -> Callable[..., None]:
        def call(*arguments: object, now: float, **keywords: object) -> None:  # noqa: ARG001  # the peer's own is later
            self.calls.append(Call(method, arguments, keywords))

        return call


class PeerProcess(PeerThread):
    """One peer in a process of its own. Methods may be called from any thread unless they say otherwise."""

    def __init__(
        self,
        settings: PeerSettings,
        *,
        state_dir: Path | None,
        runner: InstanceRunner,
        reports: Reports,
        ticks: Ticks,
        frozen_after_s: float,
        kinds_apart: frozenset[str],
    ) -> None:
        """Prepare; nothing runs before `start`.

        `saved` and `boot` of the settings are of no use: the process reads them from `state_dir` itself. Operators of
        `kinds_apart` run in processes of their own; `operator_started` is to be called with each. `ticks` are counted
        by the operators' loop, several times in `frozen_after_s`, in memory that can be shared.
        """
        # the process has the memory, and writes nothing here
        super().__init__(settings, storage=MemoryStorage(settings.boot), runner=runner, reports=reports)
        self._begin = Begin(
            settings=settings,
            state_dir=state_dir,
            frozen_after_s=frozen_after_s,
            kinds_apart=kinds_apart,
            log_level=logging.getLogger("swimstream").getEffectiveLevel(),
        )
        self._ticks = ticks
        self._scope = trio.CancelScope()
        self._waiting: list[ToPeer] = []
        """Bounded by the commands that are admitted."""
        self._has_work = trio.Event()
        self._has_begun = trio.Event()
        self._has_said_end = False
        self._refused: Exception | None = None
        self._shown = self.views.current
        self._processes: socket.socket | None = None
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Return the number of the peer's process, which has started."""
        assert self._child is not None
        return self._child.pid

    def operator_started(self, start: StartInstance, pid: int) -> None:
        """Tell the peer of an operator's process that has just been started and cannot have been reaped yet."""
        descriptor = open_pidfd(pid)
        if descriptor is None:
            return
        notice = pack_process(OperatorProcess(start.instance, start.epoch, pid))
        try:
            with suppress(OSError):  # the peer has ended, or stands still: then it can prove less, which is safe
                if self._processes is not None:
                    socket.send_fds(self._processes, [notice], [descriptor])
        finally:
            os.close(descriptor)

    # --- instead of driving -----------------------------------------------------------------------

    def _post(self, act: Callable[[Participant, float], None]) -> None:
        recorder = _Recorder()
        act(cast("Participant", recorder), clock.now())
        if not self._thread.post(lambda: self._say(*recorder.calls)):
            self._fail_requests(self._cause or WorkerStopped("the worker has stopped"))

    def _wake_for_reports(self) -> None:
        self._thread.post(self._say)

    def _say(self, *messages: ToPeer) -> None:
        self._waiting += messages
        self._has_work.set()

    def _stop(self) -> None:
        """Have the peer end, and kill it if it does not. Its own thread only."""
        self._say(Halt())
        self._scope.deadline = min(self._scope.deadline, trio.current_time() + HALT_S)

    async def _main(self, started: Callable[[], None]) -> None:
        ours, self._child = self._spawn()
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._tell, stream)
                    await self._listen(stream, started)
                    nursery.cancel_scope.cancel()
        finally:
            ours.close()
            with trio.CancelScope(shield=True):
                ended = await trio.to_thread.run_sync(self._reap, self._child)
            if self._processes is not None:
                self._processes.close()
        if self._refused is not None:
            raise self._refused
        if not self._has_begun.is_set():
            raise WorkerStopped(f"the peer could not start: its process {ended}")
        if not self._has_said_end and self._cause is None:
            self._cause = WorkerStopped(f"the peer crashed: its process {ended}")
            log.critical("%s worker=%s", self._cause, self._settings.node.name)

    def _spawn(self) -> tuple[socket.socket, subprocess.Popen[bytes]]:
        """Start the process; return this end of the channel to it. Blocks for some milliseconds."""
        ours, theirs = socket.socketpair()
        self._processes, their_processes = _packet_pair()
        inherited = [theirs.fileno(), *([their_processes.fileno()] if their_processes else []), self._ticks.descriptor]
        numbers = [str(inherited[0]), str(inherited[1]) if their_processes else "-", str(self._ticks.descriptor)]
        # what can be imported here can be there, but never what lies in the working directory by chance
        paths = [str(PACKAGE.parent), *(path for path in sys.path if path)]
        try:
            child = subprocess.Popen(  # noqa: S603  # our own module
                [sys.executable, "-P", "-c", START, str(PACKAGE), *numbers, str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
                pass_fds=inherited,
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            self._ticks.close_descriptor()
            theirs.close()
            if their_processes is not None:
                their_processes.close()
        return ours, child

    def _reap(self, child: subprocess.Popen[bytes]) -> str:
        """Return how the process has ended, or was ended now."""
        try:
            status = child.wait(0.0 if self._scope.cancelled_caught else HALT_S)
        except subprocess.TimeoutExpired:
            log.warning("the peer's process does not end, killing it worker=%s", self._settings.node.name)
            child.kill()
            status = child.wait()
        return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with exit status {status}"

    # --- what is said -----------------------------------------------------------------------------

    async def _tell(self, stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            await stream.send_all(encode(self._begin))
            await self._has_begun.wait()
            while True:
                with trio.move_on_after(max(0.0, self._reports.due_at() - clock.now())):
                    await self._has_work.wait()
                self._has_work = trio.Event()
                for message in self._take_messages():
                    await stream.send_all(encode(message))

    def _take_messages(self) -> list[ToPeer]:
        """Return what waits: the reports first, since what is asked for next may depend on them, as a goodbye does."""
        messages, self._waiting = self._waiting, []
        now = clock.now()
        if self._reports.due_at() > now:
            return messages
        reports = self._reports
        taken = tuple(reports.take(now=now))
        return [Reported(taken, coalesced=reports.coalesced, fences_missed=reports.fences_missed), *messages]

    async def _listen(self, stream: trio.SocketStream, started: Callable[[], None]) -> None:
        """Take what the peer says until it ends."""
        frames = Frames()
        with suppress(trio.BrokenResourceError):
            while data := await stream.receive_some(CHUNK_BYTES):
                for message in frames.feed(data):
                    self._hear(message, started)

    def _hear(self, message: object, started: Callable[[], None]) -> None:
        match message:
            case Started():
                self.address = message.address
                self.views.publish(View(run=message.run))
                self._reports.on_first = self._wake_for_reports
                self._has_begun.set()
                started()
            case News():
                self._take_news(message)
            case Refused(error=error):
                self._refused = error
            case Ended(cause=cause):
                self._has_said_end = True
                if cause and self._cause is None:
                    self._cause = WorkerStopped(cause)
            case other:
                raise AssertionError(f"expected a message of the peer, got {other!r}")

    def _take_news(self, news: News) -> None:
        for order in news.orders:
            match order:
                case StartInstance():
                    self._runner.start(order)
                case RenewFence():
                    self._runner.renew(order)
                case StopInstance():
                    self._runner.stop(order)
                case DumpStack():
                    self._runner.dump(order)
                case KeepWarm():
                    self._runner.keep_warm(order)
        if news.view is not None:
            self._shown = news.view.apply(self._shown)
            self.view_changed(self._shown)
        if news.lost:
            self.subscriptions.lose(news.lost)
        for event in news.events:
            self.told(event)
        for request, error in news.answers:
            self.answered(request, error)
        for request, result in news.results:
            self.query_answered(request, result)
        for each in news.logged:
            logging.getLogger(each.name).log(each.level, "%s", each.text)


def _packet_pair() -> tuple[socket.socket | None, socket.socket | None]:
    """Return two ends of a channel for descriptors of processes, where there are any."""
    if sys.platform != "linux":
        return None, None
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    return ours, theirs
