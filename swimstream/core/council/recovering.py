"""When a majority of the council is lost for good: one worker goes on alone, because a person says so.

Raft cannot do this safely, and nobody else may decide it. What it gives up:

- What was committed at the lost seats and had not come here yet is lost. So it is refused while a live worker is
  known to have more of the plan than this one: then it is to be done there.
- If the lost seats are not lost but cut off, two councils decide side by side until they meet: two histories. The
  term jumps, so that the old council's leaders step down as soon as they hear of the recovered one; but where they
  have committed something else meanwhile, they cannot follow, count `protocol_violations`, and must begin anew
  with an empty state directory.
- At-most-one operators may run twice meanwhile, for the same reason. Outlets that check the epoch still refuse
  whoever has the lower one.

What is in this worker's log but is not known to be committed stays in it: the lost majority may have committed it.
The council consists of this worker's seat alone then, and grows back seat by seat (`seating.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.core.council.seats import majority
from swimstream.model.changes import Entry, RecoverCouncil

if TYPE_CHECKING:
    from collections.abc import Collection

    from swimstream.core.council.log import Log
    from swimstream.core.council.standing import Standing
    from swimstream.model.changes import Seat

TERMS_JUMPED = 2**20
"""More elections than a council that is cut off will hold meanwhile; far less than a term may jump."""


def recovery_refusal(
    log: Log, *, cluster_id: int, live: Collection[Seat], ahead: Collection[str], is_led: bool, is_proved: bool
) -> str:
    """Return why the council must not be put in another's place here; empty if it may.

    `cluster_id` is what the person has confirmed, `live` are the seats of workers that are held for alive, `ahead`
    the live workers whose plan has come further, `is_led` whether a leader has spoken of late, `is_proved` whether a
    majority stood less than L ago, as somebody could prove.
    """
    if not log.plan.cluster_id:
        return "cluster: this worker knows no cluster whose council could be lost"
    if cluster_id != log.plan.cluster_id:
        return f"cluster: expected the id of this cluster, {log.plan.cluster_id:x}, to be confirmed; got {cluster_id:x}"
    if is_led:
        return "council: it has a leader that a majority follows"
    if is_proved:
        return (
            f"council: a majority of it stood less than {log.plan.isolation_ms / 1_000:g} s ago; ask again after that"
        )
    if ahead:
        return f"plan: {', '.join(sorted(ahead))} has more of it than this worker; recover the council there"
    alive = [seat.name for seat in log.council if seat in live]
    if len(alive) >= majority(log.council):
        return f"council: a majority of its seats is alive ({', '.join(alive)}), and will elect a leader"
    return ""


def begin_recovery(standing: Standing, *, asked_by: str, now: float) -> None:
    """Put this worker's own seat in the place of the whole council, in a term far above; it stands for election.

    Every check has been made; see `recovery_refusal`.
    """
    log = standing.log
    lost = tuple(seat.name for seat in log.council if seat != standing.seat)
    change = RecoverCouncil(council=(standing.seat,), lost=lost, asked_by=asked_by)
    standing.become_candidate(now, terms=TERMS_JUMPED)
    log.append([Entry(index=log.last_index + 1, term=standing.term, change=change)])
    standing.persist_log()
    standing.counters["councils_recovered"] += 1
