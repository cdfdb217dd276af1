"""One connection of the control port on which another process is the worker: what it asks, and what it is ordered.

Requests and answers as everywhere on the port, but concurrent: each carries an `id`, and its answer the same one.
Orders of the peer come in between, in the order in which the node gave them. One task writes, so that whatever an
order holds of time is computed when it is written, after every answer that precedes it: on that rests how the process
counts its fences (`docs/control-port.md`).

A process that does not read is as good as dead: beyond `OUTBOX_MAX` lines, or after `WRITE_S` of not taking one, the
connection is given up.
"""

from __future__ import annotations

import collections
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

import attrs
import trio

from swimstream.errors import SwimstreamError, UsageError
from swimstream.runtime.attached_fields import Wish
from swimstream.runtime.attached_process import AttachedProcess
from swimstream.runtime.control_json import JsonTable
from swimstream.runtime.control_lines import (
    ID_MAX,
    LINE_BYTES_MAX,
    Lines,
    parse_request,
    read_to_end,
    refusal,
    with_id,
    write_line,
)
from swimstream.runtime.control_talk import Request

log = logging.getLogger(__name__)

REQUESTS_MAX = 1_024
"""Requests of one process that wait for their answer."""
OUTBOX_MAX = 8_192
READ_AHEAD_MAX = 1_024
"""Nothing more is read while so many lines wait to be written."""
LAST_LINES_S = 2.0
"""How long a process that was told the end may take to hang up."""
READS = frozenset(("hello", "members", "operators", "leader", "decisions", "counters", "tags", "snapshot"))
"""Verbs whose answers grow with the cluster."""
READS_MAX = 2
"""So many of such answers are held in memory; the next one is made when one has been written."""


class Guest(Protocol):
    """The attached process as its runner sees it; for the control port's loop only."""

    def tick(self) -> None:
        """Note that the process goes on."""

    def report(self, request: Request) -> None:
        """Take what the process says of a copy; raise `UsageError` that names the field."""

    async def locate(self, request: Request) -> JsonTable:
        """Return where a neighbour is."""

    async def finished(self, request: Request) -> JsonTable:
        """Return once a neighbour has finished."""

    async def guard(self) -> None:
        """Keep the fences, until cancelled."""

    async def lost(self) -> None:
        """Say what has ended with the process; return once all that can be proven was said."""


class Desk(Protocol):
    """A peer that a process may attach to."""

    @property
    def standing(self) -> str:
        """Return `waiting`, `attached` or `ending`."""

    async def attach(self, wish: Wish, attachment: Attachment) -> tuple[Guest, JsonTable]:
        """Let a process be the worker; return its runner, and what it is told. Raise `UsageError` if it may not."""

    def depart(self) -> None:
        """The process has gone: leave, if that has not begun."""


@attrs.define
class Attachment:
    """The attached process's connection. `post` may be called from any thread, all else on its loop."""

    connection: trio.SocketStream
    lines: Lines
    process: AttachedProcess
    answer_other: Callable[[Request], Awaitable[JsonTable]]
    """How the port answers what is not for the runner."""
    _outbox: collections.deque[Callable[[], JsonTable | None]] = attrs.field(factory=collections.deque, init=False)
    _reads: trio.Semaphore = attrs.field(factory=lambda: trio.Semaphore(READS_MAX), init=False)
    _wake: trio.Event = attrs.field(factory=trio.Event, init=False)
    _room: trio.Event = attrs.field(factory=trio.Event, init=False)
    _scope: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)
    _token: trio.lowlevel.TrioToken = attrs.field(factory=trio.lowlevel.current_trio_token, init=False)
    _under_way: int = attrs.field(default=0, init=False)
    _is_over: bool = attrs.field(default=False, init=False)
    _goodbyes: int = attrs.field(default=0, init=False)
    """How many requests to leave are under way."""
    _end_reason: str = attrs.field(default="", init=False)

    # --- what the runner may do -------------------------------------------------------------------

    def post(self, act: Callable[[], None]) -> bool:
        """Have `act` called on the loop soon; return False if that has ended."""
        try:
            self._token.run_sync_soon(act)
        except trio.RunFinishedError:
            return False
        return True

    def put(self, order: Callable[[], JsonTable | None]) -> None:
        """Queue a line, which is made when its turn comes; None is left out then."""
        if self._is_over:
            return
        if len(self._outbox) >= OUTBOX_MAX:
            log.error("the attached process does not read, it is given up lines=%d", len(self._outbox))
            self._scope.cancel()
            return
        self._outbox.append(order)
        self._wake.set()

    def end(self, reason: str) -> None:
        """Say why this is the end, as the last line, and hang up; after the answer to a goodbye that is under way."""
        self._end_reason = self._end_reason or reason
        self._end_if_due()

    def _end_if_due(self) -> None:
        if self._end_reason and not self._goodbyes and not self._is_over:
            self.put(lambda: {"order": "end", "reason": self._end_reason})
            self._is_over = True

    # --- its life ---------------------------------------------------------------------------------

    async def run(self, desk: Desk, request: Request) -> None:
        """Attach, and serve until either side ends. Raise `UsageError` if the process may not attach."""
        guest, told = await desk.attach(Wish.read(request), self)
        self._outbox.appendleft(lambda: with_id({"ok": True} | told, request))
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write)
                    nursery.start_soon(guest.guard)
                    nursery.start_soon(self._watch_process)
                    await self._read(guest, nursery)
                    nursery.cancel_scope.cancel()
        finally:
            self._is_over = True
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(self.connection)
        await guest.lost()
        desk.depart()

    async def _watch_process(self) -> None:
        """A connection that a child of the process has inherited stays open when the process dies."""
        await self.process.wait_dead()
        self._scope.cancel()

    async def _write(self) -> None:
        try:
            while True:
                while self._outbox:
                    line = self._outbox.popleft()()
                    if line is not None:
                        await write_line(self.connection, line)
                    if len(self._outbox) < READ_AHEAD_MAX:
                        self._room.set()
                if self._is_over:
                    await self.connection.send_eof()
                    await trio.sleep(LAST_LINES_S)  # the process hangs up before, if it is well
                    break
                self._wake = trio.Event()
                await self._wake.wait()
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
            pass
        self._scope.cancel()

    async def _read(self, guest: Guest, nursery: trio.Nursery) -> None:
        try:
            while (line := await self.lines.next()) is not None:
                self._hear(line, guest, nursery)
                while len(self._outbox) >= READ_AHEAD_MAX:
                    self._room = trio.Event()
                    await self._room.wait()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return
        if self.lines.overlong:
            self.end(f"expected lines of at most {LINE_BYTES_MAX} bytes")
            await read_to_end(self.connection)  # closing with unread bytes could take the reason with it

    def _hear(self, line: bytes, guest: Guest, nursery: trio.Nursery) -> None:
        request: Request = {}
        try:
            request = parse_request(line)
            if "id" not in with_id({}, request):
                raise UsageError(
                    f"id: expected an integer from 0 to {ID_MAX} with every request of an attached process"
                )
            match request.get("verb"):
                case "tick":
                    guest.tick()
                case "report":
                    guest.report(request)
                case "attach":
                    raise UsageError("verb: this process is attached already")
                case "watch":
                    raise UsageError("verb: watch needs a connection of its own")
                case _:
                    self._begin(request, guest, nursery)
                    return
        except SwimstreamError as error:
            self._say(refusal(error), request)
            return
        self._say({"ok": True}, request)

    def _begin(self, request: Request, guest: Guest, nursery: trio.Nursery) -> None:
        if self._under_way >= REQUESTS_MAX:
            raise UsageError(f"id: expected at most {REQUESTS_MAX} requests that wait for an answer")
        self._under_way += 1
        if request.get("verb") == "leave":
            self._goodbyes += 1
        nursery.start_soon(self._answer_later, request, guest)

    async def _answer_later(self, request: Request, guest: Guest) -> None:
        verb = request.get("verb")
        try:
            if isinstance(verb, str) and verb in READS:
                async with self._reads:
                    await self._say_and_wait(await self._answer(request, guest), request)
            else:
                self._say(await self._answer(request, guest), request)
        finally:
            self._under_way -= 1
        if verb == "leave":
            self._goodbyes -= 1
            self._end_if_due()

    async def _answer(self, request: Request, guest: Guest) -> JsonTable:
        try:
            match request.get("verb"):
                case "locate":
                    return {"ok": True} | await guest.locate(request)
                case "finished":
                    return {"ok": True} | await guest.finished(request)
                case _:
                    return await self.answer_other(request)
        except SwimstreamError as error:
            return refusal(error)

    def _say(self, answer: JsonTable, request: Request) -> None:
        whole = with_id(answer, request)
        self.put(lambda: whole)

    async def _say_and_wait(self, answer: JsonTable, request: Request) -> None:
        """Return when the line has been written."""
        written = trio.Event()
        self._say(answer, request)

        def note() -> None:
            written.set()

        self.put(note)
        await written.wait()


def limits() -> JsonTable:
    """Return the limits that an attached process should know."""
    return {"line_bytes": LINE_BYTES_MAX, "requests": REQUESTS_MAX, "unread_lines": OUTBOX_MAX}
