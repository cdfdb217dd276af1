"""The trio driver of one node: bytes, commands and the clock in; effects carried out in order.

One task calls the node. A turn is: drain the socket, then everything else that came, then the timers that are due
("drain before you judge": an ack that is queued must be seen before its probe counts as failed, or its port as
closed, however late this thread gets to run). Effects are carried out strictly in the node's order, none before the
`Persist` ahead of it is durable. Only news (events and answers) may wait for the next view, so that who hears an
event finds it in the view. A view of a large cluster costs milliseconds, so they are paced to take a fifth of the
thread's time at most.
"""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING, assert_never

import trio

from swimstream.core.effects import (
    Answer,
    CloseStream,
    DumpStack,
    KeepWarm,
    Notify,
    OpenStream,
    Persist,
    QueryAnswered,
    RenewFence,
    SendFrame,
    SendPacket,
    StartInstance,
    StopInstance,
    StoreKeys,
)
from swimstream.runtime.streams import Streams
from swimstream.runtime.view import View

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from swimstream.core.effects import Effect, Record
    from swimstream.core.participant import Participant
    from swimstream.runtime.faces import Audience, Durable, InstanceRunner, KeyStore
    from swimstream.runtime.reports import Reports
    from swimstream.runtime.resolver import Resolver
    from swimstream.runtime.udp import UdpSocket

DATAGRAMS_PER_BATCH = 64
BATCHES_PER_TURN = 64
VIEW_INTERVAL_S = 0.1
VIEW_PAUSE_MULT = 4
COUNTERS_INTERVAL_S = 1.0
"""Counters alone make a new view at this pace, in turns that come anyway: an idle peer is not woken for them."""
COUNTERS_LATE_S = 1.0
"""Unless no turn comes for so much longer."""

Deed = (
    SendPacket | OpenStream | SendFrame | CloseStream | StartInstance | RenewFence | StopInstance | DumpStack | KeepWarm
)
News = Answer | QueryAnswered | Notify


class Driver:
    """Drives one node on the trio loop that calls `run`. Every method is for that thread only."""

    def __init__(
        self,
        node: Participant,
        *,
        udp: UdpSocket,
        resolver: Resolver,
        storage: Durable,
        key_store: KeyStore,
        runner: InstanceRunner,
        audience: Audience,
        reports: Reports,
        clock: Callable[[], float],
    ) -> None:
        """Take over `node`; nothing happens before `run`."""
        self._node = node
        self._udp = udp
        self._resolver = resolver
        self._storage = storage
        self._key_store = key_store
        self._runner = runner
        self._audience = audience
        self._reports = reports
        self._clock = clock
        self._streams = Streams(self, resolve=resolver.resolve)
        self._inbox: collections.deque[Callable[[float], None]] = collections.deque()
        """Bounded by its sources: one frame a stream, and the commands that `PeerThread` admits."""
        self._nap: trio.CancelScope | None = None
        self._woken = False
        self._stopping = False
        self._shown = View(run=node.run)
        self._shown_version = -1
        self._view_stale = False
        self._counters_stale = False
        self._view_at = float("-inf")
        self._view_pause_s = 0.0
        self._news: list[News] = []
        """What the audience is told with the next view, at most `VIEW_INTERVAL_S` from now."""
        self._fire_at = float("-inf")
        self._fire_at_stale = True
        self._late_s_max = 0.0
        self._unresolved = 0

    async def run(self, listener: socket.socket) -> None:
        """Drive until `stop`. Errors of our own code are raised: a peer that is wrong must not go on."""
        async with trio.open_nursery() as nursery:
            self._resolver.refresh_in(nursery)
            self._streams.use(nursery)
            nursery.start_soon(self._streams.serve, listener)
            while not self._stopping:
                await self._sleep()
                await self._turn()
            self._publish_view()
            nursery.cancel_scope.cancel()

    def post(self, act: Callable[[float], None]) -> None:
        """Have `act(now)` called between two inputs of the node; it may call the node's commands."""
        self._inbox.append(act)
        self.wake()

    def wake(self) -> None:
        """End the current sleep, or the next one if awake."""
        self._woken = True
        self._fire_at_stale = True
        if self._nap is not None:
            self._nap.cancel()

    def stop(self) -> None:
        """Return from `run` after the present turn."""
        self._stopping = True
        self.wake()

    async def frame_received(self, stream: int, data: bytes) -> None:
        """Take one frame from `streams`; return once the node has handled it."""
        handled = trio.Event()

        def handle(now: float) -> None:
            handled.set()
            self._node.receive_frame(stream, data, now=now)

        self.post(handle)
        await handled.wait()

    def stream_ended(self, stream: int) -> None:
        """Take the end of a stream from `streams`."""
        self.post(lambda now: self._node.stream_closed(stream, now=now))

    def _deadline(self) -> float:
        """Return when the next turn is due if nothing comes in before."""
        return min(self._timers_at(), self._reports.due_at(), self._view_due_at(counters_s=COUNTERS_LATE_S))

    def _timers_at(self) -> float:
        """Return when the node wants its timers fired; asks it once after each input."""
        if self._fire_at_stale:
            self._fire_at = self._node.next_deadline()
            self._fire_at_stale = False
        return self._fire_at

    def _view_due_at(self, *, counters_s: float = 0.0) -> float:
        """Return when a view is due; one for the sake of counters alone may be late by `counters_s`."""
        if self._news:
            return self._view_at + self._view_pause_s
        if self._view_stale:
            return self._view_at + VIEW_INTERVAL_S
        return self._view_at + COUNTERS_INTERVAL_S + counters_s if self._counters_stale else float("inf")

    def _take_effects(self) -> list[Effect]:
        """Return what the node asks for after one input."""
        self._fire_at_stale = True
        return self._node.take_effects()

    async def _sleep(self) -> None:
        """Sleep until something is due or somebody wakes us, taking a turn whenever datagrams come in between.

        One cancel scope lasts for many datagrams, since to enter one for each costs as much as to handle it. So
        whatever is awaited within a turn is shielded from the alarm.
        """
        if self._woken:
            await trio.lowlevel.checkpoint()
        else:
            with trio.CancelScope() as self._nap:
                alarm_at = float("inf")
                while True:
                    deadline = self._deadline()
                    if deadline != alarm_at:
                        alarm_at = deadline
                        self._nap.deadline = trio.current_time() + max(0.0, deadline - self._clock())
                    await self._udp.wait_readable()
                    await self._turn()
            self._nap = None
        self._woken = False

    async def _turn(self) -> None:
        late_s = self._clock() - self._timers_at()
        if late_s >= 0:
            self._late_s_max = max(self._late_s_max, late_s)
            if self._streams.are_open:
                # let their readers, which became runnable with us, hand over what they have
                await trio.lowlevel.cancel_shielded_checkpoint()
        await self._drain_datagrams()
        # reports first: a goodbye that comes with them must not be told before what has ended, and how
        effects = self._hand_over_refusals() + self._drain_reports() + self._drain_inbox()
        now = self._clock()
        if now >= self._timers_at():
            self._node.fire_timers(now=now)
            effects += self._take_effects()
        self._counters_stale = True
        self._view_stale = self._view_stale or self._has_changed()
        await self._carry_out(effects)

    async def _drain_datagrams(self) -> None:
        """Hand over all that is queued, up to the bound.

        When timers are due, ends on an empty read with nothing awaited after it. Else nothing is judged in this turn,
        and what arrives while a batch is handled may wait for the next.
        """
        for _ in range(BATCHES_PER_TURN):
            batch = self._udp.receive(DATAGRAMS_PER_BATCH)
            if not batch:
                return
            effects: list[Effect] = []
            now = self._clock()
            for data, source in batch:
                self._node.receive_packet(data, source=source, now=now)
                effects += self._take_effects()
            await self._carry_out(effects)
            if len(batch) == DATAGRAMS_PER_BATCH:
                await trio.lowlevel.cancel_shielded_checkpoint()
            elif self._clock() < self._timers_at():
                return

    def _hand_over_refusals(self) -> list[Effect]:
        effects: list[Effect] = []
        for to in self._udp.take_refused():
            self._node.packet_refused(to, now=self._clock())
            effects += self._take_effects()
        return effects

    def _drain_inbox(self) -> list[Effect]:
        effects: list[Effect] = []
        for _ in range(len(self._inbox)):
            self._inbox.popleft()(self._clock())
            effects += self._take_effects()
        return effects

    def _drain_reports(self) -> list[Effect]:
        effects: list[Effect] = []
        now = self._clock()
        if self._reports.due_at() > now:
            return effects
        for report in self._reports.take(now=now):
            self._node.report(report, now=now)
            effects += self._take_effects()
        return effects

    async def _carry_out(self, effects: Sequence[Effect]) -> None:
        records: list[Record] = []
        for effect in effects:
            match effect:
                case Persist():
                    records.append(effect.record)
                case Answer() | QueryAnswered() | Notify():
                    self._news.append(effect)
                case StoreKeys(keys=keys):
                    with trio.CancelScope(shield=True):
                        await trio.to_thread.run_sync(self._key_store.store, keys)
                case _:
                    await self._persist(records)
                    records = []
                    self._do(effect)
        await self._persist(records)
        if self._view_due_at() <= self._clock():
            self._publish_view()

    async def _persist(self, records: Sequence[Record]) -> None:
        if records:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self._storage.write, records)

    def _do(self, effect: Deed) -> None:
        match effect:
            case SendPacket():
                self._send_packet(effect)
            case OpenStream():
                self._streams.open(effect.stream, effect.to, effect.frame)
            case SendFrame():
                self._streams.send(effect.stream, effect.frame)
            case CloseStream():
                self._streams.close(effect.stream)
            case StartInstance():
                self._runner.start(effect)
            case RenewFence():
                self._runner.renew(effect)
            case StopInstance():
                self._runner.stop(effect)
            case DumpStack():
                self._runner.dump(effect)
            case KeepWarm():
                self._runner.keep_warm(effect)
            case _:
                assert_never(effect)

    def _send_packet(self, effect: SendPacket) -> None:
        to = self._resolver.resolve(effect.to)
        if to is None:
            self._unresolved += 1
        else:
            self._udp.send(to, effect.payload)

    def _has_changed(self) -> bool:
        """Return whether the node knows other things than the last view shows, counters apart."""
        node, shown = self._node, self._shown
        return (
            node.version != self._shown_version
            or node.plan is not shown.plan
            or node.mark != shown.mark
            or node.run != shown.run
            or node.is_isolated is not shown.is_isolated
        )

    def _publish_view(self) -> None:
        """Publish what the node knows, then tell the news that it shows."""
        node = self._node
        started_at = self._clock()
        self._shown = View(
            run=node.run,
            members=node.members(),
            statuses=node.statuses(),
            plan=node.plan,
            mark=node.mark,
            tags=node.tags(),
            counters=node.counters() | self._counters(),
            coordinates=node.coordinates(),
            is_isolated=node.is_isolated,
            authority_issued_at=started_at - node.authority_age_s(started_at),
        )
        self._shown_version = node.version
        self._audience.view_changed(self._shown)
        self._view_stale = self._counters_stale = False
        self._view_at = self._clock()
        self._view_pause_s = min(VIEW_INTERVAL_S, VIEW_PAUSE_MULT * (self._view_at - started_at))
        news, self._news = self._news, []
        for each in news:
            match each:
                case Answer():
                    self._audience.answered(each.request, each.error)
                case QueryAnswered():
                    self._audience.query_answered(each.request, each.result)
                case Notify():
                    self._audience.told(each.event)
                case _:
                    assert_never(each)

    def _counters(self) -> dict[str, int]:
        udp, streams = self._udp, self._streams
        return {
            "datagrams_received": udp.received,
            "datagram_bytes_received": udp.bytes_received,
            "datagrams_receive_errors": udp.receive_errors,
            "datagrams_sent": udp.sent,
            "datagram_bytes_sent": udp.bytes_sent,
            "datagrams_send_errors": udp.send_errors,
            "datagrams_refused": udp.refused,
            "datagrams_unresolved": self._unresolved,
            "stream_frames_received": streams.frames_received,
            "stream_frames_sent": streams.frames_sent,
            "streams_refused": streams.refused,
            "streams_overflowed": streams.overflowed,
            "streams_oversized": streams.oversized,
            "streams_timed_out": streams.timed_out,
            "reports_coalesced": self._reports.coalesced,
            "fences_missed": self._reports.fences_missed,
            "stops_missed": self._reports.stops_missed,
            "log_bytes_dropped": self._reports.log_bytes_dropped,
            "log_bytes_refused": self._reports.log_bytes_refused,
            "logs_forgotten": self._reports.logs_forgotten,
            "log_questions_dropped": self._reports.log_questions_dropped,
            "freezes": self._reports.freezes,
            "frozen_us_max": int(self._reports.frozen_s_max * 1e6),
            "lateness_us_max": int(self._late_s_max * 1e6),
        }
