"""Packets that only holders of the cluster's key can read, write or repeat.

A sealed packet is a clear head and the packet, encrypted and authenticated by ChaCha20-Poly1305 (RFC 8439); the
head is associated data, so nothing in it can be changed either:

    2 (1 byte) · key id (4) · cluster id (8) · sender's prefix (8) · counter (4) · ciphertext and tag (16 more)

Prefix and counter are the nonce. A process draws its prefixes at random and counts, so no nonce is used twice with
one key: random 96-bit nonces would have to be rationed, since all peers share the key. Per prefix a window of
counters that were seen refuses repetitions. But each reader has windows of its own, and one for datagrams, one for
frames: what one reader has seen could be played to another, say a dead leader's heartbeats to a follower that should
elect. So the associated data holds for whom it is as well: the word `frame`, or `datagram` and the address that its
reader advertises, which is where all datagrams go. (Frames also go to seeds, by whatever name a user gave them.)

A peer that has just started knows no windows: what was recorded before can then be played to it once. The protocol
bears that, since claims carry boots, incarnations and terms.

Rotation: the first key of the ring seals, all of them open. So a new key is added everywhere, then moved to the
front everywhere, then the old one is removed everywhere. Whoever holds a key can speak for any worker.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Protocol

import attrs

from swimstream.errors import UsageError, WireError
from swimstream.wire.keyring import KeyRing, key_id

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence
    from random import Random

    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    from swimstream.model.identity import Address

SEALED = 2
HEAD_BYTES = 25
TAG_BYTES = 16
COUNTERS_PER_PREFIX = 2**32
WINDOW = 4_096
"""So far behind the newest counter of its prefix a packet may arrive."""
_WINDOW_MASK = (1 << WINDOW) - 1
PREFIXES_MAX = 16_384
"""So many senders' windows are kept; the one heard of least recently goes first (`seal_windows_dropped`)."""


class Envelope(Protocol):
    """What is put around a packet before it leaves, and taken off before it is read."""

    overhead: int
    """Bytes that it adds."""

    def wrap(self, packet: bytes, *, cluster_id: int, to: Address | None = None) -> bytes:
        """Return the bytes that leave, as a datagram for who is at `to` or as a frame."""

    def unwrap_untrusted(self, data: bytes) -> bytes:
        """Return the packet that arrived; raise `WireError` if it is not from somebody who holds the key."""


class Plain:
    """No envelope: loopback, or `insecure_plaintext`."""

    overhead = 0

    def wrap(self, packet: bytes, *, cluster_id: int, to: Address | None = None) -> bytes:  # noqa: ARG002  # a face
        """Return the packet itself."""
        return packet

    def unwrap_untrusted(self, data: bytes) -> bytes:
        """Return the packet itself; the codec refuses a sealed one by its first byte."""
        return data


class Sealed:
    """Seals with the first key, opens with any."""

    overhead = HEAD_BYTES + TAG_BYTES

    def __init__(self, ring: KeyRing, *, rng: Random, counters: Counter[str], here: Address | None = None) -> None:
        """Seal and open by `ring`, as it is at the moment. Read what is for who is at `here`; frames if it is None.

        Raise `UsageError` if the library `cryptography` is not installed.
        """
        self._cipher, self._invalid_tag = _library()
        self._ring = ring
        self._read_ring()
        self._rng = rng
        self._counters = counters
        self._reader = _reader(here)
        self._prefix = b""
        self._count = COUNTERS_PER_PREFIX
        self._windows: OrderedDict[bytes, tuple[int, int]] = OrderedDict()
        """Prefix → the newest counter seen, and a bit for each of the last `WINDOW` up to it."""

    def _read_ring(self) -> None:
        self._version = self._ring.version
        self._ciphers = {key_id(key): self._cipher(key) for key in self._ring.keys}
        self._own_key = self._ring.ids[0]

    def wrap(self, packet: bytes, *, cluster_id: int, to: Address | None = None) -> bytes:
        """Return the sealed packet."""
        if self._version != self._ring.version:
            self._read_ring()
        if self._count >= COUNTERS_PER_PREFIX:
            self._prefix, self._count = self._rng.getrandbits(64).to_bytes(8), 0
        nonce = self._prefix + self._count.to_bytes(4)
        self._count += 1
        head = bytes([SEALED]) + self._own_key + cluster_id.to_bytes(8) + nonce
        return head + self._ciphers[self._own_key].encrypt(nonce, packet, head + _reader(to))

    def unwrap_untrusted(self, data: bytes) -> bytes:
        """Return the packet; a window is only moved by what is authentic."""
        if len(data) < HEAD_BYTES + TAG_BYTES or data[0] != SEALED:
            raise self._refused("packets_unsealed", "expected a sealed packet")
        if self._version != self._ring.version:
            self._read_ring()
        cipher = self._ciphers.get(data[1:5])
        if cipher is None:
            raise self._refused("packets_of_unknown_key", "expected a key of the ring")
        prefix, count = data[13:21], int.from_bytes(data[21:25])
        if self._is_known(prefix, count):
            raise self._refused("packets_repeated", "expected a packet that was not seen before")
        try:
            packet = cipher.decrypt(data[13:25], memoryview(data)[HEAD_BYTES:], data[:HEAD_BYTES] + self._reader)
        except self._invalid_tag:
            raise self._refused("packets_forged", "expected an authentic packet") from None
        self._note(prefix, count)
        return packet

    def _refused(self, counter: str, why: str) -> WireError:
        self._counters[counter] += 1
        return WireError(f"seal: {why}")

    def _is_known(self, prefix: bytes, count: int) -> bool:
        newest, seen = self._windows.get(prefix, (-1, 0))
        behind = newest - count
        return behind >= WINDOW or (behind >= 0 and bool(seen >> behind & 1))

    def _note(self, prefix: bytes, count: int) -> None:
        newest, seen = self._windows.get(prefix, (-1, 0))
        if count > newest:
            seen = (seen << min(count - newest, WINDOW) | 1) & _WINDOW_MASK
            newest = count
        else:
            seen |= 1 << (newest - count)
        self._windows[prefix] = (newest, seen)
        self._windows.move_to_end(prefix)
        if len(self._windows) > PREFIXES_MAX:
            self._windows.popitem(last=False)
            self._counters["seal_windows_dropped"] += 1


@attrs.frozen
class Envelopes:
    """One for datagrams and one for frames: they come in orders of their own, so each has its own windows."""

    datagram: Envelope
    frame: Envelope
    ring: KeyRing | None = None
    """The keys of both, which may change; None for plain ones."""


PLAIN = Envelopes(Plain(), Plain())


def envelopes_for(keys: Sequence[bytes], *, rng: Random, counters: Counter[str], here: Address) -> Envelopes:
    """Return what seals with the first of `keys` and opens with all of them; plain envelopes without keys.

    `here` is the address that this worker advertises.
    """
    if not keys:
        return PLAIN
    ring = KeyRing(keys)
    datagrams = Sealed(ring, rng=rng, counters=counters, here=here)
    return Envelopes(datagrams, Sealed(ring, rng=rng, counters=counters), ring)


def _reader(address: Address | None) -> bytes:
    """Return for whom a packet is, as associated data."""
    return b"frame" if address is None else b"datagram " + str(address).encode()


def _library() -> tuple[type[ChaCha20Poly1305], type[Exception]]:
    """Return the cipher and what it raises; imported late, since only who uses keys needs the library."""
    try:
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415  # see above
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305  # noqa: PLC0415  # see above
    except ImportError:
        raise UsageError("key_file: sealing needs the extra 'crypto': pip install 'swimstream[crypto]'") from None
    return ChaCha20Poly1305, InvalidTag
