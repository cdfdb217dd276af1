"""What this worker wants of whoever leads the council: asked again and again until there is an answer.

A leader may die or be replaced, and a question or its answer be lost. So every question is repeated, to whoever leads
by then, and a leader must be able to take the same one twice. What it refuses it says. What it grants, the asker finds
in its own plan or mark, or is told at which index the plan has it. Silence means: not yet, ask again.

A kind of request says three things: what the leader is asked, how plan or mark show the answer, and what this worker
does about it as leader.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

from swimstream.core.council.council import Council
from swimstream.core.effects import Answer
from swimstream.core.membership.membership import Membership
from swimstream.core.outbox import Outbox
from swimstream.wire.council_messages import ChangeRequest, CouncilRequest, Propose, ProposeReply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swimstream.model.identity import Run

RETRY_S = 1.0


@attrs.frozen
class Done:
    """It is committed at `index`: who asked is answered once its own plan has come so far."""

    index: int


@attrs.frozen
class Refused:
    """It will not be done."""

    reason: str


Verdict = Done | Refused | None
"""None: not yet, ask again."""


@attrs.frozen(kw_only=True)
class Kind:
    """What the requests of one kind have in common: how many may wait at a time, and the words for it."""

    subject: str
    """What its errors begin with."""
    plural: str
    waiting_max: int
    is_told: bool = True
    """Whether somebody waits for the answers; else the node asks of its own accord."""

    @property
    def too_many(self) -> str:
        """The answer to one more than may wait."""
        return f"{self.subject}: expected at most {self.waiting_max} {self.plural} at a time"

    @property
    def takes_no_part(self) -> str:
        """The answer of a worker that asks nobody any more."""
        return f"{self.subject}: this worker takes part no more"


@attrs.frozen(kw_only=True)
class Request:
    """One thing that this worker wants."""

    kind: Kind
    message: Propose | CouncilRequest | ChangeRequest
    """What the leader is asked. Its `request` is the number that is answered."""
    look: Callable[[], Verdict]
    """What the plan and the mark of this worker say."""
    accept: Callable[[float], Verdict]
    """What this worker says at that time, when it leads itself."""
    deadline: float = float("inf")
    """When it is answered at the latest, with `overdue`."""
    overdue: str = ""
    is_looked_for: bool = False
    """Whether `look` alone answers it: that the leader has granted it is only the beginning. A refusal does, too."""


@attrs.define
class Waiting:
    """A request without an answer."""

    request: Request
    ask_at: float
    done: Done | None = None
    """Set when it is done, but the plan of this worker has not come so far yet."""


class LeaderRequests:
    """All that this worker wants of the leader. Beyond the bound of its kind a request is refused and counted."""

    def __init__(self, membership: Membership, council: Council, outbox: Outbox, *, counters: Counter[str]) -> None:
        """Begin with none."""
        self._membership = membership
        self._council = council
        self._outbox = outbox
        self._counters = counters
        self._waiting: dict[int, Waiting] = {}
        self._asked = ("", 0)
        """Whom it asks, and in which term that one leads."""
        self._told: set[tuple[Run, int]] = set()
        """As leader: those of `tell_done` that were told, no more than it was given the last time."""
        self._is_over = False

    # --- the asking side --------------------------------------------------------------------------

    def add(self, request: Request, now: float) -> None:
        """Ask until there is an answer, or give the one that plan or mark have already."""
        number = request.message.request
        if sum(waiting.request.kind == request.kind for waiting in self._waiting.values()) >= request.kind.waiting_max:
            self._counters["requests_refused"] += 1
            self._tell(request.kind, number, request.kind.too_many)
            return
        self._waiting[number] = Waiting(request, ask_at=now)
        self._take(number, request.look())
        if self._is_over:
            self.give_up()

    def fire_timers(self, now: float) -> None:
        """Ask the leader, whoever it is now, for everything that is due."""
        for number, waiting in sorted(self._waiting.items()):
            if waiting.request.deadline <= now:
                self._answer(number, waiting.request.overdue)
            elif waiting.ask_at <= now:
                waiting.ask_at = now + RETRY_S
                self._ask_leader(waiting.request, now)

    def next_deadline(self) -> float:
        """Return when `fire_timers` wants to be called next."""
        return min((min(each.ask_at, each.request.deadline) for each in self._waiting.values()), default=float("inf"))

    def settle(self, now: float) -> None:
        """Answer whatever plan or mark have an answer to; have a new leader asked at once for the rest."""
        for number, waiting in sorted(self._waiting.items()):
            self._take(number, waiting.done or waiting.request.look())
        mark = self._council.mark
        if mark.leader and (mark.leader, mark.term) != self._asked:
            self._asked = (mark.leader, mark.term)
            for waiting in self._waiting.values():
                waiting.ask_at = now

    def receive_reply(self, reply: ProposeReply) -> None:
        """Take the leader's no, or where it has committed what was asked for."""
        self._hear(reply.request, Done(reply.index) if reply.index else Refused(reply.error))

    def give_up(self) -> None:
        """Answer everything, and from now on at once: this worker takes part no more."""
        self._is_over = True
        for number, waiting in sorted(self._waiting.items()):
            self._answer(number, waiting.request.kind.takes_no_part)

    def _ask_leader(self, request: Request, now: float) -> None:
        if self._council.is_leader:
            self._hear(request.message.request, request.accept(now))
            return
        leader = self._membership.table.address_of(self._council.mark.leader)
        if leader is not None:
            self._outbox.send(leader, request.message)

    def _hear(self, number: int, verdict: Verdict) -> None:
        """Take the leader's word."""
        waiting = self._waiting.get(number)
        if waiting is not None and waiting.request.is_looked_for and isinstance(verdict, Done):
            waiting.ask_at = float("inf")  # until another leads
        else:
            self._take(number, verdict)

    def _take(self, number: int, verdict: Verdict) -> None:
        """Answer a request that still waits, unless it must be asked again or the plan has to come further."""
        waiting = self._waiting.get(number)
        if waiting is None or verdict is None:
            return
        if isinstance(verdict, Refused):
            self._answer(number, verdict.reason)
        elif verdict.index <= self._council.plan.index:
            self._answer(number, "")
        else:
            waiting.done = verdict

    def _answer(self, number: int, error: str) -> None:
        self._tell(self._waiting.pop(number).request.kind, number, error)

    def _tell(self, kind: Kind, number: int, error: str) -> None:
        if kind.is_told:
            self._outbox.put(Answer(number, error))

    # --- the leader's side ------------------------------------------------------------------------

    def serve(self, sender: Run, number: int, accept: Callable[[float], Verdict], now: float) -> None:
        """Take another member's request as leader; anyone else stays silent, and the asker asks again."""
        asker = self._membership.table.get_run(sender)
        if self._council.is_leader and asker is not None:
            verdict = accept(now)
            if isinstance(verdict, Refused):
                self._outbox.send(asker.profile.address, ProposeReply(request=number, error=verdict.reason))
            elif isinstance(verdict, Done):
                self._outbox.send(asker.profile.address, ProposeReply(request=number, index=verdict.index))

    def tell_done(self, committed: Mapping[tuple[Run, int], int]) -> None:
        """Tell who asks, this worker itself or another, at which index it is done: once, as soon as it is committed.

        Should that be lost, it is told when they ask again. `committed` has the index by asker and number.
        """
        here = self._council.plan.index
        self._told = {key for key in self._told if key in committed}
        for key, index in committed.items():
            if index > here or key in self._told:
                continue
            self._told.add(key)
            asker, number = key
            member = self._membership.table.get_run(asker)
            if asker == self._membership.run:
                self._hear(number, Done(index))
            elif member is not None:
                self._outbox.send(member.profile.address, ProposeReply(request=number, index=index))


@attrs.define(eq=False)
class RequestDesk:
    """What whoever asks for one sort of thing, and grants it while it leads, works with."""

    _requests: LeaderRequests
    _membership: Membership
    _council: Council
    _outbox: Outbox
    _counters: Counter[str] = attrs.field(kw_only=True)
