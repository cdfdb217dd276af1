"""The operators of the job: replay, window, merge and sink.

The idea, which makes the result identical whatever dies (upstream backup; Hwang et al., High-Availability Algorithms
for Distributed Stream Processing, ICDE 2005): every operator is a deterministic function of what it reads, so its
output is a numbered sequence that can be computed again. Who reads it says from which number on, and says what is
durable; only the sink makes anything durable, rows and position in one transaction, and its word travels up. A
checkpoint is a few integers: 'with empty state, my output number s follows from my inputs read from these offsets on'.
That stays true for ever. So any checkpoint that anybody has heard of is right, and none at all is too: an older one
costs recomputation and nothing else.

Operators finish from the sources down to the sink, when the sink has everything: until then any of them may be asked
again for any part of its output.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import trio

import swimstream
from flights.columns import COLUMNS
from flights.inlet import Inlet, dismiss, open_inlets
from flights.ledger import Ledger, Position
from flights.outlet import Outlet, operate
from flights.records import Flight, read_flights, read_weather
from flights.wire import Checkpoint, Item
from swimstream import OperatorContext

if TYPE_CHECKING:
    from collections.abc import Sequence

REPLAY_CAPACITY = 4_096
WINDOW_CAPACITY = 512
MERGE_CAPACITY = 512
SINK_BATCH_MAX = 256
SINK_LINGER_S = 0.05
"""How long a row waits for company before it is committed."""


@swimstream.operator("flights.replay")
async def replay(ctx: OperatorContext) -> None:
    """Replay the flights of one airport (`origin`) at `rate` rows per second; item k is its k-th flight."""
    data, origin, rate = _path(ctx, "data"), _text(ctx, "origin"), _number(ctx, "rate")
    flights = await trio.to_thread.run_sync(read_flights, data, origin)
    first = Checkpoint.decode(ctx.resume_from, inputs=0).number
    started_at = trio.current_time()

    async def compute(start: Checkpoint, outlet: Outlet) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outlet.settle, ())
            for number in range(start.number, len(flights)):
                # Rows before `first` have been available already, to an earlier copy of this operator.
                await trio.sleep_until(started_at + (number - first) / rate)
                flight = flights[number]
                await outlet.put([flight.time_hour, flight.cancelled, flight.delay])
                outlet.count(number + 1)
            await outlet.put(None)

    await operate(ctx, compute, capacity=REPLAY_CAPACITY)


@swimstream.operator("flights.window")
async def window(ctx: OperatorContext) -> None:
    """Count each hour of one airport and join its weather; an hour is closed by a later one or by the end."""
    data, origin = _path(ctx, "data"), _text(ctx, "origin")
    weather = await trio.to_thread.run_sync(read_weather, data, origin)

    async def compute(start: Checkpoint, outlet: Outlet) -> None:
        async with open_inlets(ctx, start.offsets) as (flights,), trio.open_nursery() as nursery:
            nursery.start_soon(outlet.settle, (flights,))
            offset = start.offsets[0]
            hour: _Hour | None = None
            while True:
                flight = _flight(await flights.receive())
                if hour is not None and (flight is None or flight.time_hour > hour.time_hour):
                    row: Item = [*hour.row(origin), *weather.get(hour.time_hour, ("",) * 4)]
                    await outlet.put(row, offsets=(offset,))
                    hour = None
                if flight is None:
                    break
                hour = _Hour(flight.time_hour) if hour is None else hour
                hour.add(flight)
                offset += 1
                outlet.count(offset)
            await outlet.put(None)

    await operate(ctx, compute, capacity=WINDOW_CAPACITY)


@swimstream.operator("flights.merge")
async def merge(ctx: OperatorContext) -> None:
    """Merge sorted inputs by their first two columns, so that every row of the result has one number for ever."""
    if not ctx.inputs:
        raise ValueError("inputs: expected at least one operator to merge")  # nothing to merge would look like the end

    async def compute(start: Checkpoint, outlet: Outlet) -> None:
        async with open_inlets(ctx, start.offsets) as inlets, trio.open_nursery() as nursery:
            nursery.start_soon(outlet.settle, inlets)
            offsets = list(start.offsets)
            heads = [await inlet.receive() for inlet in inlets]
            number = start.number
            while waiting := [(str(head[0]), str(head[1]), index) for index, head in enumerate(heads) if head]:
                index = min(waiting)[-1]
                offsets[index] += 1
                number += 1
                await outlet.put(heads[index], offsets=offsets)
                outlet.count(number)
                heads[index] = await inlets[index].receive()
            await outlet.put(None)

    await operate(ctx, compute, capacity=MERGE_CAPACITY)


@swimstream.operator("flights.sink")
async def sink(ctx: OperatorContext) -> None:
    """Write the rows to SQLite (`database`), each batch in one transaction; stop when a later epoch has written."""
    path = _path(ctx, "database")
    ledger = await trio.to_thread.run_sync(lambda: Ledger(path, instance=str(ctx.instance), token=ctx.epoch))
    try:
        position = await trio.to_thread.run_sync(ledger.claim)
        ctx.progress(position.written)
        if not position.ended:
            async with open_inlets(ctx, (position.written,)) as (rows,):
                await _write(ctx, rows, ledger, position)
        await dismiss(ctx)
    finally:
        ledger.close()


async def _write(ctx: OperatorContext, rows: Inlet, ledger: Ledger, position: Position) -> None:
    while not position.ended:
        batch = [await rows.receive()]
        await trio.sleep(SINK_LINGER_S)
        batch += rows.receive_waiting(SINK_BATCH_MAX - 1)
        ready = [_row(item) for item in batch if item is not None]
        position = Position(position.written + len(ready), ended=batch[-1] is None)
        await trio.to_thread.run_sync(ledger.append, ready, position)
        rows.ack(position.written)
        ctx.progress(position.written)


@attrs.define
class _Hour:
    """One hour that is still open."""

    time_hour: str
    flights: int = 0
    cancelled: int = 0
    delays: int = 0
    delay_sum: int = 0
    delay_max: int | None = None

    def add(self, flight: Flight) -> None:
        self.flights += 1
        self.cancelled += flight.cancelled
        if flight.delay is not None:
            self.delays += 1
            self.delay_sum += flight.delay
            self.delay_max = flight.delay if self.delay_max is None else max(self.delay_max, flight.delay)

    def row(self, origin: str) -> list[str]:
        mean = "" if self.delays == 0 else _thousandths(Fraction(self.delay_sum, self.delays))
        largest = "" if self.delay_max is None else str(self.delay_max)
        return [self.time_hour, origin, str(self.flights), str(self.cancelled), mean, largest]


def _thousandths(value: Fraction) -> str:
    """Return the exact value rounded to three decimals, half to even."""
    rounded = round(value * 1000)
    whole, rest = divmod(abs(rounded), 1000)
    return f"{'-' if rounded < 0 else ''}{whole}.{rest:03d}"


def _flight(item: Item) -> Flight | None:
    match item:
        case None:
            return None
        case [str(time_hour), bool(cancelled), int() | None as delay]:
            return Flight(time_hour, cancelled, delay)
        case _:
            raise ValueError(f"expected a flight: hour, cancelled, delay; got {item!r}")


def _row(item: Sequence[object]) -> Sequence[str]:
    row = [value for value in item if isinstance(value, str)]
    if len(row) != len(item) or len(row) != len(COLUMNS):
        raise ValueError(f"expected a row of {len(COLUMNS)} texts, got {item!r}")
    return row


def _text(ctx: OperatorContext, name: str) -> str:
    value = ctx.parameters.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(f"parameters.{name}: expected text, got {value!r}")
    return value


def _path(ctx: OperatorContext, name: str) -> Path:
    return Path(_text(ctx, name))


def _number(ctx: OperatorContext, name: str) -> float:
    value = ctx.parameters.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise ValueError(f"parameters.{name}: expected a number above 0, got {value!r}")
    return float(value)
