"""Lines of the control port: JSON objects from a stranger and to it, each line bounded; and why one was refused."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

import trio

from swimstream.errors import SwimstreamError, UsageError, WorkerStopped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swimstream.runtime.control_json import JsonTable

LINE_BYTES_MAX = 1024 * 1024
WRITE_S = 30.0
ERROR_CHARS_MAX = 4_000
ID_MAX = 2**53 - 1
"""The largest integer that every language with doubles for numbers can hold."""


class Over(UsageError):
    """The copy of an instance that a request speaks of is not under way: it was never ordered here, or has ended."""


class TooLate(SwimstreamError):
    """What was asked for has not come about in time; it may still."""


class Lines:
    """Lines from a stranger, one at a time."""

    def __init__(self, connection: trio.SocketStream) -> None:
        """Read from `connection`."""
        self._connection = connection
        self._buffer = bytearray()
        self.overlong = False

    async def next(self, *, bytes_max: int | None = None) -> bytes | None:
        """Return the next line, or None at the end or after a line beyond the bound."""
        limit = LINE_BYTES_MAX if bytes_max is None else bytes_max
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched > limit:
                self.overlong = True
                return None
            more = await self._connection.receive_some(65_536)
            if not more:
                return None
            self._buffer += more
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    def put_back(self, line: bytes) -> None:
        """Have `next` return `line` again."""
        self._buffer[:0] = line + b"\n"


def parse_request(line: bytes) -> dict[str, object]:
    """Return the object on `line`; raise `UsageError` if there is none."""
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        raise UsageError('expected one JSON object a line, such as {"verb": "hello"}') from None
    if not isinstance(request, dict):
        raise UsageError('expected a JSON object, such as {"verb": "hello"}')
    return request


def refusal(error: SwimstreamError) -> JsonTable:
    """Return the answer that refuses a request. `code` is for programs, `error` for people."""
    code = "usage" if isinstance(error, UsageError) else "failed"
    if isinstance(error, Over):
        code = "over"
    elif isinstance(error, WorkerStopped):
        code = "ending"
    text = str(error)  # which may repeat what was sent
    return {
        "ok": False,
        "code": code,
        "error": text if len(text) <= ERROR_CHARS_MAX else text[:ERROR_CHARS_MAX] + "...",
    }


def with_id(answer: JsonTable, request: Mapping[str, object]) -> JsonTable:
    """Return `answer` with the `id` of the request, if it has one that can be repeated."""
    number = request.get("id")
    if isinstance(number, int) and not isinstance(number, bool) and 0 <= number <= ID_MAX:
        return answer | {"id": number}
    return answer


async def write_line(connection: trio.SocketStream, table: JsonTable) -> None:
    """Send one object; `trio.TooSlowError` if the other side takes nothing for `WRITE_S`."""
    with trio.fail_after(WRITE_S):
        await connection.send_all(json.dumps(table, separators=(",", ":")).encode() + b"\n")


async def read_to_end(connection: trio.SocketStream) -> None:
    """Return when the other side hangs up; what it says until then is of no interest."""
    with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        while await connection.receive_some(65_536):
            pass
