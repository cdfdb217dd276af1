"""What a command says on descriptor 3: one JSON object a line, at most 4,096 bytes; whatever it says may be left out.

| key | value |
|---|---|
| `progress` | an integer, 0 to 2^63 - 1, that never falls |
| `checkpoint` | text, at most 64 bytes of UTF-8: `{resume_from}` of the next execution |
| `endpoint` | `host:port` where it serves its neighbours |

Other keys are ignored, for later versions. A line that is none of this is counted, and the first few are told.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from swimstream.errors import UsageError
from swimstream.model.identity import Address
from swimstream.model.status import CHECKPOINT_BYTES_MAX, ENDPOINT_CHARS_MAX, PROGRESS_MAX

if TYPE_CHECKING:
    from collections.abc import Callable

LINE_BYTES_MAX = 4_096
TOLD_MAX = 10


class ReportLines:
    """Takes bytes as they come; keeps the newest of each thing that was said until it is taken."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        """Begin with nothing said. `tell` is given what is wrong with the first `TOLD_MAX` lines that are refused."""
        self._tell = tell
        self._buffer = bytearray()
        self._is_overlong = False
        self._progress: int | None = None
        self._checkpoint: bytes | None = None
        self._endpoint: str | None = None
        self.refused = 0
        """Lines that made no sense."""

    def feed(self, data: bytes) -> None:
        """Read on."""
        *lines, rest = (bytes(self._buffer) + data).split(b"\n")
        for line in lines:
            if self._is_overlong or len(line) > LINE_BYTES_MAX:
                self._is_overlong = False
                self._refuse(f"expected lines of at most {LINE_BYTES_MAX} bytes")
            elif line.strip():
                self._read(line)
        self._is_overlong = self._is_overlong or len(rest) > LINE_BYTES_MAX
        self._buffer = bytearray(b"" if self._is_overlong else rest)

    def take(self) -> tuple[int | None, bytes | None, str | None] | None:
        """Return progress, checkpoint and endpoint as far as something new was said; None if nothing was."""
        news = (self._progress, self._checkpoint, self._endpoint)
        self._progress = self._checkpoint = self._endpoint = None
        return None if all(each is None for each in news) else news

    @property
    def has_news(self) -> bool:
        """Return whether `take` has something."""
        return not (self._progress is None and self._checkpoint is None and self._endpoint is None)

    def _read(self, line: bytes) -> None:
        try:
            said = _object(line)
            progress, checkpoint = _progress(said.get("progress")), _checkpoint(said.get("checkpoint"))
            endpoint = _endpoint(said.get("endpoint"))
        except UsageError as error:
            self._refuse(str(error))
        else:
            self._progress = self._progress if progress is None else progress
            self._checkpoint = self._checkpoint if checkpoint is None else checkpoint
            self._endpoint = self._endpoint if endpoint is None else endpoint

    def _refuse(self, why: str) -> None:
        self.refused += 1
        if self.refused <= TOLD_MAX:
            self._tell(f"descriptor 3: {why}" + ("; no more is told" if self.refused == TOLD_MAX else ""))


def _object(line: bytes) -> dict[str, object]:
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise UsageError('expected a JSON object a line, such as {"progress": 7}')
    return said


def _progress(value: object) -> int | None:
    if value is None or (type(value) is int and 0 <= value <= PROGRESS_MAX):
        return value
    raise UsageError(f"progress: expected an integer from 0 to {PROGRESS_MAX}, got {value!r}")


def _checkpoint(value: object) -> bytes | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise UsageError(f"checkpoint: expected text, got {value!r}")
    handle = value.encode("utf-8", "replace")
    if len(handle) > CHECKPOINT_BYTES_MAX:
        raise UsageError(f"checkpoint: expected at most {CHECKPOINT_BYTES_MAX} bytes, got {len(handle)}")
    return handle


def _endpoint(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise UsageError(f"endpoint: expected 'host:port', got {value!r}")
    address = Address.parse(value, field="endpoint")
    if not address.port or len(str(address)) > ENDPOINT_CHARS_MAX:
        raise UsageError(f"endpoint: expected host:port with a real port, {ENDPOINT_CHARS_MAX} characters at most")
    return str(address)
