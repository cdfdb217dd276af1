"""`Worker`: what a user holds. The same from trio, asyncio and plain threads.

    worker = Worker(name="w1", seeds=["127.0.0.1:7946"])

    @worker.operator("count")
    async def count(ctx): ...

    async with worker:                  # trio or asyncio; plain `with worker:` in threads
        await worker.submit(job)        # in threads: worker.submit(job).wait()
        await worker.finished(job.name)

The worker's peer runs on a thread of its own, its operators on another, and whatever the application does on any
other thread holds up neither.
"""

from __future__ import annotations

import enum
import logging
import threading
from typing import TYPE_CHECKING

import attrs

from swimstream.commands import Commands
from swimstream.config import PRESETS
from swimstream.core.effects import Saved
from swimstream.errors import SwimstreamError, UsageError, WorkerStopped
from swimstream.questions import Questions
from swimstream.runners.host import InstanceHost
from swimstream.runners.log_service import LogService
from swimstream.runners.logs import Logs
from swimstream.runners.registry import IN_WORKER, TRIO, F, OperatorFunction, Registry
from swimstream.runtime import clock
from swimstream.runtime.control import ControlServer
from swimstream.runtime.peer_process import PeerProcess
from swimstream.runtime.replies import Reply
from swimstream.runtime.reports import Reports
from swimstream.runtime.storage import MemoryStorage, Storage, open_storage
from swimstream.runtime.thread import PeerSettings, PeerThread, with_memory
from swimstream.runtime.ticks import LOOKS, FreezeWatch, Ticks
from swimstream.runtime.waking import call_in_thread, in_event_loop, within
from swimstream.worker_config import PROCESS, THREAD, WorkerConfig

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType
    from typing import Self

    from swimstream.runners.command import Command

__all__ = ["PRESETS", "Worker", "WorkerConfig"]

log = logging.getLogger(__name__)

LOGS_STOP_S = 1.0


class _Stage(enum.Enum):
    NEW = "has not been started"
    RUNNING = "is running"
    STOPPED = "has stopped"


class Worker(Commands, Questions):
    """A member of a cluster that runs operators. Starts once; every method may be called from any thread."""

    _stage = _Stage.NEW
    _peer: PeerThread | None = None
    _host: InstanceHost | None = None
    _control: ControlServer | None = None
    _storage: Storage | MemoryStorage | None = None
    _logs: Logs | None = None

    def __init__(
        self,
        *,
        name: str = "",
        seeds: Iterable[str] = (),
        bind: str = "127.0.0.1:0",
        advertise: str = "",
        site: str = "default",
        capacity: int = 64,
        expect: int = 1,
        preset: str = "lan",
        timing: Mapping[str, float] | None = None,
        state_dir: str | os.PathLike[str] | None = None,
        control: str | os.PathLike[str] | None = None,
        module: str = "",
        key_file: str | os.PathLike[str] | None = None,
        insecure_plaintext: bool = False,
        logs: str | os.PathLike[str] | None = None,
        log_bytes: int = 4 * 2**20,
        commands: Mapping[str, Command] | None = None,
        tags: Mapping[str, str] | None = None,
        isolation: str = THREAD,
        frozen_after_s: float = 1.0,
        join_timeout_s: float = 10.0,
        drain_timeout_s: float = 20.0,
        stop_timeout_s: float = 5.0,
    ) -> None:
        """Build a worker that has not started; see `WorkerConfig` for each field. It needs a `name`.

        Raise `UsageError` for what is bad or missing.
        """
        self.config = WorkerConfig(
            name=name,
            seeds=seeds,
            bind=bind,
            advertise=advertise,
            site=site,
            capacity=capacity,
            expect=expect,
            preset=preset,
            timing=timing or {},
            state_dir=state_dir,
            control=control,
            module=module,
            key_file=key_file,
            insecure_plaintext=insecure_plaintext,
            logs=logs,
            log_bytes=log_bytes,
            commands=commands or {},
            tags=tags or {},
            isolation=isolation,
            frozen_after_s=frozen_after_s,
            join_timeout_s=join_timeout_s,
            drain_timeout_s=drain_timeout_s,
            stop_timeout_s=stop_timeout_s,
        )
        self._lock = threading.Lock()
        self._registry = Registry.of(self.config.commands)

    @classmethod
    def from_config(cls, config: WorkerConfig) -> Self:
        """Build a worker from `config`, for example one that was read by `WorkerConfig.from_toml`."""
        return cls(**{field.name: getattr(config, field.name) for field in attrs.fields(WorkerConfig)})

    # --- before the start -------------------------------------------------------------------------

    def register(
        self, kind: str, what: OperatorFunction | Command, *, isolation: str = IN_WORKER, loop: str = TRIO
    ) -> None:
        """Run operators of `kind` by `what`: `async def f(ctx)` as a task, `def f(ctx)` in a thread, or a `Command`.

        An async function runs under trio, or with `loop="asyncio"` under asyncio, whatever the application itself uses.
        With `isolation="process"` each instance is a process of its own, which can be killed: at the latest when an
        at-most-one instance must have ended. Such a function stands at the top of a module or script.
        """
        with self._lock:
            if self._stage is not _Stage.NEW:
                raise UsageError(f"kind: {kind!r} must be registered before the worker starts")
            self._registry.register(kind, what, isolation=isolation, loop=loop)

    def operator(self, kind: str, *, isolation: str = IN_WORKER, loop: str = TRIO) -> Callable[[F], F]:
        """Register the decorated function for `kind`; see `register`."""

        def decorate(function: F) -> F:
            self.register(kind, function, isolation=isolation, loop=loop)
            return function

        return decorate

    # --- start and stop ---------------------------------------------------------------------------

    def start(self) -> None:
        """Start, and return once joined; raise `UsageError` or `JoinFailed`. Not for a thread with an event loop."""
        if in_event_loop():
            raise UsageError("start: would block the event loop that runs here; use 'async with worker:' instead")
        self._launch()
        try:
            self._running().join_or_end().wait(self.config.join_timeout_s)
        except TimeoutError:
            self._warn_not_joined()
        except BaseException:
            self._halt(leave=False)
            raise

    def stop(self, *, leave: bool = True) -> None:
        """Have others take over, stop operators, say goodbye and end, as `leave` does.

        `leave=False` ends at once, as a crash would look to the others.
        Raise `WorkerStopped` if the worker had ended before, by a fault or because a later run took its name.
        """
        if in_event_loop():
            raise UsageError("stop: would block the event loop that runs here; use 'await worker.leave()' instead")
        self._halt(leave=leave)
        self._raise_cause()

    def __enter__(self) -> Self:
        """Start, for threads."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; an error of the block is not covered up by one of the worker."""
        self._halt(leave=True)
        if error is None:
            self._raise_cause()

    async def __aenter__(self) -> Self:
        """Start, for tasks of trio or asyncio."""
        await call_in_thread(self._launch)
        try:
            await within(self._running().join_or_end(), self.config.join_timeout_s)
        except TimeoutError:
            self._warn_not_joined()
        except BaseException:
            await call_in_thread(lambda: self._halt(leave=False))
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; an error of the block is not covered up by one of the worker."""
        await call_in_thread(lambda: self._halt(leave=True))
        if error is None:
            self._raise_cause()

    # --- the end ----------------------------------------------------------------------------------

    def leave(self) -> Reply[None]:
        """Have others take over, stop operators, say goodbye and end; settled when that is done. `stopped` follows.

        Others get `drain_timeout_s` for that; what nobody takes over by then is stopped all the same.
        """
        peer, host = self._running(), self._host
        assert host is not None
        reply: Reply[None] = Reply()

        def say_goodbye() -> None:
            said = peer.leave()
            reply.take_over(said)

        def close() -> None:
            host.close(say_goodbye, grace_s=self.config.stop_timeout_s)

        if self.config.drain_timeout_s:
            peer.withdraw(self.config.drain_timeout_s).on_settled(reply, close)
        else:
            close()
        reply.take_over(peer.ended)
        return reply

    def stopped(self) -> Reply[None]:
        """Return a reply that is settled when the worker ends; it fails with the cause, if it ended by a fault."""
        return self._running().ended

    # --- within -----------------------------------------------------------------------------------

    def _running(self) -> PeerThread:
        if self._peer is None:
            raise WorkerStopped(f"worker {self.config.name} {self._stage.value}")
        return self._peer

    def _launch(self) -> None:
        with self._lock:
            if self._stage is not _Stage.NEW:
                raise UsageError(f"worker {self.config.name} {self._stage.value}; expected a new one")
            self._stage = _Stage.RUNNING
        try:
            self._start_threads()
        except BaseException:
            self._halt(leave=False)
            raise

    def _start_threads(self) -> None:
        config = self.config
        reports = Reports()
        ticks = Ticks.shared() if config.isolation == PROCESS else Ticks()
        logs = self._logs = self._start_logs(reports)
        host = InstanceHost(
            self._registry,
            worker=config.name,
            reports=reports,
            views=lambda: self._running().views,
            stop_timeout_s=config.stop_timeout_s,
            logs=logs,
            ticks=ticks,
            tick_s=config.frozen_after_s / LOOKS,
            on_process=lambda start, pid: self._running().operator_started(start, pid),
        )
        host.launch()
        self._host = host
        peer = self._build_peer(host, reports, ticks)
        peer.serve = LogService(peer, self._registry, logs).answer
        try:
            peer.start()
        except BaseException:
            peer.stop()  # it may have started all the same, as when a Ctrl-C comes now
            raise
        self._peer = peer
        # an operator must not go on under a peer that cannot say that this worker is alive, nor the other way round
        peer.ended.on_settled(host, lambda: host.close(lambda: None, grace_s=config.stop_timeout_s))
        host.ended.on_settled(peer, lambda: peer.fail(WorkerStopped("the operators' thread has ended")))
        if config.control is not None:
            control = ControlServer(config.control, self, name=config.name, site=config.site)
            control.start()
            self._control = control

    def _start_logs(self, reports: Reports) -> Logs | None:
        directory = self.config.logs_directory()
        if directory is None:
            return None
        logs = Logs(directory, worker=self.config.name, bytes_max=self.config.log_bytes, reports=reports)
        logs.start()
        return logs

    def _build_peer(self, host: InstanceHost, reports: Reports, ticks: Ticks) -> PeerThread:
        config, kinds_apart = self.config, self._registry.kinds_apart
        now_ms = clock.calendar_ms()
        settings = PeerSettings(
            bind=config.bind_address(),
            advertise=config.advertise_address(),
            node=config.node_config(self._registry.kinds),
            boot=now_ms,
            saved=Saved(voter=now_ms),
            key_file=config.key_file,
        )
        if config.isolation == PROCESS:
            return PeerProcess(
                settings,
                state_dir=config.state_dir,
                runner=host,
                reports=reports,
                ticks=ticks,
                frozen_after_s=config.frozen_after_s,
                kinds_apart=kinds_apart,
            )
        storage = self._storage = open_storage(config.state_dir, now_ms=now_ms)
        freezes = FreezeWatch(
            ticks, reports, frozen_after_s=config.frozen_after_s, shares_fate=True, kinds_apart=kinds_apart
        )
        settings = with_memory(settings, storage)
        return PeerThread(settings, storage=storage, runner=host, reports=reports, freezes=freezes)

    def _halt(self, *, leave: bool) -> None:
        with self._lock:
            if self._stage is not _Stage.RUNNING:
                return
            self._stage = _Stage.STOPPED
        timeout_s = self.config.stop_timeout_s
        peer, host = self._peer, self._host
        if peer is not None:
            if leave and not peer.ended.is_settled:
                try:
                    self.leave().wait(self.config.drain_timeout_s + 2 * timeout_s)
                except TimeoutError:
                    log.warning("stopped without a complete goodbye worker=%s", self.config.name)
                except SwimstreamError as error:
                    log.warning("stopped without a goodbye worker=%s why=%s", self.config.name, error)
            peer.stop()
            if not peer.join_thread(timeout_s):
                log.error("the peer's thread did not end worker=%s", self.config.name)
        if host is not None and not host.end(timeout_s):
            log.warning("an operator goes on although it was asked to stop worker=%s", self.config.name)
        if self._control is not None:
            self._control.stop()
        if self._logs is not None:
            self._logs.stop(LOGS_STOP_S)
        if self._storage is not None:
            self._storage.close()

    def _warn_not_joined(self) -> None:
        log.warning(
            "no seed has answered within %s s, going on trying worker=%s seeds=%s",
            self.config.join_timeout_s,
            self.config.name,
            ",".join(self.config.seeds),
        )

    def _raise_cause(self) -> None:
        if self._peer is not None and self._peer.ended.is_settled:
            self._peer.ended.result()
