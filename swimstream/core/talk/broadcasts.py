"""What was said to everybody: told once to each application, spread by gossip, repaired by sync.

Lamport 1978: each broadcast carries a time above that of everything its origin had heard when it spoke, so an answer
has a higher time than what it answers. What a worker hears before it has joined was said before it came: it is
remembered, so that sync does not bring it again, but it is not told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.core.talk.heard import Heard
from swimstream.wire.checks import INT_MAX
from swimstream.wire.codec import encode_message
from swimstream.wire.messages import Broadcast
from swimstream.wire.talk_codec import BROADCASTS_MAX

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable

    from swimstream.core.talk.heard import Key
    from swimstream.model.identity import Run

BROADCAST_KEEP_S = 300.0
TIME_JUMP_MAX = 2**40
"""A time that is further ahead is not followed: one forged packet must not exhaust the clock."""


class Broadcasts:
    """The newest `BROADCASTS_MAX`, for `BROADCAST_KEEP_S`; `broadcasts_dropped` counts those that had to go earlier."""

    def __init__(self, counters: Counter[str]) -> None:
        """Begin with none."""
        self._heard = Heard(
            items_max=BROADCASTS_MAX, keep_s=BROADCAST_KEEP_S, counters=counters, counter="broadcasts_dropped"
        )
        self._counters = counters
        self._time = 0
        self._number = 0

    def say(self, origin: Run, topic: str, payload: bytes, *, bytes_max: int) -> Broadcast | None:
        """Return a new broadcast of this worker's own, or None if it would take more than `bytes_max` encoded."""
        broadcast = Broadcast(
            origin=origin, number=self._number + 1, time=min(self._time + 1, INT_MAX), topic=topic, payload=payload
        )
        if len(encode_message(broadcast)) > bytes_max:
            return None
        self._number += 1
        return broadcast

    def hear(self, broadcast: Broadcast, now: float) -> bytes | None:
        """Take a broadcast, also one of one's own; return it encoded if it is to be told and passed on."""
        key = (broadcast.origin, broadcast.number)
        if key in self._heard:
            return None
        if broadcast.time - self._time > TIME_JUMP_MAX:
            self._counters["broadcast_times_refused"] += 1
        else:
            self._time = max(self._time, broadcast.time)
        fragment = encode_message(broadcast)
        return fragment if self._heard.take(key, now, rank=broadcast.time, fragment=fragment) else None

    def forget_old(self, now: float) -> None:
        """Forget what was said long ago."""
        self._heard.forget_old(now)

    def keys(self) -> tuple[Key, ...]:
        """Return origins and numbers of what is remembered, sorted."""
        return self._heard.keys()

    def fragments(self, keys: Iterable[Key]) -> list[bytes]:
        """Return those of `keys` that are remembered, encoded."""
        return [fragment for key in keys if (fragment := self._heard.fragment(key)) is not None]

    def lacking(self, keys: Iterable[Key]) -> list[Key]:
        """Return those of `keys` that were never heard."""
        return [key for key in keys if key not in self._heard]
