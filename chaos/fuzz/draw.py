"""Decisions out of bytes, so that whoever varies the bytes (libFuzzer, or `worker.py` by itself) steers the attack."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")


class Draw:
    """Reads a script from its start; when it is spent, everything is 0."""

    def __init__(self, script: bytes) -> None:
        """Begin at the start."""
        self._script = script
        self._at = 0

    @property
    def is_spent(self) -> bool:
        """Return whether nothing is left to read."""
        return self._at >= len(self._script)

    def below(self, bound: int) -> int:
        """Return a number from 0 up to but not including `bound`, which is at most 65,536."""
        return int.from_bytes(self.take(1 if bound <= 256 else 2)) % bound

    def take(self, count: int) -> bytes:
        """Return the next bytes: `count`, or what is left."""
        taken = self._script[self._at : self._at + count]
        self._at += count
        return taken

    def pick(self, choices: Sequence[T]) -> T:
        """Return one of `choices`."""
        return choices[self.below(len(choices))]
