"""What a person asks of the council at this worker: another size, another leader, or a new council for a lost one.

Size and leader are asked of the leader again and again, like jobs (`submissions.py`), until plan or mark show the
answer. A recovery happens here and at once, or not at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from swimstream.core.council.seating import SPEAKS_NEEDED
from swimstream.core.effects import Answer
from swimstream.model.changes import COUNCIL_SIZES, ResizeCouncil, Seat
from swimstream.model.member import MemberState
from swimstream.wire.council_messages import CouncilRequest, ProposeReply

if TYPE_CHECKING:
    from collections import Counter

    from swimstream.core.council.council import Council
    from swimstream.core.membership.membership import Membership
    from swimstream.core.outbox import Outbox
    from swimstream.model.identity import Run

COMMANDS_MAX = 64
RETRY_S = 1.0
TAKES_NO_PART = "council: this worker takes part no more"
TRANSFER_TRIES = 10
"""After so many questions a transfer has failed: what hinders it does not pass by itself."""


@attrs.define
class Wish:
    """One command that waits for its answer."""

    asked: CouncilRequest
    ask_at: float
    tries: int = 0


class CouncilCommands:
    """The commands of this worker, and, while it leads, those of others. At most `COMMANDS_MAX` wait at a time."""

    def __init__(self, membership: Membership, council: Council, outbox: Outbox, *, counters: Counter[str]) -> None:
        """Begin with none."""
        self._membership = membership
        self._council = council
        self._outbox = outbox
        self._counters = counters
        self._waiting: dict[int, Wish] = {}

    # --- the asking side --------------------------------------------------------------------------

    def resize(self, request: int, seats: int, now: float) -> None:
        """Have the plan say that the council shall have so many seats; answered then, not when it has them."""
        error = self._size_faults(seats)  # a leader of an older version could not read the question
        if error:
            self._outbox.put(Answer(request, error))
        else:
            self._add(CouncilRequest(request=request, seats=seats), now)

    def transfer(self, request: int, to: str, now: float) -> None:
        """Have `to` lead; answered when it does, or when that has been tried for long enough."""
        if self._membership.table.get(to) is None:
            self._outbox.put(Answer(request, f"leader: expected the name of a worker that is known here, got {to!r}"))
        else:
            self._add(CouncilRequest(request=request, leader=to), now)

    def recover(self, request: int, cluster_id: int, now: float) -> None:
        """Go on alone in the place of a lost council; answered at once. See `council/recovering.py`."""
        if not self._membership.is_announced or self._membership.is_leaving:
            self._outbox.put(Answer(request, "council: this worker is no member, and would lead nobody"))
            return
        alive = [member for member in self._membership.table if member.state is MemberState.ALIVE]
        error = self._council.recover(
            cluster_id=cluster_id,
            live={Seat(member.run.name, member.profile.voter) for member in alive},
            asked_by=self._membership.run.name,
            now=now,
        )
        self._outbox.put(Answer(request, error))

    def _add(self, asked: CouncilRequest, now: float) -> None:
        if len(self._waiting) >= COMMANDS_MAX:
            self._outbox.put(Answer(asked.request, f"council: expected at most {COMMANDS_MAX} commands at a time"))
            return
        self._waiting[asked.request] = Wish(asked, ask_at=now)
        self.look()

    def fire_timers(self, now: float) -> None:
        """Ask the leader, whoever it is now, for everything that is due."""
        for request, wish in sorted(self._waiting.items()):
            if wish.ask_at > now:
                continue
            if wish.asked.leader and wish.tries >= TRANSFER_TRIES:
                self._answer(request, f"leader: {wish.asked.leader} has not taken over, though asked to")
                continue
            wish.ask_at, wish.tries = now + RETRY_S, wish.tries + 1
            self._ask_leader(wish.asked, now)

    def next_deadline(self) -> float:
        """Return when `fire_timers` wants to be called next."""
        return min((wish.ask_at for wish in self._waiting.values()), default=float("inf"))

    def look(self) -> None:
        """Answer whatever plan or mark have an answer to."""
        for request, wish in sorted(self._waiting.items()):
            if self._is_so(wish.asked):
                self._answer(request, "")

    def _is_so(self, asked: CouncilRequest) -> bool:
        if asked.leader:
            return self._council.mark.leader == asked.leader
        return self._council.plan.seats_wanted == asked.seats

    def receive_refusal(self, reply: ProposeReply) -> None:
        """Take the leader's no."""
        if reply.request in self._waiting:
            self._answer(reply.request, reply.error)

    def _ask_leader(self, asked: CouncilRequest, now: float) -> None:
        if self._council.is_leader:
            error = self._accept(asked, self._membership.run.name, now)
            if error:
                self._answer(asked.request, error)
            return
        leader = self._membership.table.address_of(self._council.mark.leader)
        if leader is not None:
            self._outbox.send(leader, asked)

    def _answer(self, request: int, error: str) -> None:
        del self._waiting[request]
        self._outbox.put(Answer(request, error))

    def give_up(self) -> None:
        """Answer everything: this worker takes part no more."""
        for request in sorted(self._waiting):
            self._answer(request, TAKES_NO_PART)

    # --- the leader's side ------------------------------------------------------------------------

    def receive_request(self, sender: Run, asked: CouncilRequest, now: float) -> None:
        """Take a command as leader; anyone else stays silent, and the asker asks again."""
        asker = self._membership.table.get_run(sender)
        if self._council.is_leader and asker is not None:
            error = self._accept(asked, sender.name, now)
            if error:
                self._outbox.send(asker.profile.address, ProposeReply(request=asked.request, error=error))

    def _accept(self, asked: CouncilRequest, asked_by: str, now: float) -> str:
        """Do what is asked, or return why not. What cannot be done yet waits to be asked again."""
        if asked.leader:
            return self._accept_transfer(asked.leader, now)
        if error := self._size_faults(asked.seats):
            return error
        if self._council.is_settled and self._council.plan.seats_wanted != asked.seats:
            self._council.propose([ResizeCouncil(seats=asked.seats, asked_by=asked_by)], now)
        return ""

    def _size_faults(self, seats: int) -> str:
        if seats not in COUNCIL_SIZES:
            return f"seats: expected one of {', '.join(map(str, COUNCIL_SIZES))}, got {seats}"
        older = [member.run.name for member in self._membership.table.live() if member.profile.speaks < SPEAKS_NEEDED]
        names = ", ".join(sorted(older)[:8])
        return f"seats: {names} cannot read changes of the council yet: an older version" if older else ""

    def _accept_transfer(self, to: str, now: float) -> str:
        if to == self._membership.run.name:
            return ""
        voters = {seat.name: seat.voter for seat in self._council.plan.council}
        if to not in voters:
            return f"leader: expected a worker with a seat ({', '.join(sorted(voters))}), got {to!r}"
        member = self._membership.table.get(to)
        if member is None or member.state.is_gone:
            return f"leader: {to} is not alive"
        if not self._council.hand_over(now, to=to):
            self._counters["transfers_put_off"] += 1
        return ""
