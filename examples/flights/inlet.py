"""The input side of an operator: find the upstream, read from where one stands, find it again when it is lost."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from flights.wire import Item, Lines, ProtocolError, number_in, text_in

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from swimstream import OperatorContext
    from swimstream.model.identity import Address, InstanceId

INLET_ITEMS_MAX = 512
"""Items read and not yet used; beyond that the connection is not read, and the upstream waits."""
RETRY_S = 0.1
CONNECT_TIMEOUT_S = 2.0
FAREWELL_TIMEOUT_S = 10.0
"""An upstream that cannot be reached for so long at the very end has finished: its bye was lost."""

BROKEN = (OSError, ProtocolError, trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError)


class Inlet:
    """One input, read in order and without gaps from `offset` on. Used by the tasks of one trio loop."""

    def __init__(self, ctx: OperatorContext, upstream: InstanceId, *, offset: int) -> None:
        self._ctx = ctx
        self._upstream = upstream
        self._next = offset
        self._acked = offset
        self._ack_changed = trio.Event()
        self._epoch = 0
        """The newest epoch of the upstream that anybody has shown us; a lower one is a stale copy."""
        self._arrived, self._items = trio.open_memory_channel[Item](INLET_ITEMS_MAX)

    async def receive(self) -> Item:
        """Return the next item; None is the end of the stream."""
        return await self._items.receive()

    def receive_waiting(self, limit: int) -> list[Item]:
        """Return up to `limit` items that are here already."""
        items: list[Item] = []
        while len(items) < limit:
            try:
                items.append(self._items.receive_nowait())
            except trio.WouldBlock:
                break
        return items

    def ack(self, number: int) -> None:
        """Let the upstream forget everything below `number`."""
        if number > self._acked:
            self._acked = number
            self._ack_changed.set()

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            address = await self._ctx.locate(self._upstream)
            try:
                await self._read_from(address)
            except* BROKEN:
                pass  # the upstream has died or moved: ask where it is now
            await trio.sleep(RETRY_S)

    async def _read_from(self, address: Address) -> None:
        async with trio.open_nursery() as nursery:
            # A stale copy may go on serving. Watch, from before connecting, whether a newer one has taken over.
            nursery.start_soon(self._watch, address, nursery.cancel_scope)
            stream = await _connect(address)
            async with stream:
                lines = await self._greet(stream)
                nursery.start_soon(self._acknowledge, lines)
                while True:
                    await self._take(await lines.receive())

    async def _greet(self, stream: trio.SocketStream) -> Lines:
        lines = Lines(stream)
        epoch = await greet(lines, self._ctx, self._upstream, first=self._next, acked=self._acked)
        if epoch < self._epoch:
            raise ProtocolError(f"epoch: expected {self._epoch} or later, got {epoch}")
        self._epoch = epoch
        return lines

    async def _take(self, message: Mapping[str, object]) -> None:
        items = message.get("items")
        if not isinstance(items, list) or number_in(message, "at") != self._next:
            raise ProtocolError(f"expected items from number {self._next} on, got {str(message)[:80]}")
        for item in items:
            if not (item is None or isinstance(item, list)):
                raise ProtocolError(f"items: expected lists, got {item!r}")
            await self._arrived.send(item)
            self._next += 1

    async def _acknowledge(self, lines: Lines) -> None:
        while True:
            await self._ack_changed.wait()
            self._ack_changed = trio.Event()
            await lines.send(ack=self._acked)

    async def _watch(self, address: Address, scope: trio.CancelScope) -> None:
        async for newer in self._ctx.watch(self._upstream):
            if newer != address:
                scope.cancel()


@asynccontextmanager
async def open_inlets(ctx: OperatorContext, offsets: Sequence[int]) -> AsyncIterator[tuple[Inlet, ...]]:
    """Read every input of the operator from its offset on, while the block runs."""
    inlets = tuple(Inlet(ctx, each, offset=offset) for each, offset in zip(ctx.inputs, offsets, strict=True))
    async with trio.open_nursery() as nursery:
        for inlet in inlets:
            nursery.start_soon(inlet.run)
        yield inlets
        nursery.cancel_scope.cancel()


async def dismiss(ctx: OperatorContext) -> None:
    """Tell every input that nothing is needed any more, and wait until it has understood.

    Operators finish from the sources down, for an operator that is re-executed needs its inputs alive.
    """
    async with trio.open_nursery() as nursery:
        for upstream in ctx.inputs:
            nursery.start_soon(_dismiss_one, ctx, upstream)


async def _dismiss_one(ctx: OperatorContext, upstream: InstanceId) -> None:
    lost_at = trio.current_time()
    while trio.current_time() < lost_at + FAREWELL_TIMEOUT_S:
        address = ctx.locate_now(upstream)
        if address is not None:
            try:
                if await _say_final(ctx, upstream, address):
                    return
            except BROKEN:
                pass
        await trio.sleep(RETRY_S)


async def _say_final(ctx: OperatorContext, upstream: InstanceId, address: Address) -> bool:
    async with await _connect(address) as stream:
        lines = Lines(stream)
        await greet(lines, ctx, upstream, first=2**53, acked=0)
        await lines.send(final=True)
        with trio.move_on_after(2 * FAREWELL_TIMEOUT_S):
            while True:
                if (await lines.receive()).get("bye") is True:
                    return True
    return False


async def greet(lines: Lines, ctx: OperatorContext, upstream: InstanceId, *, first: int, acked: int) -> int:
    """Say who asks for what, check who answers, and return the epoch in which it runs."""
    with trio.fail_after(CONNECT_TIMEOUT_S):
        await lines.send(
            want=str(upstream), consumer=str(ctx.instance), epoch=ctx.epoch, **{"from": first, "ack": acked}
        )
        answer = await lines.receive()
    if text_in(answer, "instance") != str(upstream):
        raise ProtocolError(f"instance: expected {upstream}, got {answer['instance']!r}")
    return number_in(answer, "epoch")


async def _connect(address: Address) -> trio.SocketStream:
    with trio.fail_after(CONNECT_TIMEOUT_S):
        return await trio.open_tcp_stream(address.host, address.port)
