"""The keys that a worker holds: it seals with the first and opens with all of them.

A key is changed in three steps, each finished everywhere before the next one begins: install the new key, use it,
remove the old one. At every moment each worker then opens what any other one seals.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TYPE_CHECKING

from swimstream.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

KEY_BYTES = 32
KEYS_MAX = 8
KEY_ID_BYTES = 4


def parse_key(text: str, *, field: str) -> bytes:
    """Return the key that `swimstream keygen` printed; raise `UsageError` naming `field` otherwise."""
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise UsageError(f"{field}: expected {KEY_BYTES} bytes in base64, as 'swimstream keygen' prints them")
    return key


def format_key(key: bytes) -> str:
    """Return a key as `parse_key` reads it."""
    return base64.b64encode(key).decode()


def key_id(key: bytes) -> bytes:
    """Return four bytes that tell keys apart and say nothing of them."""
    return hashlib.blake2b(key, digest_size=KEY_ID_BYTES, person=b"swimstream key").digest()


def parse_key_id(text: str) -> bytes:
    """Return the id of a key from its 8 hexadecimal digits; raise `UsageError` otherwise."""
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != KEY_ID_BYTES:
        raise UsageError(f"key: expected its id, {2 * KEY_ID_BYTES} hexadecimal digits, got {text!r}")
    return found


class KeyRing:
    """One to `KEYS_MAX` different keys of `KEY_BYTES`, in order. `version` counts the changes."""

    def __init__(self, keys: Iterable[bytes]) -> None:
        """Hold `keys`; the first one seals."""
        self._keys = {key_id(key): key for key in keys}
        self.version = 0
        assert 1 <= len(self._keys) <= KEYS_MAX, "the configuration is checked when it is read"

    @property
    def keys(self) -> tuple[bytes, ...]:
        """Return the keys, the one that seals first."""
        return tuple(self._keys.values())

    @property
    def ids(self) -> tuple[bytes, ...]:
        """Return the ids of the keys, in the same order."""
        return tuple(self._keys)

    def install(self, key: bytes) -> None:
        """Open with `key`, too; twice is once. Raise `UsageError` when the ring is full."""
        if key_id(key) in self._keys:
            return
        if len(self._keys) >= KEYS_MAX:
            raise UsageError(f"key: expected at most {KEYS_MAX} keys at a time; remove one that is not used any more")
        self._keys[key_id(key)] = key
        self.version += 1

    def use(self, wanted: bytes) -> None:
        """Seal with the key of that id; raise `UsageError` if it is not held."""
        if wanted not in self._keys:
            raise UsageError(f"key: {wanted.hex()} is not installed")
        if self.ids[0] != wanted:
            key = self._keys.pop(wanted)
            self._keys = {wanted: key, **self._keys}
            self.version += 1

    def remove(self, unwanted: bytes) -> None:
        """Open no more with the key of that id; twice is once. Raise `UsageError` if it is the one that seals."""
        if unwanted == self.ids[0]:
            raise UsageError(f"key: {unwanted.hex()} is in use; use another one first")
        if self._keys.pop(unwanted, None) is not None:
            self.version += 1
