"""Carries out what the node of one simulated process asks for, in its order, as the real driver does."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, assert_never

import attrs

from swimstream.config import FRAME_BYTES_MAX, Timing
from swimstream.core.effects import (
    Answer,
    CloseStream,
    DumpStack,
    Effect,
    KeepWarm,
    Notify,
    OpenStream,
    Persist,
    QueryAnswered,
    Record,
    RenewFence,
    SendFrame,
    SendPacket,
    StartInstance,
    StopInstance,
    StoreKeys,
)
from swimstream.errors import StorageError
from swimstream.events import Event, Superseded
from swimstream.simulator import promises
from swimstream.simulator.ambushes import Ambush
from swimstream.simulator.causes import Causes
from swimstream.simulator.clock import Clock
from swimstream.simulator.network import Network
from swimstream.simulator.observer import Observer
from swimstream.simulator.streams import Streams
from swimstream.simulator.trace import Trace, words_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from swimstream.model.changes import Seat
    from swimstream.simulator.disks import Disk
    from swimstream.simulator.life import Life


@attrs.frozen(kw_only=True)
class Surroundings:
    """What all processes of a world share."""

    clock: Clock
    network: Network
    streams: Streams
    observer: Observer
    trace: Trace
    timing: Timing
    ambushes: list[Ambush]
    """Crashes that wait for a leader to decide."""
    unsynced: float
    """Share of the crashes in the midst of effects that lose what was written and not yet synced."""


class Orders:
    """The hands of one process."""

    def __init__(
        self,
        life: Life,
        surroundings: Surroundings,
        *,
        disk: Disk,
        seat: Seat,
        rng: Random,
        on_answer: Callable[[int, str], None],
    ) -> None:
        """Act for `life`; its records go to `disk`, which is behind the vote of `seat`."""
        self.causes = Causes(seat)
        self.effects_left = math.inf
        """After so many more effects the process dies."""
        self._life = life
        self._around = surroundings
        self._disk = disk
        self._seat = seat
        self._rng = rng
        self._on_answer = on_answer
        self._unsynced: list[Record] = []

    def carry_out(self, effects: Sequence[Effect]) -> bool:
        """Do one thing after the other; return False if the process must die in the midst of it.

        Records are synced before any other effect, as the real driver does. Who dies before that may lose the last of
        them, or all; but never what had been synced.
        """
        self._meet_ambush(effects)
        self._prove()
        for effect in effects:
            if self.effects_left <= 0:
                self._lose_unsynced()
                return False
            if not self._life.is_going_on:
                return True
            self.effects_left -= 1
            if isinstance(effect, Persist):
                self._unsynced.append(effect.record)
            else:
                self._sync()
                self._carry_out(effect)
            if not isinstance(effect, SendPacket):
                self._around.trace.note(self._around.clock.now, self._life.name, words_of(effect))
        if self._unsynced and self.effects_left <= 0:
            self._lose_unsynced()
            return False
        self._sync()
        return True

    def _meet_ambush(self, effects: Sequence[Effect]) -> None:
        for ambush in list(self._around.ambushes):
            if self._life.is_going_on and ambush.waits_for(self._life, effects):
                self._around.ambushes.remove(ambush)
                ambush.spring(self._life, math.floor(ambush.share * (len(effects) + 1)))

    def _sync(self) -> None:
        records, self._unsynced = self._unsynced, []
        for record in records:
            self._write(record)
        if records:
            self._prove()

    def _lose_unsynced(self) -> None:
        if self._unsynced and self._rng.random() < self._around.unsynced:
            kept = self._rng.randrange(len(self._unsynced))
            self._around.trace.note(
                self._around.clock.now, self._life.name, f"loses {len(self._unsynced) - kept} records, not yet synced"
            )
            del self._unsynced[kept:]
        self._sync()

    def _write(self, record: Record) -> None:
        observer = self._around.observer
        try:
            self._disk.write(record)
        except StorageError as error:
            observer.broken(promises.COMMITTED, f"{self._life.name} persists what cannot be read back: {error}")
        observer.write(self._life.watch, self._seat, record)

    def _prove(self) -> None:
        """Know, as a leader, what the newest council in the log proves."""
        if self._life.node.is_leader:
            self.causes.lead(self._disk.council(), now=self._around.clock.now)

    def _carry_out(self, effect: Effect | RenewFence) -> None:
        around, life = self._around, self._life
        match effect:
            case SendPacket(payload=payload):
                if len(payload) > around.timing.packet_bytes_max:
                    around.observer.broken(promises.BOUNDED, f"{life.name} sends {len(payload)} B in a datagram")
                around.network.send(life, effect.to, self.causes.stamp(payload, now=around.clock.now))
            case OpenStream() | SendFrame() | CloseStream():
                self._use_stream(effect)
            case StartInstance(fence_at=fence_at):
                if fence_at is not None:
                    self._check_fence(fence_at)
                around.observer.start_instance(life.watch, effect)
                life.bench.start(effect)
            case RenewFence(until=until):
                self._check_fence(until)
                life.bench.renew(effect)
            case StopInstance():
                around.observer.copies.stop(life.watch, effect, goes=life.goes)
                life.bench.stop(effect)
            case Answer():
                around.clock.after(0.0, partial(self._on_answer, effect.request, effect.error))
            case Notify():
                self._hear(effect.event)
            case KeepWarm():
                life.bench.keep_warm(effect)
                active = [each for each, copy in life.bench.copies.items() if not copy.stopping]
                around.observer.operators.keep_warm(life.watch, life.bench.warm, active)
            case Persist() | QueryAnswered() | StoreKeys() | DumpStack():
                pass
            case _:
                assert_never(effect)

    def _check_fence(self, until: float) -> None:
        self._around.observer.authority.fence(self._life.watch, self._life.when(until), self.causes)

    def _use_stream(self, effect: OpenStream | SendFrame | CloseStream) -> None:
        life, streams, now = self._life, self._around.streams, self._around.clock.now
        if not isinstance(effect, CloseStream) and len(effect.frame) > FRAME_BYTES_MAX:
            self._around.observer.broken(promises.BOUNDED, f"{life.name} sends a frame of {len(effect.frame)} B")
        match effect:
            case OpenStream():
                streams.open(life, effect.stream, effect.to, self.causes.stamp(effect.frame, now=now))
            case SendFrame():
                streams.send(life, effect.stream, self.causes.stamp(effect.frame, now=now))
            case CloseStream():
                streams.close(life, effect.stream)

    def _hear(self, event: Event) -> None:
        self._around.observer.hear(self._life.watch, event)
        if isinstance(event, Superseded):
            self._life.goes = True
            self._around.clock.after(0.0, self._life.give_way)
