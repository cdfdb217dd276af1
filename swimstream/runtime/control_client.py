"""A small blocking client of the control port, for the command line and for demos. The protocol is in `control.py`."""

from __future__ import annotations

import json
import os
import socket
from typing import TYPE_CHECKING, Any

from swimstream.errors import SwimstreamError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

ANSWER_BYTES_MAX = 256 * 1024 * 1024

Answer = dict[str, Any]  # Any: JSON of a later version may hold keys that this one does not know


class ControlClient:
    """One connection to one worker; not thread-safe. `UsageError` when nobody listens at the path."""

    def __init__(self, path: str | os.PathLike[str], *, timeout_s: float = 90.0) -> None:
        """Connect to the socket at `path`; `timeout_s` bounds the wait for each answer."""
        self._path = os.fspath(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout_s)
        try:
            self._socket.connect(self._path)
        except OSError as error:
            self._socket.close()
            raise UsageError(f"control: no worker listens at {self._path} ({error.strerror or error})") from None
        self._file = self._socket.makefile("rb")

    def ask(self, verb: str, **fields: object) -> Answer:
        """Return the answer to one request; raise `UsageError` with the worker's words if it refuses."""
        self._send({"verb": verb, **fields})
        return self._receive()

    def watch(self, *, timeout_s: float | None = None) -> Iterator[Answer]:
        """Yield a snapshot and then every event until the worker ends; `TimeoutError` after so long without one."""
        self._send({"verb": "watch"})
        self._socket.settimeout(timeout_s)
        while (line := self._file.readline(ANSWER_BYTES_MAX)).endswith(b"\n"):
            yield _checked(line)

    def close(self) -> None:
        """Hang up."""
        self._file.close()
        self._socket.close()

    def __enter__(self) -> Self:
        """Return itself; hangs up at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hang up."""
        self.close()

    def _send(self, request: dict[str, object]) -> None:
        try:
            self._socket.sendall(json.dumps(request).encode() + b"\n")
        except OSError as error:
            raise SwimstreamError(f"control: the worker at {self._path} hung up ({error})") from None

    def _receive(self) -> Answer:
        try:
            line = self._file.readline(ANSWER_BYTES_MAX)
        except TimeoutError:
            raise SwimstreamError(f"control: the worker at {self._path} does not answer") from None
        except OSError as error:
            raise SwimstreamError(f"control: the worker at {self._path} hung up ({error})") from None
        if not line.endswith(b"\n"):
            raise SwimstreamError(f"control: the worker at {self._path} hung up without an answer")
        return _checked(line)


def _checked(line: bytes) -> Answer:
    answer = json.loads(line)
    if not isinstance(answer, dict):
        raise SwimstreamError("control: expected a JSON object from the worker")
    if not answer.get("ok"):
        raise UsageError(str(answer.get("error", "refused without a reason")))
    return answer
