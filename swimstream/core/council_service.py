"""How each worker stands in the council, told to whoever asks it by a query on the library's own topic.

The question is empty; the answer is `[role, term, last index, commit index, age of authority in ms, if any]` in CBOR.
A later version appends.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from swimstream.errors import WireError
from swimstream.model.council import CouncilReport, CouncilSeat, SeatStanding
from swimstream.model.member import SPEAKS_GUARANTEES
from swimstream.wire import checks
from swimstream.wire.cbor import decode_item_untrusted, encode_item

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from swimstream.core.council.council import Council
    from swimstream.model.identity import Run
    from swimstream.model.member import Member
    from swimstream.model.plan import Plan, PlanMark
    from swimstream.model.talk import Question

ROLES = ("follower", "precandidate", "candidate", "leader")
"""By their numbers in an answer."""


class CouncilService:
    """Answers for one worker."""

    def __init__(self, council: Council) -> None:
        """Serve `council`."""
        self._council = council

    def answer(self, _question: Question, _sender: Run, now: float) -> bytes:
        """Return how this worker stands."""
        council = self._council
        age_s = now - council.authority.usable_at
        return standing_item(
            SeatStanding(
                role=council.role.name.lower(),
                term=council.term,
                last_index=council.log.last_index,
                commit=council.log.commit,
                authority_age_s=None if math.isinf(age_s) else age_s,
            )
        )


def standing_item(standing: SeatStanding) -> bytes:
    """Return the answer that says `standing`; an age is rounded up to whole milliseconds."""
    age = [] if standing.authority_age_s is None else [math.ceil(standing.authority_age_s * 1_000)]
    return encode_item([ROLES.index(standing.role), standing.term, standing.last_index, standing.commit, *age])


def read_standing_untrusted(payload: bytes) -> SeatStanding:
    """Return what an answer says; raise `WireError` for one that makes no sense."""
    role, term, last_index, commit, *later = checks.record(decode_item_untrusted(payload), "standing", length=4)
    end = checks.integer(last_index, "standing.last_index")
    return SeatStanding(
        role=ROLES[checks.integer(role, "standing.role", high=len(ROLES) - 1)],
        term=checks.integer(term, "standing.term"),
        last_index=end,
        commit=checks.integer(commit, "standing.commit", high=end),
        authority_age_s=checks.integer(later[0], "standing.authority_age_ms") / 1_000 if later else None,
    )


def report_of(plan: Plan, mark: PlanMark, members: Iterable[Member], answers: Mapping[str, bytes]) -> CouncilReport:
    """Return the council of `plan` with what the workers on its seats have answered, by their names."""
    by_name = {member.run.name: member for member in members}
    return CouncilReport(
        cluster_id=plan.cluster_id,
        leader=mark.leader,
        term=mark.term,
        index=plan.index,
        seats=tuple(
            _seat(name, voter, by_name.get(name), answers.get(name))
            for name, voter in sorted((seat.name, seat.voter) for seat in plan.council)
        ),
        seats_wanted=plan.seats_wanted or len(plan.council),
        isolation_s=plan.isolation_ms / 1_000,
    )


def _seat(name: str, voter: int, member: Member | None, payload: bytes | None) -> CouncilSeat:
    has_memory = member is not None and member.profile.voter == voter
    standing = None
    if payload is not None and has_memory:  # else it speaks of another seat than this one
        try:
            standing = read_standing_untrusted(payload)
        except WireError:  # what makes no sense counts as silence
            standing = None
    return CouncilSeat(
        name=name,
        site=member.profile.site if member is not None else "",
        state=member.state if member is not None else None,
        has_memory=has_memory,
        standing=standing,
        is_older=member is not None and member.profile.speaks < SPEAKS_GUARANTEES,
    )
