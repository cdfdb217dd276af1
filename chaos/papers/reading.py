"""Read each message once in a process, however many nodes it reaches there.

128 nodes that hear the same news spend a quarter of their time on checking the same fields again. Messages are frozen
values, so that sharing them changes nothing but the time it takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.wire import codec
from swimstream.wire.message_reader import read_message

if TYPE_CHECKING:
    from collections.abc import Callable

    from swimstream.wire.messages import Message

READ_MAX = 100_000


class SharedReader:
    """Stands in for `read_message`. What is refused is refused anew each time."""

    def __init__(self, read: Callable[[object], Message | None]) -> None:
        """Remember up to `READ_MAX` of what `read` returns; then begin anew."""
        self._read = read
        self._messages: dict[str, Message | None] = {}

    def __call__(self, item: object) -> Message | None:
        """Return the message of a decoded item."""
        key = repr(item)
        if key not in self._messages:
            if len(self._messages) >= READ_MAX:
                self._messages.clear()
            self._messages[key] = self._read(item)
        return self._messages[key]


def share_reading() -> None:
    """Have all nodes of this process share what they read. For processes that make trials, and nothing else."""
    codec.read_message = SharedReader(read_message)  # type: ignore[attr-defined]  # the name that the codec calls
