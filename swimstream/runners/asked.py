"""Neighbours as an operator in a process of its own finds them: it asks its worker."""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING, Protocol

from swimstream.errors import UsageError, WorkerStopped
from swimstream.model.identity import Address
from swimstream.runtime.replies import Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from swimstream.model.identity import InstanceId

QUESTIONS_MAX = 4_096


class Send(Protocol):
    """How a message leaves."""

    def __call__(self, *message: object) -> None:
        """Send it; may block while the other side does not read."""


class AskedNeighbours:
    """Questions under way. Any thread may ask; one thread hands in the answers."""

    def __init__(self, send: Send) -> None:
        """Ask by `send`."""
        self._send = send
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._open: dict[int, tuple[Callable[[Address | None], None], Callable[[BaseException], None]]] = {}

    def locate_now(self, instance: InstanceId) -> Address | None:
        """Ask, and block for the answer."""
        reply: Reply[Address | None] = Reply()
        self._ask("now", instance, None, reply.succeed, reply.fail)
        # not `wait`, which refuses to block an event loop: the answer takes less than a millisecond
        answered = threading.Event()
        reply.on_settled(answered, answered.set)
        answered.wait()
        return reply.result()

    def located(self, instance: InstanceId, *, other_than: Address | None) -> Reply[Address]:
        """Ask; the worker answers when it knows."""
        reply: Reply[Address] = Reply()

        def take(address: Address | None) -> None:
            assert address is not None
            reply.succeed(address)

        self._ask("located", instance, other_than, take, reply.fail)
        return reply

    def finished(self, instance: InstanceId) -> Reply[None]:
        """Ask; the worker answers when it is so."""
        reply: Reply[None] = Reply()
        self._ask("finished", instance, None, lambda _: reply.succeed(None), reply.fail)
        return reply

    def answered(self, number: int, address: str | None) -> None:
        """Take an answer."""
        with self._lock:
            take, _ = self._open.pop(number)
        take(None if address is None else Address.parse(address, field="address"))

    def refused(self, number: int, text: str, *, is_usage: bool) -> None:
        """Take a refusal."""
        with self._lock:
            _, fail = self._open.pop(number)
        fail(UsageError(text) if is_usage else WorkerStopped(text))

    def _ask(
        self,
        what: str,
        instance: InstanceId,
        other_than: Address | None,
        take: Callable[[Address | None], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        with self._lock:
            if len(self._open) >= QUESTIONS_MAX:
                raise UsageError(f"locate: expected at most {QUESTIONS_MAX} questions at a time")
            number = next(self._numbers)
            self._open[number] = (take, fail)
        self._send("ask", number, what, str(instance), None if other_than is None else str(other_than))
