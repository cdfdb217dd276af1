"""Changing the keys of a whole cluster: what is asked of every worker, and what they answer."""

from __future__ import annotations

import enum
from collections.abc import Mapping

import attrs

KEYS_TOPIC = "_keys"


class KeyChange(enum.Enum):
    """What to do with a key; the value is how it is asked."""

    LIST = "list"
    INSTALL = "install"
    USE = "use"
    REMOVE = "remove"


@attrs.frozen(kw_only=True)
class KeysReport:
    """Who holds which keys after a change, or after a mere look. Keys are told by their ids, 8 hexadecimal digits."""

    keys: Mapping[str, tuple[str, ...]]
    """Worker → the keys that it opens with; it seals with the first."""
    refused: Mapping[str, str]
    """Worker → why it did not do what was asked."""
    silent: tuple[str, ...]
    """Live workers that did not answer, sorted."""
    away: tuple[str, ...]
    """Workers that are held dead, sorted: should they come back, they hold the keys that they had."""

    @property
    def is_complete(self) -> bool:
        """Return whether every worker that is remembered has done what was asked."""
        return not self.refused and not self.silent and not self.away

    def is_held(self, key_id: str) -> bool:
        """Return whether anybody is known to hold that key."""
        return any(key_id in held for held in self.keys.values())

    def lacking(self, key_id: str) -> tuple[str, ...]:
        """Return who cannot open what that key seals, or is not known to, sorted."""
        without = {worker for worker, held in self.keys.items() if key_id not in held}
        return tuple(sorted(without | {*self.refused, *self.silent, *self.away}))

    def sealing_with(self, key_id: str) -> tuple[str, ...]:
        """Return who seals with that key, or may do so for all that is known, sorted."""
        sealing = {worker for worker, held in self.keys.items() if held[:1] == (key_id,)}
        return tuple(sorted(sealing | {*self.refused, *self.silent, *self.away}))
