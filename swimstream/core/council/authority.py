"""Authority: what this run knows of a quorum, and for how long it may act on it.

A worker runs an at-most-one instance only while it can prove that a leader with a majority stood not longer than L
ago (`Plan.isolation_ms`). The proof is a beacon; its leader's side is in `leading.py` (rules 1 to 3), how it is
written and read in `beacons.py` (rules 4 and 5). Here is who may use it (rule 6).

Why that is safe, in short: let the entry that stops a run commit at index k. A beacon of index k or above shows the run
that it is stopped, since the run may use it only with a plan that has come so far. A beacon below k was made before the
commit, so it is over L after it. Whoever waits for that long may give the instance to another worker.

L and the drift of clocks are in the plan, the same for everybody (rule 7); an L of 0 is not set yet, and gives nobody
any authority. The clock goes on while the machine sleeps: see `swimstream.runtime.clock`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.core.council.beacons import Proof, Questions, proof_in
from swimstream.wire.council_messages import AuthorityRequest

if TYPE_CHECKING:
    from collections import Counter
    from random import Random

    from swimstream.model.identity import Run
    from swimstream.model.plan import Plan
    from swimstream.wire.council_messages import Append, AuthorityReply, Beacon

WAITING_MAX = 8
"""So many proofs wait for the plan to come as far as they; `proofs_dropped` counts the oldest ones beyond."""
TOKENS_KEPT = 256
"""A voter remembers when it sent so many of its newest replies to a leader."""
NONCES_KEPT = 64
"""Likewise of its requests."""
PROOF_S_MAX = 3_600.0
"""The longest L there can be: nobody is told of an older proof."""


class Authority:
    """The proofs of one worker. Whatever it learns counts for its present run only once `review` has said so."""

    def __init__(self, *, rng: Random, counters: Counter[str]) -> None:
        """Begin without any proof. `beacons_unmatched` counts answers to nothing that is remembered."""
        self._counters = counters
        self.usable_at = float("-inf")
        """When the newest proof that this run may use was issued, at the latest; on this worker's clock."""
        self._newest: Proof | None = None
        """The one to pass on, whether this run may use it or not."""
        self._waiting: list[Proof] = []
        """Not yet usable, by rising `issued` and `index`: none is both older and further ahead than another."""
        self._tokens = Questions(rng, kept=TOKENS_KEPT)
        self._nonces = Questions(rng, kept=NONCES_KEPT)

    # --- learning ---------------------------------------------------------------------------------

    def learn(self, proof: Proof) -> None:
        """Take a proof: the leader its own, with `issued` as it is; everybody else what `proof_in` an answer was."""
        if self._newest is None or proof.issued > self._newest.issued:
            self._newest = proof
        if any(held.issued >= proof.issued and held.index <= proof.index for held in self._waiting):
            return  # it would be usable no sooner, and for no longer
        kept = [held for held in self._waiting if held.issued > proof.issued or held.index < proof.index]
        self._waiting = sorted([*kept, proof], key=lambda held: held.issued)
        if len(self._waiting) > WAITING_MAX:
            self._counters["proofs_dropped"] += 1
            del self._waiting[0]

    def receive_answer(self, beacon: Beacon, *, asked_at: float) -> None:
        """Take the answer to a question that was sent at `asked_at`."""
        self.learn(proof_in(beacon, asked_at=asked_at))

    def receive_append(self, append: Append) -> None:
        """Take a leader's beacon: it answers the reply of this voter whose token it echoes (rule 4)."""
        if append.beacon is not None:
            self._receive_numbered(append.beacon, self._tokens, append.echo)

    def receive_reply(self, reply: AuthorityReply) -> None:
        """Take the answer to the request of that nonce (rule 4)."""
        if reply.beacon is not None:
            self._receive_numbered(reply.beacon, self._nonces, reply.nonce)

    def _receive_numbered(self, beacon: Beacon, questions: Questions, number: int) -> None:
        asked_at = questions.asked_at(number)
        if asked_at is None:
            self._counters["beacons_unmatched"] += 1
        else:
            self.receive_answer(beacon, asked_at=asked_at)

    # --- using ------------------------------------------------------------------------------------

    def review(self, plan: Plan, run: Run) -> None:
        """Let `run` use what it may, now that its committed plan is `plan`.

        Rule 6: a proof counts only for a run whose own committed plan has come as far as its `index`, and does not show
        the run as held or gone for good. What a held run could use already stays: nothing is taken back, and the leader
        waits for it to end.
        """
        if plan.is_held(run):
            return
        for proof in self._waiting:
            if proof.index <= plan.index:
                self.usable_at = max(self.usable_at, proof.issued)
        self._waiting = [proof for proof in self._waiting if proof.issued > self.usable_at]

    @property
    def proved_at(self) -> float:
        """Return when a majority stood for certain, as far as was heard here; whether this run may use that or not."""
        return self._newest.issued if self._newest is not None else float("-inf")

    # --- passing on -------------------------------------------------------------------------------

    def beacon(self, now: float) -> Beacon | None:
        """Return what to put into an answer that is written now (rule 5), None if nothing is known."""
        newest = self._newest
        return newest.written_at(now) if newest is not None and now - newest.issued <= PROOF_S_MAX else None

    def token(self, now: float) -> int:
        """Return the number of a reply to a leader that is sent now: its next heartbeat answers it."""
        return self._tokens.ask(now)

    def request(self, now: float) -> AuthorityRequest:
        """Return a question that is sent now."""
        return AuthorityRequest(nonce=self._nonces.ask(now))
