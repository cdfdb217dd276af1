"""The output side of an operator: a numbered sequence, kept until the consumer says that it is durable.

Upstream backup (Hwang et al., High-Availability Algorithms for Distributed Stream Processing, ICDE 2005, §3.3): an
operator keeps what it has sent until the effects are safe further down, and sends it again to a consumer that lost it.
Here every operator is moreover a deterministic function of its inputs' offsets, so what is no longer kept can be
computed again: a consumer may ask for any number, and one below the oldest kept makes the operator start over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import trio

from flights.inlet import dismiss
from flights.wire import Checkpoint, Item, Lines, ProtocolError, number_in, text_in
from swimstream.model.identity import Address

if TYPE_CHECKING:
    from swimstream import OperatorContext

BATCH_ITEMS_MAX = 256
HOST = "127.0.0.1"
BYE_TIMEOUT_S = 2.0
HELLO_TIMEOUT_S = 5.0

Compute = Callable[[Checkpoint, "Outlet"], Awaitable[None]]


class Acknowledged(Protocol):
    """An input that wants to know which of its items are no longer needed."""

    def ack(self, number: int) -> None:
        """Forget everything below `number`."""


class Outlet:
    """Numbered output with at most `capacity` items that are not durable yet. Used by the tasks of one trio loop."""

    def __init__(self, ctx: OperatorContext, *, capacity: int) -> None:
        self.final = trio.Event()
        """The consumer has the whole stream and made it durable."""
        self._ctx = ctx
        self._capacity = capacity
        self._items: deque[tuple[Item, tuple[int, ...]]] = deque()
        self._durable = Checkpoint.beginning(len(ctx.inputs))
        self._acked = 0
        self._changed = trio.Event()
        self._attempt: trio.CancelScope | None = None
        self._consumer_epoch = -1
        self._connection: trio.CancelScope | None = None
        self._dismissed = False
        self._said_bye = trio.Event()
        self._counted = 0

    def begin(self, start: Checkpoint, attempt: trio.CancelScope) -> None:
        """Forget all items; the next one put is number `start.number`. `attempt` is cancelled if that is too late."""
        self._items.clear()
        self._durable = start
        self._attempt = attempt
        self._notify()

    async def put(self, item: Item, *, offsets: Sequence[int] = ()) -> None:
        """Add the next item and wait for room first. State is empty after it when reading on from `offsets`."""
        while len(self._items) >= self._capacity:
            await self._changed.wait()
        self._items.append((item, tuple(offsets)))
        self._release()
        self._notify()

    def count(self, progress: int) -> None:
        """Report progress; a recomputation, which starts lower, reports nothing until it is as far."""
        if progress > self._counted:
            self._counted = progress
            self._ctx.progress(progress)

    async def settle(self, inlets: Sequence[Acknowledged]) -> None:
        """Report each checkpoint that the consumer's acknowledgements allow, and acknowledge the inputs up to it."""
        reported = self._durable.number
        while True:
            if self._durable.number > reported:
                reported = self._durable.number
                self._ctx.checkpoint(self._durable.encode())
                for inlet, offset in zip(inlets, self._durable.offsets, strict=True):
                    inlet.ack(offset)
            await self._changed.wait()

    async def dismiss(self) -> None:
        """Tell the consumer that its `final` was understood."""
        self._dismissed = True
        self._notify()
        with trio.move_on_after(BYE_TIMEOUT_S):
            await self._said_bye.wait()

    async def serve(self, task_status: trio.TaskStatus[Address]) -> None:
        """Serve the newest consumer until cancelled; starts with the address it listens on."""
        listeners = await trio.open_tcp_listeners(0, host=HOST)
        task_status.started(Address(*listeners[0].socket.getsockname()[:2]))
        await trio.serve_listeners(self._serve_one, listeners)

    async def _serve_one(self, stream: trio.SocketStream) -> None:
        lines = Lines(stream)
        with trio.CancelScope() as scope:
            try:
                position = await self._greet(lines, scope)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._send, lines, position, scope)
                    nursery.start_soon(self._listen, lines, scope)
            except* (ProtocolError, trio.BrokenResourceError, trio.ClosedResourceError):
                pass  # the consumer will come again
        if self._connection is scope:
            self._connection = None
        await trio.aclose_forcefully(stream)

    async def _greet(self, lines: Lines, scope: trio.CancelScope) -> int:
        """Check who is there, let it replace an older consumer, and return the number it wants first."""
        with trio.move_on_after(HELLO_TIMEOUT_S):
            hello = await lines.receive()
            return await self._admit(lines, hello, scope)
        raise ProtocolError(f"expected a hello within {HELLO_TIMEOUT_S} s")

    async def _admit(self, lines: Lines, hello: Mapping[str, object], scope: trio.CancelScope) -> int:
        if text_in(hello, "want") != str(self._ctx.instance):
            raise ProtocolError(f"want: expected {self._ctx.instance}, got {hello['want']!r}")
        epoch, position, acked = (number_in(hello, field) for field in ("epoch", "from", "ack"))
        if epoch < self._consumer_epoch:
            raise ProtocolError(f"epoch: expected {self._consumer_epoch} or later, got {epoch}")
        if self._connection is not None:
            self._connection.cancel()
        self._consumer_epoch, self._connection = epoch, scope
        await lines.send(instance=str(self._ctx.instance), epoch=self._ctx.epoch)
        # A consumer that resumed from an older checkpoint takes back what its predecessor acknowledged.
        self._acked = acked
        self._release()
        self._notify()
        return position

    async def _send(self, lines: Lines, position: int, scope: trio.CancelScope) -> None:
        while True:
            skipped = position - self._durable.number
            if self._dismissed:
                await lines.send(bye=True)
                self._said_bye.set()
                scope.cancel()
            elif skipped < 0 and self._attempt is not None:
                self._attempt.cancel()
                await self._changed.wait()
            elif skipped < len(self._items):
                last = min(len(self._items), skipped + BATCH_ITEMS_MAX)
                items = [self._items[index][0] for index in range(skipped, last)]
                await lines.send(at=position, items=items)
                position += len(items)
            else:
                await self._changed.wait()

    async def _listen(self, lines: Lines, scope: trio.CancelScope) -> None:
        while True:
            try:
                message = await lines.receive()
            except (ProtocolError, trio.BrokenResourceError):
                scope.cancel()
                return
            if self._connection is not scope:
                return  # a newer consumer has taken over in the meantime
            if message.get("final") is True:
                self.final.set()
            else:
                self._acked = max(self._acked, number_in(message, "ack"))
                self._release()
                self._notify()

    def _release(self) -> None:
        """Forget the items that are durable further down; the end of the stream stays until `final`."""
        while self._items and self._durable.number < self._acked and self._items[0][0] is not None:
            _, offsets = self._items.popleft()
            self._durable = Checkpoint(self._durable.number + 1, offsets)

    def _notify(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


async def operate(ctx: OperatorContext, compute: Compute, *, capacity: int) -> None:
    """Run an operator with one output: `compute` from the checkpoint on, and from the beginning if that was too late.

    `compute(start, outlet)` puts all of its output from number `start.number` on and then stays. Return when the
    consumer has made all of it durable.
    """
    outlet = Outlet(ctx, capacity=capacity)
    async with trio.open_nursery() as nursery:
        ctx.publish(await nursery.start(outlet.serve))
        async with trio.open_nursery() as work:
            work.start_soon(_compute, ctx, compute, outlet)
            work.start_soon(_end_with_consumers, ctx, outlet)
            await outlet.final.wait()
            work.cancel_scope.cancel()
        await dismiss(ctx)
        await outlet.dismiss()
        nursery.cancel_scope.cancel()


async def _end_with_consumers(ctx: OperatorContext, outlet: Outlet) -> None:
    """A copy that is executed after its consumer has finished would wait for ever: nobody comes any more."""
    for consumer in ctx.outputs:
        await ctx.finished(consumer)
    if ctx.outputs:
        outlet.final.set()


async def _compute(ctx: OperatorContext, compute: Compute, outlet: Outlet) -> None:
    start = Checkpoint.decode(ctx.resume_from, inputs=len(ctx.inputs))
    while not outlet.final.is_set():
        with trio.CancelScope() as attempt:
            outlet.begin(start, attempt)
            await compute(start, outlet)
        start = Checkpoint.beginning(len(ctx.inputs))
