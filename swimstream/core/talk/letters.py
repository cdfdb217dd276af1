"""Messages from one worker to another: sent again until they are acknowledged, told once.

Numbers begin at the boot of the process, so a receipt for an earlier process of the same name and place never
settles a letter of this one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from swimstream.core.talk.heard import Heard
from swimstream.wire.messages import Letter

if TYPE_CHECKING:
    from collections import Counter

    from swimstream.model.identity import Run

LETTERS_MAX = 256
"""Letters of this worker's own that wait for a receipt at a time."""
LETTER_PATIENCE_S = 10.0
LETTER_RETRY_S = 0.5
"""First wait for a receipt; each further one is twice as long, up to `LETTER_RETRY_S_MAX`."""
LETTER_RETRY_S_MAX = 1.0
LETTERS_HEARD_MAX = 4_096


@attrs.define(kw_only=True)
class Posted:
    """One letter that waits for its receipt."""

    request: int
    letter: Letter
    ends_at: float
    again_at: float
    pause_s: float = LETTER_RETRY_S


class Letters:
    """The letters that wait, and which ones have come in: `letters_forgotten` counts what left that memory early."""

    def __init__(self, counters: Counter[str], *, boot: int) -> None:
        """Begin with none."""
        self._number = boot
        self._waiting: dict[int, Posted] = {}
        self._heard = Heard(
            items_max=LETTERS_HEARD_MAX, keep_s=6 * LETTER_PATIENCE_S, counters=counters, counter="letters_forgotten"
        )

    def post(self, request: int, to: Run, topic: str, payload: bytes, now: float) -> bool:
        """Have a letter sent at the next look; return False if too many wait already."""
        if len(self._waiting) >= LETTERS_MAX:
            return False
        self._number += 1
        letter = Letter(to=to, number=self._number, topic=topic, payload=payload)
        self._waiting[letter.number] = Posted(
            request=request, letter=letter, ends_at=now + LETTER_PATIENCE_S, again_at=now
        )
        return True

    def waiting(self) -> list[Posted]:
        """Return what waits, the oldest first."""
        return list(self._waiting.values())

    def due(self, now: float) -> list[Letter]:
        """Return what must be sent (again), and note that it was."""
        due = [posted for posted in self._waiting.values() if posted.again_at <= now]
        for posted in due:
            posted.again_at = now + posted.pause_s
            posted.pause_s = min(2 * posted.pause_s, LETTER_RETRY_S_MAX)
        return [posted.letter for posted in due]

    def receive_receipt(self, sender: Run, number: int) -> int | None:
        """Return which request is settled by this receipt, if one is."""
        posted = self._waiting.get(number)
        if posted is None or posted.letter.to != sender:
            return None
        return self.settle(posted)

    def settle(self, posted: Posted) -> int:
        """Wait no longer; return the request."""
        del self._waiting[posted.letter.number]
        return posted.request

    def hear(self, sender: Run, letter: Letter, now: float) -> bool:
        """Return whether a letter that came in is to be told."""
        return self._heard.take((sender, letter.number), now)

    def was_told(self, sender: Run, number: int) -> bool:
        """Return whether it is certain that a letter has been told, so that a receipt is no lie."""
        return self._heard.fragment((sender, number)) is not None

    def next_deadline(self) -> float:
        """Return when something must be sent again or given up."""
        return min((min(posted.again_at, posted.ends_at) for posted in self._waiting.values()), default=float("inf"))
