"""How a cluster begins, exactly once.

`expect=n` (Consul's habit): when n peers that all say n see each other and none knows of a plan, the lowest
name among the n lowest asks the others whether they see the same. When all agree it writes the first log
entry, with a random cluster id and the first council, and campaigns like any other voter.

Why a question first: with more than n peers two of them could each hold itself for the lowest name. A peer
that has agreed to one founder agrees to no other for a while, so two foundings cannot both gather their n.
Nothing here decides by itself: until a majority of the council has voted, the founding is one uncommitted entry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.core.council.seats import choose_council
from swimstream.model.member import MemberState
from swimstream.model.plan import Entry, Found
from swimstream.wire.messages import FoundReply, FoundRequest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from swimstream.config import Timing
    from swimstream.core.council.council import Council
    from swimstream.core.outbox import Outbox
    from swimstream.model.identity import Run
    from swimstream.model.member import Member

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
        self._agreed: set[str] = set()
        self._promised_to = ""
        self._promised_until = float("-inf")
        self._met_cluster = False

    def meet_cluster(self) -> None:
        """Take note that a founded cluster is there: follow it, found none."""
        self._met_cluster = True

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
        return self._met_cluster or self._council.log.last_index > 0 or self._council.mark.term > 0

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
            self._asked, self._agreed = runs, set()
        self._promise(self._run.name, now)
        for member in founders[1:]:
            self._outbox.send(member.profile.address, FoundRequest(runs=runs))
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
            self._outbox.send(founders[0].profile.address, FoundReply(runs=request.runs, agrees=True))
            return
        refused = next((member for member in members if member.run == sender), None)
        if refused is not None:
            self._outbox.send(refused.profile.address, FoundReply(runs=request.runs, agrees=False))

    def receive_reply(self, sender: Run, reply: FoundReply, members: Sequence[Member], now: float) -> None:
        """Found the cluster once all have agreed."""
        if self.is_over or reply.runs != self._asked or sender not in self._asked:
            return
        if reply.agrees:
            self._agreed.add(sender.name)
            self._found_if_agreed(self._founders(members), now)
        else:
            self._agreed.discard(sender.name)

    def _found_if_agreed(self, founders: Sequence[Member], now: float) -> None:
        if tuple(member.run for member in founders) != self._asked or len(self._agreed) < len(self._asked) - 1:
            return
        change = Found(cluster_id=self._rng.getrandbits(62) + 1, council=choose_council(founders[0], founders))
        self._council.found(Entry(index=1, term=max(1, self._council.term), change=change), now)

    def _founders(self, members: Sequence[Member]) -> list[Member]:
        """Return the n lowest names of those that wait for the same n, or nobody if they are too few."""
        waiting = [
            member for member in members if member.state is MemberState.ALIVE and member.profile.expect == self._expect
        ]
        return waiting[: self._expect] if len(waiting) >= self._expect else []

    def _promise(self, founder: str, now: float) -> None:
        self._promised_to = founder
        self._promised_until = now + PROMISE_HEARTBEATS * self._timing.heartbeat_interval_s

    def _has_promised_another(self, founder: str, now: float) -> bool:
        return self._promised_to not in ("", founder) and now < self._promised_until
