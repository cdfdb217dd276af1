"""What a person asks of the council at this worker: another size, another leader, or a new council for a lost one.

Size and leader are asked of the leader, see `leader_requests.py`; plan or mark show the answer. A recovery happens here
and at once, or not at all.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import attrs

from swimstream.core.council.seating import SPEAKS_NEEDED
from swimstream.core.effects import Answer
from swimstream.core.leader_requests import Done, Kind, Refused, Request, RequestDesk
from swimstream.model.changes import COUNCIL_SIZES, ResizeCouncil, Seat
from swimstream.model.member import MemberState
from swimstream.wire.council_messages import CouncilRequest

if TYPE_CHECKING:
    from swimstream.core.leader_requests import Verdict
    from swimstream.model.identity import Run

COMMANDS_MAX = 64
COMMAND = Kind(subject="council", plural="commands", waiting_max=COMMANDS_MAX)
TRANSFER_S = 10.0
"""After so long a transfer has failed: what hinders it does not pass by itself."""


@attrs.define(eq=False)
class CouncilCommands(RequestDesk):
    """The commands of this worker, and, while it leads, those of others. At most `COMMANDS_MAX` wait at a time."""

    # --- the asking side --------------------------------------------------------------------------

    def resize(self, request: int, seats: int, now: float) -> None:
        """Have the plan say that the council shall have so many seats; answered then, not when it has them."""
        error = self._size_faults(seats)  # a leader of an older version could not read the question
        if error:
            self._outbox.put(Answer(request, error))
        else:
            self._requests.add(self._request(CouncilRequest(request=request, seats=seats)), now)

    def transfer(self, request: int, to: str, now: float) -> None:
        """Have `to` lead; answered when it does, or when that has been tried for long enough."""
        if self._membership.table.get(to) is None:
            self._outbox.put(Answer(request, f"leader: expected the name of a worker that is known here, got {to!r}"))
        else:
            asked = self._request(CouncilRequest(request=request, leader=to))
            overdue = f"leader: {to} has not taken over, though asked to"
            self._requests.add(attrs.evolve(asked, deadline=now + TRANSFER_S, overdue=overdue), now)

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

    def _request(self, asked: CouncilRequest) -> Request:
        accept = partial(self._accept, asked, self._membership.run.name)
        return Request(kind=COMMAND, message=asked, look=partial(self._look, asked), accept=accept)

    def _look(self, asked: CouncilRequest) -> Verdict:
        plan = self._council.plan
        is_so = self._council.mark.leader == asked.leader if asked.leader else plan.seats_wanted == asked.seats
        return Done(plan.index) if is_so else None

    # --- the leader's side ------------------------------------------------------------------------

    def receive_request(self, sender: Run, asked: CouncilRequest, now: float) -> None:
        """Take another member's command as leader."""
        self._requests.serve(sender, asked.request, partial(self._accept, asked, sender.name), now)

    def _accept(self, asked: CouncilRequest, asked_by: str, now: float) -> Verdict:
        """Do what is asked, or return why not. What cannot be done yet waits to be asked again."""
        if asked.leader:
            error = self._accept_transfer(asked.leader, now)
        else:
            error = self._accept_size(asked.seats, asked_by, now)
        return Refused(error) if error else None

    def _accept_size(self, seats: int, asked_by: str, now: float) -> str:
        error = self._size_faults(seats)
        if not error and self._council.is_settled and self._council.plan.seats_wanted != seats:
            self._council.propose([ResizeCouncil(seats=seats, asked_by=asked_by)], now)
        return error

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
