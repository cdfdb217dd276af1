"""`Peer`: a worker whose operators run in another process, which may be written in any language.

It opens a control port and waits. A process connects and attaches: it says which kinds it runs. Then the peer becomes
a member, hands that process the instances that the plan gives to the worker, and says of them what the process
reports. The process's end is the worker's end: the peer tells of it at once, leaves, and ends. See
`docs/control-port.md` for what the process and the peer say to each other.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import TYPE_CHECKING

import attrs
import trio

from swimstream.commands import Commands
from swimstream.core.boots import boot_above
from swimstream.errors import SwimstreamError, UsageError, WorkerStopped
from swimstream.model.status import CAUSE_BYTES_MAX, CHECKPOINT_BYTES_MAX, ENDPOINT_CHARS_MAX
from swimstream.questions import Questions
from swimstream.runners.attached import AttachedRunner
from swimstream.runners.log_service import LogService
from swimstream.runners.registry import Registry
from swimstream.runtime import clock
from swimstream.runtime.attaching import limits
from swimstream.runtime.control import PROTOCOL, ControlServer
from swimstream.runtime.replies import Found, Reply
from swimstream.runtime.reports import Reports
from swimstream.runtime.storage import MemoryStorage, Storage
from swimstream.runtime.thread import PeerSettings, PeerThread
from swimstream.runtime.ticks import LOOKS, FreezeWatch, Ticks

if TYPE_CHECKING:
    from swimstream.model.identity import Address
    from swimstream.runtime.attached_fields import Wish
    from swimstream.runtime.attaching import Attachment
    from swimstream.runtime.control_json import JsonTable
    from swimstream.runtime.control_tcp import TcpDoor
    from swimstream.worker_config import WorkerConfig

log = logging.getLogger(__name__)

VIEW_S = 1.0
NO_LOGS = "they run in an attached process; what that prints goes where its own output goes"
TICK_S = 0.25
"""How often an attached process should tick, so that it does not count its fences shorter than they are. One whose
copies shall be FROZEN without a tick ticks `LOOKS` times in that time, if that is more often."""


class Peer(Commands, Questions):
    """A worker for one process that attaches. Starts once; methods may be called from any thread but say otherwise.

    `config.module` is not for it; its kinds are those that the process attaches with.
    """

    def __init__(self, config: WorkerConfig, *, door: TcpDoor | None = None) -> None:
        """Build a peer that has not started. `UsageError` if nobody could attach to it."""
        if config.control is None and door is None:
            raise UsageError("control: expected the path of a socket at which a process can attach, or control_tcp")
        if config.module:
            raise UsageError("module: expected none: an attached process says which kinds it runs")
        self.config = config
        self._lock = threading.Lock()
        self._standing = "waiting"
        self._peer: PeerThread | None = None
        self._runner: AttachedRunner | None = None
        self._storage: Storage | MemoryStorage | None = None
        self._ended: Reply[None] = Reply()
        self._ended_by: SwimstreamError | None = None
        self._control = ControlServer(config.control, self, name=config.name, site=config.site, desk=self, door=door)

    # --- start and stop ---------------------------------------------------------------------------

    def start(self) -> None:
        """Listen for a process to attach; raise `UsageError` if that cannot be done. Blocks shortly."""
        self._control.start()

    def stop(self, *, leave: bool = True) -> None:
        """Have the process stop what it runs, say goodbye and end. Blocks; raise the cause if it had ended by a fault.

        `leave=False` ends at once, as a crash would look to the others.
        """
        timeout_s = self.config.stop_timeout_s
        if leave and not self._ended.is_settled:
            try:
                self.leave().wait(self.config.drain_timeout_s + 2 * timeout_s)
            except TimeoutError:
                log.warning("stopped without a complete goodbye worker=%s", self.config.name)
            except SwimstreamError as error:
                log.warning("stopped without a goodbye worker=%s why=%s", self.config.name, error)
        with self._lock:
            self._standing = "ending"
        peer = self._peer
        if peer is not None:
            peer.stop()
            if not peer.join_thread(timeout_s):
                log.error("the peer's thread did not end worker=%s", self.config.name)
        self._control.stop(reason=self._reason())
        if self._storage is not None:
            self._storage.close()
        self._ended.succeed(None)
        self._ended.result()

    def leave(self) -> Reply[None]:
        """Have others take over, the process stop what it runs, say goodbye and end; settled when that is done.

        Others get `drain_timeout_s` for that; what nobody takes over by then is stopped all the same.
        """
        return self._leave(drain_s=self.config.drain_timeout_s)

    def _leave(self, *, drain_s: float) -> Reply[None]:
        with self._lock:
            was, self._standing = self._standing, "ending"
            peer, runner = self._peer, self._runner
        if peer is None or runner is None:
            self._ended.succeed(None)
            return self._ended
        reply: Reply[None] = Reply()

        def close() -> None:
            runner.close(lambda: reply.take_over(peer.leave()), grace_s=self.config.stop_timeout_s)

        if was != "ending" and drain_s:
            peer.withdraw(drain_s).on_settled(reply, close)
        elif was != "ending":
            close()
        reply.take_over(peer.ended)
        return reply

    def stopped(self) -> Reply[None]:
        """Return a reply that is settled when the peer ends; it fails with the cause, if it ended by a fault."""
        return self._ended

    @property
    def tcp_address(self) -> Address | None:
        """Where its control port is reached by TCP, if it is."""
        return self._control.tcp_address

    # --- for the control port, on its loop --------------------------------------------------------

    @property
    def standing(self) -> str:
        """Return whether a process may attach: `waiting`, `attached` or `ending`."""
        return self._standing

    async def attach(self, wish: Wish, attachment: Attachment) -> tuple[AttachedRunner, JsonTable]:
        """Become a member that runs what the process can run; raise `UsageError` if that cannot be."""
        with self._lock:
            if self._standing != "waiting":
                raise UsageError(f"verb: expected a peer that waits for a process, this one is {self._standing}")
            self._standing = "attached"
        try:
            peer, runner = await trio.to_thread.run_sync(self._launch, wish, attachment)
        except BaseException as error:
            with self._lock:
                self._standing = "waiting" if isinstance(error, UsageError) else "ending"
            if isinstance(error, SwimstreamError) and not isinstance(error, UsageError):
                self._ended.fail(error)
            raise
        peer.join_or_end()
        # so that who asks next finds this worker in what is known; that it may not join is told as the end
        with trio.move_on_after(VIEW_S), contextlib.suppress(SwimstreamError):
            await peer.views.when(lambda view: Found(None) if view.members else None)
        told: JsonTable = {
            "worker": {"name": self.run.name, "boot": self.run.boot, "address": str(peer.address)},
            "protocol": PROTOCOL,
            "tick_s": TICK_S if wish.frozen_after_s is None else min(TICK_S, wish.frozen_after_s / LOOKS),
            "stop_timeout_s": self.config.stop_timeout_s,
            "limits": limits()
            | {
                "checkpoint_bytes": CHECKPOINT_BYTES_MAX,
                "cause_bytes": CAUSE_BYTES_MAX,
                "endpoint_chars": ENDPOINT_CHARS_MAX,
            },
        }
        return runner, told

    def depart(self) -> None:
        """The process has gone: leave, and end with a fault unless somebody has asked for that."""
        if self._standing != "ending":
            log.error("the attached process is gone, leaving worker=%s", self.config.name)
            self._ended_by = WorkerStopped("the attached process is gone")
        self._leave(drain_s=0.0)

    # --- within -----------------------------------------------------------------------------------

    def _running(self) -> PeerThread:
        if self._peer is None:
            raise WorkerStopped(f"peer {self.config.name} waits for a process to attach")
        return self._peer

    def _launch(self, wish: Wish, attachment: Attachment) -> tuple[PeerThread, AttachedRunner]:
        config = self.config
        if wish.capacity is not None:
            config = attrs.evolve(config, capacity=wish.capacity)
        now_ms = clock.calendar_ms()
        storage = MemoryStorage(now_ms) if config.state_dir is None else Storage.open(config.state_dir, boot=now_ms)
        try:
            saved = storage.load()
            settings = PeerSettings(
                bind=config.bind_address(),
                advertise=config.advertise_address(),
                node=config.node_config(wish.kinds),
                boot=boot_above(saved, name=config.name, now_ms=now_ms),
                saved=saved,
                key_file=config.key_file,
            )
            reports, ticks = Reports(), Ticks()
            freezes = None
            if wish.frozen_after_s is not None:
                freezes = FreezeWatch(ticks, reports, frozen_after_s=wish.frozen_after_s, shares_fate=False)
            runner = AttachedRunner(
                attachment,
                reports=reports,
                views=lambda: self._running().views,
                stop_timeout_s=config.stop_timeout_s,
                ticks=ticks,
            )
            peer = PeerThread(settings, storage=storage, runner=runner, reports=reports, freezes=freezes)
            peer.start()
        except BaseException:
            storage.close()
            raise
        self._storage, self._runner, self._peer = storage, runner, peer
        peer.serve = LogService(peer, Registry(), None, why_none=NO_LOGS).answer
        peer.ended.on_settled(runner, lambda: self._note_end(peer, runner))
        return peer, runner

    def _note_end(self, peer: PeerThread, runner: AttachedRunner) -> None:
        """Nothing may go on under a peer that cannot say that this worker is alive."""
        runner.close(lambda: None, grace_s=self.config.stop_timeout_s)
        cause = self._ended_by
        outcome = peer.ended.outcome
        if isinstance(outcome, BaseException):
            self._ended.fail(outcome)
        elif cause is not None:
            self._ended.fail(cause)
        else:
            self._ended.succeed(None)

    def _reason(self) -> str:
        outcome = self._ended.outcome if self._ended.is_settled else None
        return str(outcome) if isinstance(outcome, BaseException) else "the peer was told to stop"
