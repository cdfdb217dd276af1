"""The plan to everyone: what a peer gives to one whose plan is behind, seat or not, and how that one asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from swimstream.core.council.pieces import Assembly, Shelf, Stamp
from swimstream.errors import WireError
from swimstream.wire.council_messages import PiecePull, PlanEntries, PlanPull, SnapshotPiece

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from swimstream.core.council.log import Log
    from swimstream.core.council.pace import Pace
    from swimstream.model.identity import Address
    from swimstream.model.plan import Plan
    from swimstream.wire.messages import Message

TRIES_MAX = 4
"""So often one peer is asked the same; then the next mark tells of another one to ask."""


class Giver:
    """What one peer has to give. `tell(name, message)` sends to a worker; who has no address is given nothing."""

    def __init__(
        self,
        log: Log,
        tell: Callable[[str, Message], None],
        address_of: Callable[[str], Address | None],
        *,
        voter: int,
    ) -> None:
        """Begin with nothing encoded."""
        self.shelf = Shelf(log)
        self._log = log
        self._tell = tell
        self._address_of = address_of
        self._voter = voter

    def receive_pull(self, asker: str, pull: PlanPull | PiecePull, *, term: int) -> None:
        """Give committed entries, or the plan or a piece of it if they are compacted away; nothing to who has them."""
        stamp = Stamp(term=term, voter=self._voter, round=0)
        is_served = isinstance(pull, PlanPull) and pull.index >= self._log.commit
        if is_served or not self._log.commit or self._address_of(asker) is None:
            return
        if isinstance(pull, PiecePull):
            self._tell(asker, self.shelf.go_on(pull.index, pull.offset, stamp))
        elif pull.index < self._log.base.index:
            self._tell(asker, self.shelf.begin(stamp))
        else:
            self._tell(asker, PlanEntries(entries=self._log.entries_from(pull.index + 1, upto=self._log.commit)))


@attrs.frozen
class Question:
    """What was asked of a worker."""

    of: str
    message: PlanPull | PiecePull


class Pulls:
    """What one peer asks to catch up: one question at a time, repeated a few times; and the pieces that it was given.

    Pieces are taken from the leader (`round` is not 0) and from whom the open question was put to, from nobody else.
    """

    def __init__(
        self,
        log: Log,
        tell: Callable[[str, Message], None],
        address_of: Callable[[str], Address | None],
        *,
        counters: Counter[str],
        pace: Pace,
    ) -> None:
        """Begin without a question; one is repeated after a heartbeat interval."""
        self.retry_at = float("inf")
        """When `fire_timers` wants to be called next."""
        self._log = log
        self._tell = tell
        self._address_of = address_of
        self._counters = counters
        self._pace = pace
        self._assembly = Assembly()
        self._ask_at = float("-inf")
        self._open: Question | None = None
        self._tries = 0
        self._wanted = 0
        """The index that whoever was asked has shown."""
        self._taken = 0
        """The index of the last plan from pieces; whoever gave one that was not accepted is asked no more."""
        self._led_on = (0, 0)
        """Term and round in which the leader was last asked for a piece."""

    # --- asking -----------------------------------------------------------------------------------

    def see(self, teller: str, shown: int, now: float) -> None:
        """Ask a worker that shows a newer plan, `shown`, for what is missing, unless another question is open."""
        if now >= self._ask_at and shown > self._log.commit:
            self._wanted = shown
            self._tries = 0
            self._ask(teller, now)

    def fire_timers(self, now: float) -> None:
        """Repeat the open question, since packets get lost, or go on from the answer."""
        if self._open is None or now < self.retry_at:
            return
        if self._tries >= TRIES_MAX or not self._taken <= self._log.commit < self._wanted:
            self._give_up(now)
        else:
            self._ask(self._open.of, now)

    def answered(self, now: float) -> None:
        """Take note of an answer: the next question may follow at once, and does if there was more to have."""
        self._ask_at = now
        if self._open is not None:
            self.retry_at = now

    def _give_up(self, now: float) -> None:
        self._open = None
        self._ask_at = now
        self.retry_at = float("inf")

    def _ask(self, of: str, now: float) -> None:
        if self._assembly.index <= self._log.commit:
            self._assembly.drop()
        message: PlanPull | PiecePull = PlanPull(index=self._log.commit)
        if self._assembly.index:
            message = PiecePull(index=self._assembly.index, offset=self._assembly.offset, round=0)
        self._open = Question(of, message)
        self._tries += 1
        self._ask_at = self.retry_at = now + self._pace.heartbeat_s
        self._tell(of, message)

    # --- pieces -----------------------------------------------------------------------------------

    def receive(self, giver: str, piece: SnapshotPiece, now: float) -> Plan | None:
        """Take a piece and ask for the next; return the plan once it is whole."""
        was_asked = self._open is not None and self._open.of == giver
        if self._address_of(giver) is None or not (piece.round or was_asked):
            self._counters["pieces_refused"] += 1
            return None
        if piece.index <= self._log.commit:
            return None
        is_next = self._assembly.add(piece)
        if is_next and self._assembly.is_whole:
            return self._finish(now)
        if is_next and not piece.round:
            self._tries = 0
            self._ask(giver, now)
        elif piece.round and (is_next or (piece.term, piece.round) != self._led_on):
            self._led_on = (piece.term, piece.round)  # sent again in a later round: what was asked before is lost
            offset = self._assembly.offset if self._assembly.index == piece.index else 0
            self._tell(giver, PiecePull(index=piece.index, offset=offset, round=piece.round))
        else:
            self._counters["pieces_out_of_order"] += 1
        return None

    def _finish(self, now: float) -> Plan | None:
        self._taken = self._assembly.index
        self.answered(now)
        try:
            return self._assembly.take_untrusted()
        except WireError:
            self._counters["plans_malformed"] += 1
            return None
