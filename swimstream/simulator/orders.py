"""Carries out what the node of one simulated process asks for, in its order, as the real driver does."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, assert_never

import attrs

from swimstream.config import FRAME_BYTES_MAX, Timing
from swimstream.core.effects import (
    Answer,
    CloseStream,
    Effect,
    Notify,
    OpenStream,
    Persist,
    QueryAnswered,
    Record,
    SendFrame,
    SendPacket,
    StartInstance,
    StopInstance,
    StoreKeys,
)
from swimstream.errors import StorageError
from swimstream.events import Event, Superseded
from swimstream.simulator import promises
from swimstream.simulator.clock import Clock
from swimstream.simulator.network import Network
from swimstream.simulator.observer import Observer
from swimstream.simulator.streams import Streams
from swimstream.simulator.trace import Trace, words_of

if TYPE_CHECKING:
    from collections.abc import Callable

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


class Orders:
    """The hands of one process."""

    def __init__(
        self, life: Life, surroundings: Surroundings, *, disk: Disk, on_answer: Callable[[int, str], None]
    ) -> None:
        """Act for `life`; its records go to `disk`."""
        self._life = life
        self._around = surroundings
        self._disk = disk
        self._on_answer = on_answer

    def carry_out(self, effect: Effect) -> None:
        """Do one thing."""
        around, life = self._around, self._life
        match effect:
            case SendPacket():
                if len(effect.payload) > around.timing.packet_bytes_max:
                    around.observer.broken(promises.BOUNDED, f"{life.name} sends {len(effect.payload)} B in a datagram")
                around.network.send(life, effect.to, effect.payload)
                return
            case OpenStream() | SendFrame() | CloseStream():
                self._use_stream(effect)
            case Persist():
                self._persist(effect.record)
            case StartInstance():
                around.observer.start_instance(life.watch, effect)
                life.bench.start(effect)
            case StopInstance():
                life.bench.stop(effect)
            case Answer():
                around.clock.after(0.0, partial(self._on_answer, effect.request, effect.error))
            case Notify():
                self._hear(effect.event)
            case QueryAnswered() | StoreKeys():
                pass
            case _:
                assert_never(effect)
        around.trace.note(around.clock.now, life.name, words_of(effect))

    def _use_stream(self, effect: OpenStream | SendFrame | CloseStream) -> None:
        life, streams = self._life, self._around.streams
        if not isinstance(effect, CloseStream) and len(effect.frame) > FRAME_BYTES_MAX:
            self._around.observer.broken(promises.BOUNDED, f"{life.name} sends a frame of {len(effect.frame)} B")
        match effect:
            case OpenStream():
                streams.open(life, effect.stream, effect.to, effect.frame)
            case SendFrame():
                streams.send(life, effect.stream, effect.frame)
            case CloseStream():
                streams.close(life, effect.stream)

    def _hear(self, event: Event) -> None:
        self._around.observer.hear(self._life.watch, event)
        if isinstance(event, Superseded):
            self._around.clock.after(0.0, self._life.give_way)

    def _persist(self, record: Record) -> None:
        try:
            self._disk.write(record)
        except StorageError as error:
            self._around.observer.broken(
                promises.COMMITTED, f"{self._life.name} persists what cannot be read back: {error}"
            )
