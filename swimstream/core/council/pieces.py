"""A large plan in pieces: cut up by who gives it, put together by who reads it (Raft §7, figure 13: offset and data).

One large message would hold up everything behind it, heartbeats included, and could not be larger than a frame. So a
plan goes in pieces of `PIECE_BYTES`, the next one only when the reader asks for it: no more than one is under way to
each reader, and who does not read is sent nothing. Pieces fit together because the giver keeps the very bytes.

Refused: a hash over the whole. Streams and packets have checksums, the decoder takes nothing that is no plan, and
whoever could forge a piece could forge the hash that comes along with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from swimstream.errors import WireError
from swimstream.wire.council_messages import Snapshot, SnapshotPiece
from swimstream.wire.plan_codec import encode_plan
from swimstream.wire.plan_reader import STORED_BYTES_MAX, decode_plan_untrusted

if TYPE_CHECKING:
    from swimstream.core.council.log import Log
    from swimstream.model.plan import Plan

PIECE_BYTES = 256 * 1_024
"""A tenth of a second on a link of 20 Mbit/s. A plan that is no larger goes whole, as older peers read it."""


@attrs.frozen
class Encoded:
    """A plan as bytes."""

    index: int
    data: bytes


@attrs.frozen(kw_only=True)
class Stamp:
    """What each message of a giver bears; `round` is 0 for who is no leader, or gives to who has pulled."""

    term: int
    voter: int
    round: int


class Shelf:
    """The encoded plan from which pieces are cut, and the one before it while that is being read.

    It is encoded anew only when entries no longer follow on it: so readers do not have to begin again with every
    commit, many of them share one encoding, and at most two, `2 * STORED_BYTES_MAX` bytes, are ever kept.
    """

    def __init__(self, log: Log) -> None:
        """Begin empty."""
        self._log = log
        self._newest = Encoded(0, b"")
        self._older = Encoded(0, b"")

    def begin(self, stamp: Stamp) -> Snapshot | SnapshotPiece:
        """Return the whole plan if it is small enough, else a first piece."""
        log = self._log
        if not self._newest.data or self._newest.index < log.base.index:
            encoded = Encoded(log.commit, encode_plan(log.plan))
            if len(encoded.data) <= PIECE_BYTES:
                self._newest = self._older = Encoded(0, b"")
                return Snapshot(term=stamp.term, voter=stamp.voter, round=stamp.round, plan=log.plan)
            self._older, self._newest = self._newest, encoded
        return _cut(self._newest, 0, stamp)

    def go_on(self, index: int, offset: int, stamp: Stamp) -> Snapshot | SnapshotPiece:
        """Return the piece of the plan at `index` from `offset` on; begin with another plan if that is gone."""
        for encoded in (self._newest, self._older):
            if encoded.index == index and offset < len(encoded.data):
                piece = _cut(encoded, offset, stamp)
                if encoded is self._older and offset + len(piece.data) == piece.total:
                    self._older = Encoded(0, b"")
                return piece
        return self.begin(stamp)


def _cut(encoded: Encoded, offset: int, stamp: Stamp) -> SnapshotPiece:
    return SnapshotPiece(
        term=stamp.term,
        voter=stamp.voter,
        round=stamp.round,
        index=encoded.index,
        offset=offset,
        total=len(encoded.data),
        data=encoded.data[offset : offset + PIECE_BYTES],
    )


class Assembly:
    """The plan that is being put together: one at a time, and never more bytes than were announced."""

    def __init__(self) -> None:
        """Begin with none."""
        self.index = 0
        """Which plan is being read; 0 if none is."""
        self._total = 0
        self._data = bytearray()

    @property
    def offset(self) -> int:
        """Return how many bytes are there."""
        return len(self._data)

    def add(self, piece: SnapshotPiece) -> bool:
        """Take the piece if it is the next one, or the first of another plan; return whether it was."""
        if piece.offset == 0 and (piece.index, piece.total) != (self.index, self._total):
            self.drop()
            self.index, self._total = piece.index, piece.total
        fits = (piece.index, piece.total, piece.offset) == (self.index, self._total, self.offset)
        if not fits or piece.offset + len(piece.data) > min(piece.total, STORED_BYTES_MAX):
            return False
        self._data += piece.data
        return True

    @property
    def is_whole(self) -> bool:
        """Return whether nothing is missing any more."""
        return self.index > 0 and self.offset == self._total

    def take_untrusted(self) -> Plan:
        """Return the plan and forget its bytes; raise `WireError` if they are no plan, or not the announced one."""
        assert self.is_whole
        index, data = self.index, bytes(self._data)
        self.drop()
        plan = decode_plan_untrusted(data)
        if plan.index != index:
            raise WireError(f"SnapshotPiece.index: expected that of the plan, {plan.index}, got {index}")
        return plan

    def drop(self) -> None:
        """Forget what is there."""
        self.index = self._total = 0
        self._data = bytearray()
