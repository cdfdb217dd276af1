"""Warnings in the log for what only a person can put right: peers that are not listened to, or do not listen."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger(__name__)

PAUSE_S = 600.0
"""So often a worry is told at most: whoever can send packets must not fill the log."""

WORRIES: Mapping[str, str] = {
    "packets_of_unknown_key": "somebody seals with a key that this worker does not hold: see 'swimstream keys list'",
    "packets_unsealed": "somebody talks without a key, or with another version, and is not listened to",
    "packets_forged": "somebody sends what is not authentic, or was sealed by another version or for another address",
    "joined_alone": "nobody of the seeds and remembered members has answered: going on alone until somebody does",
}
"""Counter → what to say when it rises."""


class Worries:
    """Which ones were told, and when."""

    def __init__(self, worker: str) -> None:
        """Begin with none; `worker` is named in each warning."""
        self._worker = worker
        self._seen: dict[str, int] = {}
        self._quiet_until: dict[str, float] = {}

    def look(self, counters: Mapping[str, int], *, now: float) -> None:
        """Warn of each counter that has risen, unless that was told a short while ago."""
        for name, words in WORRIES.items():
            count = counters.get(name, 0)
            if count > self._seen.get(name, 0) and now >= self._quiet_until.get(name, now):
                self._seen[name] = count
                self._quiet_until[name] = now + PAUSE_S
                log.warning("%s worker=%s %s=%d", words, self._worker, name, count)
