"""How a cluster begins, exactly once.

`expect=n` (Consul's habit): when n peers see each other, none says more than n and none knows of a plan, the lowest
name among the n lowest asks the others whether they see the same. Those that say n come first, and those that say
less count: one that says 1 among three that say 3 would else found a council of one seat for all of them. When all
agree it writes the first log entry, with a random cluster id and the first council, and campaigns like any voter.

Why a question first: with more than n peers two of them could each hold itself for the lowest name. A peer
that has agreed to one founder agrees to no other for a while, so two foundings cannot both gather their n.
Nothing here decides by itself: until a majority of the council has voted, the founding is one uncommitted entry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.core.council.seats import choose_council
from swimstream.model.changes import Entry, Found
from swimstream.model.member import MemberState
from swimstream.wire.council_messages import FoundReply, FoundRequest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from swimstream.config import Timing
    from swimstream.core.council.council import Council
    from swimstream.core.outbox import Outbox
    from swimstream.model.identity import Run
    from swimstream.model.member import Member

THE_CLUSTER = "/"
"""Stands for a founder that has succeeded; no worker's name."""
PROMISE_HEARTBEATS = 20
"""For how many heartbeat intervals a peer agrees to no other founder."""


class Founding:
    """One peer's part in the founding. Inert as soon as a log or a plan is known."""

    def __init__(self, run: Run, council: Council, outbox: Outbox, *, timing: Timing, rng: Random, expect: int) -> None:
        """Build a founding that waits for `expect` peers; see `start`."""
        self._run = run
        self._council = council
        self._outbox = outbox
        self._timing = timing
        self._rng = rng
        self._expect = expect
        self._ask_at = float("inf")
        self._asked: tuple[Run, ...] = ()
        self._round = 0
        self._asked_at: dict[int, float] = {}
        """When each round of questions was sent, as long as its answers count."""
        self._agreed: dict[str, float] = {}
        """Who has agreed, and when the question that it answered was sent."""
        self._promised_to = ""
        self._promised_until = float("-inf")
        self._promise_s = PROMISE_HEARTBEATS * timing.heartbeat_interval_s

    def meet_cluster(self, now: float) -> None:
        """Take note that a founded cluster is there: agree to no founding, and try none, as long as it is heard of."""
        self._promised_to = THE_CLUSTER
        self._promised_until = now + self._promise_s

    def start(self, not_before: float) -> None:
        """Begin to look for the founders at `not_before`."""
        self._ask_at = not_before

    def begin_new_run(self, run: Run) -> None:
        """Go on under another run."""
        self._run = run
        self._asked = ()

    @property
    def is_over(self) -> bool:
        """Return whether there is nothing to found: a log, or news of a plan, is here."""
        return self._council.log.last_index > 0 or self._council.mark.term > 0

    def next_deadline(self) -> float:
        """Return when `consider` wants to be called next."""
        return float("inf") if self.is_over else self._ask_at

    def consider(self, members: Sequence[Member], now: float) -> None:
        """Ask the other founders, if this peer is the lowest name among enough of them."""
        if self.is_over or now < self._ask_at:
            return
        self._ask_at = now + self._timing.heartbeat_interval_s
        founders = self._founders(members)
        if not founders or founders[0].run != self._run or self._has_promised_another(self._run.name, now):
            return
        runs = tuple(member.run for member in founders)
        if runs != self._asked:
            self._asked, self._agreed = runs, {}
            self._asked_at.clear()
        self._promise(self._run.name, now)
        self._round += 1
        self._asked_at[self._round] = now
        self._asked_at.pop(self._round - PROMISE_HEARTBEATS, None)
        for member in founders[1:]:
            self._outbox.send(member.profile.address, FoundRequest(round=self._round, runs=runs))
        self._found_if_agreed(founders, now)

    def receive_request(self, sender: Run, request: FoundRequest, members: Sequence[Member], now: float) -> None:
        """Say whether this peer sees the same founders and is free to agree."""
        founders = self._founders(members)
        runs = tuple(member.run for member in founders)
        agrees = (
            not self.is_over
            and runs == request.runs
            and runs[:1] == (sender,)
            and not self._has_promised_another(sender.name, now)
        )
        if agrees:
            self._promise(sender.name, now)
        asker = next((member for member in members if member.run == sender), None)
        if asker is not None:
            reply = FoundReply(round=request.round, runs=request.runs, agrees=agrees)
            self._outbox.send(asker.profile.address, reply)

    def receive_reply(self, sender: Run, reply: FoundReply, members: Sequence[Member], now: float) -> None:
        """Found the cluster once all have agreed."""
        asked_at = self._asked_at.get(reply.round)
        if self.is_over or asked_at is None or reply.runs != self._asked or sender not in self._asked:
            return
        if reply.agrees:
            self._agreed[sender.name] = asked_at
            self._found_if_agreed(self._founders(members), now)
        else:
            self._agreed.pop(sender.name, None)

    def _found_if_agreed(self, founders: Sequence[Member], now: float) -> None:
        """Found the cluster if all others have agreed, none so long ago that it may have agreed to another since."""
        if self._has_promised_another(self._run.name, now):
            return
        standing = [asked_at for asked_at in self._agreed.values() if now < asked_at + self._promise_s]
        if tuple(member.run for member in founders) != self._asked or len(standing) < len(self._asked) - 1:
            return
        change = Found(cluster_id=self._rng.getrandbits(62) + 1, council=choose_council(founders[0], founders))
        self._council.found(Entry(index=1, term=max(1, self._council.term), change=change), now)

    def _founders(self, members: Sequence[Member]) -> list[Member]:
        """Return the founders by name, as many as any live one waits for, or nobody if they are too few."""
        expect = max([self._expect, *(member.profile.expect for member in members if not member.state.is_gone)])
        waiting = [member for member in members if member.state is MemberState.ALIVE]
        if len(waiting) < expect:
            return []
        waiting.sort(key=lambda member: (member.profile.expect != expect, member.run))
        return sorted(waiting[:expect], key=lambda member: member.run)

    def _promise(self, founder: str, now: float) -> None:
        self._promised_to = founder
        self._promised_until = now + self._promise_s

    def _has_promised_another(self, founder: str, now: float) -> bool:
        return self._promised_to not in ("", founder) and now < self._promised_until
