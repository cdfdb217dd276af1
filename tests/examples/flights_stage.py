"""A stage for operators without a cluster: a context that only knows who serves where, over real loopback TCP."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import trio
from flights.wire import Lines

from swimstream.model.identity import Address, InstanceId
from swimstream.model.job import Parameter

if TYPE_CHECKING:
    from pathlib import Path

Operator = Callable[[Any], Awaitable[None]]  # Any: a `Context` stands in for the `OperatorContext`
JOB = "flights"


def instance(operator: str) -> InstanceId:
    """Return the only instance of that operator."""
    return InstanceId(JOB, operator, 0)


@attrs.define
class Stage:
    """Where every operator of one test is, as the cluster would tell."""

    places: dict[InstanceId, Address] = attrs.field(factory=dict)
    over: set[InstanceId] = attrs.field(factory=set)
    """What the plan says has finished for good."""
    changed: trio.Event = attrs.field(factory=trio.Event)

    def place(self, who: InstanceId, address: Address) -> None:
        """Let others find `who`."""
        self.places[who] = address
        self.notify()

    def notify(self) -> None:
        """Wake whoever waits for a change."""
        self.changed.set()
        self.changed = trio.Event()


@attrs.define(kw_only=True)
class Context:
    """What an operator sees of its worker; remembers what it reported."""

    stage: Stage
    instance: InstanceId
    epoch: int = 1
    worker: str = "tester"
    parameters: Mapping[str, Parameter] = attrs.field(factory=dict)
    inputs: tuple[InstanceId, ...] = ()
    outputs: tuple[InstanceId, ...] = ()
    resume_from: bytes = b""
    counts: list[int] = attrs.field(factory=list)
    checkpoints: list[bytes] = attrs.field(factory=list)

    def progress(self, count: int) -> None:
        """Remember a report."""
        assert not self.counts or count >= self.counts[-1], "progress must not fall within an epoch"
        self.counts.append(count)
        self.stage.notify()

    async def counted(self, count: int) -> None:
        """Wait until progress has come so far."""
        while not self.counts or self.counts[-1] < count:
            await self.stage.changed.wait()

    def checkpoint(self, handle: bytes) -> None:
        """Remember a report."""
        assert len(handle) <= 64
        self.checkpoints.append(handle)

    def publish(self, address: Address) -> None:
        """Let others find this operator."""
        self.stage.place(self.instance, address)

    async def finished(self, who: InstanceId) -> None:
        """Wait until the plan says so."""
        while who not in self.stage.over:
            await self.stage.changed.wait()

    async def locate(self, who: InstanceId) -> Address:
        """Wait until `who` is somewhere."""
        while who not in self.stage.places:
            await self.stage.changed.wait()
        return self.stage.places[who]

    async def watch(self, who: InstanceId) -> AsyncIterator[Address]:
        """Yield where `who` is, again whenever it has moved."""
        last = None
        while True:
            address = await self.locate(who)
            if address != last:
                last = address
                yield address
            await self.stage.changed.wait()

    def locate_now(self, who: InstanceId) -> Address | None:
        """Return where `who` is, if that is known."""
        return self.stage.places.get(who)


async def serve_items(stage: Stage, who: InstanceId, items: Sequence[object], task_status: trio.TaskStatus) -> None:
    """Stand in for an upstream that has all of its output ready, in epoch 1."""

    async def serve(stream: trio.SocketStream) -> None:
        lines = Lines(stream)
        try:
            hello = await lines.receive()
            await lines.send(instance=str(who), epoch=1)
            position = hello["from"]
            assert isinstance(position, int)
            if position < len(items):
                await lines.send(at=position, items=items[position:])
            while (await lines.receive()).get("final") is not True:
                pass
            await lines.send(bye=True)
        except Exception:  # noqa: BLE001  # the consumer went away, as tests do
            return

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    stage.place(who, Address(*listeners[0].socket.getsockname()[:2]))
    task_status.started()
    await trio.serve_listeners(serve, listeners)


async def consume(
    stage: Stage, who: InstanceId, *, first: int = 0, acked: int = 0, limit: int | None = None, epoch: int = 1
) -> list[object]:
    """Stand in for a consumer: read from `first` on, acknowledging at once, to the end or for `limit` items."""
    while who not in stage.places:
        await stage.changed.wait()
    address = stage.places[who]
    got: list[object] = []
    async with await trio.open_tcp_stream(address.host, address.port) as stream:
        lines = Lines(stream)
        await lines.send(want=str(who), consumer="test", epoch=epoch, **{"from": first, "ack": acked})
        await lines.receive()
        while limit is None or len(got) < limit:
            message = await lines.receive()
            items = message["items"]
            assert isinstance(items, list)
            assert message["at"] == first + len(got)
            got += items
            if items[-1] is None:
                await lines.send(final=True)
                assert (await lines.receive()) == {"bye": True}
                break
            await lines.send(ack=first + len(got))
    return got


def write_gz(path: Path, lines: Iterable[str]) -> None:
    """Write a compressed text file."""
    with gzip.open(path, "wt", encoding="utf-8", newline="") as out:
        out.write("\n".join(lines) + "\n")
