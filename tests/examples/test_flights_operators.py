"""Each operator alone, over real sockets: wherever it is cut, what follows is the same."""

from __future__ import annotations

import functools
import sqlite3
from typing import TYPE_CHECKING, cast

import attrs
import pytest
import trio
import trio.testing
from flights.ledger import Ledger, Position
from flights.operators import merge, replay, sink, window
from flights.wire import Checkpoint, Lines
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swimstream.errors import StaleToken
from swimstream.model.job import Parameter
from tests.examples.flights_stage import Context, Operator, Stage, consume, instance, serve_items, write_gz

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

WAIT_S = 120.0
"""Only what hangs takes so long."""
CUTS = settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

FLIGHTS = [
    [f"2013-01-0{1 + n // 20}T{(n % 20) // 4:02}:00:00Z", n % 7 == 0, None if n % 7 == 0 else n - 9] for n in range(60)
]


def rows_of(origin: str, hours: Sequence[int]) -> list[object]:
    return [[f"2013-01-01T{hour:02}:00:00Z", origin, "1", "0", "1.000", "1", "", "", "", ""] for hour in hours] + [None]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("data")
    rows = [f"{hour},{'NA' if gone else 900},{'NA' if delay is None else delay},EWR" for hour, gone, delay in FLIGHTS]
    write_gz(directory / "flights-1.csv.gz", ["time_hour,dep_time,dep_delay,origin", *rows])
    write_gz(
        directory / "weather-1.csv.gz",
        ["time_hour,origin,temp,wind_speed,precip,visib", "2013-01-01T02:00:00Z,EWR,39.02,NA,0,10"],
    )
    return directory


@attrs.frozen
class Act:
    """One operator and what it reads."""

    operator: Operator
    name: str
    inputs: dict[str, list[object]]
    parameters: dict[str, Parameter]

    def context(self, stage: Stage, *, resume_from: bytes = b"", epoch: int = 1) -> Context:
        return Context(
            stage=stage,
            instance=instance(self.name),
            epoch=epoch,
            parameters=self.parameters,
            inputs=tuple(instance(name) for name in self.inputs),
            resume_from=resume_from,
        )


def acts(data: Path) -> dict[str, Act]:
    window_input: list[object] = [*FLIGHTS, None]
    merged: dict[str, list[object]] = {
        "w-ewr": rows_of("EWR", range(12)),
        "w-jfk": rows_of("JFK", range(0, 24, 3)),
        "w-lga": [None],
    }
    origin: dict[str, Parameter] = {"data": str(data), "origin": "EWR", "rate": 100_000}
    return {
        "replay": Act(replay, "source", {}, origin),
        "window": Act(window, "window", {"source": window_input}, origin),
        "merge": Act(merge, "merge", merged, {}),
    }


async def play(
    act: Act, *, resume_from: bytes, first: int, acked: int, limit: int | None = None
) -> tuple[list[object], list[bytes]]:
    """Run the operator for one consumer; return what the consumer got and the checkpoints that were reported."""
    stage = Stage()
    context = act.context(stage, resume_from=resume_from)
    got: list[object] = []
    with trio.fail_after(WAIT_S):
        async with trio.open_nursery() as servers:
            for name, items in act.inputs.items():
                await servers.start(serve_items, stage, instance(name), items)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(act.operator, context)
                got = await consume(stage, context.instance, first=first, acked=acked, limit=limit)
                if limit is not None:
                    nursery.cancel_scope.cancel()
            servers.cancel_scope.cancel()
    return got, context.checkpoints


@pytest.mark.parametrize("name", ["replay", "window", "merge"])
def test_an_operator_resumes_from_every_checkpoint_it_reported_with_equal_output(name: str, data: Path) -> None:
    act = acts(data)[name]
    whole, checkpoints = trio.run(lambda: play(act, resume_from=b"", first=0, acked=0))
    assert whole[-1] is None
    assert checkpoints, "an operator whose output is acknowledged must report checkpoints"
    for checkpoint in checkpoints:
        number = Checkpoint.decode(checkpoint, inputs=len(act.inputs)).number
        resumed, _ = trio.run(functools.partial(play, act, resume_from=checkpoint, first=number, acked=number))
        assert resumed == whole[number:]


@pytest.mark.parametrize("name", ["replay", "window", "merge"])
@given(cut=st.data())
@CUTS
def test_an_operator_serves_any_number_from_any_checkpoint(name: str, data: Path, cut: st.DataObject) -> None:
    act = acts(data)[name]
    whole, _ = trio.run(lambda: play(act, resume_from=b"", first=0, acked=0))
    stop = cut.draw(st.integers(1, len(whole)), label="killed after so many items")
    _, checkpoints = trio.run(lambda: play(act, resume_from=b"", first=0, acked=0, limit=stop))
    checkpoint = cut.draw(st.sampled_from([b"", *checkpoints]), label="checkpoint")
    first = cut.draw(st.integers(0, len(whole) - 1), label="the consumer asks from")
    acked = cut.draw(st.integers(0, first), label="and has made durable")
    resumed, _ = trio.run(lambda: play(act, resume_from=checkpoint, first=first, acked=acked))
    assert resumed == whole[first:]


def test_a_window_counts_cancels_and_joins_each_hour(data: Path) -> None:
    whole, _ = trio.run(lambda: play(acts(data)["window"], resume_from=b"", first=0, acked=0))
    assert whole[0] == ["2013-01-01T00:00:00Z", "EWR", "4", "1", "-7.000", "-6", "", "", "", ""]
    assert whole[2] == ["2013-01-01T02:00:00Z", "EWR", "4", "0", "0.500", "2", "39.02", "", "0", "10"]
    assert len(whole) == 16


def test_a_merge_orders_by_hour_and_then_airport(data: Path) -> None:
    whole, _ = trio.run(lambda: play(acts(data)["merge"], resume_from=b"", first=0, acked=0))
    keys = [tuple(row[:2]) for row in whole[:-1] if isinstance(row, list)]
    assert keys == sorted(keys)
    assert len(keys) == 20


@pytest.mark.parametrize("name", ["replay", "window", "merge"])
def test_an_operator_that_is_executed_after_its_consumer_has_finished_ends_by_itself(name: str, data: Path) -> None:
    """Its worker died between its goodbye and its conclusion; nobody will ever ask for its output again."""
    act, stage, consumer = acts(data)[name], Stage(), instance("consumer")

    async def main() -> None:
        context = act.context(stage, resume_from=b"")
        context.outputs = (consumer,)
        with trio.fail_after(WAIT_S):
            async with trio.open_nursery() as servers:
                for source, items in act.inputs.items():
                    await servers.start(serve_items, stage, instance(source), items)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(act.operator, context)
                    await context.locate(context.instance)
                    stage.over.add(consumer)
                    stage.notify()
                servers.cancel_scope.cancel()

    trio.run(main)


def test_rows_before_the_checkpoint_are_there_at_once_and_later_ones_at_the_rate(data: Path) -> None:
    act = acts(data)["replay"]
    act.parameters["rate"] = 10
    checkpoint = Checkpoint(50).encode()
    clock = trio.testing.MockClock()

    async def ask() -> tuple[list[object], list[object]]:
        stage = Stage()
        context = act.context(stage, resume_from=checkpoint)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cast("Operator", replay), context)
            at_once = await consume(stage, context.instance, first=40, limit=11)
            clock.jump(0.9)
            rest = await consume(stage, context.instance, first=51, acked=51)
        return at_once, rest

    at_once, rest = trio.run(ask, clock=clock)
    assert at_once == FLIGHTS[40:51]
    assert rest == [*FLIGHTS[51:], None]


def read_rows(path: Path) -> list[tuple[str, ...]]:
    with sqlite3.connect(path) as database:
        return list(database.execute("SELECT time_hour, origin FROM rows ORDER BY rowid"))


async def fill(stage: Stage, context: Context, items: list[object], until: int | None = None) -> None:
    with trio.fail_after(WAIT_S):
        async with trio.open_nursery() as servers:
            await servers.start(serve_items, stage, instance("merge"), items)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(cast("Operator", sink), context)
                if until is not None:
                    await context.counted(until)
                    nursery.cancel_scope.cancel()
            servers.cancel_scope.cancel()


def sink_context(stage: Stage, path: Path, *, epoch: int) -> Context:
    return Context(
        stage=stage,
        instance=instance("sink"),
        epoch=epoch,
        parameters={"database": str(path)},
        inputs=(instance("merge"),),
    )


def test_a_sink_writes_every_row_once_though_it_was_stopped_in_between(tmp_path: Path) -> None:
    items = rows_of("EWR", range(20))
    for epoch, (available, until) in enumerate([(7, 7), (7, 0), (13, 13)], start=1):
        stage = Stage()
        trio.run(fill, stage, sink_context(stage, tmp_path / "db", epoch=epoch), items[:available], until)
    stage = Stage()
    trio.run(fill, stage, sink_context(stage, tmp_path / "db", epoch=9), items)
    assert read_rows(tmp_path / "db") == [(row[0], row[1]) for row in items if isinstance(row, list)]


def test_a_sink_with_a_stale_token_stops_and_writes_nothing(tmp_path: Path) -> None:
    newer = Ledger(tmp_path / "db", instance=str(instance("sink")), token=7)
    newer.claim()
    stage = Stage()
    with pytest.raises(ExceptionGroup) as failure:
        trio.run(fill, stage, sink_context(stage, tmp_path / "db", epoch=6), rows_of("EWR", range(5)))
    assert failure.group_contains(StaleToken)
    assert read_rows(tmp_path / "db") == []


def test_a_writer_that_becomes_stale_is_refused_and_counted(tmp_path: Path) -> None:
    older = Ledger(tmp_path / "db", instance="flights/sink[0]", token=6)
    newer = Ledger(tmp_path / "db", instance="flights/sink[0]", token=7)
    older.claim()
    newer.claim()
    with pytest.raises(StaleToken, match="token 6 is refused, 7 has written"):
        older.append([("",) * 10], Position(1))
    newer.append([("new",) * 10], Position(1))
    assert read_rows(tmp_path / "db") == [("new", "new")]
    with sqlite3.connect(tmp_path / "db") as database:
        assert list(database.execute("SELECT token, highest FROM refusals")) == [(6, 7)]


def test_a_port_that_now_belongs_to_another_instance_serves_nothing(data: Path) -> None:
    async def ask() -> bytes:
        stage = Stage()
        context = acts(data)["replay"].context(stage)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cast("Operator", replay), context)
            address = await context.locate(context.instance)
            async with await trio.open_tcp_stream(address.host, address.port) as stream:
                await Lines(stream).send(want="flights/other[0]", consumer="x", epoch=1, **{"from": 0, "ack": 0})
                answer = bytes(await stream.receive_some(100))
            nursery.cancel_scope.cancel()
        return answer

    assert trio.run(ask) == b""


def test_a_consumer_of_an_older_epoch_is_refused(data: Path) -> None:
    async def ask() -> bytes:
        stage = Stage()
        context = acts(data)["replay"].context(stage)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cast("Operator", replay), context)
            assert len(await consume(stage, context.instance, limit=3, epoch=5)) >= 3
            address = stage.places[context.instance]
            async with await trio.open_tcp_stream(address.host, address.port) as stream:
                await Lines(stream).send(want=str(context.instance), consumer="x", epoch=4, **{"from": 0, "ack": 0})
                answer = bytes(await stream.receive_some(100))
            nursery.cancel_scope.cancel()
        return answer

    assert trio.run(ask) == b""


def test_a_reader_moves_on_when_its_upstream_runs_elsewhere_though_the_old_copy_still_answers(data: Path) -> None:
    async def ask() -> list[object]:
        stage = Stage()
        act = acts(data)["window"]
        context = act.context(stage)
        source = instance("source")
        with trio.fail_after(WAIT_S):
            async with trio.open_nursery() as nursery:
                await nursery.start(serve_items, stage, source, FLIGHTS[:30])  # a copy that is stuck
                nursery.start_soon(cast("Operator", window), context)
                got = await consume(stage, context.instance, limit=7)
                await nursery.start(serve_items, stage, source, [*FLIGHTS, None])
                got += await consume(stage, context.instance, first=len(got), acked=len(got))
                nursery.cancel_scope.cancel()
        return got

    whole, _ = trio.run(lambda: play(acts(data)["window"], resume_from=b"", first=0, acked=0))
    assert trio.run(ask) == whole
